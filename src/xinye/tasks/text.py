"""The task `text`, which continues pretraining: turns files into windows of tokens, and writes
samples during training.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, get_args

import numpy as np

from xinye.data.batches import Windows
from xinye.data.blocks import Blocks
from xinye.data.cleaning import left_out
from xinye.data.corpus import Corpus, Division
from xinye.data.files import file_size
from xinye.data.manifest import refuse_corpora
from xinye.data.notes import Notes
from xinye.data.preparation import Reading, Source, no_text, prepare
from xinye.data.sources import Piece, find_files, fingerprint
from xinye.data.tokenizer import Kind, Tokenizer
from xinye.errors import XinyeError, plural
from xinye.generation.engine import finish, start
from xinye.generation.sampling import Sampling
from xinye.model.build import LanguageModel
from xinye.observer import Observer
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.planning.models import FROM_SCRATCH, Models
from xinye.planning.plan import Draft
from xinye.planning.pretraining import context_length
from xinye.planning.settings import PretrainSettings
from xinye.planning.tokenizer import learn_tokenizer
from xinye.planning.units import parse_count, parse_fold
from xinye.runs.words import TaskWords
from xinye.tasks.prepared import in_store, is_prepared, open_prepared
from xinye.tasks.task import Task
from xinye.tasks.task_mix import Mixed, read_mixes

VALIDATION_TOKENS = 500_000  # at most; more tokens do not change the result
LONGER = 2  # how many samples take as long as the texts at the end, which are written together


class MoreText(Task):
    """Continues pretraining. It has no records, and uses the settings of pretraining."""

    verb = "text"
    writes = True
    continues_text = True
    figures = ()  # pretraining has its own metrics
    words = TaskWords(unit="tokens", command='xinye generate {folder} "…"')
    columns = ("text_field",)
    unused_settings = ("attention", "augment", "cooldown", "validation")

    @classmethod
    def check_settings(cls, settings: FinetuneSettings) -> None:
        super().check_settings(settings)
        if settings.method != "full":
            raise XinyeError(
                f"the task text trains all weights; the method {settings.method} is for the other "
                f"tasks"
            )


@dataclass
class TextData:
    """A corpus that is ready for training."""

    tokenizer: Tokenizer
    training: Windows
    validation: Windows
    fingerprint: str  # a hash of the files
    facts: dict[str, Any]  # facts for the report


def prepare_text(
    settings: PretrainSettings,
    plan: Draft,
    observer: Observer,
    models: Models = FROM_SCRATCH,
    mixes: Sequence[Mixed] | None = None,
) -> TextData:
    """Read and clean the files, train or load the tokenizer, tokenize, split, and cut into windows.
    A new tokenizer also learns from the `mixes`, which are read if they are not given.

    Notes what it chooses in the `plan`. Raises `XinyeError` if there is too little text.
    """
    if settings.shard_cache != PretrainSettings().shard_cache and not in_store(settings.files):
        said = "--shard-cache has no effect on a text that is in no object store"
        observer.warn(f"note: {said}")
    prepared = is_prepared(settings.files)
    if prepared:
        corpus, tokenizer = open_prepared(settings, plan, models, observer)
    else:
        corpus, tokenizer = read_files(settings, plan, models, observer, mixes)
    about = corpus.about
    spans, held_out = divided(corpus, settings)
    lengths = np.diff(corpus.borders(0))  # the first shard is a fair sample of all
    plan.choose("documents", None, about.documents, "in the files, after cleaning")
    training_tokens, validation_tokens = sum(spans.sizes), sum(held_out.sizes)
    if training_tokens < 64 or validation_tokens < 8:
        found = plural(about.tokens, "token")
        raise XinyeError(
            f"{', '.join(settings.files)}: {found}, too few to train on and to hold some back for "
            "validation; give at least a few hundred characters"
        )
    plan.choose("training_tokens", None, training_tokens, "one pass over the training text")
    by_document = len(lengths) >= 20
    kept = "a block of each document" if settings.fold else "the end of each document"
    if by_document:
        kept = "whole documents"
    if settings.fold:
        kept = f"{kept}, those of fold {settings.fold}"
    plan.note("validation_tokens", validation_tokens, kept)
    context = choose_context(settings, plan, models, lengths)
    training = Windows(spans, context, tokenizer.bos_id, settings.seed)
    validation = Windows(held_out, context, tokenizer.bos_id, shuffle=False)
    facts = {
        "files": about.files,
        "bytes": about.bytes,
        "characters": about.characters,
        "documents": about.documents,
        "unigram_loss": round(unigram_loss(held_out), 4),
    }
    # A corpus is more than its files: they may have been cleaned otherwise.
    known = about.fingerprint if prepared else about.text
    return TextData(tokenizer, training, validation, known, facts)


def divided(corpus: Corpus, settings: PretrainSettings) -> tuple[Blocks, Blocks]:
    """The training and the validation text of a corpus."""
    fold = parse_fold(settings.fold) if settings.fold else None
    return Division(corpus, settings.validation, VALIDATION_TOKENS, fold).parts()


def read_files(
    settings: PretrainSettings,
    plan: Draft,
    models: Models,
    observer: Observer,
    mixes: Sequence[Mixed] | None,
) -> tuple[Corpus, Tokenizer]:
    """The tokenized corpus of the files in the settings, and its tokenizer."""
    files = files_of(settings, observer)
    total = sum(map(file_size, files))
    observer.stage(f"reading {plural(len(files), 'file')}, {total / 1e6:,.1f} MB")
    tokenizer = get_tokenizer(settings, plan, files, models, observer, mixes)
    return tokenize(files, settings, tokenizer, observer), tokenizer


def files_of(settings: PretrainSettings, observer: Observer) -> list[Path]:
    """The files of text. The observer hears which others are not read."""
    passed_over = Notes()
    files = find_files(settings.files, passed_over)
    refuse_corpora(
        files,
        "this is a prepared corpus between texts; move it out of their folder, or give it alone",
    )
    for said in passed_over.sentences():
        observer.warn(f"note: {said}")
    return files


def choose_context(
    settings: PretrainSettings, plan: Draft, models: Models, lengths: np.ndarray
) -> int:
    """The context length in tokens, as given or derived. `lengths` are the documents' lengths in
    tokens. Raises `XinyeError` if it is longer than the base model allows or than the text.
    """
    training_tokens = plan.values["training_tokens"]
    size = size_of(settings, models)
    derived, reason = context_length(size, lengths, training_tokens)
    most = models.most_context or derived
    if most < derived:
        derived, reason = most, f"the whole context of {settings.from_ or settings.teacher}"
    context: int = plan.choose("context", settings.context, derived, reason)
    if models.most_context and context > most:
        name = settings.from_ or settings.teacher
        raise XinyeError(
            f"context {context:,} is longer than the {most:,} tokens that {name} can see; give less"
        )
    if context > training_tokens:
        raise XinyeError(
            f"context {context:,} is longer than the text to train on, {training_tokens:,} tokens"
        )
    return context


def size_of(settings: PretrainSettings, models: Models) -> int:
    """The number of parameters: the base model's, or the size in the settings."""
    if models.base:
        return models.base.config.parameters
    return parse_count(settings.size)


def pieces(files: Sequence[Path], settings: PretrainSettings) -> Iterator[Piece]:
    """The cleaned text of files. Raises `XinyeError` if there is none."""
    found = False
    for piece in reading(settings).pieces(files):
        found = True
        yield piece
    if not found:
        raise no_text(files)


def reading(settings: PretrainSettings) -> Reading:
    """How the files are read."""
    separator = settings.document_separator
    return Reading(settings.field, separator, settings.bad_bytes, settings.cleaning)


def tokenize(
    files: Sequence[Path], settings: PretrainSettings, tokenizer: Tokenizer, observer: Observer
) -> Corpus:
    """The tokenized corpus of files, from the cache if it exists."""
    observer.stage("tokenizing")

    def prepared(characters: int) -> None:
        observer.progress(f"tokenizing … {characters / 1e6:,.1f} M characters")

    source = Source(files, fingerprint(files), reading(settings))
    corpus = prepare(source, tokenizer, prepared)
    for said in corpus.about.notes:
        observer.warn(f"note: {said}")
    if corpus.about.dropped:
        observer.warn(left_out(corpus.about.dropped))
    return corpus


def unigram_loss(text: Blocks) -> float:
    """The loss in nats per token of a model that only knows how frequent each token of a text is.

    Counting on the evaluated text itself makes the loss too small; Miller's correction (1955)
    removes most of this bias.
    """
    counts = np.zeros(0, np.int64)
    for block in range(len(text)):
        tokens, spans = text.tokens(block), text.spans(block)
        none = np.zeros(0, np.int64)
        found = np.bincount(np.concatenate([none, *(tokens[start:end] for start, end in spans)]))
        counts = np.pad(counts, (0, max(0, len(found) - len(counts))))
        counts[: len(found)] += found
    counts = counts[counts > 0]
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum() + (len(counts) - 1) / (2 * counts.sum()))


def get_tokenizer(
    settings: PretrainSettings,
    plan: Draft,
    files: Sequence[Path],
    models: Models,
    observer: Observer,
    mixes: Sequence[Mixed] | None = None,
) -> Tokenizer:
    """The base model's tokenizer, the one in a folder, or a new one trained on the text and the
    records of the `mixes`, which are read if they are not given."""
    tokenizer, given = models.tokenizer, None
    reason = f"the tokenizer of {settings.from_ or settings.teacher}"
    if tokenizer is None and settings.tokenizer not in get_args(Kind):
        tokenizer = Tokenizer.load(settings.tokenizer)
        reason = f"the tokenizer of {settings.tokenizer}"
    elif tokenizer is None:
        if mixes is None and settings.task_mix:
            mixes = read_mixes(settings, observer)
        observer.stage("learning the tokenizer")
        texts = (piece.text for piece in pieces(files, settings))
        records = (mixed.texts() for mixed in mixes or ())
        given, size = settings.vocab_size, size_of(settings, models)
        tokenizer, reason = learn_tokenizer(chain(texts, *records), settings.tokenizer, given, size)
    plan.choose("vocabulary", given, tokenizer.vocab_size, reason)
    return tokenizer


def validation_windows(validation: Windows, trained: int) -> tuple[int, int]:
    """How many windows are evaluated during a run that trains on `trained` windows, and at its end.

    The numbers keep validation at a small share of the time. It always uses the same windows.
    """
    during = min(len(validation), max(8, min(16_384 // validation.context, trained // 200)))
    return during, min(len(validation), max(during, trained // 10))


def write_sample(model: LanguageModel, tokenizer: Tokenizer, prompt: str, seed: int) -> str:
    """A short text by the current model. It is the same whenever the same run is at the same
    step.
    """
    return write_texts(model, tokenizer, prompt, seed, 1, 60)[0]


def write_texts(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompt: str,
    seed: int,
    count: int = 3,
    max_tokens: int = 100,
) -> list[str]:
    """Several longer texts by the model, each beginning with the prompt."""
    context = model.config.max_position_embeddings
    sampling = Sampling(max_tokens=max_tokens, temperature=0.7, seed=seed)
    sequences = [start(tokenizer, prompt, context, sampling, number) for number in range(count)]
    return [prompt + sequence.text for sequence in finish(model, tokenizer, sequences)]
