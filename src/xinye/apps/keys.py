"""The secret of a store, in a file of its own beside it. Whoever has a copy of the database only,
such as a backup, cannot try out which phone numbers or accounts its hashes stand for."""

import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path

from xinye.apps.store import Store, Transaction
from xinye.errors import XinyeError

SIZE = 32  # bytes
# for the first migration of a store that has a secret
TABLE = "CREATE TABLE secret (proof TEXT NOT NULL);"


def secret_of(store: Store) -> bytes:
    """The secret of a store. It is made with the store, in a file that only its owner can read.

    Raises `XinyeError` if the file is missing, or belongs to another store."""
    path = store.path.with_name(store.path.name + ".key")
    with store.writing() as transaction:  # no other process makes one now
        row = transaction.select_one("SELECT proof FROM secret")
        if row is None:
            return _made(path, transaction)
    secret = _read(path)
    if secret is None:
        raise XinyeError(
            f"{path}: the key of {store.path.name} is missing; copy it here from a backup. Without "
            "it, nothing of what is in the store can be recognized again"
        )
    if not hmac.compare_digest(_proof(secret), row["proof"]):
        raise XinyeError(f"{path}: this is the key of another store; copy the right one here")
    return secret


def keyed_hash(secret: bytes, what: str, value: str) -> str:
    """A hash of a value that cannot be computed without the secret (HMAC-SHA-256). `what` keeps
    values of different kinds apart."""
    message = f"{what}\n{value}".encode("utf-8", "surrogatepass")
    return hmac.new(secret, message, hashlib.sha256).hexdigest()


def _made(path: Path, transaction: Transaction) -> bytes:
    # A key that is there already may belong to a store that was moved away, so it is kept. One that
    # is not whole was left by a process that was killed here.
    secret = _read(path) or b""
    if len(secret) != SIZE:
        secret = secrets.token_bytes(SIZE)
        _write(path, secret)
    transaction.insert("secret", proof=_proof(secret))
    return secret


def _write(path: Path, secret: bytes) -> None:
    try:
        with suppress(FileNotFoundError):
            path.unlink()
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with open(opened, "wb") as file:
            file.write(secret)
            file.flush()
            os.fsync(opened)
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)  # so that the name survives a power failure, too
        os.close(folder)
    except OSError as error:
        raise XinyeError(f"{path}: the key cannot be written ({error.strerror})") from None


def _read(path: Path) -> bytes | None:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            return file.read(SIZE + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise XinyeError(f"{path}: the key cannot be read ({error.strerror})") from None


def _proof(secret: bytes) -> str:
    return keyed_hash(secret, "proof", "")
