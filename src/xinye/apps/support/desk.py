"""`Desk`: what the roles share: the store, its secret, the limits and the clock."""

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from sqlite3 import Row

from xinye.apps.keys import keyed_hash
from xinye.apps.store import Store, Transaction
from xinye.apps.support.limits import Limits
from xinye.apps.support.log import Entry
from xinye.apps.support.messages import Message, checked_text, find_message
from xinye.apps.support.states import end_claims
from xinye.data.masking import Masker
from xinye.data.personal import Tagger
from xinye.errors import NotFound, XinyeError

LONGEST_ID = 64  # characters of a conversation's id; ours have 22


@dataclass(frozen=True)
class Desk:
    """The parts that the roles share. `clock` gives seconds since 1970, and `tagger` finds names
    and addresses to mask."""

    store: Store
    secret: bytes
    limits: Limits
    clock: Callable[[], float]
    tagger: Tagger | None = None

    @contextmanager
    def writing(self) -> Iterator[tuple[Transaction, float]]:
        """A transaction and the time. Claims that have run out have ended in it."""
        with self.store.writing() as transaction:
            now = self.clock()
            end_claims(transaction, now)
            yield transaction, now

    # -- conversations -----------------------------------------------------------------------------

    def find(self, transaction: Transaction, conversation: str) -> Row:
        """The row of a conversation. Raises `NotFound`."""
        row = None
        if conversation.isascii() and len(conversation) <= LONGEST_ID:
            row = transaction.select_one(
                "SELECT * FROM conversations WHERE id = ? AND erased IS NULL", conversation
            )
        if row is None:
            raise NotFound("there is no such conversation")
        return row

    def find_own(self, transaction: Transaction, conversation: str, token: str) -> Row:
        """The row of a conversation that this token belongs to. For any other token there seems to
        be no such conversation."""
        row = self.find(transaction, conversation)
        if not hmac.compare_digest(row["token"], token_hash(token)):
            raise NotFound("there is no such conversation")
        return row

    def account_hash(self, account: str) -> str:
        """What is stored of a customer's account."""
        return keyed_hash(self.secret, "user", self.checked_id(account, "the account"))

    def checked_id(self, value: str, what: str) -> str:
        """An id that somebody else gave. Raises `XinyeError` for one that is empty or too long."""
        value = checked_text(value, self.limits.id_characters, what)
        if not value.isprintable():  # a line break would forge a line of the log
            raise XinyeError(f"{what} has characters that cannot be printed; leave them out")
        return value

    # -- messages ----------------------------------------------------------------------------------

    def client_hash(self, client: str) -> str | None:
        """What is stored of the id that a sender gave a message; None without one."""
        if not client:
            return None
        return keyed_hash(self.secret, "client", self.checked_id(client, "the id of the message"))

    def sent_before(
        self, transaction: Transaction, conversation: str, sender: str, client: str | None
    ) -> Message | None:
        """The message that this sender has sent with the same id before, or None."""
        row = client and transaction.select_one(
            "SELECT number FROM messages WHERE conversation = ? AND sender = ? AND client = ?",
            conversation, sender, client,
        )  # fmt: skip
        return find_message(transaction, conversation, row["number"]) if row else None

    def append(
        self,
        transaction: Transaction,
        conversation: Row,
        text: str,
        entry: Entry,
        client: str | None = None,
        suggestion: str = "",
    ) -> Message:
        """Write a message, and its entry in the log, which says who sent it and when."""
        identity, number = conversation["id"], conversation["messages"] + 1
        log = replace(entry, message=number).write(transaction)
        transaction.insert(
            "messages", conversation=identity, number=number, at=entry.at, sender=entry.who,
            text=text, client=client, suggestion=suggestion, log=log,
        )  # fmt: skip
        transaction.execute(
            "UPDATE conversations SET messages = ?, changed = ? WHERE id = ?",
            number, entry.at, identity,
        )  # fmt: skip
        message = find_message(transaction, identity, number)
        assert message is not None
        return message

    # -- personal data -----------------------------------------------------------------------------

    def tagged(self, text: str) -> Tagger | None:
        """What the tagger finds in this text. It is a model and takes its time, so call this before
        a transaction, and give the result to `masked`."""
        if self.tagger is None:
            return None
        found = list(self.tagger(text))
        return lambda _: found

    def masked(
        self,
        transaction: Transaction,
        conversation: Row,
        text: str,
        tagger: Tagger | None,
        only_known: bool = False,
    ) -> str:
        """The text with personal data masked, by the marks of its conversation."""
        try:
            state = json.loads(conversation["masks"])
        except ValueError:
            raise XinyeError(
                "the state of the masks is damaged; begin a new conversation"
            ) from None
        masker = Masker(self.secret, state, tagger)
        text = masker.mask(text, only_known=only_known)
        if masker.state != state:
            transaction.execute(
                "UPDATE conversations SET masks = ? WHERE id = ?",
                json.dumps(masker.state, ensure_ascii=False), conversation["id"],
            )  # fmt: skip
        return text


def token_hash(token: str) -> str:
    """What is stored of a customer's token. It is random, so no key is needed."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
