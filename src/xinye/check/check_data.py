"""Check text before training: what is in the files, what is wrong with them and where, what training would cost.

Read every file once, in bounded memory, going on behind whatever is bad; look at the text about a million characters at
a time; then say what was found, the most important first, each with what to do about it.
"""

import glob
import re
import shlex
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xinye import machine
from xinye.check.inspection import (
    CODE_POINTS,
    PERSONAL_KINDS,
    Duplicates,
    Lengths,
    NearSample,
    chinese_scripts,
    code_points,
    excerpt,
    masked,
    mojibake,
    personal_data,
    printable,
    scripts,
)
from xinye.data.cleaning import Cleaning, clean
from xinye.data.sources import (
    PLAIN_SUFFIXES,
    Piece,
    detect_encoding,
    find_files,
    headerless,
    line_ends,
    read_pieces,
)
from xinye.data.tokenizer import Tokenizer, sample_texts
from xinye.errors import XinyeError
from xinye.planning import plan as planning
from xinye.planning.plan import Plan
from xinye.planning.settings import PretrainSettings, parse_count
from xinye.tasks.text import VALIDATION_TOKENS

BATCH = 1_000_000  # characters looked at together
LONG_LINE = 10_000  # characters; no paragraph is that long
SHORT = 8  # characters; documents shorter than this teach little
LISTED = 1000  # problems of a kind that are listed; the others are counted
EXAMPLES = 5
PREVIEW = 300  # characters
NEAR = 0.8  # similarity of near duplicates
SAMPLE_BYTES = (
    1_200_000  # of text for the estimate of the tokens: learning takes 250 bytes of memory for each
)
REACHED = 0.4  # share of the matrix speed that a 5M model reached in training: benchmarks/README.md, "Same minutes"
SEPARATORS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>")


def check(
    files: Sequence[str],
    field: str | None = None,
    document_separator: str | None = None,
    on_progress: Callable[[int], None] = lambda characters: None,
) -> dict[str, Any]:
    """What `xinye data check --json` prints: what is in the files, `findings` in words, an `estimate` of training, and
    in `problems` what is bad by file and line: unreadable files and records, text decoded wrongly, endless lines. Of
    each kind the first thousand are listed; `problems_total` counts all.

    Raises `XinyeError` for files that are not there, and where no file has any text.

    >>> check(["reviews.csv"], field="review")["problems"]  # doctest: +SKIP
    [{'file': 'reviews.csv', 'line': 17, 'problem': '3 columns, the header line has 2; …'}]
    """
    seen = Inspection(find_files(files), field, document_separator, on_progress)
    sample, characters = sample_texts(seen.texts(), SAMPLE_BYTES)
    if not characters:
        reason = "".join(
            f": {bad['problem']}" for bad in [*seen.bad_files.listed, *seen.bad_records.listed][:1]
        )
        raise XinyeError(
            f"{', '.join(files)}: there is no text that can be read in these files{reason}"
        )

    script = scripts(seen.counts)
    copies, copied, top = seen.duplicates.result(EXAMPLES)
    near = near_duplicates(seen)
    documents = max(0, seen.documents.count - copies)
    trained = max(0, characters - copied - script.get("control characters", 0))
    chinese = script.get("Chinese", 0) > 0.3 * characters
    report: dict[str, Any] = {
        "files": seen.files,
        "bytes": sum(entry["bytes"] for entry in seen.files),
        "documents": seen.documents.count + seen.empty,
        "characters": characters,
        "scripts": script,
        "chinese": chinese_scripts(seen.counts),
        "document_characters": seen.documents.summary(),
        "line_characters": seen.lines.summary(),
        "empty_documents": seen.empty,
        "short_documents": seen.documents.below(SHORT),
        "duplicates": {
            "documents": copies,
            "characters": copied,
            "sampled": 1 / (seen.duplicates.mask + 1),
            "examples": [{**seen.where(place), "times": times} for place, times in top],
        },
        "near_duplicates": near,
        "mojibake": seen.mojibake.summary(),
        "long_lines": seen.long_lines.summary(),
        "personal_data": {
            kind: found.summary() for kind, found in seen.personal.items() if found.count
        },
        "separators": dict(seen.separators),
    }
    kinds = (seen.bad_files, seen.bad_records, seen.mojibake, seen.long_lines)
    report["problems"] = [
        {name: found[name] for name in ("file", "line", "problem")}
        for kind in kinds
        for found in kind.listed
    ]
    report["problems_total"] = sum(kind.count for kind in kinds)
    report["preview"] = seen.preview()
    report["estimate"] = estimate(
        sample, trained, documents, chinese, seen.documents.quantile(0.99)
    )
    report["findings"], flags = findings(report, seen.bad_files, seen.bad_records)
    given = ["--field", field] if field else []
    given += ["--document-separator", document_separator] if document_separator else []
    report["command"] = command(files, [*given, *flags])
    return report


# -- looking at the text ---------------------------------------------------------------------------------------------


class Found:
    """How often something was found, and the first places."""

    def __init__(self, most: int) -> None:
        self.most, self.count = most, 0
        self.listed: list[dict[str, Any]] = []

    def add(self, **found: Any) -> None:
        self.count += 1
        if len(self.listed) < self.most:
            self.listed.append(found)

    def summary(self) -> dict[str, Any]:
        return {"count": self.count, "examples": self.listed[:EXAMPLES]}


class Inspection:
    """All that is noted while the files are read. A place is a file's number, and below it 40 bits for the line."""

    def __init__(
        self,
        paths: Sequence[Path],
        field: str | None,
        separator: str | None,
        on_progress: Callable[[int], None],
    ) -> None:
        self.paths, self.field, self.separator, self.on_progress = (
            paths,
            field,
            separator,
            on_progress,
        )
        self.files: list[dict[str, Any]] = []
        self.counts = np.zeros(CODE_POINTS, np.int64)
        self.documents, self.lines = Lengths(), Lengths()
        self.empty = 0
        self.duplicates, self.near = Duplicates(), NearSample()
        self.bad_files, self.bad_records = Found(LISTED), Found(LISTED)
        self.mojibake, self.long_lines = Found(LISTED), Found(LISTED)
        self.personal = {kind: Found(EXAMPLES) for kind in PERSONAL_KINDS}
        self.endless: dict[str, Any] = {}  # the place of a line that fills a batch
        self.separators: Counter[str] = Counter()
        self.previews: list[list[tuple[int, str]]] = []  # of each file: place and text
        self.batch: list[
            tuple[str, int, bool]
        ] = []  # text, place, whether it can be looked at for near duplicates
        self.lengths: list[int] = []  # of the batch's documents
        self.size = self.characters = 0

    def texts(self) -> Iterator[str]:
        """The text of all files, piece by piece, each looked at in passing."""
        for number, path in enumerate(self.paths):
            suffix = Path(path.name.lower().removesuffix(".gz")).suffix
            entry: dict[str, Any] = {
                "file": str(path),
                "format": suffix.lstrip("."),
                "bytes": path.stat().st_size,
            }
            entry |= {
                "encoding": None,
                "line_ends": {},
                "field": self.field,
                "documents": 0,
                "characters": 0,
            }
            problems = self.bad_files.count + self.bad_records.count
            self.files.append(entry)
            self.previews.append([])
            try:
                if suffix != ".parquet":
                    entry["encoding"] = detect_encoding(path)
                    entry["line_ends"] = dict(line_ends(path, entry["encoding"]))
                for piece in self.pieces(number, path, entry):
                    entry["characters"] += len(piece.text)
                    yield piece.text
            except XinyeError as error:
                self.bad(path, None, str(error).removeprefix(f"{path}: "))
            entry["problems"] = self.bad_files.count + self.bad_records.count - problems
        self.look()

    def pieces(self, number: int, path: Path, entry: dict[str, Any]) -> Iterator[Piece]:
        """One file's pieces, noting each document as it ends."""
        plain = f".{entry['format']}" in PLAIN_SUFFIXES
        between = (self.separator or "").replace("\\n", "\n").count("\n")
        above = 0  # line ends before this piece
        document: list[
            tuple[int, str, int]
        ] = []  # characters, text and place of the pieces of this document

        def on_field(name: str) -> None:
            entry["field"] = name

        for piece in read_pieces([path], self.field, self.separator, self.bad, on_field):
            part = int(piece.source.rpartition(":")[2]) if not plain or self.separator else 1
            line = 1 + above + (part - 1) * between if plain else part
            above += piece.text.count("\n")
            place = number << 40 | line
            if piece.first:
                self.end(document)
                entry["documents"] += 1
                document = []
                if len(self.previews[-1]) < 3 and not piece.text.isspace():
                    self.previews[-1].append((place, piece.text[: 8 * PREVIEW]))
            document.append((len(piece.text), piece.text if not document else "", place))
            if plain and not self.separator:
                self.separators.update(
                    {mark: piece.text.count(mark) for mark in SEPARATORS if mark in piece.text}
                )
            for start in range(0, len(piece.text), BATCH):
                text = piece.text[start : start + BATCH]
                self.batch.append((text, place, piece.first and len(piece.text) < BATCH // 2))
                self.size += len(text)
                if self.size >= BATCH:
                    self.look()
            yield piece
        self.end(document)

    def end(self, document: list[tuple[int, str, int]]) -> None:
        """Note a document, given as its pieces: its length, and whether it stood there before."""
        if len(document) == 1 and document[0][1].isspace():
            self.empty += 1
        elif document:
            self.lengths.append(sum(characters for characters, _, _ in document))
            if len(document) == 1:  # cleaning compares only these
                self.duplicates.add(document[0][1], document[0][2])

    def bad(self, path: Path, line: int | None, problem: str) -> None:
        kind = self.bad_files if line is None else self.bad_records
        kind.add(file=str(path), line=line, problem=printable(masked(problem)))

    def where(self, place: int) -> dict[str, Any]:
        return {"file": str(self.paths[place >> 40]), "line": place & (1 << 40) - 1}

    def look(self) -> None:
        """Look at the batch, all its texts together, and begin a new one."""
        texts = [text for text, _, _ in self.batch]
        text = "\n".join(texts)
        codes = code_points(text)
        starts = np.cumsum([0, *(len(each) + 1 for each in texts)], dtype=np.int64)[:-1]
        counts = np.bincount(codes, minlength=CODE_POINTS)
        counts[ord("\n")] -= max(0, len(texts) - 1)
        self.counts += counts
        self.documents.add(np.array(self.lengths, np.int64))

        def where(offset: int) -> dict[str, Any]:
            index = bisect_right(starts, offset) - 1
            place = self.batch[index][1]
            if self.paths[place >> 40].name.lower().removesuffix(".gz").endswith(PLAIN_SUFFIXES):
                place += text.count("\n", starts[index], offset)
            return self.where(place)

        def note(found: Found, offset: int, **what: Any) -> None:
            found.add(**(where(offset) if len(found.listed) < found.most else {}), **what)

        ends = np.flatnonzero(codes == ord("\n"))
        borders = np.concatenate(([-1], ends, [len(codes)]))
        lengths = np.diff(borders) - 1
        self.lines.add(lengths[lengths > 0])
        for index in np.flatnonzero(lengths > LONG_LINE).tolist():
            offset, length = int(borders[index]) + 1, int(lengths[index])
            endless = length > 0.9 * BATCH  # it goes on in the next batch
            if (endless or self.endless) and where(offset) == self.endless:
                continue
            self.endless = where(offset) if endless else {}
            note(
                self.long_lines,
                offset,
                problem=f"a line of {length:,} characters{' or more' * endless}",
            )
        for passage in mojibake(text, codes, counts):
            shown, meaning = (
                printable(excerpt(passage.shown, 20)),
                printable(excerpt(passage.meaning, 20)),
            )
            then = f" should read {meaning}" if meaning else ", its characters are lost"
            note(self.mojibake, passage.start, problem=f"decoded wrongly: {shown}{then}")
        for passage in personal_data(text):
            note(self.personal[passage.meaning], passage.start, masked=passage.shown)

        near = [index for index, (_, _, whole) in enumerate(self.batch) if whole]
        places = [self.batch[index][1] for index in near]
        self.near.add(codes, starts[near], [texts[index] for index in near], places)
        self.characters += self.size
        self.on_progress(self.characters)
        self.batch, self.lengths, self.size = [], [], 0

    def preview(self) -> list[dict[str, Any]]:
        """The beginnings of three documents as a model would read them, from different files where there are several;
        personal data masked."""
        chosen = [
            of_file[rank] for rank in range(3) for of_file in self.previews if rank < len(of_file)
        ][:3]
        pieces = [Piece(text, str(place)) for place, text in chosen]
        cleaned = clean(pieces, Cleaning(duplicates=False))
        return [
            {**self.where(int(each.source)), "text": excerpt(masked(each.text), PREVIEW)}
            for each in cleaned
        ]


def near_duplicates(seen: Inspection) -> dict[str, Any]:
    """Documents that are nearly others, among those of the sample."""
    places = [place for _, place in seen.near.kept.values()]
    pieces = [Piece(text, str(index)) for index, text in enumerate(seen.near.kept)]
    try:
        kept = {int(piece.source) for piece in clean(pieces, Cleaning(near_duplicates=NEAR))}
    except XinyeError as error:  # an extra that is not installed
        return {"looked_at": 0, "documents": 0, "examples": [], "note": str(error)}
    found = [seen.where(place) for index, place in enumerate(places) if index not in kept]
    return {"looked_at": len(pieces), "documents": len(found), "examples": found[:EXAMPLES]}


# -- what follows from it --------------------------------------------------------------------------------------------


def estimate(
    sample: list[str], characters: int, documents: int, chinese: bool, longest: int
) -> dict[str, Any] | None:
    """Tokens and time of one epoch for what `pretrain` would do by itself; None for too little text.

    The tokenizer is learned on three quarters of the sample and counted on the fourth.
    """
    texts = [
        piece.text
        for piece in clean((Piece(part, "") for part in sample), Cleaning(duplicates=False))
    ]
    if len(texts) < 20:
        whole = "".join(texts)
        quarter = -(-len(whole) // 4)
        texts = [whole[start : start + quarter] for start in range(0, len(whole), quarter or 1)]
    held_out = texts[3::4]
    if not held_out or characters < 500:
        return None
    settings = PretrainSettings()
    size = parse_count(settings.size, "size")
    wanted, _ = planning.vocabulary_size(size, characters, chinese)
    learned = [text for index, text in enumerate(texts) if index % 4 != 3]
    tokenizer = Tokenizer.train(learned, vocab_size=wanted, exact=False)
    per_character = sum(map(len, tokenizer.encode_batch(held_out))) / sum(map(len, held_out))
    tokens = round(characters * per_character) + documents
    training = tokens - min(VALIDATION_TOKENS, round(settings.validation * tokens))
    context, _ = planning.context_length(size, np.array([longest * per_character]), training)
    config = planning.shape(Plan(), settings, wanted, context)
    device = machine.device()
    dtype, _ = machine.fast_dtype(device)
    speed = machine.matrix_flops_per_second(device, dtype)
    per_second = speed * REACHED / config.flops_per_token(context)
    return {
        "tokens": tokens,
        "tokens_per_character": round(per_character, 3),
        "vocab_size": wanted,
        "size": settings.size,
        "parameters": config.parameters,
        "training_tokens": training,
        "tokens_per_second": round(per_second),
        "seconds_per_epoch": round(training / per_second, 1),
        "assumption": f"{REACHED:.0%} of the {speed / 1e9:,.0f} GFLOP/s that a {str(dtype).removeprefix('torch.')} "
        f"matrix product reaches on this {device.type} now, the share that training on a CPU reached; "
        "tokens counted with a tokenizer of a sample",
    }


def findings(
    report: dict[str, Any], files: Found, records: Found
) -> tuple[list[dict[str, Any]], list[str]]:
    """What a person should know, the most important first, each with advice and places; and flags for `pretrain`."""
    found: list[dict[str, Any]] = []
    flags: list[str] = []
    documents = max(1, report["documents"])

    def add(finding: str, advice: str, places: Sequence[dict[str, Any]] = ()) -> None:
        found.append({"finding": finding, "advice": advice, "places": list(places)[:EXAMPLES]})

    if bad := [
        plural(kind.count, what)
        for kind, what in ((files, "file"), (records, "record"))
        if kind.count
    ]:
        places = [*files.listed, *records.listed]
        add(
            f"{' and '.join(bad)} cannot be read",
            "repair or leave out: pretrain stops there",
            places,
        )
    numbered = [file for file in report["files"] if (file["field"] or "").isdecimal()]
    if reasons := [
        (file["file"], reason) for file in numbered if (reason := headerless(Path(file["file"])))
    ]:
        places = [{"file": name, "line": 1, "problem": reason} for name, reason in reasons]
        add(
            "the first line is a record, and columns have numbers",
            "if it names them, give a name with --field",
            places,
        )
    if odd := [file for file in report["files"] if len(file["field"] or "") > 30]:
        places = [
            {"file": file["file"], "line": 1, "problem": excerpt(file["field"], 30)} for file in odd
        ]
        add(
            "the first line is read as the names of the columns, but looks like text",
            "write names there",
            places,
        )
    if count := report["mojibake"]["count"]:
        advice = "fetch the text again in its own encoding, or leave it out"
        add(f"{plural(count, 'passage')} decoded wrongly", advice, report["mojibake"]["examples"])
    if report["personal_data"]:
        kinds = [
            plural(found["count"], PERSONAL_KINDS[kind])
            for kind, found in report["personal_data"].items()
        ]
        places = [
            {**place, "problem": f"{place['masked']} ({PERSONAL_KINDS[kind]})"}
            for rank in range(EXAMPLES)
            for kind, found in report["personal_data"].items()
            for place in found["examples"][rank : rank + 1]
        ]
        advice = "a model can repeat it word for word; remove what is not public"
        add(f"personal data: {', '.join(kinds)}", advice, places)
    if marks := report["separators"]:
        mark, count = max(marks.items(), key=lambda item: item[1])
        add(
            f"{mark} stands {count:,} times in plain text",
            f"it parts documents: --document-separator '{mark}'",
        )
        flags += ["--document-separator", mark]
    if count := report["duplicates"]["documents"]:
        places = [
            {**place, "problem": f"{place['times']:,} times"}
            for place in report["duplicates"]["examples"]
        ]
        about = "" if report["duplicates"]["sampled"] == 1 else "about "
        share = f"{about}{count:,} documents ({count / documents:.1%}) are copies of earlier ones"
        add(share, "pretrain drops them by itself (--no-duplicates keeps them)", places)
    near = report["near_duplicates"]
    if near["documents"]:
        share = f"{near['documents']:,} of {near['looked_at']:,} different documents looked at"
        add(
            f"{share} are nearly copies of others",
            f"--near-duplicates {NEAR} drops them",
            near["examples"],
        )
        if near["documents"] > 0.01 * near["looked_at"]:
            flags += ["--near-duplicates", str(NEAR)]
    if count := report["long_lines"]["count"]:
        length = f"more than {LONG_LINE:,} characters"
        add(
            f"{plural(count, 'line')} of {length}",
            "look whether that is text",
            report["long_lines"]["examples"],
        )
    both = report["chinese"]
    if min(both.values()) > max(100, 0.02 * sum(both.values())):
        target = max(both, key=lambda script: both[script])
        share = f"{both['traditional'] / sum(both.values()):.0%} traditional"
        add(
            f"simplified and traditional Chinese side by side ({share})",
            f"--chinese {target} unites them",
        )
        flags += ["--chinese", target]
    if report["short_documents"] > 0.05 * documents:
        count = report["short_documents"]
        add(
            f"{count:,} documents have fewer than {SHORT} characters",
            f"--minimum-characters {SHORT} drops them",
        )
    if count := report["scripts"].get("control characters", 0):
        add(plural(count, "control character"), "pretrain removes them by itself")
    if count := report["empty_documents"]:
        add(f"{count:,} documents hold only white space", "pretrain drops them by itself")
    if "note" in near:
        add("near duplicates were not looked for", near["note"])
    return found, flags


def plural(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("" if count == 1 else "es" if what.endswith("s") else "s")


def command(files: Sequence[str], flags: Sequence[str]) -> str:
    """The line to type next; many files of one folder as a glob where that names just these."""
    names = [str(file) for file in files]
    folders = {Path(name).parent for name in names}
    pattern = (
        f"{folders.pop()}/*{Path(names[0]).suffix}" if len(names) > 3 and len(folders) == 1 else ""
    )
    given = (
        pattern
        if pattern and len(glob.glob(pattern)) == len(names)
        else " ".join(map(quoted, names))
    )
    return " ".join(["xinye pretrain", given, *map(quoted, flags), "--size 5M --time 10min"])


def quoted(word: str) -> str:
    """A word for a shell; unlike `shlex.quote` it leaves Chinese names as they are."""
    return word if re.fullmatch(r"[\w@%+=:,./-]+", word) else shlex.quote(word)
