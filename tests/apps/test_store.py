"""The store: one file that threads and processes share, and what happens when something goes wrong."""

import random
import re
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from xinye.apps.store import Store
from xinye.errors import Unavailable, XinyeError

NOTES = "CREATE TABLE notes (text TEXT);"
TAGS = """
CREATE TABLE tags (text TEXT);
CREATE TRIGGER kept BEFORE DELETE ON tags BEGIN SELECT RAISE(ABORT, '; kept'); END;
"""


def opened(path: Path, *migrations: str, **options: object) -> Store:
    return Store(path, "notes", migrations or (NOTES,), **options)  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = opened(tmp_path / "notes.db", timeout=0.2)
    yield store
    store.close()


def write(store: Store, text: str) -> None:
    with store.writing() as transaction:
        transaction.insert("notes", text=text)


def texts(store: Store) -> list[str]:
    with store.reading() as transaction:
        return [row["text"] for row in transaction.select("SELECT text FROM notes ORDER BY rowid")]


@contextmanager
def other_process(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A process that executes this code, after it has printed its first line."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


# -- the file --------------------------------------------------------------------------------------


def test_only_the_owner_can_read_the_files(store: Store) -> None:
    write(store, "保密")
    files = [*store.path.parent.iterdir()]
    assert {file.name for file in files} == {"notes.db", "notes.db-wal", "notes.db-shm"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


@pytest.mark.parametrize("end", ["", "-wal", "-shm"])
def test_no_link_is_followed(tmp_path: Path, end: str) -> None:
    (tmp_path / f"notes.db{end}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(XinyeError, match=f"notes.db{end}: this is a link"):
        opened(tmp_path / "notes.db")
    assert not (tmp_path / "elsewhere").exists()


def test_a_store_has_one_name(store: Store) -> None:
    """SQLite keeps a log for each name, and two servers would not know of each other."""
    other = store.path.with_name("other.db")
    other.hardlink_to(store.path)
    with pytest.raises(XinyeError, match=r"other\.db: this file has a second name"):
        opened(other)
    other.unlink()
    opened(store.path).close()


def no_file(path: Path) -> None:
    path.unlink()


def other_text(path: Path) -> None:
    path.write_text("这不是数据库。" * 100, "utf-8")


def other_program(path: Path) -> None:
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE bookmarks (address TEXT)")
    connection.close()


def other_application(path: Path) -> None:
    path.unlink()
    Store(path, "monitor", (NOTES,)).close()


def newer(path: Path) -> None:
    opened(path, NOTES, TAGS).close()


def damaged(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096:] = bytes(len(data) - 4096)
    path.write_bytes(data)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (no_file, "no such file"),
        (other_text, "this file is not a database"),
        (other_program, "this database is not of xinye notes"),
        (other_application, "this database is not of xinye notes"),
        (newer, r"newer Xinye \(version 2 of the tables, and this Xinye knows 1\); update Xinye"),
        (damaged, "the database is damaged; replace it with a backup"),
        (folder, "this is a folder"),
    ],
)
def test_a_file_that_is_no_store_is_refused_and_unchanged(tmp_path, change, problem) -> None:
    path = tmp_path / "notes.db"
    opened(path).close()
    change(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(XinyeError, match=problem) as refused:
        opened(path, create=False)
    assert str(refused.value).startswith(str(path)) and "\n" not in str(refused.value)
    assert (path.read_bytes() if path.is_file() else b"") == before


@pytest.mark.parametrize("name", ["nowhere/notes.db", "名" * 200])
def test_a_name_that_cannot_be_made(tmp_path: Path, name: str) -> None:
    with pytest.raises(XinyeError, match=r"cannot be created .*create its folder"):
        opened(tmp_path / name)


READ_ONLY = """
import os, sys
from pathlib import Path
from xinye.apps.store import Store
from xinye.errors import XinyeError
if os.geteuid() == 0:
    os.setuid(65534)  # no permissions stop root
try:
    Store(Path(sys.argv[1]), "notes", ("CREATE TABLE notes (text TEXT);",))
except XinyeError as error:
    print(error)
"""


@pytest.mark.parametrize("exists", [False, True])
def test_a_folder_that_cannot_be_written(tmp_path: Path, exists: bool) -> None:
    place = tmp_path / "closed"
    place.mkdir()
    if exists:
        opened(place / "notes.db").close()
        (place / "notes.db").chmod(0o644)
    for folder in (place, *place.parents[:4]):
        folder.chmod(0o755)
    place.chmod(0o555)
    said = subprocess.run(
        [sys.executable, "-c", READ_ONLY, place / "notes.db"], capture_output=True, text=True
    )
    problem = "cannot be opened for writing" if exists else "cannot be created"
    assert problem in said.stdout and said.stdout.count("\n") == 1, said


# -- migrations ------------------------------------------------------------------------------------


def test_migrations_are_executed_once_and_in_order(tmp_path: Path) -> None:
    store = opened(tmp_path / "notes.db")
    write(store, "先有的")
    store.close()
    for _ in range(2):
        store = opened(tmp_path / "notes.db", NOTES, TAGS)
        assert texts(store) == ["先有的"]
        with pytest.raises(sqlite3.IntegrityError, match="; kept"), store.writing() as transaction:
            transaction.insert("tags", text="茶")
            transaction.execute("DELETE FROM tags")
        store.close()


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    opened(tmp_path / "notes.db").close()
    with pytest.raises(sqlite3.OperationalError, match="nonsense"):
        opened(tmp_path / "notes.db", NOTES, TAGS + "nonsense;")
    store = opened(tmp_path / "notes.db", NOTES, TAGS)  # else the table exists already
    store.close()


def test_several_open_a_new_file_at_once(tmp_path: Path) -> None:
    problems: list[BaseException] = []

    def open_and_write() -> None:
        try:
            store = opened(tmp_path / "notes.db", NOTES, TAGS)
            write(store, "同时")
            store.close()
        except BaseException as error:
            problems.append(error)

    run_in_threads(open_and_write)
    assert problems == []
    store = opened(tmp_path / "notes.db", NOTES, TAGS)
    assert len(texts(store)) == 6
    store.close()


def run_in_threads(function, count: int = 6) -> None:
    threads = [threading.Thread(target=function) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# -- transactions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit])
def test_an_error_undoes_the_transaction(store: Store, error: type[BaseException]) -> None:
    with pytest.raises(error), store.writing() as transaction:
        transaction.insert("notes", text="undone")
        raise error
    write(store, "done")
    assert texts(store) == ["done"]


def test_threads_wait_for_each_other(tmp_path: Path) -> None:
    store = opened(tmp_path / "notes.db")
    write(store, "0")

    def count() -> None:
        for _ in range(10):
            with store.writing() as transaction:
                (row,) = transaction.select("SELECT text FROM notes")
                transaction.execute("UPDATE notes SET text = ?", str(int(row["text"]) + 1))
            texts(store)

    run_in_threads(count)
    assert texts(store) == ["60"]
    store.close()


def test_readings_do_not_wait_for_each_other(store: Store) -> None:
    write(store, "一")
    together = threading.Barrier(6, timeout=10)
    states: list[int] = []

    def read() -> None:
        with store.reading() as transaction:
            transaction.select("SELECT 1 FROM notes")
            together.wait()  # all threads are inside
            states.append(transaction.select("SELECT count(*) FROM notes")[0][0])
            together.wait()
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                transaction.execute("DELETE FROM notes")

    run_in_threads(read)
    assert states == [1] * 6 and texts(store) == ["一"]


def test_what_rewrites_the_file_waits_for_those_who_read(store: Store) -> None:
    with store.reading() as transaction:
        transaction.select("SELECT 1 FROM notes")
        refused: list[Exception] = []

        def scrub() -> None:
            try:
                store.scrub()
            except Unavailable as error:
                refused.append(error)

        run_in_threads(scrub, 1)
        assert len(refused) == 1
    store.scrub()


def test_a_closed_store_is_not_opened_again(tmp_path: Path) -> None:
    store = opened(tmp_path / "notes.db")
    store.close()
    with pytest.raises(sqlite3.ProgrammingError):
        texts(store)


def test_reading_sees_one_state(store: Store) -> None:
    write(store, "一")
    with store.reading() as transaction:
        (before,) = transaction.select("SELECT count(*) FROM notes")
        write(store, "二")
        (after,) = transaction.select("SELECT count(*) FROM notes")
    assert before[0] == after[0] == 1
    assert texts(store) == ["一", "二"]


# -- faults ----------------------------------------------------------------------------------------

LOCKING = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute(sys.argv[2])
connection.execute("SELECT count(*) FROM notes").fetchone()
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_database_that_another_process_locks(store: Store) -> None:
    with other_process(LOCKING, store.path, "BEGIN IMMEDIATE"):
        with pytest.raises(Unavailable, match=r"locked for 0.2 seconds; try again") as refused:
            write(store, "verloren")
        assert refused.value.exit_code == 1
        assert texts(store) == []  # reading waits for nobody
    write(store, "后来")
    assert texts(store) == ["后来"]


def test_a_thread_that_holds_the_store_for_too_long(store: Store) -> None:
    refused: list[Exception] = []

    def wait() -> None:
        try:
            write(store, "late")
        except Unavailable as error:
            refused.append(error)

    with store.writing():
        run_in_threads(wait, 1)
    assert len(refused) == 1


def test_a_full_database(store: Store) -> None:
    write(store, "before")
    with store.writing() as transaction:
        transaction.select("PRAGMA max_page_count = 8")
    with pytest.raises(Unavailable, match="the disk is full"):
        write(store, "满" * 20_000)
    assert texts(store) == ["before"]
    with store.writing() as transaction:
        transaction.select("PRAGMA max_page_count = 100000")
    write(store, "after")
    assert texts(store) == ["before", "after"]


FULL_DISK = """
import resource, sys
from xinye.apps.store import Store
from xinye.errors import Unavailable

def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

def write(text):
    with store.writing() as transaction:
        transaction.insert("notes", text=text)

store = Store(sys.argv[1], "notes", ("CREATE TABLE notes (text TEXT);",))
limit(200_000)
written = 0
try:
    while True:
        write(f"{written} " + "茶" * 1000)
        written += 1
except Unavailable as error:
    assert "the disk is full or cannot be written" in str(error), error
limit(resource.RLIM_INFINITY)
write("there is room again")
with store.reading() as transaction:
    texts = [row["text"] for row in transaction.select("SELECT text FROM notes")]
assert [text.split()[0] for text in texts[:-1]] == [str(number) for number in range(written)]
print(written, texts[-1])
"""


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    said = subprocess.run([sys.executable, "-c", FULL_DISK, path], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    written, words = said.stdout.split(maxsplit=1)
    assert int(written) > 10 and words == "there is room again\n"
    store = opened(path)
    assert len(texts(store)) == int(written) + 1
    store.close()


def test_a_number_that_is_too_large(store: Store) -> None:
    with pytest.raises(XinyeError, match="18 digits"), store.reading() as transaction:
        transaction.select("SELECT * FROM notes WHERE rowid = ?", 10**30)


# -- deleting --------------------------------------------------------------------------------------


def test_no_byte_of_what_was_deleted_remains(store: Store) -> None:
    """Rows of all sizes come and go, so that SQLite moves them between pages. Without `VACUUM`, five
    of those deleted here stay in the file."""
    draw = random.Random(8)
    alive: list[tuple[str, int]] = []
    gone: set[int] = set()
    with store.writing() as transaction:
        transaction.execute(
            "CREATE TABLE many (a TEXT, b INTEGER, text TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID"
        )
        for number in range(1500):
            key = f"g{draw.randrange(60)}"
            text = f"SECRET{number:06}x" * draw.choice([1, 3, 30, 400])
            transaction.insert("many", a=key, b=number, text=text)
            alive.append((key, number))
            if draw.random() < 0.1:
                some = draw.choice(alive)[0]
                for each in [each for each in alive if each[0] == some][: draw.randrange(20)]:
                    transaction.execute("DELETE FROM many WHERE a = ? AND b = ?", *each)
                    alive.remove(each)
                    gone.add(each[1])
    store.scrub()
    assert not Path(f"{store.path}-wal").stat().st_size
    store.close()
    found = {int(digits) for digits in re.findall(rb"SECRET(\d{6})", store.path.read_bytes())}
    assert len(gone) > 400 and found == {number for _, number in alive}


def test_deleting_says_when_another_process_reads_the_old_state(store: Store) -> None:
    write(store, "秘密")
    with other_process(LOCKING, store.path, "BEGIN"):
        with store.writing() as transaction:
            transaction.execute("DELETE FROM notes")
        with pytest.raises(Unavailable, match=r"deleted texts are still in notes\.db-wal"):
            store.scrub()
    store.scrub()
    assert b"\xe7\xa7\x98" not in Path(f"{store.path}-wal").read_bytes()
