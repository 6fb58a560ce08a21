"""`Store`: a database in one file, which threads and processes can use at the same time."""

import os
import sqlite3
import threading
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from sqlite3 import Row

from xinye.data.files import check_file
from xinye.errors import Unavailable, XinyeError

BESIDE = ("-wal", "-shm")  # the ends of the names of files that SQLite keeps next to a database
TIMEOUT = 5.0  # seconds to wait for another process
_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_REFUSED = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM)


class Transaction:
    """What can be done inside `Store.writing()` or `Store.reading()`. Values fill the question
    marks of a statement in order."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def select(self, statement: str, *values: object) -> list[Row]:
        """All rows of a result."""
        return self._connection.execute(statement, values).fetchall()

    def select_one(self, statement: str, *values: object) -> Row | None:
        """The first row of a result, or None."""
        row: Row | None = self._connection.execute(statement, values).fetchone()
        return row

    def execute(self, statement: str, *values: object) -> int:
        """Execute one statement. Returns how many rows it changed."""
        return self._connection.execute(statement, values).rowcount

    def execute_many(self, statement: str, rows: Iterable[Sequence[object]]) -> int:
        """Execute a statement once for each row of values. Returns how many rows it changed."""
        return self._connection.executemany(statement, rows).rowcount

    def insert(self, table: str, **columns: object) -> int:
        """Add a row. Returns its number, if the table numbers its rows."""
        names = ", ".join(columns)
        marks = ", ".join("?" * len(columns))
        statement = f"INSERT INTO {table} ({names}) VALUES ({marks})"
        return self._connection.execute(statement, tuple(columns.values())).lastrowid or 0


class Store:
    """An SQLite database that is made, brought up to date, and opened.

    What `writing()` has saved stays saved if the process is killed or the power fails
    (`synchronous=FULL`: one fsync for each transaction, since a customer was told that the message
    has arrived). One thread or process writes at a time. Reading waits for no writer (write-ahead
    log), and for no other that reads: each has a connection of its own. Deleted texts are
    overwritten, see `scrub`.

    A disk that is full and a database that is locked raise `Unavailable`. Nothing of the
    transaction is saved then, and the store can be used again later.
    """

    def __init__(
        self,
        path: str | Path,
        kind: str,
        migrations: Sequence[str],
        create: bool = True,
        timeout: float = TIMEOUT,
    ) -> None:
        """Open the store of this `kind`, such as "support". `migrations` are SQL scripts; each is
        executed once for each file, in order, and whole or not at all. Never change one that was
        released: add another.

        Raises `XinyeError` if there is no file and `create` is false, and for a file that is
        damaged, of another program or of a newer Xinye."""
        self.path = Path(os.path.abspath(path))
        self.timeout = timeout
        self._kind = kind
        self._mark = zlib.crc32(f"xinye {kind}".encode()) >> 1  # SQLite keeps 31 bits
        self._writing, self._reading = threading.RLock(), threading.Condition()
        self._readers: list[sqlite3.Connection] = []  # those that nobody uses now
        self._in_use, self._closed = 0, False  # of the connections that read
        self._make_file(create)
        with self._explained():
            self._writer = self._connect()
            try:
                self._prepare(migrations)
                self._readers.append(self._connect_reader())
            except BaseException:
                self._writer.close()
                raise

    def close(self) -> None:
        """Close the file. The last process that does so also removes SQLite's files beside it."""
        with self._writing, self._reading:
            self._closed = True
            self._reading.wait_for(lambda: not self._in_use)
            for connection in self._readers:
                connection.close()
            self._writer.close()

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        """A transaction that is saved at the end of the block, and undone if an error leaves it.
        Nobody else writes meanwhile."""
        with self._explained(), self._held(self._writing):
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield Transaction(self._writer)
                self._writer.execute("COMMIT")
            finally:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """A transaction that sees one state of the database and changes nothing."""
        with self._explained(), self._reader() as connection:
            connection.execute("BEGIN")
            try:
                yield Transaction(connection)
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    @contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        """A connection that nobody else uses meanwhile. There come to be as many as threads have
        read at the same time."""
        with self._held(self._reading):
            if self._closed:
                raise sqlite3.ProgrammingError("the store is closed")
            connection = self._readers.pop() if self._readers else self._connect_reader()
            self._in_use += 1
        try:
            yield connection
        finally:
            with self._reading:
                self._in_use -= 1
                self._readers.append(connection)
                self._reading.notify_all()

    def scrub(self) -> None:
        """Leave no byte of deleted rows in the file or beside it. Takes one to three seconds for
        each 100 MB, in which nothing is written.

        `secure_delete` alone is not enough: when SQLite moves rows to another page, it leaves a
        copy that it later does not overwrite. `VACUUM` writes all pages again."""
        with self._explained(), self._held(self._writing), self._held(self._reading):
            if not self._reading.wait_for(lambda: not self._in_use, self.timeout):
                raise self._locked()
            self._writer.execute("VACUUM")
            self._checkpoint()

    def _checkpoint(self) -> None:
        """Move all of the write-ahead log into the database, and empty it."""
        busy, _, _ = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise Unavailable(
                f"{self.path}: another program is reading the database, so deleted texts are still "
                f"in {self.path.name}-wal; close it, then run the command again"
            )

    # -- opening -----------------------------------------------------------------------------------

    def _make_file(self, create: bool) -> None:
        """Make the file if there is none, for its owner only, since it holds texts of customers."""
        try:
            for path in (self.path, *(self.path.with_name(self.path.name + end) for end in BESIDE)):
                if path.is_symlink():
                    raise XinyeError(
                        f"{path}: this is a link, which is not followed; name the file itself"
                    )
            if create and not self.path.exists():
                flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
                with suppress(FileExistsError):  # another process was faster
                    os.close(os.open(self.path, flags, 0o600))
        except OSError as error:
            raise XinyeError(
                f"{self.path}: the file cannot be created ({error.strerror}); create its folder, "
                "or correct the permissions"
            ) from None
        check_file(self.path)
        if self.path.stat().st_nlink > 1:  # under each name SQLite keeps a log of its own
            raise XinyeError(
                f"{self.path}: this file has a second name (a hard link), and messages are lost if "
                "programs use different names; delete the other name, or copy the file"
            )

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=self.timeout, isolation_level=None, check_same_thread=False
        )
        connection.row_factory = Row
        connection.execute("PRAGMA temp_store = MEMORY")  # no text in temporary files
        return connection

    def _connect_reader(self) -> sqlite3.Connection:
        connection = self._connect()
        connection.execute("PRAGMA query_only = ON")
        return connection

    def _prepare(self, migrations: Sequence[str]) -> None:
        version = self._check_kind(len(migrations))
        self._use_log()
        self._writer.execute("PRAGMA foreign_keys = ON")
        self._writer.execute("PRAGMA synchronous = FULL")
        self._writer.execute("PRAGMA secure_delete = ON")
        problem = self._writer.execute("PRAGMA quick_check(1)").fetchone()[0] if version else "ok"
        if problem != "ok":
            raise self._damaged()
        for number, script in enumerate(migrations, 1):
            if number > version:
                self._migrate(number, script)

    def _check_kind(self, newest: int) -> int:
        """The version of the database: how many migrations it has had."""
        self._writer.execute("BEGIN")  # one state, though another process may be making the tables
        mark, version, tables = (
            self._writer.execute(statement).fetchone()[0]
            for statement in (
                "PRAGMA application_id",
                "PRAGMA user_version",
                "SELECT count(*) FROM sqlite_master",
            )
        )
        self._writer.execute("COMMIT")
        if mark != self._mark and (mark or version or tables):
            raise XinyeError(
                f"{self.path}: this database is not of xinye {self._kind}; name another file"
            )
        if version > newest:
            raise XinyeError(
                f"{self.path}: this file is of a newer Xinye (version {version} of the tables, and "
                f"this Xinye knows {newest}); update Xinye"
            )
        return int(version)

    def _use_log(self) -> None:
        """Switch to the write-ahead log. SQLite does not wait for other processes when it does."""
        end = time.monotonic() + self.timeout
        while True:
            try:
                self._writer.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if _code(error) not in _LOCKED or time.monotonic() > end:
                    raise
            time.sleep(0.01)

    def _migrate(self, number: int, script: str) -> None:
        with self.writing() as transaction:
            version = transaction.select("PRAGMA user_version")[0][0]
            if version >= number:  # another process was faster
                return
            for statement in _statements(script):
                transaction.execute(statement)
            transaction.execute(f"PRAGMA application_id = {self._mark}")
            transaction.execute(f"PRAGMA user_version = {number}")

    # -- errors ------------------------------------------------------------------------------------

    @contextmanager
    def _held(self, lock: "threading.RLock | threading.Condition") -> Iterator[None]:
        if not lock.acquire(timeout=self.timeout):
            raise self._locked()
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Inside, SQLite's errors become errors that a user understands."""
        try:
            yield
        except sqlite3.Error as error:
            explained = self._as_error(error)
            if explained is None:
                raise
            raise explained from error
        except OverflowError as error:
            if "SQLite INTEGER" not in str(error):
                raise
            raise XinyeError("a number has more than 18 digits; check it") from error

    def _as_error(self, error: sqlite3.Error) -> XinyeError | None:
        match _code(error):
            case code if code in _LOCKED:
                return self._locked()
            case code if code in _FULL:
                return Unavailable(
                    f"{self.path}: the disk is full or cannot be written ({error}); nothing was "
                    "saved. Free some space, then try again"
                )
            case code if code in _REFUSED:
                return XinyeError(
                    f"{self.path}: the database cannot be opened for writing ({error}); check the "
                    "permissions of the file and of its folder"
                )
            case sqlite3.SQLITE_NOTADB:
                return XinyeError(f"{self.path}: this file is not a database; name another file")
            case sqlite3.SQLITE_CORRUPT:
                return self._damaged()
        return None

    def _locked(self) -> XinyeError:
        return Unavailable(
            f"{self.path}: the database has been locked for {self.timeout:g} seconds; try again, "
            "or end the program that uses it"
        )

    def _damaged(self) -> XinyeError:
        return XinyeError(f"{self.path}: the database is damaged; replace it with a backup", 1)


def _code(error: sqlite3.Error) -> int:
    """SQLite's code of an error without its details; 0 if the error is Python's."""
    return int(getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def _statements(script: str) -> Iterator[str]:
    """The statements of an SQL script. Those of a trigger stay one with it."""
    statement = ""
    for part in script.split(";")[:-1]:
        statement += part + ";"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
