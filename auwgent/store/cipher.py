"""SQLite files that SQLCipher encrypts as a whole, and the keys to them.

A key is a text, from which SQLCipher derives what it encrypts with, or `keyring:NAME`: the one that the system's
keyring has under that name.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import SecretStr
from sqlalchemy.engine import URL

from auwgent.errors import ConfigError, StoreError
from auwgent.files import draft
from auwgent.store.base import writing

KEYRING = "keyring:"
SERVICE = "auwgent"  # whose keys they are in the keyring
MISFIT = "the encryption_key does not fit, or this file is not a SQLite database"
ZEROS = bytes(1 << 20)


def parse_key(url: URL, key: str) -> SecretStr:
    """The key to the database at that URL. `ConfigError` where it cannot be one; the message does not hold it."""
    if url.get_backend_name() != "sqlite":
        raise ConfigError(
            "encryption_key is for SQLite files; what a PostgreSQL server stores is encrypted by its disk, or by "
            "whoever runs it: leave it out"
        )
    if not _can_be(key.removeprefix(KEYRING)):
        raise ConfigError("encryption_key must be a text that is not empty and holds no NUL")
    return SecretStr(key)


def driver() -> ModuleType:
    """Return what speaks to encrypted files, in place of `sqlite3`."""
    try:
        from sqlcipher3 import dbapi2
    except ImportError as error:
        raise _missing(error) from None
    module: ModuleType = dbapi2
    return module


def resolve(key: SecretStr) -> str:
    """Return the key itself. `StoreError` where the keyring does not give it."""
    text = key.get_secret_value()
    if not text.startswith(KEYRING):
        return text
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError as error:
        raise _missing(error) from None
    name = text.removeprefix(KEYRING)
    try:
        found = keyring.get_password(SERVICE, name)
    except KeyringError as error:
        words = " ".join(str(error).split())
        raise StoreError(f"the keyring could not be asked for the key {name!r}: {words}") from error
    if not found or not _can_be(found):
        raise StoreError(f"the keyring has no key {name!r}; `keyring set {SERVICE} {name}` puts it there")
    return found


def unlock(connection: Any, key: SecretStr) -> None:
    """Give a new connection the key. Whether it is the right one shows when the file is read."""
    connection.execute("PRAGMA cipher_log_level = NONE")  # it would write to standard error
    connection.execute(f"PRAGMA key = {_quoted(resolve(key))}")


def misfit(path: Path) -> str:
    """Return why a key does not open the file, in the user's words."""
    with _reported(path):
        is_plain = _is_plain(path)
    if is_plain:
        return "there is an encryption_key, but this file is not encrypted: `auwgent db encrypt` does that"
    return MISFIT


def encrypt(path: Path, key: SecretStr) -> bool:
    """Encrypt a plain file where it stands; False where that is done. `StoreError` while others have it open.

    Who opens it in the moment when it is exchanged gets the old one, which is overwritten: reading it fails.
    """
    path = path.resolve()
    if not path.exists():
        raise StoreError(f"{path}: there is no database yet; the first run makes it, encrypted")
    with _reported(path):
        if not _is_plain(path):
            # `StoreError` where the key does not open the file.
            with closing(_connect(path, key)) as connection:
                connection.execute("PRAGMA schema_version")
            return False
        with writing(path), draft(path) as new, closing(_connect(path)) as plain:
            plain.execute("PRAGMA main.locking_mode = EXCLUSIVE")  # until it is closed
            plain.execute("PRAGMA main.journal_mode = DELETE")  # refused while others have it open
            plain.execute("ATTACH DATABASE ? AS encrypted KEY ?", (str(new), resolve(key)))
            plain.execute("BEGIN EXCLUSIVE")
            plain.execute("SELECT sqlcipher_export('encrypted')")
            plain.execute("COMMIT")
            plain.execute("DETACH DATABASE encrypted")
            _exchange(path, new)
    return True


def _exchange(path: Path, new: Path) -> None:
    """Put the new file in the old one's place, and leave nothing in the old one that could be read."""
    with path.open("r+b") as old:
        new.replace(path)
        _to_disk(path.parent)
        left = os.fstat(old.fileno()).st_size
        while left:
            left -= old.write(ZEROS[:left])
        old.flush()
        os.fsync(old.fileno())


def _to_disk(folder: Path) -> None:
    """Wait until the folder's entries are on the disk."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _is_plain(path: Path) -> bool:
    """Return whether it opens without a key. It is not read here: closing it would lose SQLite's locks on it."""
    if not path.exists() or not path.stat().st_size:
        return False
    with closing(_connect(path)) as connection:
        try:
            connection.execute("PRAGMA schema_version")
        except driver().DatabaseError as error:
            if error.sqlite_errorname == "SQLITE_NOTADB":
                return False
            raise
    return True


def _connect(path: Path, key: SecretStr | None = None) -> Any:
    connection = driver().connect(path, isolation_level=None, timeout=1.0)
    connection.execute("PRAGMA cipher_log_level = NONE")
    if key is not None:
        unlock(connection, key)
    return connection


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    """The driver's errors as `StoreError`."""
    try:
        yield
    except driver().Error as error:
        match getattr(error, "sqlite_errorname", ""):
            case "SQLITE_NOTADB":
                words = MISFIT
            case "SQLITE_BUSY":
                words = "others have the file open; end them first"
            case _:
                words = str(error)
        raise StoreError(f"{path}: {words}") from error


def _can_be(text: str) -> bool:
    """Return whether the text can stand in a statement."""
    return (
        bool(text) and "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _missing(error: ImportError) -> ConfigError:
    return ConfigError(f"encryption_key needs a library: pip install 'auwgent[encryption]' ({error})")
