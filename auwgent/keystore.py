"""API keys that `auwgent keys` keeps: in the system's keyring where there is one, else in a private file.

The file has an entry for each key, named like the variable it stands for; one that the keyring holds is null there.
So the keyring is asked only for a key that it has.
"""

from __future__ import annotations

import json
import os
import sys
from collections import ChainMap
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from auwgent import files
from auwgent.errors import AuwgentError

SERVICE = "auwgent"  # whose keys they are in the keyring


def data_folder() -> Path:
    """Return the user's own folder for data that belongs to no config."""
    match sys.platform:
        case "win32":
            base = Path(os.environ.get("LOCALAPPDATA") or "~/AppData/Local")
        case "darwin":
            base = Path("~/Library/Application Support")
        case _:
            base = Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share")
    return base.expanduser() / "auwgent"


class Filled(ChainMap[str, str]):
    """Variables of several places, an earlier one first. One that is set to nothing is as good as none."""

    def __getitem__(self, name: str) -> str:
        value: str | None = self.get(name)
        if not value:
            raise KeyError(name)
        return value

    def get(self, name: str, default: Any = None) -> Any:
        return next((value for place in self.maps if (value := place.get(name))), default)


class StoredKeys(MutableMapping[str, str]):
    """The kept keys by the variables they stand for. `AuwgentError` where the file or the keyring cannot be read."""

    def __init__(self) -> None:
        self.path = data_folder() / "keys.json"
        self._entries: dict[str, str | None] | None = None

    def __getitem__(self, name: str) -> str:
        found = self.entries()[name]
        if found is not None:
            return found
        key = _from_keyring(name)
        if key is None:
            raise KeyError(name)
        return key

    def __setitem__(self, name: str, key: str) -> None:
        entries = dict(self.entries())
        self._write({**entries, name: None if _into_keyring(name, key) else key})

    def __delitem__(self, name: str) -> None:
        entries = dict(self.entries())
        if entries.pop(name) is None:
            _out_of_keyring(name)
        self._write(entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries())

    def __len__(self) -> int:
        return len(self.entries())

    def entries(self) -> Mapping[str, str | None]:
        """Return the keys in the file; None for those that the keyring holds."""
        if self._entries is None:
            self._entries = self._read()
        return self._entries

    def place(self, name: str) -> str:
        """Return in words where a kept key is."""
        return "the system's keyring" if self.entries()[name] is None else str(self.path)

    def _read(self) -> dict[str, str | None]:
        try:
            entries = json.loads(self.path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError) as error:
            words = getattr(error, "strerror", None) or "it is not JSON"
            raise AuwgentError(f"the kept API keys cannot be read: {self.path}: {words}") from None
        if not isinstance(entries, dict) or not all(isinstance(key, str | None) for key in entries.values()):
            raise AuwgentError(f"the kept API keys cannot be read: {self.path}: it is not a table of keys")
        return entries

    def _write(self, entries: dict[str, str | None]) -> None:
        try:
            files.make_folder(self.path.parent)
            files.replace(self.path, json.dumps(entries, indent=2) + "\n")
        except OSError as error:
            raise AuwgentError(f"the key cannot be kept: {self.path}: {error.strerror or error}") from None
        self._entries = entries


def _from_keyring(name: str) -> str | None:
    try:
        import keyring

        return keyring.get_password(SERVICE, name)
    except Exception as error:  # backends raise what they like
        raise AuwgentError(
            f"{name} is in the system's keyring, which cannot be asked ({type(error).__name__}); set the variable, "
            "or keep the key again with `auwgent keys set`"
        ) from error


def _into_keyring(name: str, key: str) -> bool:
    """Put the key into the keyring; False where there is none that takes it."""
    try:
        import keyring

        keyring.set_password(SERVICE, name, key)
        return keyring.get_password(SERVICE, name) == key
    except Exception:  # no library, no backend, a locked one: the file is there for that
        return False


def _out_of_keyring(name: str) -> None:
    with suppress(Exception):  # it is gone from there already, or stays out of our reach
        import keyring

        keyring.delete_password(SERVICE, name)
