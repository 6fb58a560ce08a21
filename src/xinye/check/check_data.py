"""Checks text before training: the content of the files, their problems with their places, and how
long training takes."""

import glob
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from xinye import machine
from xinye.check.inspection import (
    LengthSummary,
    chinese_scripts,
    excerpt,
    scripts,
)
from xinye.check.reading import (
    EXAMPLES,
    LONG_LINE,
    FileSeen,
    Found,
    FoundInDocuments,
    Noted,
    Reading,
)
from xinye.data.cleaning import Cleaning, clean
from xinye.data.duplicates import NearlySeen
from xinye.data.encodings import bad_bytes as replaced
from xinye.data.personal import KINDS
from xinye.data.sources import Piece, headerless
from xinye.data.tokenizer import Tokenizer, sample_texts
from xinye.errors import XinyeError, plural, quoted
from xinye.planning import pretraining as planning
from xinye.planning.plan import Draft
from xinye.planning.settings import BadBytes, PretrainSettings
from xinye.planning.units import parse_count
from xinye.tasks.prepared import find_texts
from xinye.tasks.text import VALIDATION_TOKENS

NEAR = 0.8  # similarity (Jaccard) of near duplicates
PERSONAL = 2  # the most places of a kind of personal data
SHORT = 8  # characters; shorter documents are counted as short
# Sample for the estimate of tokens. Training a tokenizer takes 250 bytes of memory per byte.
SAMPLE_BYTES = 1_200_000
# Share of the matrix speed that a 5M model reached in training: benchmarks/README.md, "Same
# minutes"
REACHED = 0.4
# Fields that the JSON omits if they are None.
_OPTIONAL = {"times", "masked", "problem", "text", "characters", "sampled", "looked_at", "note"}


@dataclass(frozen=True)
class Repeated:
    """Documents that are copies or near duplicates of earlier ones, and the first places.

    `sampled` is the share of documents in which copies were counted, and `looked_at` the number in
    which near duplicates were looked for. `note` says why there were none."""

    documents: int
    examples: list[Noted]
    characters: int | None = None
    sampled: float | None = None
    looked_at: int | None = None
    note: str | None = None


@dataclass(frozen=True)
class Estimate:
    """The tokens, and the seconds of one epoch, with the settings that `pretrain` would choose."""

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
    """A finding in words, with advice and places."""

    finding: str
    advice: str
    places: list[Noted] = field(default_factory=list)


@dataclass
class Report:
    """What text files contain and what is wrong with them. `problems` lists the first ones of each
    kind by file and line: unreadable files and records, wrongly decoded text, very long lines."""

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
    personal_data: dict[str, FoundInDocuments]
    separators: dict[str, int]
    problems: list[Noted]
    problems_total: int
    preview: list[Noted]
    estimate: Estimate | None = None
    findings: list[Finding] = field(default_factory=list)
    command: str = ""  # the command to type next

    def as_dict(self) -> dict[str, object]:
        """The report for `xinye data check --json`."""
        return asdict(
            self,
            dict_factory=lambda pairs: {
                name: value for name, value in pairs if value is not None or name not in _OPTIONAL
            },
        )


def check(
    files: Sequence[str],
    field: str | None = None,
    document_separator: str | None = None,
    on_progress: Callable[[int], None] = lambda characters: None,
    bad_bytes: BadBytes = "refuse",
) -> Report:
    """A report on the files, with `findings` in words and an `estimate` of training. `problems`
    lists the first thousand of each kind by file and line, and `problems_total` counts all.

    Raises `XinyeError` if a file does not exist, or if no file contains text.

    >>> check(["reviews.csv"], field="review").problems  # doctest: +SKIP
    [Noted(file='reviews.csv', line=17, …, problem='3 columns, the header line has 2; …')]
    """
    paths, notes = find_texts(files)
    seen = Reading(paths, field, document_separator, on_progress, notes)
    with replaced(bad_bytes, seen.notes):
        sample, characters = sample_texts(seen.texts(), SAMPLE_BYTES)
    kinds = (seen.bad_files, seen.bad_records, seen.mojibake, seen.long_lines)
    problems = [noted for kind in kinds for noted in kind.examples]
    if not characters:
        first = problems[0] if problems else None
        inside = f"{first.file}: " if first and first.file not in files else ""
        reason = f": {inside}{first.problem}" if first else ""
        reason += "".join(map(notes.of_file, seen.paths))
        what = "there is no text that can be read in these files"
        raise XinyeError(f"{', '.join(files)}: {what}{reason}")
    copies, copied, top = seen.copies.result(EXAMPLES)
    examples = [replace(seen.where(place), times=times) for place, times in top]
    report = Report(
        files=seen.files,
        bytes=sum(file.bytes for file in seen.files),
        documents=seen.documents.counts.total() + seen.empty,
        characters=characters,
        scripts=scripts(seen.counts),
        chinese=chinese_scripts(seen.counts),
        document_characters=seen.documents.summary(),
        line_characters=seen.lines.summary(),
        empty_documents=seen.empty,
        short_documents=seen.documents.below(SHORT),
        duplicates=Repeated(copies, examples, copied, 1 / (seen.copies.mask + 1)),
        near_duplicates=near_duplicates(seen),
        mojibake=seen.mojibake.first(),
        long_lines=seen.long_lines.first(),
        personal_data={kind: found.first() for kind, found in seen.personal.items() if found.count},
        separators=dict(+seen.separators),
        problems=problems,
        problems_total=sum(kind.count for kind in kinds),
        preview=seen.preview(),
    )
    report.estimate = estimate(sample, report)
    found = (*damage(report, seen), *repetition(report), *uncleaned(report))
    # The findings are in order of importance.
    report.findings = [replace(each, places=each.places[:EXAMPLES]) for each in found]
    given = ["--field", field] if field else []
    given += ["--document-separator", document_separator] if document_separator else []
    given += ["--bad-bytes", bad_bytes] if bad_bytes != "refuse" else []
    report.command = command(files, given + flags(report))
    return report


def near_duplicates(seen: Reading) -> Repeated:
    """The near duplicates among the documents of the sample."""
    try:
        Cleaning(near_duplicates=NEAR).check_libraries()
    except XinyeError as error:  # a package is not installed
        return Repeated(0, [], looked_at=0, note=str(error))
    near = NearlySeen(NEAR)
    found = [seen.where(place) for text, (_, place) in seen.near.kept.items() if near.before(text)]
    return Repeated(len(found), found[:EXAMPLES], looked_at=len(seen.near.kept))


def estimate(sample: list[str], report: Report) -> Estimate | None:
    """The estimate for the settings that `pretrain` would choose, or None for too little text.

    A tokenizer is trained on three quarters of the sample, and counts the tokens of the fourth."""
    controls = report.scripts.get("control characters", 0)
    characters = max(0, report.characters - (report.duplicates.characters or 0) - controls)
    pieces = (Piece(part, "") for part in sample)
    texts = [piece.text for piece in clean(pieces, Cleaning(duplicates=False))]
    if len(texts) < 20:
        whole = "".join(texts)
        quarter = -(-len(whole) // 4)
        texts = [whole[start : start + quarter] for start in range(0, len(whole), quarter or 1)]
    held_out = texts[3::4]
    if not held_out or characters < 500:
        return None
    settings = PretrainSettings()
    size = parse_count(settings.size)
    chinese = report.scripts.get("Chinese", 0) > 0.3 * report.characters
    wanted, _ = planning.vocabulary_size(size, characters, chinese)
    learned = (text for index, text in enumerate(texts) if index % 4 != 3)
    tokenizer = Tokenizer.train(learned, vocab_size=wanted, exact=False)
    per_character = sum(map(len, tokenizer.encode_batch(held_out))) / sum(map(len, held_out))
    documents = report.documents - report.empty_documents - report.duplicates.documents
    tokens = round(characters * per_character) + max(0, documents)
    training = tokens - min(VALIDATION_TOKENS, round(settings.validation * tokens))
    longest = np.array([report.document_characters.p99 * per_character])
    context, _ = planning.context_length(size, longest, training)
    config = planning.shape(Draft(), settings, wanted, context)
    device = machine.device()
    dtype, _ = machine.fast_dtype(device)
    speed = machine.matrix_flops_per_second(device, dtype)
    per_second = speed * REACHED / config.flops_per_token(context)
    kind = str(dtype).removeprefix("torch.")
    return Estimate(
        tokens=tokens,
        tokens_per_character=round(per_character, 3),
        vocab_size=wanted,
        size=settings.size,
        parameters=config.parameters,
        training_tokens=training,
        tokens_per_second=round(per_second),
        seconds_per_epoch=round(training / per_second, 1),
        assumption=(
            f"that training reaches {REACHED:.0%} of the {speed / 1e9:,.0f} GFLOP/s "
            f"measured now for a {kind} matrix product on this {device.type}, the share "
            "measured in training on a CPU; tokens are counted with a tokenizer trained "
            "on a sample"
        ),
    )


# -- findings in words -----------------------------------------------------------------------------


def damage(report: Report, seen: Reading) -> Iterator[Finding]:
    """Findings about problems in the files, and about text that no model should learn."""
    files = plural(seen.bad_files.count, "file")
    records = plural(seen.bad_records.count, "record")
    if seen.bad_files.count or seen.bad_records.count:
        some = files if seen.bad_files.count else records
        both = seen.bad_files.count and seen.bad_records.count
        yield Finding(
            f"{files} and {records} cannot be read" if both else f"{some} cannot be read",
            "repair or remove them, because pretrain stops at the first",
            seen.bad_files.examples + seen.bad_records.examples,
        )
    for note in seen.notes.sentences():
        yield Finding(note, "check that this is right")
    columns = {file.file: file.field for file in report.files if file.field}
    numbered = [name for name, column in columns.items() if column.isdecimal()]
    reasons = [Noted(name, 1, problem=headerless(Path(name))) for name in numbered]
    if places := [place for place in reasons if place.problem]:
        yield Finding(
            "the first line is read as a record, and columns have numbers",
            "if it is a header, give one of its names with --field",
            places,
        )
    if odd := {name: column for name, column in columns.items() if len(column) > 30}:
        yield Finding(
            "the first line is read as the header, but looks like text",
            "add a header above it",
            [Noted(name, 1, problem=excerpt(column, 30)) for name, column in odd.items()],
        )
    if count := report.mojibake.count:
        yield Finding(
            plural(count, "passage is decoded wrongly", "passages are decoded wrongly"),
            "get the text again in its original encoding, or leave it out",
            report.mojibake.examples,
        )
    for kind, found in report.personal_data.items():
        documents = plural(found.documents, "document")
        yield Finding(
            f"personal data: {KINDS[kind].name} ({found.count:,}) in {documents}",
            "a model can repeat it word for word; xinye data mask replaces it",
            [replace(each, problem=each.masked) for each in found.examples[:PERSONAL]],
        )
    if report.separators:
        mark, count = separator(report)
        times = plural(count, "time")
        yield Finding(
            f"{mark} occurs {times} in plain text",
            f"if it separates documents, use --document-separator '{mark}'",
        )


def repetition(report: Report) -> Iterator[Finding]:
    """Findings about exact and near duplicates."""
    copies, near = report.duplicates, report.near_duplicates
    if count := copies.documents:
        share = f"{count / max(1, report.documents):.1%}"
        repeated = plural(count, "document is a copy", "documents are copies")
        sampled = copies.sampled != 1
        yield Finding(
            f"{'about ' if sampled else ''}{repeated} of an earlier one ({share})",
            "pretrain drops them automatically (--no-drop-duplicates keeps them)",
            [
                replace(each, problem=f"occurs {plural(each.times or 0, 'time')}")
                for each in copies.examples
            ],
        )
    if count := near.documents:
        found = plural(count, "near duplicate")
        yield Finding(
            f"{found} among {near.looked_at:,} different documents",
            f"--near-duplicates {NEAR} drops them",
            near.examples,
        )


def uncleaned(report: Report) -> Iterator[Finding]:
    """Findings about what cleaning can change, or changes by itself."""
    if count := report.long_lines.count:
        lines = plural(count, "line")
        yield Finding(
            f"{lines} of more than {LONG_LINE:,} characters",
            "check that this is text",
            report.long_lines.examples,
        )
    if target := one_script(report):
        share = report.chinese["traditional"] / sum(report.chinese.values())
        yield Finding(
            f"simplified and traditional Chinese are mixed ({share:.0%} traditional)",
            f"--chinese {target} converts all to one",
        )
    if (count := report.short_documents) > 0.05 * max(1, report.documents):
        short = plural(count, "document has", "documents have")
        yield Finding(
            f"{short} fewer than {SHORT} characters",
            f"--minimum-characters {SHORT} drops them",
        )
    if count := report.scripts.get("control characters", 0):
        yield Finding(plural(count, "control character"), "pretrain removes them automatically")
    if count := report.empty_documents:
        what = plural(count, "document holds", "documents hold")
        yield Finding(f"{what} only white space", "pretrain drops them automatically")
    if note := report.near_duplicates.note:
        yield Finding("near duplicates were not looked for", note)


def flags(report: Report) -> list[str]:
    """The flags that `pretrain` should get for this text."""
    near, target = report.near_duplicates, one_script(report)
    found = ["--document-separator", separator(report)[0]] if report.separators else []
    found += (
        ["--near-duplicates", str(NEAR)] if near.documents > 0.01 * (near.looked_at or 0) else []
    )
    return found + (["--chinese", target] if target else [])


def separator(report: Report) -> tuple[str, int]:
    """The most frequent document separator in plain text, and how often it occurs."""
    return max(report.separators.items(), key=lambda item: item[1])


def one_script(report: Report) -> str:
    """The main Chinese script of a mixed text, or "" if it is not mixed."""
    both = report.chinese
    mixed = min(both.values()) > max(100, 0.02 * sum(both.values()))
    return max(both, key=lambda script: both[script]) if mixed else ""


def command(files: Sequence[str], flags: Sequence[str]) -> str:
    """The command to type next. Many files of one folder become a glob if it matches exactly
    these."""
    names = [str(file) for file in files]
    given = " ".join(map(quoted, names))
    if len(names) > 3 and len({Path(name).parent for name in names}) == 1:
        pattern = f"{Path(names[0]).parent}/*{Path(names[0]).suffix}"
        given = pattern if len(glob.glob(pattern)) == len(names) else given
    start = ("xinye", "pretrain")
    end = ("--size", "5M", "--time", "10min")
    return " ".join([*start, given, *map(quoted, flags), *end])
