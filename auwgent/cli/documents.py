"""Finds the documents of a folder: files that are not private, ignored or hidden."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from pathspec import GitIgnoreSpec

PROSE = (".adoc", ".csv", ".htm", ".html", ".log", ".md", ".rst", ".tex", ".tsv", ".txt", ".xml")
CODE = (
    ".c .cpp .cs .css .go .h .java .js .kt .php .py .rb .rs .sh .sql .ts .ini .json .jsonl .toml .yaml .yml"
)
SUFFIXES = frozenset((*PROSE, *CODE.split()))  # of files that are taken out of folders

# Files that hold keys, by their names, in the language of .gitignore.
PRIVATE = GitIgnoreSpec.from_lines(
    line.strip()
    for line in """
    .env
    .env.*
    *.env
    .netrc
    _netrc
    .npmrc
    .pypirc
    .pgpass
    .htpasswd
    .git-credentials
    *.pem
    *.key
    *.p12
    *.pfx
    *.jks
    *.keystore
    *.kdbx
    *.tfstate
    *.tfvars
    id_rsa*
    id_dsa*
    id_ecdsa*
    id_ed25519*
    kubeconfig
    credentials
    credentials.*
    *credentials.json
    secret.*
    secrets.*
    !*.md
    !*.rst
    service-account*.json
    client_secret*.json
    """.splitlines()
)
PRIVATE_KEY = "PRIVATE KEY-----"  # in the first line of one


class Documents:
    """The documents below a config's folder and elsewhere. `private` lists files to leave out whatever their names."""

    def __init__(self, private: Sequence[Path]) -> None:
        self._private = {path.resolve() for path in private}
        self._ignores: dict[Path, GitIgnoreSpec | None] = {}  # by folder

    def within(self, folder: Path) -> Iterator[Path]:
        """Yield the text files below a folder that are documents, in order. A link that leads out of it is none."""
        top = folder.resolve()
        for here, folders, files in os.walk(folder):
            inner = [name for name in folders if not name.startswith(".")]
            folders[:] = sorted(
                name for name in inner if not self._is_ignored(Path(here, name), is_folder=True)
            )
            for name in sorted(files):
                file = Path(here, name)
                is_text = file.suffix.lower() in SUFFIXES and not name.startswith(".")
                is_below = file.resolve().is_relative_to(top)
                if is_text and is_below and file.is_file() and not self.problem(file):
                    yield file

    def problem(self, file: Path) -> str:
        """Return why a file may not be indexed; empty where it may."""
        real = file.resolve()
        if real in self._private:
            return "belongs to the config"
        if PRIVATE.match_file(file.name) or PRIVATE.match_file(real.name):
            return "may hold keys"
        if self._is_ignored(file):
            return "is named by .gitignore"
        return ""

    def text(self, file: Path) -> str:
        """Return what the file says. `ValueError` says why that cannot be read, or may not be told."""
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise ValueError("is not UTF-8 text; convert it first") from None
        except OSError as error:
            raise ValueError(f"cannot be read: {error.strerror or error}") from None
        if "\0" in text:
            raise ValueError("is no text")
        if any(PRIVATE_KEY in line and line.startswith("-----BEGIN") for line in text.splitlines()):
            raise ValueError("holds a private key")
        return text

    def _is_ignored(self, path: Path, *, is_folder: bool = False) -> bool:
        """Return whether git ignores the path: the nearest .gitignore up to the repository that names it counts."""
        place = path.parent.resolve() / path.name
        folders = [*place.parents]
        root = next((at for at, folder in enumerate(folders) if (folder / ".git").exists()), len(folders) - 1)
        folders = folders[: root + 1]
        # A folder that is ignored takes with it all below it.
        return self._says(place, folders, is_folder=is_folder) or any(
            self._says(folder, folders, is_folder=True) for folder in folders[:-1]
        )

    def _says(self, path: Path, folders: Sequence[Path], *, is_folder: bool) -> bool:
        for folder in folders:
            if folder not in path.parents:
                continue
            spec = self._ignore(folder)
            if spec is not None:
                name = path.relative_to(folder).as_posix() + ("/" if is_folder else "")
                said = spec.check_file(name).include
                if said is not None:
                    return said
        return False

    def _ignore(self, folder: Path) -> GitIgnoreSpec | None:
        if folder not in self._ignores:
            try:
                lines = (folder / ".gitignore").read_text(encoding="utf-8", errors="replace").splitlines()
                self._ignores[folder] = GitIgnoreSpec.from_lines(lines)
            except OSError:
                self._ignores[folder] = None
        return self._ignores[folder]
