"""Check text before training: what is in the files, what is wrong with them and where, what
training would cost.
"""

import glob
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from xinye import machine
from xinye.check.findings import (
    NEAR,
    SHORT,
    Estimate,
    Repeated,
    Report,
    findings,
    flags,
)
from xinye.check.inspection import chinese_scripts, scripts
from xinye.check.reading import EXAMPLES, Reading
from xinye.data.cleaning import Cleaning, clean
from xinye.data.duplicates import NearlySeen
from xinye.data.sources import Piece, find_files
from xinye.data.tokenizer import Tokenizer, sample_texts
from xinye.errors import XinyeError
from xinye.planning import pretraining as planning
from xinye.planning.plan import Draft
from xinye.planning.settings import PretrainSettings
from xinye.planning.units import parse_count
from xinye.tasks.text import VALIDATION_TOKENS

# Of text for the estimate of the tokens: learning takes 250 bytes of memory for each.
SAMPLE_BYTES = 1_200_000
# Share of the matrix speed that a 5M model reached in training: benchmarks/README.md, "Same
# minutes"
REACHED = 0.4


def check(
    files: Sequence[str],
    field: str | None = None,
    document_separator: str | None = None,
    on_progress: Callable[[int], None] = lambda characters: None,
) -> Report:
    """What is in the files, `findings` in words, an `estimate` of training, and in `problems` what
    is bad by file and line, of each kind the first thousand; `problems_total` counts all.

    Raises `XinyeError` for files that are not there, and where no file has any text.

    >>> check(["reviews.csv"], field="review").problems  # doctest: +SKIP
    [Noted(file='reviews.csv', line=17, …, problem='3 columns, the header line has 2; …')]
    """
    seen = Reading(find_files(files), field, document_separator, on_progress)
    sample, characters = sample_texts(seen.texts(), SAMPLE_BYTES)
    kinds = (seen.bad_files, seen.bad_records, seen.mojibake, seen.long_lines)
    problems = [noted for kind in kinds for noted in kind.examples]
    if not characters:
        reason = f": {problems[0].problem}" if problems else ""
        empty = "there is no text that can be read in these files"
        raise XinyeError(f"{', '.join(files)}: {empty}{reason}")
    script = scripts(seen.counts)
    copies, copied, top = seen.copies.result(EXAMPLES)
    examples = [replace(seen.where(place), times=times) for place, times in top]
    documents = max(0, seen.documents.counts.total() - copies)
    trained = max(0, characters - copied - script.get("control characters", 0))
    chinese = script.get("Chinese", 0) > 0.3 * characters
    personal = {kind: found.first() for kind, found in seen.personal.items() if found.count}
    report = Report(
        files=seen.files,
        bytes=sum(file.bytes for file in seen.files),
        documents=seen.documents.counts.total() + seen.empty,
        characters=characters,
        scripts=script,
        chinese=chinese_scripts(seen.counts),
        document_characters=seen.documents.summary(),
        line_characters=seen.lines.summary(),
        empty_documents=seen.empty,
        short_documents=seen.documents.below(SHORT),
        duplicates=Repeated(copies, examples, copied, 1 / (seen.copies.mask + 1)),
        near_duplicates=near_duplicates(seen),
        mojibake=seen.mojibake.first(),
        long_lines=seen.long_lines.first(),
        personal_data=personal,
        separators=dict(+seen.separators),
        problems=problems,
        problems_total=sum(kind.count for kind in kinds),
        preview=seen.preview(),
        estimate=estimate(sample, trained, documents, chinese, seen.documents.quantile(0.99)),
    )
    report.findings = findings(report, seen)
    given = ["--field", field] if field else []
    given += ["--document-separator", document_separator] if document_separator else []
    report.command = command(files, given + flags(report))
    return report


def near_duplicates(seen: Reading) -> Repeated:
    """Documents that are nearly others, among those of the sample."""
    try:
        Cleaning(near_duplicates=NEAR).check_libraries()
    except XinyeError as error:  # a package that is not installed
        return Repeated(0, [], looked_at=0, note=str(error))
    near, kept = NearlySeen(NEAR), seen.near.kept
    found = [seen.where(place) for text, (_, place) in kept.items() if near.before(text)]
    return Repeated(len(found), found[:EXAMPLES], looked_at=len(kept))


def estimate(
    sample: list[str], characters: int, documents: int, chinese: bool, longest: int
) -> Estimate | None:
    """Tokens and time of one epoch for what `pretrain` would do by itself; None for too little
    text.

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
    config = planning.shape(Draft(), settings, wanted, context)
    device = machine.device()
    dtype, _ = machine.fast_dtype(device)
    speed = machine.matrix_flops_per_second(device, dtype)
    per_second = speed * REACHED / config.flops_per_token(context)
    kind = str(dtype).removeprefix("torch.")
    assumption = (
        f"{REACHED:.0%} of the {speed / 1e9:,.0f} GFLOP/s that a {kind} matrix product reaches "
        f"on this {device.type} now, the share that training on a CPU reached; "
        "tokens counted with a tokenizer of a sample"
    )
    return Estimate(
        tokens=tokens,
        tokens_per_character=round(per_character, 3),
        vocab_size=wanted,
        size=settings.size,
        parameters=config.parameters,
        training_tokens=training,
        tokens_per_second=round(per_second),
        seconds_per_epoch=round(training / per_second, 1),
        assumption=assumption,
    )


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
