"""`xinye data prepare`: the same bytes by any number of processes, finished after a stop, and trained
on without being tokenized again."""

import errno
import json
import os
import shutil
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from conftest import TINY, contents
from xinye.data import corpus_folder, gathering, preparation, sources, token_parts
from xinye.data.batches import Windows
from xinye.data.corpus import Corpus, Division
from xinye.data.manifest import checksums, digest_of, write_sealed
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError

pytestmark = pytest.mark.usefixtures("no_measuring")
PREPARE = ("data", "prepare", "texts", "--document-separator", r"\n\n", "--tokenizer", "char")


@pytest.fixture
def texts(workplace: Path, story_text: dict[str, str], monkeypatch) -> Path:
    """A folder of four files, of which one repeats documents of another, to be read one by one and
    dealt out to several shards."""
    monkeypatch.setattr(gathering, "SHARD_DOCUMENTS", 12)
    monkeypatch.setattr(gathering, "LEAST_DOCUMENTS", 1)
    monkeypatch.setattr(preparation, "UNIT_BYTES", 1)
    folder = workplace / "texts"
    folder.mkdir()
    for language, text in story_text.items():
        (folder / f"{language}.txt").write_text(text, "utf-8")
    again = story_text["zh"].split("\n\n")[3:7]
    (folder / "again.txt").write_text("\n\n".join([*again, "一个新的故事。", "  "]), "utf-8")
    (folder / "table.csv").write_text("text,number\n重复的一行。,1\n重复的一行。,2\n", "utf-8")
    return folder


def documents_of(folder: Path) -> list[list[str]]:
    """The documents of each shard."""
    corpus, tokenizer = Corpus.open(folder), Tokenizer.load(folder / "tokenizer")
    shards = [corpus.shard(number) for number in range(len(corpus.about.shards))]
    return [
        [tokenizer.decode(shard.tokens[start : end - 1]) for start, end in shard.spans]
        for shard in shards
    ]


def test_any_number_of_processes_writes_the_same_corpus(xinye, texts, story_text, monkeypatch):
    monkeypatch.setattr(gathering, "SHARD_DOCUMENTS", 7)
    with monkeypatch.context() as patch:
        patch.setenv("XINYE_LANGUAGE", "zh")
        chinese = xinye(*PREPARE, "-o", "one", "--workers", 1)
    assert "已略去：5 篇重复、1 篇空白\n" in chinese.out
    outcome = xinye(*PREPARE, "-o", "two", "--workers", 3)
    assert "left out: 5 duplicate, 1 empty\n" in outcome.out
    assert contents(Path("one")) == contents(Path("two"))
    shards = documents_of(Path("one"))
    every = {text for story in story_text.values() for text in story.split("\n\n")}
    assert sorted(chain(*shards)) == sorted(every | {"一个新的故事。", "重复的一行。"})
    assert len(shards) > 3
    chinese = [sum(text[0] > "\u2e80" for text in shard) / len(shard) for shard in shards]
    assert all(0.1 < share < 0.9 for share in chinese), "each shard is a sample of all"


def test_what_was_done_before_a_stop_is_not_done_again(xinye, texts, monkeypatch):
    assert xinye(*PREPARE, "-o", "whole", "--workers", 1).code == 0
    share, stopped, done = corpus_folder.Preparation._share, [], []

    def once(self, work, jobs, on_progress):
        done.append(len(jobs))
        if stopped:
            share(self, work, jobs, on_progress)
            return
        stopped.append(share(self, work, jobs[:2], on_progress))
        raise KeyboardInterrupt

    monkeypatch.setattr(corpus_folder.Preparation, "_share", once)
    interrupted = xinye(*PREPARE, "-o", "again", "--workers", 1)
    assert interrupted.code == 130
    assert "again: interrupted; 2 of 4 parts of the text are done; type the same" in (
        interrupted.complaint
    )
    part = texts.parent / "again" / ".parts" / "part-000002-000000.tokens"
    part.write_bytes(b"half a part")  # as a process that was killed leaves it
    refused = xinye("pretrain", "again", "-o", "run", *TINY)
    assert "again: this corpus is not finished; type the xinye data prepare command" in (
        refused.complaint
    )
    assert xinye(*PREPARE, "-o", "again", "--workers", 1).code == 0
    assert done[:2] == [4, 2]
    assert contents(Path("again")) == contents(Path("whole"))
    assert "again: this corpus is finished already" in xinye(*PREPARE, "-o", "again").err


def test_other_settings_and_other_folders_are_refused(xinye, texts):
    assert xinye(*PREPARE, "-o", "corpus", "--workers", 1).code == 0
    before = contents(Path("corpus"))
    other = xinye(*PREPARE, "-o", "corpus", "--minimum-characters", 9, "--vocab-size", 300)
    assert "begun with other settings (minimum_characters, vocab_size)" in other.complaint
    (texts / "more.txt").write_text("又一个故事。", "utf-8")
    assert "begun with other settings (files)" in xinye(*PREPARE, "-o", "corpus").complaint
    assert "texts: this exists and is not a corpus" in xinye(*PREPARE, "-o", "texts").complaint
    assert "--workers: give at least 1" in xinye(*PREPARE, "-o", "c", "--workers", 0).complaint
    assert contents(Path("corpus")) == before


@pytest.mark.parametrize("foreign", ["link", "diary", "part", "tokenizer"])
def test_files_of_others_are_never_written_or_deleted(xinye, texts, foreign):
    """A link may lead anywhere, and a folder of parts may be the user's own."""
    Path("victim").mkdir()
    Path("victim/part-mine.txt").write_text("mine", "utf-8")
    Path("corpus").mkdir()
    work = Path("corpus/.parts")
    if foreign == "link":
        work.symlink_to("../victim")
    else:
        work.mkdir()
    if foreign == "diary":
        (work / "diary").mkdir()
        (work / "diary" / "today").write_text("dear diary", "utf-8")
    if foreign == "part":
        (work / "part-000000-000000.npy").symlink_to("../../victim/part-mine.txt")
    if foreign == "tokenizer":
        Path("corpus/preparation.json").write_text("{}", "utf-8")
        Path("corpus/.tokenizer.new").symlink_to("../victim")
    before = contents(Path("corpus")) | contents(Path("victim"))
    outcome = xinye(*PREPARE, "-o", "corpus", "--workers", 1)
    assert outcome.code == 2
    assert "this is not a file of the preparation" in outcome.complaint
    assert contents(Path("corpus")) | contents(Path("victim")) == before


def test_a_preparation_that_made_nothing_may_be_corrected(xinye, texts):
    (texts / "again.txt").write_bytes(b"\xff\xff \xe4\xb8" * 9)  # it is read first
    given = ("--document-separator", r"\n\n", "--workers", 1)
    refused = xinye("data", "prepare", "texts", *given, "-o", "corpus", "--tokenizer", "bytes")
    assert "--bad-bytes replace" in refused.complaint
    corrected = ("data", "prepare", "texts", *given, "-o", "corpus", "--bad-bytes", "replace")
    assert xinye(*corrected, "--tokenizer", "char").code == 0
    other = xinye(*corrected[:-1], "refuse", "--tokenizer", "char").complaint
    assert "begun with other settings (bad_bytes); it has bad_bytes replace; give" in other
    assert "or delete corpus to prepare it again" in other
    shutil.rmtree("corpus")
    assert xinye(*corrected, "--tokenizer", "bytes").code == 0
    assert xinye("data", "check", "corpus").code == 0, "it is not that of the deleted corpus"


def test_a_text_that_cannot_be_read_is_not_called_a_full_cache(xinye, texts, monkeypatch):
    def broken(path, separator):
        raise OSError(errno.EIO, "Input/output error")
        yield

    monkeypatch.setattr(sources, "_plain_pieces", broken)
    words = ("data", "prepare", "texts", "-o", "corpus", "--workers", 1, "--tokenizer", "bytes")
    complaint = xinye(*words).complaint
    assert complaint.endswith("texts/again.txt: cannot be read (Input/output error)")
    source = preparation.Source([texts / "zh.txt"], "a hash", preparation.Reading())
    with pytest.raises(XinyeError, match=r"zh\.txt: cannot be read"):
        preparation.prepare(source, Tokenizer.load("corpus/tokenizer"), print)


def test_a_note_may_name_a_file_that_is_not_unicode(xinye, texts):
    for file in texts.iterdir():
        file.unlink()
    table = "text,number\n早上好,1\ntext,number\n你好,2\n"
    Path(os.fsdecode(os.fsencode(texts) + b"/\xb9\xfe.csv")).write_text(table, "utf-8")
    outcome = xinye(*PREPARE, "-o", "corpus", "--workers", 1)
    assert outcome.code == 0 and "the header appears again" in outcome.out
    assert xinye("data", "check", "corpus").code == 0


def test_what_a_killed_preparation_left_in_the_cache_is_deleted(xinye, texts, monkeypatch):
    cache = Path("cache").absolute()
    monkeypatch.setenv("XINYE_CACHE", str(cache))
    left: list[Path] = []

    def killed(*arguments):
        [beside] = cache.glob("corpora/.*.[0-9]*")
        left.append(shutil.copytree(beside, beside.with_name(f"{beside.name}7")))
        raise KeyboardInterrupt

    assert xinye(*PREPARE, "-o", "corpus", "--workers", 1).code == 0
    tokenizer = Tokenizer.load("corpus/tokenizer")
    source = preparation.Source([texts / "zh.txt"], "a hash", preparation.Reading())
    with monkeypatch.context() as patch:
        patch.setattr(preparation, "finish", killed)
        with pytest.raises(KeyboardInterrupt):
            preparation.prepare(source, tokenizer, print)
    assert left[0].is_dir()
    assert preparation.prepare(source, tokenizer, print).about.tokens
    assert not left[0].exists()
    assert not [*cache.glob("corpora/*.lock")]


def losses(run: str) -> list[float]:
    lines = Path(run, "training", "metrics.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line)["loss"] for line in lines if "loss" in json.loads(line)]


def test_a_run_on_the_corpus_is_the_run_on_its_files(xinye, texts, monkeypatch):
    """The text of the corpus is never tokenized again, and a stop changes nothing."""
    train = ("--steps", 12, "--evaluations", 1, "--document-separator", r"\n\n")
    of_files = xinye(*("pretrain", "texts", "-o", "files", *TINY, *train, "--shard-cache", "9GB"))
    assert of_files.code == 0 and "left out: 5 duplicate, 1 empty\n" in of_files.err
    assert "note: --shard-cache has no effect on a text" in of_files.err
    assert xinye(*PREPARE, "-o", "corpus", "--size", "1M", "--workers", 1).code == 0

    def refuse(*arguments):
        raise AssertionError("the text is tokenized again")

    train, tiny = train[:4], TINY[:10] + TINY[12:]
    assert "--tokenizer" not in tiny
    with monkeypatch.context() as patch:
        patch.setattr(token_parts, "write_parts", refuse)
        patch.setattr(preparation, "write_parts", refuse)
        assert xinye("pretrain", "corpus", "-o", "run", *tiny, *train).code == 0
        assert len(losses("run")) > 12
        assert losses("run") == losses("files")
        assert xinye("pretrain", "-o", "run", "--resume", "--steps", 13).code == 0
        own = json.loads(xinye("evaluate", "run", "--json").out.splitlines()[-1])
        of_corpus = json.loads(xinye("evaluate", "run", "corpus", "--json").out.splitlines()[-1])
        assert (of_corpus["loss"], of_corpus["tokens"]) == (own["loss"], own["tokens"])
    shutil.rmtree("corpus")  # the same files, cleaned otherwise
    assert xinye(*PREPARE[:-1], "run", "-o", "corpus", "--no-drop-duplicates").code == 0
    outcome = xinye("pretrain", "-o", "run", "--resume", "--steps", 14)
    assert "the text has changed since the run was started" in outcome.complaint


def damage(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def cut(path: Path, at: int) -> None:
    path.write_bytes(path.read_bytes()[:at])


DAMAGE = {
    "a bit": (damage, "shard-00000.tokens", 100, "bytes 0 to "),
    "lengths": (damage, "shard-00000.documents", 0, "bytes 0 to "),
    "truncated": (cut, "shard-00002.tokens", 100, "the file ends at byte 100 of "),
    "manifest": (cut, "corpus.json", 100, "the manifest is damaged"),
    "a number": (
        lambda path, at: path.write_text(path.read_text().replace('"tokens": ', '"tokens": 1')),
        *("corpus.json", 0, "the manifest is damaged"),
    ),
}


def test_damage_is_named_with_its_place(xinye, texts):
    assert xinye(*PREPARE, "-o", "corpus", "--workers", 1).code == 0
    tiny = TINY[:10] + TINY[12:]
    for how, file, at, expected in DAMAGE.values():
        shutil.copytree("corpus", "damaged", dirs_exist_ok=True)
        how(Path("damaged", file), at)
        outcome = xinye("pretrain", "damaged", "-o", "run", "--steps", 9, *tiny)
        assert outcome.code == 1
        assert f"xinye pretrain: damaged/{file}: {expected}" in outcome.err.splitlines()[-1]
        assert not Path("run").exists()
    corpus = Corpus.open(Path("corpus"))
    assert sum(len(corpus.shard(number).tokens) for number in range(3)) > 0, "others are unharmed"


def test_a_shard_that_is_cut_while_a_run_reads_it_is_named(xinye, texts):
    """A process that had mapped it would end without a word."""
    assert xinye(*PREPARE, "-o", "corpus", "--workers", 1).code == 0
    corpus = Corpus.open(Path("corpus"))
    windows = Windows(Division(corpus, 0.1, 10_000).parts()[0], 32, bos_id=0)
    windows.batch(0, 1)
    for file in Path("corpus").glob("*.tokens"):
        os.truncate(file, 10)
    with pytest.raises(
        XinyeError, match=r"corpus/shard-0000\d.tokens: the file ends at byte 10 of"
    ):
        windows.batch(0, 8)


def with_manifest(change) -> None:
    """Give the corpus a manifest with a right checksum and other values."""
    path = Path("corpus", "corpus.json")
    values = json.loads(path.read_text("utf-8"))
    del values["checksum"]
    change(values)
    path.write_text(json.dumps(values | {"checksum": digest_of(values)}), "utf-8")


CONTRADICTIONS = {
    "totals": (lambda it: it.update(tokens=9), "its totals are not those of its shards"),
    "negative": (lambda it: it.update(files=-1), "the manifest is damaged"),
    "no shards": (lambda it: it["shards"].clear(), "the numbers of its shards are wrong"),
    "twice": (lambda it: it["shards"].append(it["shards"][0]), "the numbers of its shards are"),
    "checksums": (
        lambda it: it["shards"][0]["token_checksums"].clear(),
        "shard 0: the number of its checksums is wrong",
    ),
    "huge": (lambda it: it.update(bytes=10**400), "bytes: 1000.* is too large"),
    "format": (lambda it: it.update(format=2), "a newer Xinye made this corpus; update Xinye"),
}


def test_a_manifest_that_contradicts_itself_is_refused(xinye, texts):
    assert xinye(*PREPARE, "-o", "corpus", "--workers", 1).code == 0
    before = Path("corpus", "corpus.json").read_bytes()
    for change, expected in CONTRADICTIONS.values():
        Path("corpus", "corpus.json").write_bytes(before)
        with_manifest(change)
        with pytest.raises(XinyeError, match=expected):
            Corpus.open(Path("corpus"))
    Path("corpus", "corpus.json").write_bytes(before)
    lengths = np.fromfile("corpus/shard-00000.documents", "<u4")
    lengths[0] = 2**32 - 1
    lengths.tofile("corpus/shard-00000.documents")
    right = checksums(Path("corpus/shard-00000.documents"))
    with_manifest(lambda it: it["shards"][0].update(length_checksums=right))
    assert "the lengths of its documents are not those" in xinye("data", "check", "corpus").err


def test_a_corpus_is_checked_whole(xinye, texts):
    assert xinye(*PREPARE, "-o", "corpus", "--workers", 1).code == 0
    found = xinye("data", "check", "corpus")
    assert found.code == 0 and "all checksums are right" in found.out
    shard = Path("corpus", "shard-00001.tokens")
    before = shard.read_bytes()
    tokens = np.frombuffer(before, "<u2").copy()
    tokens[5] = 65_000
    tokens.tofile(shard)
    for words in (("data", "check", "corpus"), (*PREPARE, "-o", "corpus")):
        outcome = xinye(*words)
        assert outcome.code == 1 and "or delete corpus and prepare the corpus" in outcome.err
    right = checksums(shard)
    with_manifest(lambda it: it["shards"][1].update(token_checksums=right))
    assert "token 65,000 is not in the vocabulary" in xinye("data", "check", "corpus").err
    shutil.move("corpus", "texts/corpus")
    assert "a prepared corpus between texts" in xinye("pretrain", "texts", "-o", "run").err
    shutil.copytree("texts/corpus", "texts/other")
    checked = xinye("data", "check", "texts").out
    assert "texts/other" in checked and "json" not in checked
    shutil.rmtree("texts/other")
    checked = xinye("data", "check", "texts").out
    assert checked.count("corpus") == 2 and "a prepared corpus between texts is not read" in checked
    refused = xinye("tokenizer", "train", "texts", "-o", "tokenizer").complaint
    assert "texts/corpus: this is a prepared corpus, not text" in refused


def test_a_corpus_without_texts_beside_it_is_no_text(xinye, texts):
    assert xinye(*PREPARE, "-o", "only/corpus", "--workers", 1).code == 0
    assert "there is no text beside it; give it alone" in xinye("data", "check", "only").complaint
    shutil.make_archive("packed", "zip", "only")
    packed = xinye("data", "check", "packed.zip").complaint
    assert "packed.zip/corpus: this is a prepared corpus" in packed and "unpack" in packed


def test_damaged_leftovers_are_made_again(xinye, texts, monkeypatch):
    assert xinye(*PREPARE, "-o", "whole", "--workers", 1).code == 0

    def stop(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(corpus_folder, "finish", stop)
        assert xinye(*PREPARE, "-o", "again", "--workers", 1).code == 130
    parts = Path("again", ".parts")
    cut(parts / "unit-000000.json", 5)
    (parts / "part-000001-000000.npy").write_bytes(b"garbage")
    spoil(parts / "unit-000002.json", {"parts": 7})
    Path("again", "shard-00000.tokens").unlink()
    cut(parts / "shard-00001.json", 9)
    assert xinye(*PREPARE, "-o", "again", "--workers", 1).code == 0
    assert contents(Path("again")) == contents(Path("whole"))


def spoil(path: Path, changed: dict[str, object]) -> None:
    values = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(values | changed), "utf-8")


def test_notes_with_wrong_values_are_made_again(xinye, texts, monkeypatch):
    """Also those whose checksum is right."""
    assert xinye(*PREPARE, "-o", "whole", "--workers", 1).code == 0

    def stop(*arguments):
        raise KeyboardInterrupt

    wrong = [{"parts": n} for n in (0, -3, 1e400, True, 10**400)]
    wrong += [{"dropped": {"duplicate": "x"}}, {"dropped": []}, {"notes": [["a", "b"]]}]
    parts = Path("again", ".parts")
    for number, values in enumerate([*wrong, None]):
        with monkeypatch.context() as patch:
            patch.setattr(corpus_folder, "finish", stop)
            assert xinye(*PREPARE, "-o", "again", "--workers", 1).code == 130
        if values is None:
            (parts / "unit-000001.json").write_text("[" * 10**5, "utf-8")
            spoil(parts / "shard-00001.json", {"characters": "x"})
            continue
        spoil(parts / "unit-000001.json", values)
        if number % 2 == 0:
            found = json.loads((parts / "unit-000001.json").read_text("utf-8"))
            del found["checksum"]
            write_sealed(parts / "unit-000001.json", found)
    assert xinye(*PREPARE, "-o", "again", "--workers", 1).code == 0
    assert contents(Path("again")) == contents(Path("whole"))


def test_a_full_disk_is_named_and_other_problems_are_not_called_one(xinye, texts, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(corpus_folder, "write_json", full)
    assert "free some disk space there, or choose" in xinye(*PREPARE, "-o", "corpus").complaint
    Path("file").write_text("x", "utf-8")
    complaint = xinye(*PREPARE, "-o", "file/corpus").complaint
    assert "choose another -o" in complaint and "disk space" not in complaint


def test_settings_without_effect_and_other_tokenizers_are_refused(xinye, texts, trained):
    assert xinye(*PREPARE, "-o", "corpus", "--workers", 1).code == 0
    for words, expected in (
        (("--field", "text"), "--field has no effect on corpus"),
        (("--no-drop-duplicates",), "--drop-duplicates has no effect on corpus"),
        (("--tokenizer", "bpe"), "--tokenizer has no effect on corpus"),
        (("--tokenizer", trained), "its text was tokenized with another tokenizer than that of"),
        (("zh.txt",), "corpus: this is a prepared corpus; give it alone"),
    ):
        outcome = xinye("pretrain", "corpus", "-o", "run", "--steps", 1, *words)
        assert expected in outcome.err.splitlines()[-1] and outcome.code == 2
    of_other = xinye("evaluate", trained, "corpus").complaint
    assert "corpus: its text was tokenized with another tokenizer" in of_other
    assert "--field has no effect" in xinye("evaluate", trained, "corpus", "--field", "a").complaint
