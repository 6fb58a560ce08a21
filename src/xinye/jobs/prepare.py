"""Prepares a corpus in a folder, to train on it later or elsewhere: `xinye data prepare`."""

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from xinye.data.corpus_folder import Preparation
from xinye.data.manifest import TOKENIZER, Manifest
from xinye.data.preparation import Source
from xinye.data.sources import fingerprint
from xinye.data.tokenizer import Kind, Tokenizer
from xinye.errors import XinyeError
from xinye.observer import Observer
from xinye.planning.models import FROM_SCRATCH
from xinye.planning.plan import Draft
from xinye.planning.settings import PretrainSettings
from xinye.tasks.prepared import check_corpus, is_prepared
from xinye.tasks.text import files_of, get_tokenizer, reading


@dataclass(frozen=True)
class Prepared:
    """A prepared corpus: its folder and what it has. `dropped` counts what cleaning left out:
    documents, by reason, and "control characters"."""

    corpus: str
    tokens: int
    documents: int
    characters: int
    shards: int
    vocab_size: int
    dropped: dict[str, int]
    notes: list[str]


def prepare_corpus(
    settings: PretrainSettings, folder: Path, workers: int, observer: Observer
) -> Prepared:
    """Prepare the corpus of the files in the settings. If the folder has a part of it, what is
    missing is done; if it has all of it, nothing.

    Raises `XinyeError` for bad files, and for a folder that holds something else.
    """
    if workers < 1:
        raise XinyeError("--workers: give at least 1")
    if is_prepared(settings.files):
        raise XinyeError(f"{settings.files[0]}: this corpus is prepared already; train on it")
    settings.cleaning.check_libraries()
    files = files_of(settings, observer)
    observer.stage("reading the files")
    preparation = Preparation(folder, Source(files, fingerprint(files), reading(settings)), workers)
    with preparation.begun(tokenizer_settings(settings)) as finished:
        if finished:
            observer.warn(f"{folder}: this corpus is finished already")
            return _prepared(folder, check_corpus(str(folder)).about)
        if (folder / TOKENIZER).is_dir():
            tokenizer = Tokenizer.load(folder / TOKENIZER)
        else:
            tokenizer = get_tokenizer(settings, Draft(), files, FROM_SCRATCH, observer)
        observer.stage("tokenizing")

        def progress(characters: int) -> None:
            observer.progress(f"tokenizing … {characters / 1e6:,.1f} M characters")

        return _prepared(folder, preparation.run(tokenizer, progress))


def tokenizer_settings(settings: PretrainSettings) -> dict[str, object]:
    """What the tokens depend on: the tokenizer that is given, or how one is learned."""
    if settings.tokenizer not in get_args(Kind):
        return {"tokenizer": Tokenizer.load(settings.tokenizer).fingerprint}
    learned = {"vocab_size": settings.vocab_size, "size": settings.size}
    return {"tokenizer": settings.tokenizer, **learned}


def _prepared(folder: Path, about: Manifest) -> Prepared:
    return Prepared(
        corpus=str(folder),
        tokens=about.tokens,
        documents=about.documents,
        characters=about.characters,
        shards=len(about.shards),
        vocab_size=Tokenizer.load(folder / TOKENIZER).vocab_size,
        dropped=about.dropped,
        notes=about.notes,
    )
