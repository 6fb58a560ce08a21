"""`xinye support serve`, `export`, `forget` and `log`"""

import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from xinye.apps.support.conversations import Conversations
from xinye.apps.support.log import Entry
from xinye.cli.arguments import JSON, Fields, Parser, flag, switch
from xinye.cli.output import answer, console, print_json, verbatim
from xinye.cli.role_server import settings_of
from xinye.data.files import write_json_lines
from xinye.errors import XinyeError, plural
from xinye.language import shown, shown_word, with_colon
from xinye.server.support.settings import SupportSettings

if TYPE_CHECKING:  # fastapi is imported where it is used
    from xinye.server.support.state import Support

MOST = 2**53  # no entry of a log has a higher number
STORE = flag("--store", "FILE", "the store of conversations", required=True, type=Path)


def serve(arguments: list[str]) -> int:
    given = Parser(
        "support serve",
        "Serve a desk: a page for customers, a page for operators, a script that adds the chat to "
        "other pages, and an HTTP API. The bot answers from the desk, and reads it again when it "
        "changes. Only this machine can reach it, unless --host gives another address.",
        "xinye support serve desk --store support.db --port 8000",
        flag("desk", "DESK", "folder of a desk", type=Path),
        flag(
            "--store", "FILE", "the store of conversations; made if there is none", required=True,
            type=Path,
        ),
        switch("--json", "print one JSON object when the server is ready"),
        Fields(SupportSettings),
    ).read(arguments)  # fmt: skip
    settings = settings_of(SupportSettings, given, "support serve")

    from xinye.server.support.serve import serve as run

    keys = settings.keys()
    operator_key, admin_key = keys.values()

    def ready(parts: "Support", address: str) -> None:
        desk = parts.answers.current.desk
        entries = plural(len(desk.entries), "entry", "entries")
        documents = plural(len(desk.knowledge.documents) if desk.knowledge else 0, "document")
        console.print(f"{desk.folder}: FAQ of {entries}, {documents}", soft_wrap=True)
        if settings.operator_key is None:
            console.print(f"operator key, for this start: {operator_key}", soft_wrap=True)
        if settings.admin_key is None:
            console.print(f"admin key, for this start: {admin_key}", soft_wrap=True)
        console.print(
            f"ready at {address} for customers, and at {address}/desk for operators; press Ctrl-C "
            "to stop",
            soft_wrap=True,
        )
        if given.json:
            print_json({"url": address} | settings.made_keys(keys))

    with console.status("loading …"):
        run(given.desk, given.store, settings, keys, ready)
    return 0


def export(arguments: list[str]) -> int:
    given = Parser(
        "support export",
        "Write the training records that approved feedback makes: conversations for xinye finetune "
        "chat, or pairs of a better and a worse answer for preference tuning.",
        "xinye support export --store support.db --format chat -o approved.jsonl",
        STORE,
        flag("--format", "chat|preferences", "the kind of records", "chat",
             choices=("chat", "preferences")),
        flag("-o --output", "FILE", "the JSON Lines file to write", required=True, type=Path),
        switch("--overwrite", "replace FILE"),
        JSON,
    ).read(arguments)  # fmt: skip
    path = given.output
    if path.is_dir() or (path.exists() and not given.overwrite):
        raise XinyeError(
            f"{path}: exists already; replace it with --overwrite, or choose another with -o"
        )
    with closing(Conversations(given.store, create=False)) as store:
        approved = store.feedback.records()
    if given.format == "chat":
        records = [each.chat() for each in approved]
    else:
        records = [found for each in approved if (found := each.preference())]
    left = len(approved) - len(records)
    if records:
        write_json_lines(path, records)
    if given.json:
        print_json({"records": len(records), "left_out": left, "output": str(path)})
        return 0
    if records:
        answer.print(f"{plural(len(records), 'record')} saved to {path}", soft_wrap=True)
    else:
        answer.print("there is no approved feedback for such records, so no file was written")
    if left:
        answer.print(f"{plural(left, 'approved answer')} left out: no worse answer is known")
    return 0


def forget(arguments: list[str]) -> int:
    given = Parser(
        "support forget",
        "Delete all messages, feedback and training records of a customer, everywhere in the "
        "store. Figures without texts stay.",
        "xinye support forget li.lei --store support.db\n"
        "  xinye support forget --conversation ID --store support.db",
        flag("account", "ACCOUNT", "the account of the customer at the shop", nargs="?"),
        flag("--conversation", "ID", "delete this conversation, of a customer without an account"),
        STORE,
        JSON,
    ).read(arguments)
    if (given.account is None) == (given.conversation is None):
        raise XinyeError("give either ACCOUNT or --conversation ID")
    with closing(Conversations(given.store, create=False)) as store:
        if given.account is not None:
            erased = store.retention.forget(given.account)
        else:
            erased = store.retention.forget_conversation(given.conversation)
    if not erased.conversations:
        raise XinyeError(
            f"{given.store}: no conversation belongs to the account {given.account!r}; check it"
        )
    if given.json:
        print_json(erased)
        return 0
    conversations = plural(erased.conversations, "conversation")
    answer.print(f"deleted {conversations} with {plural(erased.messages, 'message')}")
    return 0


def log(arguments: list[str]) -> int:
    given = Parser(
        "support log",
        "Show the log of a store: who did what, when, and why the bot answered as it did.",
        "xinye support log --store support.db --tail 20",
        STORE,
        flag("--tail", "N", "show the last N entries (200)", 200, type=int),
        flag("--after", "NUMBER", "only entries behind the one with this number (0)", 0, type=int),
        JSON,
    ).read(arguments)
    if not (0 < given.tail < MOST and 0 <= given.after < MOST):
        raise XinyeError(f"give --tail from 1 and --after from 0 on, below {MOST}")
    with closing(Conversations(given.store, create=False)) as store:
        entries = store.log.latest(given.tail, given.after)
    older = entries[0][0] - 1 - given.after if entries else 0
    if older:
        hidden = plural(older, "older entry", "older entries")
        console.print(f"{hidden} not shown; for all: --tail {older + len(entries)}")
    if given.json:
        print_json({"entries": [{"number": number} | vars(each) for number, each in entries]})
        return 0
    for number, each in entries:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(each.at))
        what = (shown_word(each.who), each.name, shown_word(each.what), shown_word(each.kind))
        evidence = (_because(each.why or each.reason), _measured(each))
        parts = (str(number), when, *what, *evidence, each.conversation)
        answer.print(verbatim("  ".join(filter(None, parts))), soft_wrap=True)
    return 0


def _because(why: str) -> str:
    """Why the bot answered, or a person was asked, in the language of the screen."""
    reason, _, details = why.partition(": ")
    return with_colon(shown_word(reason), shown_word(details)) if details else shown_word(reason)


def _measured(entry: Entry) -> str:
    """The confidence of a reply beside the threshold, in the language of the screen."""
    if entry.score is None:
        return ""
    confidence = f"{entry.score:.1%}"
    if entry.threshold is None:
        return shown(f"confidence {confidence}, no threshold")
    sign, threshold = "≥" if entry.score >= entry.threshold else "<", f"{entry.threshold:.1%}"
    return shown(f"confidence {confidence} {sign} threshold {threshold}")
