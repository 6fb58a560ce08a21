"""What a check of text comes to: the report, and in words what a person should know of it."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from xinye.check.inspection import PERSONAL_KINDS, LengthSummary, excerpt, plural
from xinye.check.reading import EXAMPLES, LONG_LINE, FileSeen, Found, Noted, Reading
from xinye.data.sources import headerless

NEAR = 0.8  # similarity of near duplicates
SHORT = 8  # characters; documents shorter than this teach little
# In JSON only where there is something.
_OPTIONAL = {"times", "masked", "problem", "text", "characters", "sampled", "looked_at", "note"}


@dataclass(frozen=True)
class Repeated:
    """Documents that are copies of earlier ones, or nearly, and the first places.

    Copies are estimated from a share of the documents where that is `sampled`. Near duplicates are
    looked for in some documents; `note`: why in none.
    """

    documents: int
    examples: list[Noted]
    characters: int | None = None
    sampled: float | None = None
    looked_at: int | None = None
    note: str | None = None


@dataclass(frozen=True)
class Estimate:
    """Tokens, and the time of one epoch, for what `pretrain` would do by itself."""

    tokens: int
    tokens_per_character: float
    vocab_size: int
    size: str
    parameters: int
    training_tokens: int
    tokens_per_second: int
    seconds_per_epoch: float
    assumption: str


@dataclass(frozen=True)
class Finding:
    finding: str
    advice: str
    places: list[Noted] = field(default_factory=list)


@dataclass
class Report:
    """What is in text files and what is wrong with them. `problems` are the first of each kind that
    is bad by file and line: unreadable files and records, text decoded wrongly, endless lines.
    """

    files: list[FileSeen]
    bytes: int
    documents: int
    characters: int
    scripts: dict[str, int]
    chinese: dict[str, int]
    document_characters: LengthSummary
    line_characters: LengthSummary
    empty_documents: int
    short_documents: int
    duplicates: Repeated
    near_duplicates: Repeated
    mojibake: Found
    long_lines: Found
    personal_data: dict[str, Found]
    separators: dict[str, int]
    problems: list[Noted]
    problems_total: int
    preview: list[Noted]
    estimate: Estimate | None
    findings: list[Finding] = field(default_factory=list)
    command: str = ""  # to type next

    def as_dict(self) -> dict[str, Any]:
        """What `xinye data check --json` prints."""
        return dataclasses.asdict(
            self,
            dict_factory=lambda pairs: {
                name: value for name, value in pairs if value is not None or name not in _OPTIONAL
            },
        )


def findings(report: Report, seen: Reading) -> list[Finding]:
    """What a person should know, the most important first."""
    found = [*damage(report, seen), *repetition(report), *uncleaned(report)]
    return [replace(each, places=each.places[:EXAMPLES]) for each in found]


def damage(report: Report, seen: Reading) -> Iterator[Finding]:
    """What is wrong in the files, and what no model should learn."""
    kinds = ((seen.bad_files, "file"), (seen.bad_records, "record"))
    if bad := " and ".join(plural(kind.count, what) for kind, what in kinds if kind.count):
        places = seen.bad_files.examples + seen.bad_records.examples
        advice = "repair or leave out: pretrain stops there"
        yield Finding(f"{bad} cannot be read", advice, places)
    numbered = [file.file for file in report.files if (file.field or "").isdecimal()]
    reasons = [Noted(name, 1, problem=headerless(Path(name))) for name in numbered]
    if places := [place for place in reasons if place.problem]:
        advice = "if it names them, give a name with --field"
        yield Finding("the first line is a record, and columns have numbers", advice, places)
    odd = [(file.file, file.field) for file in report.files if file.field and len(file.field) > 30]
    if places := [Noted(name, 1, problem=excerpt(column, 30)) for name, column in odd]:
        problem = "the first line is read as the names of the columns, but looks like text"
        yield Finding(problem, "write names there", places)
    if count := report.mojibake.count:
        yield Finding(
            f"{plural(count, 'passage')} decoded wrongly",
            "fetch the text again in its own encoding, or leave it out",
            report.mojibake.examples,
        )
    if personal := {PERSONAL_KINDS[kind]: found for kind, found in report.personal_data.items()}:
        counts = ", ".join(plural(found.count, kind) for kind, found in personal.items())
        places = [
            replace(found.examples[rank], problem=f"{found.examples[rank].masked} ({kind})")
            for rank in range(EXAMPLES)
            for kind, found in personal.items()
            if rank < len(found.examples)
        ]
        advice = "a model can repeat it word for word; remove what is not public"
        yield Finding(f"personal data: {counts}", advice, places)
    if report.separators:
        mark, count = separator(report)
        advice = f"it parts documents: --document-separator '{mark}'"
        yield Finding(f"{mark} stands {count:,} times in plain text", advice)


def repetition(report: Report) -> Iterator[Finding]:
    """What stands there more than once."""
    copies, near = report.duplicates, report.near_duplicates
    if count := copies.documents:
        about = "" if copies.sampled == 1 else "about "
        share = count / max(1, report.documents)
        yield Finding(
            f"{about}{count:,} documents ({share:.1%}) are copies of earlier ones",
            "pretrain drops them by itself (--no-duplicates keeps them)",
            [replace(place, problem=f"{place.times:,} times") for place in copies.examples],
        )
    if count := near.documents:
        yield Finding(
            f"{count:,} of {near.looked_at:,} different documents looked at are nearly copies of "
            "others",
            f"--near-duplicates {NEAR} drops them",
            near.examples,
        )


def uncleaned(report: Report) -> Iterator[Finding]:
    """What cleaning can change, or does by itself."""
    if count := report.long_lines.count:
        yield Finding(
            f"{plural(count, 'line')} of more than {LONG_LINE:,} characters",
            "look whether that is text",
            report.long_lines.examples,
        )
    if target := one_script(report):
        share = report.chinese["traditional"] / sum(report.chinese.values())
        yield Finding(
            f"simplified and traditional Chinese side by side ({share:.0%} traditional)",
            f"--chinese {target} unites them",
        )
    if (count := report.short_documents) > 0.05 * max(1, report.documents):
        yield Finding(
            f"{count:,} documents have fewer than {SHORT} characters",
            f"--minimum-characters {SHORT} drops them",
        )
    if count := report.scripts.get("control characters", 0):
        yield Finding(plural(count, "control character"), "pretrain removes them by itself")
    if count := report.empty_documents:
        advice = "pretrain drops them by itself"
        yield Finding(f"{count:,} documents hold only white space", advice)
    if note := report.near_duplicates.note:
        yield Finding("near duplicates were not looked for", note)


def flags(report: Report) -> list[str]:
    """What to give to `pretrain` for such text."""
    near, target = report.near_duplicates, one_script(report)
    found = ["--document-separator", separator(report)[0]] if report.separators else []
    found += (
        ["--near-duplicates", str(NEAR)] if near.documents > 0.01 * (near.looked_at or 0) else []
    )
    return found + (["--chinese", target] if target else [])


def separator(report: Report) -> tuple[str, int]:
    """The most frequent mark between documents in plain text, and how often it stands there."""
    return max(report.separators.items(), key=lambda item: item[1])


def one_script(report: Report) -> str:
    """The Chinese script that most of a mixed text is in, "" where it is not mixed."""
    both = report.chinese
    mixed = min(both.values()) > max(100, 0.02 * sum(both.values()))
    return max(both, key=lambda script: both[script]) if mixed else ""
