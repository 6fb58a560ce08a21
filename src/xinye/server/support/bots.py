"""`Bots`: the threads that answer customers, and look after the desk and the store."""

import logging
import threading
import time
import traceback
from contextlib import suppress

from xinye.apps.support.bot import Pending
from xinye.apps.support.conversations import Conversations
from xinye.apps.support.reply import Reply
from xinye.errors import NotFound, Unavailable, XinyeError
from xinye.server.hub import Hub
from xinye.server.support.answers import Answers

log = logging.getLogger("xinye.server")
BOTS = 2  # one answers while the other saves
LOOK = 1.0  # seconds until a bot looks without being woken, and the desk is looked at
PAUSE = 1.0  # seconds until an answer that failed is tried again
DAY = 86_400.0


class Bots:
    """Answers what waits for an answer. A message whose answer fails is given back, and after a few
    tries handed to a person."""

    def __init__(self, store: Conversations, answers: Answers, hub: Hub) -> None:
        self._store, self._answers, self._hub = store, answers, hub
        self._work, self._stop = threading.Event(), threading.Event()
        self._threads = [
            threading.Thread(target=target, name=name, daemon=True)
            for name, target in (
                *((f"xinye-bot-{number}", self._run) for number in range(BOTS)),
                ("xinye-desk", self._look_after),
            )
        ]

    def start(self) -> None:
        """Start the threads. What a killed server had begun to answer is answered anew."""
        if freed := self._store.bot.free_claims():
            log.info("%d messages had no reply yet; they are answered now", freed)
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Something waits for an answer."""
        self._work.set()

    def stop(self, seconds: float) -> None:
        """End the threads. Answers in progress have so long to finish; what is not saved then stays
        claimed, and the next server answers it."""
        self._stop.set()
        self._work.set()
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def is_alive(self) -> bool:
        """Whether all threads run."""
        return all(thread.is_alive() for thread in self._threads)

    # -- answering ---------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.is_set():
            self._work.wait(LOOK)
            self._work.clear()
            try:
                while not self._stop.is_set() and (pending := self._store.bot.next()):
                    self._work.set()  # there may be more for the other bot
                    self._answer(pending)
            except Exception as error:
                self._failed("the bot cannot look for messages", error)
                self._stop.wait(LOOK)

    def _answer(self, pending: Pending) -> None:
        self._hub.busy(pending.conversation)
        try:
            reply = self._answers.answer(pending.turns)
        except Exception as error:
            self._failed("the bot cannot answer a message", error)
            self._stop.wait(PAUSE)  # what failed may pass, such as a folder that is being replaced
            self._give_back(pending)
        else:
            self._save(pending, reply)
        self._hub.busy(pending.conversation, begun=False)
        self._hub.changed(pending.conversation)

    def _save(self, pending: Pending, reply: Reply) -> None:
        """Save a reply, which took long to make, even if the store is locked for a while."""
        end = time.monotonic() + self._store.limits.answer_seconds
        while True:
            try:
                self._store.bot.reply(pending, reply)
                return
            except NotFound:  # it was erased meanwhile
                return
            except Unavailable as error:
                log.error("a reply cannot be saved yet: %s", error)
                if self._stop.wait(LOOK) or time.monotonic() > end:
                    return
            except XinyeError as error:
                log.error("a reply cannot be saved: %s", error)
                self._give_back(pending)
                return

    def _give_back(self, pending: Pending) -> None:
        with suppress(XinyeError):  # then the claim runs out
            self._store.bot.give_back(pending)

    @staticmethod
    def _failed(what: str, error: Exception) -> None:
        """Log where an error occurred. What it says is left out if it may quote a customer."""
        said = (
            str(error)
            if isinstance(error, XinyeError)
            else "".join(traceback.format_tb(error.__traceback__))
        )
        log.error("%s: %s: %s", what, type(error).__name__, said)

    # -- the desk and the store --------------------------------------------------------------------

    def _look_after(self) -> None:
        """Read the desk again when it has changed; once a day delete what is too old."""
        tidied = 0.0
        while not self._stop.wait(LOOK):
            self._answers.refresh()
            if not tidied or time.monotonic() > tidied + DAY:
                tidied = time.monotonic()
                self._tidy()

    def _tidy(self) -> None:
        try:
            done = self._store.retention.tidy()
        except Exception as error:
            self._failed("old conversations cannot be deleted", error)
            return
        if done.closed or done.expired.conversations:
            log.info(
                "closed %d idle conversations, and deleted %d old ones",
                done.closed, done.expired.conversations,
            )  # fmt: skip
            self._hub.changed()
