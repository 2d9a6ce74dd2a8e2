"""Which values are secret, and texts without them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from auwgent.config.keys import Key

MASK = "********"

_SECRET_NAME = re.compile(
    r"(api|encryption)_?key|token(?!s)|secret|passw|credential|authori[sz]ation|private|cookie|headers$|^env$|^auth$",
    re.IGNORECASE,
)
_SECRET_TABLES = ("api_keys", "api_key", "encryption_key", "headers")
_VARIABLES_ONLY = re.compile(r"(\$\{[A-Za-z_][A-Za-z0-9_]*\}|\s)*")
# What gives a secret away wherever it stands: a password in an address or a token in place of its user, and the
# shapes that providers give keys.
_URL_PASSWORD = re.compile(
    # Up to the last @: some passwords hold one, or a slash, though they should not.
    r"(?P<before>[a-z][a-z0-9+.-]*://[^\s/@:\"']*:)(?P<secret>[^\s/@\"']+(?:@[^\s\"']*)?)(?=@)",
    re.IGNORECASE,
)
_URL_TOKEN = re.compile(r"(?P<before>https?://)(?P<secret>[^\s/@:\"']+)(?=@)", re.IGNORECASE)
_QUERY = re.compile(
    r"(?P<before>[?&][^=&\s\"']*(?:key|token|secret|passw|sig)[^=&\s\"']*=)(?P<secret>[^&\s\"']+)",
    re.IGNORECASE,
)
_TOKEN = re.compile(
    r"(?P<before>)(?P<secret>\b(?:sk|pk|rk|gsk|xai|ghp|gho|github_pat|hf|xox[a-z]|AIza|AKIA|eyJ)[-_.A-Za-z0-9]{12,}"
    r"|\b(?=[A-Za-z_-]*\d)(?=[\d_-]*[A-Za-z])[A-Za-z0-9_-]{40,})"
)


def is_secret(key: Key) -> bool:
    """Whether the value at a key is secret by its name, misspelt names included."""
    return any(isinstance(part, str) and _sounds_secret(part) for part in key)


@lru_cache(1024)
def _sounds_secret(name: str) -> bool:
    return bool(
        _SECRET_NAME.search(name) or difflib.get_close_matches(name.lower(), _SECRET_TABLES, n=1, cutoff=0.75)
    )


def holds_literal(text: str) -> bool:
    """Whether there is more in it than `${VARIABLES}`, whose names may be shown."""
    return not _VARIABLES_ONLY.fullmatch(text)


def masked(text: str) -> str:
    """The text with everything that looks like a secret hidden, at unchanged length."""
    for pattern in (_URL_PASSWORD, _URL_TOKEN, _QUERY, _TOKEN):
        text = pattern.sub(_hide, text)
    return text


def secrets_in(tree: Any, *, is_known: bool = False) -> Iterator[str]:
    """The secret values in a tree of the config: all at keys that say so, and those in the addresses of others."""
    match tree:
        case Mapping():
            for name, value in tree.items():
                yield from secrets_in(value, is_known=is_known or _sounds_secret(str(name)))
        case list() | tuple():
            for value in tree:
                yield from secrets_in(value, is_known=is_known)
        case str():
            if is_known:
                yield tree
                yield tree.rpartition(" ")[2]  # Bearer …
            for pattern in (_URL_PASSWORD, _URL_TOKEN, _QUERY):
                for match in pattern.finditer(tree):
                    yield match["secret"]
                    yield unquote(match["secret"])


def _hide(match: re.Match[str]) -> str:
    secret = match["secret"]
    return match["before"] + ("*" * len(secret) if holds_literal(secret) else secret)
