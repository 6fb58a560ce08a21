"""How `xinye data check` prints its report on events and items."""

from xinye.cli.output import answer, verbatim
from xinye.errors import plural
from xinye.language import listed, shown, with_colon
from xinye.runs.folder import Figures

PARTS = {"events": "file of events", "items": "file of items"}
BAD = 5  # the most bad records that are shown


def show_counts(counts: Figures) -> None:
    """Print how many users, items and events there are."""
    learned = plural(counts["items"], "item")
    answer.print(
        f"read {plural(counts['records'], 'record')}: {plural(counts['users'], 'user')}, {learned} "
        f"with {plural(counts['events'], 'event')}, {plural(counts['rare_items'], 'rare item')}",
        soft_wrap=True,
    )
    answer.print(
        f"medians: {plural(counts['events_of_a_user'], 'event')} of a user, "
        f"{plural(counts['users_of_an_item'], 'user')} of an item",
        soft_wrap=True,
    )


def show_events(report: Figures) -> None:
    """Print the report of `check.check_events.check_events`."""
    for file in report["files"]:
        said = listed((shown(PARTS[file["part"]]), file["format"]))
        answer.print(verbatim(with_colon(file["file"], said)), soft_wrap=True)
    show_counts(report["counts"])
    answer.print("\nthe first histories, oldest first", style="bold")
    for history in report["shown"]:
        line = with_colon(history["user"], listed(history["items"]))
        answer.print(verbatim(f"  {line}"), soft_wrap=True)
    bad = report["bad_total"]
    if bad or report["findings"]:
        answer.print("\nfindings", style="bold")
    for finding in report["findings"]:
        answer.print(f"  {finding}", soft_wrap=True)
    if not bad:
        answer.print(f"\nnext: {report['command']}", soft_wrap=True)
        return
    answer.print(
        f"  finetune would refuse these files, because of {plural(bad, 'bad record')}:",
        soft_wrap=True,
    )
    for problem in report["bad"][:BAD]:
        answer.print(verbatim(f"    {problem}"), soft_wrap=True)
    answer.print(
        "\nnext: correct or delete these lines, then check again; or skip them with --bad-records "
        "skip"
    )
