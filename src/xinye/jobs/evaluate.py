"""Evaluates a language model on a text: next to baselines of n-grams and compression on the same
text, by the length of the context, and beyond the trained context.

The text is given, or is the part of a run's own text that was held out for validation.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np

from xinye.data.files import file_size
from xinye.data.manifest import refuse_corpora
from xinye.data.sources import find_files, fingerprint
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError, quoted, refuse_first
from xinye.evaluation.compressors import gzip_bits, xz_bits
from xinye.evaluation.perplexity import (
    by_position,
    perplexity,
    same_targets,
    sliding_windows,
    windows_of_context,
)
from xinye.evaluation.yardstick import Part, five_gram_loss
from xinye.model.build import LanguageModel
from xinye.model.gpt import GPT
from xinye.model.rope import RopeType
from xinye.observer import Observer
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.planning.job_settings import EvaluateSettings
from xinye.planning.models import Models
from xinye.planning.plan import Draft
from xinye.planning.settings import PretrainSettings
from xinye.runs.folder import RunFolder
from xinye.runs.resume import saved_settings
from xinye.tasks.prepared import is_prepared, open_tokenized
from xinye.tasks.task import Figures, Judged
from xinye.tasks.text import divided, prepare_text, tokenize

# Training tokens of the 5-gram model, at most: this takes 2 GB of memory and half a minute.
NGRAM_TOKENS = 20_000_000
# Bytes of the text, and of the training text before it: xz takes 1 s per MB.
COMPRESSED_BYTES = 16_000_000
ALL_SCALINGS = ("linear:4", "dynamic:4", "yarn:4")


@dataclass(frozen=True)
class Evaluation:
    """The metrics of a model on a text. Losses are in nats per token; `notes` say what was left
    out, and why.
    """

    model: str
    text: Figures
    loss: float
    perplexity: float
    bits_per_byte: float
    bits_per_character: float
    tokens: int
    bytes: int
    context: int
    stride: int
    baselines: dict[str, dict[str, float] | None]
    by_position: list[Figures]
    rope_scaling: list[Figures]
    notes: list[str] = field(default_factory=list)


def evaluate(
    judged: Judged,
    files: Sequence[str | Path] = (),
    texts: Sequence[str] = (),
    settings: EvaluateSettings | None = None,
) -> Evaluation:
    """Evaluate a language model on files or on texts, or, without both, on its own validation text.

    Raises `XinyeError` for errors that the user can fix. A baseline that cannot be measured is left
    out with a note.
    """
    model, tokenizer, observer = judged.model, judged.tokenizer, judged.observer
    settings = settings or EvaluateSettings()
    refuse_first(
        (files and texts, "evaluate: give files or text, not both"),
        (texts and not any(texts), "evaluate: the text is empty"),
    )
    context, stride = window(model, settings)
    scalings = parse_scalings(model, settings.rope_scaling)
    notes: list[str] = []
    part, training, about = text_to_judge(judged, files, texts, settings, notes)
    if settings.tokens is not None:
        part = part.first(settings.tokens)
    observer.stage("scoring the text")
    windows = sliding_windows(part.spans, context, stride)
    figures = perplexity(
        model,
        tokenizer,
        part.tokens,
        windows,
        observer.counting("scoring the tokens", len(part)),
    )
    baselines = compare(part, training, tokenizer, figures, observer, notes)
    about |= {"documents": len(part.spans), "characters": figures.pop("characters")}
    positions: list[Figures] = []
    if settings.by_position:
        observer.stage("scoring by the length of the context")
        positions = by_position(model, tokenizer, part.tokens, part.spans, context)
    if settings.by_position and not positions:
        notes.append(
            "by position: the documents are too short to measure what a longer context gains"
        )
    extended = extend(model, tokenizer, part, scalings, observer, notes) if scalings else []
    return Evaluation(
        model=str(judged.folder), text=about, **figures, context=context, stride=stride,
        baselines=baselines, by_position=positions, rope_scaling=extended, notes=notes,
    )  # fmt: skip


# -- the text to evaluate --------------------------------------------------------------------------


def window(model: LanguageModel, settings: EvaluateSettings) -> tuple[int, int]:
    """Context and stride in tokens, as given or derived. Raises `XinyeError` if they are too
    long.
    """
    own = model.config.max_position_embeddings
    context = settings.context or own
    stride = settings.stride or max(1, context // 2)
    refuse_first(
        (
            context > own and model.config.architecture == "gpt2",
            f"context {context:,}: this model has learned positions for only {own:,} tokens",
        ),
        (
            stride > context,
            f"stride {stride:,} is longer than the context, {context:,}: it would leave tokens out",
        ),
    )
    return context, stride


def text_to_judge(
    judged: Judged,
    files: Sequence[str | Path],
    texts: Sequence[str],
    settings: EvaluateSettings,
    notes: list[str],
) -> tuple[Part, Part | None, Figures]:
    """The text to evaluate, the training text if available, and facts about the text for the
    report. Raises `XinyeError` if nothing can be evaluated.
    """
    folder, tokenizer, observer = judged.folder, judged.tokenizer, judged.observer
    training, validation, training_files = own_text(folder, tokenizer, settings, observer, notes)
    if texts:
        return encoded(tokenizer, texts), training, {"source": "text"}
    if files and is_prepared([*map(str, files)]):
        part = of_corpus(str(files[0]), folder, tokenizer, settings)
        return part, training, {"source": "corpus", "files": [*map(str, files)]}
    if files:
        part, paths = text_of(files, folder, tokenizer, settings, observer)
        notes += [
            f"{path}: this file was in the training text, which makes the model look "
            "better than it is"
            for path in overlap(paths, training_files)
        ]
        return part, training, {"source": "files", "files": [*map(str, paths)]}
    if validation is not None:
        return validation, training, {"source": "validation", "files": [*map(str, training_files)]}
    reason = (
        notes[0]
        if notes
        else ("with --training-text, it is not known which part was held out from training")
    )
    raise XinyeError(
        f"{folder}: {reason}; give a text to evaluate it on: xinye evaluate {quoted(folder)} FILES"
    )


def of_corpus(name: str, folder: Path, tokenizer: Tokenizer, settings: EvaluateSettings) -> Part:
    """The part of a prepared corpus that a run like this one holds out for validation."""
    reading = settings.model_dump(include={"field", "document_separator", "bad_bytes"})
    asked = PretrainSettings(files=[name], **reading)
    corpus = open_tokenized(asked, tokenizer, str(folder))
    _, held_out = divided(corpus, run_settings(folder))
    part = Part(held_out.tokens(0)[:], held_out.spans(0))
    if not len(part):
        raise XinyeError(f"{name}: this corpus is too small to hold out a part for validation")
    return part


def text_of(
    files: Sequence[str | Path],
    folder: Path,
    tokenizer: Tokenizer,
    settings: EvaluateSettings,
    observer: Observer,
) -> tuple[Part, list[Path]]:
    """The whole text of files, read like the run's own text, and the list of these files."""
    paths = find_files(files)
    refuse_corpora(paths)
    corpus = tokenize(paths, reading_settings(folder, settings), tokenizer, observer)
    text = corpus.whole()
    return Part(text.tokens, text.spans), paths


def own_text(
    folder: Path,
    tokenizer: Tokenizer,
    settings: EvaluateSettings,
    observer: Observer,
    notes: list[str],
) -> tuple[Part | None, Part | None, list[Path]]:
    """The training and validation text of a run, split as in training, and its files. If they are
    not available, None, None and an empty list, with a note.
    """
    if settings.training_text:
        part, paths = text_of(settings.training_text, folder, tokenizer, settings, observer)
        return part, None, paths
    saved = RunFolder(folder)
    if not saved.exists:
        notes.append("the training text is not known (no training/settings.json)")
        return None, None, []
    if saved.about().get("recipe") == FinetuneSettings.recipe:
        notes.append("it was fine-tuned on records; the training text of its base is not known")
        return None, None, []
    try:
        run = saved_settings(folder)
        paths = [] if is_prepared(run.files) else find_files(run.files)
        text = prepare_text(run, Draft(), observer, Models(tokenizer=tokenizer))
        if text.fingerprint != saved.about().get("text", text.fingerprint):
            raise XinyeError("the text has changed since")
    except XinyeError as error:
        notes.append(f"the training text is not available ({error})")
        return None, None, []
    return (
        Part(text.training.tokens, text.training.spans),
        Part(text.validation.tokens[:], text.validation.spans),
        paths,
    )


def reading_settings(folder: Path, settings: EvaluateSettings) -> PretrainSettings:
    """How files are read: with the given settings, and cleaned like the run's own text."""
    return PretrainSettings(
        field=settings.field,
        document_separator=settings.document_separator,
        bad_bytes=settings.bad_bytes,
        cleaning=run_settings(folder).cleaning,
    )


def run_settings(folder: Path) -> PretrainSettings:
    """The settings of a pretraining run, or the usual ones for any other model."""
    try:
        return saved_settings(folder)
    except XinyeError:
        return PretrainSettings()


def encoded(tokenizer: Tokenizer, texts: Sequence[str]) -> Part:
    """The texts as tokens, each as a document."""
    documents = [[*tokenizer.encode(text), tokenizer.eos_id] for text in texts]
    bounds = np.cumsum([0, *map(len, documents)])
    return Part(np.concatenate(documents), np.stack((bounds[:-1], bounds[1:]), axis=1))


def overlap(files: Sequence[Path], training_files: Sequence[Path]) -> list[Path]:
    """The files that have the same bytes as one of the training files."""
    sizes = {path: file_size(path) for path in training_files}
    return [
        path
        for path in files
        if any(
            size == file_size(path) and fingerprint([other]) == fingerprint([path])
            for other, size in sizes.items()
        )
    ]


# -- baselines and longer contexts -----------------------------------------------------------------


def compare(
    part: Part,
    training: Part | None,
    tokenizer: Tokenizer,
    figures: Figures,
    observer: Observer,
    notes: list[str],
) -> dict[str, dict[str, float] | None]:
    """The baselines' metrics on the same text; None for one that cannot be measured."""

    def of(bits: float, **more: float) -> dict[str, float]:
        return {
            "bits_per_byte": bits,
            "bits_per_character": bits * figures["bytes"] / max(1, figures["characters"]),
            **more,
        }

    text = part.at_most_bytes(COMPRESSED_BYTES, tokenizer).decoded(tokenizer)
    if len(text) < figures["bytes"]:
        notes.append(
            f"gzip and xz: measured on the ends of the documents, {len(text):,} bytes of the text"
        )
    baselines: dict[str, dict[str, float] | None] = dict.fromkeys(
        ("gzip", "xz", "xz_after_training_text", "five_gram")
    )
    if not text:
        return baselines
    observer.stage("compressing the text")
    baselines["gzip"], baselines["xz"] = of(gzip_bits(text)), of(xz_bits(text))
    if training is None:
        notes.append(
            "xz after the training text and the 5-gram model are left out, because they need that "
            "text; give it with --training-text FILES"
        )
        return baselines
    last = training.at_most_bytes(COMPRESSED_BYTES, tokenizer)
    before = last.decoded(tokenizer)
    if len(last) < len(training):
        notes.append(
            f"xz after the training text: it reads the ends of the documents, {len(before):,} bytes"
        )
    baselines["xz_after_training_text"] = of(xz_bits(text, before))
    observer.stage("counting for the 5-gram model")
    counted = training.at_most(NGRAM_TOKENS)
    if len(counted) < len(training):
        notes.append(f"5-gram: learned from {len(counted):,} of {len(training):,} training tokens")
    loss, bits = five_gram_loss(counted, part, tokenizer)
    baselines["five_gram"] = of(
        bits, loss=loss, perplexity=math.exp(loss), training_tokens=len(counted)
    )
    return baselines


def parse_scalings(
    model: LanguageModel, given: Sequence[str]
) -> list[tuple[str, float, LanguageModel]]:
    """For each RoPE scaling its type, its factor and the scaled model. The unscaled model comes
    first. Raises `XinyeError` for an LSTM.
    """
    if not given:
        return []
    if not isinstance(model, GPT):
        raise XinyeError(
            "RoPE scaling: an lstm has no positions; it reads texts of any length without it"
        )
    scaled: list[tuple[str, float, LanguageModel]] = [("none", 1.0, model)]
    for name in dict.fromkeys(",".join(given).replace("all", ",".join(ALL_SCALINGS)).split(",")):
        rope_type, factor = name.split(":")
        twin = copy.copy(model)  # shares the weights
        twin.config = twin.config.extended(cast(RopeType, rope_type), float(factor))
        scaled.append((rope_type, float(factor), twin))
    return scaled


def extend(
    model: LanguageModel,
    tokenizer: Tokenizer,
    part: Part,
    scalings: Sequence[tuple[str, float, LanguageModel]],
    observer: Observer,
    notes: list[str],
) -> list[Figures]:
    """The metrics of the same tokens at 1, 2, 4 … times the trained context, up to the largest
    factor, with each scaling.

    About 8,192 tokens are scored, each with the longest of these contexts before it in its
    document.
    """
    observer.stage("scoring beyond the trained context")
    context, largest = (
        model.config.max_position_embeddings,
        max(factor for _, factor, _ in scalings),
    )
    contexts = [context * 2**power for power in range(int(math.log2(largest)) + 1)]
    runs = same_targets(part.spans, contexts[-1])
    if not len(runs):
        notes.append(f"RoPE scaling: no document has more than {contexts[-1]:,} tokens")
        return []
    return [
        {"rope_type": rope_type, "factor": factor, "context": length}
        | perplexity(scaled, tokenizer, part.tokens, windows_of_context(runs, length))
        for rope_type, factor, scaled in scalings
        for length in contexts
    ]
