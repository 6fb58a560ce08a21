"""A corpus in an object store: shards come into a shared cache of limited size, and whatever goes
wrong is one line."""

import os
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest

from data.s3_server import S3Server, serving
from xinye.cli.main import main
from xinye.data import gathering, locks, object_store
from xinye.data.corpus import Corpus
from xinye.data.object_store import ObjectStore
from xinye.demo.stories import stories
from xinye.errors import XinyeError
from xinye.planning.units import parse_bytes

ADDRESS = "s3://bucket/corpus"
TEXT = "\n\n".join(stories(40, "zh"))
PLENTY = 10**9


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of several shards in a folder."""
    folder = tmp_path_factory.mktemp("texts")
    (folder / "zh.txt").write_text(TEXT, "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gathering, "SHARD_DOCUMENTS", 4)
        patch.setattr(gathering, "LEAST_DOCUMENTS", 1)
        words = ("--workers", "1", "--document-separator", r"\n\n", "--tokenizer", "char")
        prepare = ("data", "prepare", str(folder / "zh.txt"), "-o", str(folder / "corpus"))
        assert main([*prepare, *words]) == 0
    return folder / "corpus"


@pytest.fixture
def server(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """A server with the corpus, and a cache of one's own."""
    monkeypatch.setattr(object_store, "WAIT", 0.001)
    monkeypatch.setenv("XINYE_CACHE", str(tmp_path / "cache"))
    with serving() as server:
        server.add("bucket", corpus)
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


def whole(address: str = ADDRESS, limit: int = PLENTY) -> list[int]:
    tokens: list[int] = Corpus(ObjectStore(address, limit)).whole().tokens.tolist()
    return tokens


def cached(kind: str = "tokens") -> list[Path]:
    return sorted(Path(os.environ["XINYE_CACHE"], "shards").glob(f"*.{kind}"))


def test_it_is_the_corpus_of_the_folder_and_comes_once(server, corpus) -> None:
    expected = Corpus.open(corpus).whole().tokens.tolist()
    assert whole() == expected
    shards = [name for name in server.asked if "shard-" in name]
    assert len(shards) == len(set(shards)) == 2 * len(Corpus.open(corpus).about.shards)
    server.asked.clear()
    assert whole() == expected
    assert server.asked == ["bucket/corpus/corpus.json"]


def test_an_answer_that_breaks_off_is_asked_for_again(server, corpus) -> None:
    server.cut = 4
    assert whole() == Corpus.open(corpus).whole().tokens.tolist()


def test_the_least_recently_used_shard_makes_room_but_never_one_in_use(server, corpus) -> None:
    sizes = [path.stat().st_size for path in corpus.glob("*.tokens")]
    place = ObjectStore(ADDRESS, 3 * max(sizes) + 500)
    remote = Corpus(place)
    first = remote.shard_tokens(0)
    held = cached()
    os.utime(held[0], (0, 0))  # used longest ago
    last = len(sizes) - 1
    for number in range(1, last + 1):
        remote.shard_tokens.cache_clear()
        assert len(remote.shard_tokens(number))
    remote.shard_tokens.cache_clear()
    assert held[0] in cached(), "it is in use"
    assert 1 < len(cached()) < len(sizes)
    assert first[:].tolist() == Corpus.open(corpus).shard_tokens(0)[:].tolist()
    del first
    os.utime(held[0], (0, 0))
    server.asked.clear()
    remote.shard_tokens(1)
    assert [name for name in server.asked if name.endswith("00001.tokens")]
    assert held[0] not in cached()


def test_a_shard_that_is_expected_is_fetched_ahead(server) -> None:
    place = ObjectStore(ADDRESS, PLENTY)
    remote = Corpus(place)
    remote.expect(2)
    assert place._ahead is not None
    place._ahead.join()
    server.asked.clear()
    assert len(remote.shard_tokens(2)) and not server.asked


def test_several_threads_fetch_a_shard_once(server) -> None:
    found: list[list[int]] = []
    threads = [threading.Thread(target=lambda: found.append(whole())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0] == found[1] == found[2]
    shards = [name for name in server.asked if "shard-" in name]
    assert len(shards) == len(set(shards))


def test_a_shard_damaged_in_the_cache_is_fetched_again(server) -> None:
    expected = whole()
    cached()[0].write_bytes(b"damaged")
    assert whole() == expected


def spoil(server: S3Server, name: str, change: object) -> None:
    server.objects[f"bucket/corpus/{name}"] = change(server.objects[f"bucket/corpus/{name}"])  # type: ignore[operator]


def test_only_its_own_files_are_removed_from_the_cache(server, corpus, tmp_path) -> None:
    shards = tmp_path / "cache" / "shards"
    shards.mkdir(parents=True)
    for name in ("mine.tokens", "notes", f".{'a' * 32}.tokens.new"):
        (shards / name).write_bytes(bytes(10**5))
    (shards / f"{'b' * 32}.tokens").symlink_to(shards / "notes")
    sizes = [path.stat().st_size for path in corpus.glob("*.tokens")]
    remote = Corpus(ObjectStore(ADDRESS, 3 * max(sizes) + 500))
    for number in range(len(sizes)):
        assert len(remote.shard_tokens(number))
    assert len([*shards.iterdir()]) > 4
    assert (shards / "mine.tokens").exists() and (shards / "notes").exists()
    assert (shards / f".{'a' * 32}.tokens.new").exists() and (
        shards / f"{'b' * 32}.tokens"
    ).exists()


def test_without_locks_no_shard_is_removed(server, corpus, monkeypatch) -> None:
    """Another process may be using it, or writing it."""
    sizes = [path.stat().st_size for path in corpus.glob("*.tokens")]
    monkeypatch.setattr(locks.fcntl, "flock", Mock(side_effect=OSError))
    remote = Corpus(ObjectStore(ADDRESS, 3 * max(sizes) + 500))
    for number in range(len(sizes)):
        remote.shard_tokens.cache_clear()
        remote.shard_tokens(number)
    assert len(cached()) == len(sizes)


def test_what_is_no_file_in_the_cache_is_refused(server, tmp_path) -> None:
    whole()
    path = cached()[0]
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(XinyeError, match="this is not a file of the cache"):
        whole()
    shards = tmp_path / "cache" / "shards"
    shards.rename(tmp_path / "elsewhere")
    shards.symlink_to(tmp_path / "elsewhere")
    path.unlink()
    with pytest.raises(XinyeError, match="shards: this is a link or a file"):
        whole()


def test_no_more_is_read_than_a_file_may_have(server, monkeypatch) -> None:
    monkeypatch.setattr(object_store, "LARGEST_JSON", 100)
    with pytest.raises(XinyeError, match=r"corpus\.json: the file goes on after byte 100"):
        whole()


WRONG = {
    "bucket": (lambda server: server.objects.update({}), "s3://other/corpus", "no such bucket"),
    "corpus": (lambda server: None, "s3://bucket/other", "there is no such object"),
    "shard": (
        lambda server: server.objects.pop("bucket/corpus/shard-00001.tokens"),
        *(ADDRESS, "corpus/shard-00001.tokens: there is no such object"),
    ),
    "truncated": (
        lambda server: spoil(server, "shard-00001.tokens", lambda data: data[:100]),
        *(ADDRESS, "corpus/shard-00001.tokens: the file ends at byte 100 of"),
    ),
    "damaged": (
        lambda server: spoil(server, "shard-00001.tokens", lambda data: b"\1" + data[1:]),
        *(ADDRESS, "corpus/shard-00001.tokens: bytes 0 to "),
    ),
    "manifest": (
        lambda server: spoil(server, "corpus.json", lambda data: data[:100]),
        *(ADDRESS, "corpus/corpus.json: the manifest is damaged"),
    ),
    "network": (lambda server: setattr(server, "cut", 1000), ADDRESS, "tried 6 times"),
    "address": (lambda server: None, "s3://", "this is no address of a corpus"),
    "credentials": (
        lambda server: os.environ.update(AWS_ACCESS_KEY_ID="AKIAOTHER"),
        *(ADDRESS, "access is denied; check the credentials"),
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_goes_wrong_is_named(server, what: str) -> None:
    change, address, expected = WRONG[what]
    change(server)
    with pytest.raises(XinyeError, match=expected):
        whole(address)


def test_a_cache_that_is_too_small_is_refused(server) -> None:
    with pytest.raises(XinyeError, match="give at least --shard-cache 1MB"):
        whole(limit=1000)


def test_training_reads_the_store(server, corpus, xinye, workplace, no_measuring) -> None:
    shutil.rmtree(workplace / "run", ignore_errors=True)
    train = ("--size", "1M", "--layers", 1, "--width", 64, "--context", 32, "--steps", 2)
    outcome = xinye("pretrain", ADDRESS, "-o", "run", *train, "--evaluations", 1)
    assert outcome.code == 0 and cached()
    server.objects.clear()
    outcome = xinye("pretrain", ADDRESS, "-o", "run", "--resume", "--steps", 3)
    assert outcome.code == 1
    assert outcome.complaint.startswith("xinye pretrain: s3://bucket/corpus/corpus.json: there is")


def test_the_missing_library_and_a_wrong_size_are_named(server, xinye, monkeypatch) -> None:
    outcome = xinye("pretrain", ADDRESS, "-o", "run", "--shard-cache", "much")
    assert "--shard-cache: 'much' is not a size such as 500MB or 10GB" in outcome.complaint
    monkeypatch.setitem(sys.modules, "obstore", None)
    outcome = xinye("pretrain", ADDRESS, "-o", "run")
    assert outcome.code == 2 and f"{ADDRESS} needs obstore; to install it: " in outcome.err
    assert "[cluster]" in outcome.err


@pytest.mark.parametrize(
    ("text", "size"), [("10GB", 10**10), ("1.5 tb", 15 * 10**11), ("2m", 2 * 10**6)]
)
def test_sizes(text: str, size: int) -> None:
    assert parse_bytes(text) == size
