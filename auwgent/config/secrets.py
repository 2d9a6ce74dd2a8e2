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

_WORDS = (
    r"(?:api|access|account|encryption|license|master|service|shared|signing|subscription)[_-]?key"
    r"|token(?!s)|secret|passw|passphrase|credential|authori[sz]ation|private|cookie|bearer"
)
_SECRET_NAME = re.compile(rf"{_WORDS}|^key$|^pwd$|headers$|^env$|(?:^|_)auth$", re.IGNORECASE)
_SECRET_TABLES = ("api_keys", "api_key", "encryption_key", "headers")
_VARIABLES_ONLY = re.compile(r"(\$\{[A-Za-z_][A-Za-z0-9_]*\}|\s)*")
_ARGUMENTS = ("args", "arguments", "argv", "command")  # lists of a program's arguments
_FLAG = re.compile(r"-{1,2}(?P<name>[A-Za-z][\w-]*)")
_ASSIGNED = re.compile(  # --token …, --api-key=…, API_KEY=…, Authorization: Bearer …
    rf"(?P<before>(?:(?<![\w-])--?[\w-]*(?:{_WORDS})[\w-]*\s+|\b[\w-]*(?:{_WORDS})[\w-]*\s*[=:]\s*)(?:(?:Bearer|Basic)\s+)?)"
    r"(?P<secret>[^\s\"',;]+)",
    re.IGNORECASE,
)
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


def is_argument(key: Key) -> bool:
    """Whether a key holds one of a program's arguments."""
    return len(key) > 1 and isinstance(key[-1], int) and key[-2] in _ARGUMENTS


def follows_flag(arguments: Any, index: int) -> bool:
    """Whether the argument stands behind one such as `--api-key`."""
    before = arguments[index - 1] if index else None
    flag = _FLAG.fullmatch(before) if isinstance(before, str) else None
    return flag is not None and _sounds_secret(flag["name"])


def masked_argument(text: str) -> str:
    """A program's argument, with the values of what sounds secret in it hidden, at unchanged length."""
    return masked(_ASSIGNED.sub(_hide, text))


def holds_literal(text: str) -> bool:
    """Whether there is more in it than `${VARIABLES}`, whose names may be shown."""
    return not _VARIABLES_ONLY.fullmatch(text)


def hidden(value: str) -> str:
    """A value as it is written, hidden at unchanged length; quotation marks and variables stay."""
    if not holds_literal(value.strip("'\" ")):
        return value
    begin = value[:1] if value[:1] in ("'", '"') else ""
    end = begin if len(value) > 1 and value.endswith(begin) else ""
    return begin + "*" * (len(value) - len(begin) - len(end)) + end


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
            for index, value in enumerate(tree):
                yield from secrets_in(value, is_known=is_known or follows_flag(tree, index))
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
