"""Pretraining on a corpus that `xinye data prepare` made: it is found, and its tokenizer is the one
that its tokens need."""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from xinye.data.archives import archive_of
from xinye.data.cleaning import Cleaning
from xinye.data.corpus import Corpus
from xinye.data.manifest import MANIFEST, TOKENIZER, corpora_among, damaged, is_corpus
from xinye.data.notes import Notes
from xinye.data.object_store import ObjectStore, is_address
from xinye.data.sources import find_files, fingerprint
from xinye.data.tokenizer import Kind, Tokenizer
from xinye.errors import XinyeError, plural, quoted
from xinye.observer import Observer
from xinye.planning.models import Models
from xinye.planning.plan import Draft
from xinye.planning.settings import PretrainSettings
from xinye.planning.units import parse_bytes

READ_BEFORE = ("field", "document_separator", "bad_bytes", "vocab_size")  # when it was prepared


def is_prepared(files: Sequence[str]) -> bool:
    """Whether the text is a prepared corpus. Raises `XinyeError` if it is one and others, or if it
    is not finished."""
    corpora = [name for name in files if is_address(name) or is_corpus(Path(name))]
    if corpora and len(files) > 1:
        raise XinyeError(f"{corpora[0]}: this is a prepared corpus; give it alone")
    for name in corpora:
        if not is_address(name) and not (Path(name) / MANIFEST).is_file():
            raise XinyeError(
                f"{name}: this corpus is not finished; type the xinye data prepare command again"
            )
    return bool(corpora)


def in_store(files: Sequence[str]) -> bool:
    """Whether the text is a corpus in an object store."""
    return any(map(is_address, files))


def open_prepared(
    settings: PretrainSettings, plan: Draft, models: Models, observer: Observer
) -> tuple[Corpus, Tokenizer]:
    """The corpus, and its tokenizer. Raises `XinyeError` for settings that have no effect on it,
    and for a model with another tokenizer.
    """
    [name] = settings.files
    _check_settings(settings, name)
    corpus = open_corpus(name, settings)
    about = corpus.about
    shards = plural(len(about.shards), "shard")
    observer.stage(f"opening the corpus {name}: {plural(about.tokens, 'token')} in {shards}")
    tokenizer, whose = models.tokenizer, settings.from_ or settings.teacher
    if tokenizer is None and settings.tokenizer not in get_args(Kind):
        tokenizer, whose = Tokenizer.load(settings.tokenizer), settings.tokenizer
    if tokenizer is None:
        tokenizer, whose = tokenizer_of(corpus), name
    if tokenizer.fingerprint != about.tokenizer:
        raise XinyeError(
            f"{name}: its text was tokenized with another tokenizer than that of {whose}; prepare "
            "it again with --tokenizer, or leave the tokenizer out"
        )
    corpus.vocab_size = tokenizer.vocab_size
    plan.choose("vocabulary", None, tokenizer.vocab_size, f"the tokenizer of {whose}")
    return corpus, tokenizer


def open_corpus(name: str, settings: PretrainSettings) -> Corpus:
    """The corpus in a folder or in an object store. Raises `XinyeError`."""
    if not is_address(name):
        return Corpus.open(Path(name))
    return Corpus(ObjectStore(name, parse_bytes(settings.shard_cache)))


def check_corpus(name: str) -> Corpus:
    """The corpus in a folder or in an object store, read whole and found right. Raises
    `XinyeError`."""
    corpus = open_corpus(name, PretrainSettings())
    tokenizer = tokenizer_of(corpus)
    if tokenizer.fingerprint != corpus.about.tokenizer:
        problem = "this is not the tokenizer of the corpus"
        raise damaged(corpus.place.name(TOKENIZER), problem)
    corpus.vocab_size = tokenizer.vocab_size
    corpus.check()
    return corpus


def find_texts(names: Sequence[str]) -> tuple[list[Path], Notes]:
    """The text files that names stand for, without prepared corpora; and notes of those, and of the
    files that are not read. Raises `XinyeError` if there is no text."""
    corpora: list[Path] = []
    while True:
        notes = Notes()
        for folder in corpora:
            notes.add(
                str(folder),
                "a prepared corpus between texts is not read; move it out of their folder, because "
                "pretrain refuses it there",
            )
        found = find_files(names, notes, corpora)
        # Of equal files one is read, so a copy of a corpus is seen only now.
        more = corpora_among(found)
        if not more:
            return found, notes
        corpora += more
        if all({*corpora} & {*file.parents} for file in found):
            advice = f"give it alone: xinye data check {quoted(corpora[0])}"
            if archive_of(corpora[0]):
                advice = "unpack the archive and give its folder alone"
            raise XinyeError(
                f"{corpora[0]}: this is a prepared corpus, and there is no text beside it; {advice}"
            )


def open_tokenized(settings: PretrainSettings, tokenizer: Tokenizer, whose: str) -> Corpus:
    """The corpus in the settings. Raises `XinyeError` if its text was tokenized with another
    tokenizer, and for settings that have no effect on it."""
    [name] = settings.files
    _check_settings(settings, name)
    corpus = open_corpus(name, settings)
    if tokenizer.fingerprint != corpus.about.tokenizer:
        raise XinyeError(
            f"{name}: its text was tokenized with another tokenizer than that of {whose}; prepare "
            f"it again with --tokenizer {quoted(whose)}"
        )
    corpus.vocab_size = tokenizer.vocab_size
    return corpus


def fingerprint_of(settings: PretrainSettings) -> str:
    """The hash of the text in the settings: of a corpus, or of files. Raises `XinyeError`."""
    if is_prepared(settings.files):
        return open_corpus(settings.files[0], settings).about.fingerprint
    return fingerprint(find_files(settings.files))


def tokenizer_of(corpus: Corpus) -> Tokenizer:
    """The tokenizer that a corpus keeps."""
    files = [corpus.place.file(f"{TOKENIZER}/{file}") for file in corpus.about.tokenizer_files]
    if not files:
        raise XinyeError(f"{corpus.place.name(TOKENIZER)}: the tokenizer of the corpus is missing")
    return Tokenizer.load(Path(files[0]).parent)


def _check_settings(settings: PretrainSettings, name: str) -> None:
    """Raise `XinyeError` for settings that have no effect on a prepared corpus."""
    given, usual = settings.model_dump(), PretrainSettings().model_dump()
    odd = [field for field in READ_BEFORE if given[field] != usual[field]]
    cleaning, default = settings.cleaning.model_dump(), Cleaning().model_dump()
    odd += [field for field in default if cleaning[field] != default[field]]
    if "tokenizer" in settings.model_fields_set and settings.tokenizer in get_args(Kind):
        odd.append("tokenizer")
    if odd:
        raise XinyeError(
            f"--{odd[0].replace('_', '-')} has no effect on {quoted(name)}, whose text was read "
            "when it was prepared; leave it out"
        )
