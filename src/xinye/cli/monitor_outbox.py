"""`xinye monitor outbox`"""

import time
from contextlib import closing
from pathlib import Path

from xinye.apps.monitor.outbox import DEAD, MOST_SHOWN, STATES, Outbox
from xinye.apps.monitor.schema import MIGRATIONS
from xinye.apps.store import Store
from xinye.cli.arguments import JSON, Parser, flag
from xinye.cli.output import answer, console, print_json, print_table
from xinye.errors import XinyeError, plural

ALL = "all"


def outbox(arguments: list[str]) -> int:
    given = Parser(
        "monitor outbox",
        "Show the messages about alarms that were given up, and send them again. A message that "
        "is sent again keeps its key, so a receiver that has it already can leave it out. "
        "xinye monitor run sends it.",
        "xinye monitor outbox --store monitor.db\n"
        "  xinye monitor outbox --store monitor.db --resend all",
        flag("--store", "FILE", "the store of the monitor", required=True, type=Path),
        flag("--state", "STATE", "show messages that are waiting, sent, or dead (given up)", DEAD),
        flag("--after", "NUMBER", "only messages behind the one with this number", 0, type=int),
        flag("--resend", "NUMBER", "send this message that was given up again, or all of them"),
        JSON,
    ).read(arguments)
    if given.state not in STATES:
        raise XinyeError(f"--state {given.state!r} is unknown; choose waiting, sent or dead")
    with closing(Store(given.store, "monitor", MIGRATIONS, create=False)) as store:
        box = Outbox(store, {}, time.time)
        if given.resend is not None:
            return _resend(box, given.resend, given.json)
        return _show(box, given.state, given.after, given.json)


def _resend(box: Outbox, which: str, as_json: bool) -> int:
    if which != ALL and not (which.isascii() and which.isdigit()):
        raise XinyeError(
            f"--resend {which!r}: give the number of a message that was given up, or all"
        )
    count = box.resend(None if which == ALL else int(which))
    if as_json:
        print_json({"resent": count})
    else:
        answer.print(f"{plural(count, 'message')} will be sent again")
    return 0


def _show(box: Outbox, state: str, after: int, as_json: bool) -> int:
    deliveries = box.deliveries(state, after)
    counts = box.counts()
    if as_json:
        print_json({"counts": counts, "deliveries": [vars(each) for each in deliveries]})
        return 0
    if deliveries:
        rows = [
            (
                str(each.number),
                time.strftime("%Y-%m-%d %H:%M", time.localtime(each.begun)),
                str(each.alert),
                each.channel,
                str(each.tries),
                each.error,
            )
            for each in deliveries
        ]
        print_table(("number", "since", "alert", "channel", "tries", "error"), rows, (1, 3, 5))
    if len(deliveries) == MOST_SHOWN:
        console.print(f"for the next messages: --after {deliveries[-1].number}")
    waiting, sent, dead = (f"{counts[each]:,}" for each in STATES)
    console.print(f"messages: {waiting} waiting, {sent} sent, {dead} given up")
    if state == DEAD and deliveries:
        console.print("to send them again: xinye monitor outbox --store FILE --resend all")
    return 0
