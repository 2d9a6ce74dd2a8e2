"""What is secret: by its name, by its shape, in an address, or known to this process; and texts without it.

Users' own classes are given keys and passwords by the config, and may put them into what they raise. So every text
that leaves by an error passes here.
"""

from __future__ import annotations

import difflib
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote
from weakref import WeakSet

MASK = "***"
SHORTEST = 6  # characters; shorter values are words like "blue"
PLACEHOLDERS = frozenset(("ollama", "lm-studio", "not-needed"))  # given as keys where none is wanted


class _Pattern:
    """A regular expression, compiled at its first use: a command uses few of them, and compiling all takes it 4 ms."""

    def __init__(self, pattern: str, flags: re.RegexFlag = re.NOFLAG) -> None:
        self._given = pattern, flags

    def __getattr__(self, name: str) -> Any:
        method = getattr(re.compile(*self._given), name)
        setattr(self, name, method)
        return method


# --- names -----------------------------------------------------------------------------------------------------

_WORDS = (
    r"(?:api|access|account|auth|encryption|license|master|private|service|shared|signing|subscription)[_-]?key"
    r"|token(?!s)|secret|passw(?:or)?d|passphrase|credential|authori[sz]ation|cookie"
)
_IS_SECRET = _Pattern(rf"(?:.*[^a-z])?(?:{_WORDS}|pwd)s?|pass", re.IGNORECASE)
_IN_CAMELS = _Pattern(r"(?<=[a-z0-9])(?=[A-Z])")
_MAY_BE_SECRET = _Pattern(
    rf"{_WORDS}|passw|private|bearer|^key$|^pwd$|headers$|^env$|(?:^|_)auth$", re.IGNORECASE
)
_SECRET_TABLES = ("api_keys", "api_key", "encryption_key", "headers")
_NO_SECRET = ("serve", "auth")  # the dotted path of a function


def is_secret_name(name: object) -> bool:
    """Return whether a field of that name holds a secret, as `password`, `clientSecret` and `X-Api-Key` do."""
    return _IS_SECRET.fullmatch(_IN_CAMELS.sub("_", str(name))) is not None


@lru_cache(1024)
def may_be_secret_name(name: str) -> bool:
    """Whether a field of that name may hold a secret in a config: `env`, `basic_auth` and misspelt names, too."""
    return bool(
        _MAY_BE_SECRET.search(name)
        or difflib.get_close_matches(name.lower(), _SECRET_TABLES, n=1, cutoff=0.75)
    )


def is_secret(key: Iterable[str | int]) -> bool:
    """Return whether the value at a key of a config is secret by a name in it."""
    key = tuple(key)
    return key[-2:] != _NO_SECRET and any(isinstance(part, str) and may_be_secret_name(part) for part in key)


# --- shapes ----------------------------------------------------------------------------------------------------

# The keys of our providers, then those of common clouds, forges and services. No look-around: a text that is still
# being written must be judged by them, too.
KEY_SHAPES = (
    r"sk-[A-Za-z0-9_-]{20,}+",  # OpenAI, Anthropic, OpenRouter, DeepSeek …
    r"(?:pk|sess)-[A-Za-z0-9_-]{20,}+",
    r"AIza[A-Za-z0-9_-]{30,}+",  # Google
    r"AQ\.[A-Za-z0-9_-]{20,}+",
    r"ya29\.[A-Za-z0-9_-]{20,}+",
    r"GOCSPX-[A-Za-z0-9_-]{20,}+",
    r"gsk_[A-Za-z0-9]{16,}+",  # Groq
    r"xai-[A-Za-z0-9_-]{16,}+",
    r"pplx-[A-Za-z0-9]{16,}+",  # Perplexity
    r"nvapi-[A-Za-z0-9_-]{16,}+",
    r"csk-[A-Za-z0-9]{16,}+",  # Cerebras
    r"fw_[A-Za-z0-9]{16,}+",  # Fireworks
    r"tgp_v1_[A-Za-z0-9_-]{16,}+",  # Together
    r"r8_[A-Za-z0-9]{16,}+",  # Replicate
    r"(?:hf|api_org)_[A-Za-z0-9]{16,}+",
    r"(?:ABSK|bedrock-api-key-)[A-Za-z0-9+/=_-]{16,}+",
    r"(?:jina|tvly|esecret|lsv2_pt|lsv2_sk|pcsk|vck|dapi|ntn|figd|nfp|rpa|secret-token)[_-][A-Za-z0-9_-]{20,}+",
    r"dapi[a-f0-9]{32}",  # Databricks
    r"pa-[A-Za-z0-9_-]{40,}+",  # Voyage
    r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}",  # AWS
    r"LTAI[A-Za-z0-9]{12,26}",  # Alibaba Cloud
    r"AKID[A-Za-z0-9]{32}",  # Tencent Cloud
    r"gh[opsur]_[A-Za-z0-9]{30,}+",
    r"github_pat_[A-Za-z0-9_]{30,}+",
    r"gl(?:pat|dt|rt|cbt|ptt|ft|soat|agent|oas)-[A-Za-z0-9_.-]{20,}+",
    r"AT(?:ATT3|CTT3|BB)[A-Za-z0-9_=-]{20,}+",  # Atlassian
    r"(?:xox[abceoprs]|xapp)-[A-Za-z0-9-]{10,}+",  # Slack
    r"(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,}+",  # Stripe
    r"whsec_[A-Za-z0-9+/=]{20,}+",
    r"do[opr]_v1_[a-f0-9]{40,}+",  # DigitalOcean
    r"hv[bsr]\.[A-Za-z0-9_-]{20,}+",  # Vault
    r"(?:npm|glc|glsa|sbp|sntry[su]|shp(?:at|ss|ca|pa)|rubygems|lin_api|dckr_pat|pscale_(?:tkn|pw))_[A-Za-z0-9_=.-]{20,}+",
    r"(?:HRKU|NRAK|PMAK|xkeysib|sq0(?:atp|csp))-[A-Za-z0-9_-]{20,}+",
    r"pypi-[A-Za-z0-9_-]{50,}+",
    r"SK[a-f0-9]{32}",  # Twilio
    r"key-[a-f0-9]{32}",  # Mailgun
    r"(?:CFPAT-|secret_)[A-Za-z0-9_-]{43}",  # Contentful, Notion
    r"\d{8,10}:AA[A-Za-z0-9_-]{33}",  # Telegram
    r"hooks\.slack\.com/services/T[A-Z0-9]{6,}/B[A-Z0-9]{6,}/[A-Za-z0-9]{20,}",
    r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{32,64}",  # SendGrid
    r"AGE-SECRET-KEY-1[A-Z0-9]{50,}+",
)
_KEY = _Pattern(rf"(?<![A-Za-z0-9])(?:{'|'.join(KEY_SHAPES)})")
_JWT = _Pattern(r"(?<![\w-])eyJ[\w-]{8,}+(?:\.[\w-]*+){0,2}")
_BEARER = _Pattern(
    r"(?P<before>\b(?:[Bb]earer|BEARER|Basic) )(?P<secret>(?=[^\s\"',;]*[\d._=+/-][^\s\"',;])[^\s\"',;]{6,})"
)
_LIKE_KEY = _Pattern(  # shorter ones, and those that a provider has masked in its own way
    r"\b(?:(?:sk|pk|rk|gsk|xai|csk|hf|fw|r8|gh[a-z]|xox[a-z])[-_]|AIza|AKIA)(?=[\w.-]*[\d*])[\w*.-]{8,}"
)
_RANDOM = _Pattern(r"\b(?=[A-Za-z_-]*\d)(?=[\d_-]*[A-Za-z])[A-Za-z0-9_-]{40,}")

# --- addresses -------------------------------------------------------------------------------------------------

_URL_PASSWORD = _Pattern(
    # Up to the last @: some passwords hold one, or a slash, though they should not. A port is not a password.
    r"(?P<before>(?:(?:https?|wss?):/{1,3}[^\s/@:\"'<>]*:(?!\d{1,5}[/?#])"
    r"|(?!https?:|wss?:)\b[a-z][a-z0-9+.-]*:/{1,3}[^\s/@:\"'<>]*:))(?P<secret>[^\s\"'<>]+)(?=@)",
    re.IGNORECASE,
)
_URL_TOKEN = _Pattern(r"(?P<before>https?://)(?P<secret>[^\s/@:\"'<>]+)(?=@)", re.IGNORECASE)
_QUERY = _Pattern(
    r"(?P<before>[?&;][^=&\s\"']*(?:key|token|secret|passw|pwd|sig|auth|credential)[^=&\s\"']*=)(?P<secret>[^&\s\"'<>]+)",
    re.IGNORECASE,
)
_URL = _Pattern(r"\s*[a-z][a-z0-9+.-]*:/{1,3}(?P<user>.*)@[^@]*", re.IGNORECASE | re.DOTALL)
_URL_QUOTED = _Pattern(  # or alone: then a space does not end it
    r"(?P<before>(?:^|[\"'])[a-z][a-z0-9+.-]*:/{1,3}[^\s/@:\"'<>]*:)(?!\d{1,5}[/?#])(?P<secret>[^\"'<>\n]+)(?=@)",
    re.IGNORECASE,
)
_PIECES = _Pattern(r"[@/:?#]")
_IN_URLS = (_URL_PASSWORD, _URL_TOKEN, _QUERY)

# --- arguments of programs -------------------------------------------------------------------------------------

_ARGUMENTS = ("args", "arguments", "argv", "command")  # lists of a program's arguments
_FLAG = _Pattern(r"-{1,2}(?P<name>[A-Za-z][\w-]*)")
_ASSIGNED = _Pattern(  # --token …, --api-key=…, API_KEY=…, Authorization: Bearer …
    rf"(?P<before>(?:(?<![\w-])--?[\w-]*(?:{_WORDS})[\w-]*\s+|\b[\w-]*(?:{_WORDS})[\w-]*\s*[=:]\s*)(?:(?:Bearer|Basic)\s+)?)"
    r"(?P<secret>[^\s\"',;]+)",
    re.IGNORECASE,
)
_VARIABLES_ONLY = _Pattern(r"(\$\{[A-Za-z_][A-Za-z0-9_]*\}|\s)*")


def is_argument(key: tuple[str | int, ...]) -> bool:
    """Return whether a key holds one of a program's arguments."""
    return len(key) > 1 and isinstance(key[-1], int) and key[-2] in _ARGUMENTS


def follows_flag(arguments: Any, index: int) -> bool:
    """Return whether the argument stands behind one such as `--api-key`."""
    before = arguments[index - 1] if index else None
    flag = _FLAG.fullmatch(before) if isinstance(before, str) else None
    return flag is not None and may_be_secret_name(flag["name"])


# --- what goes over HTTP ---------------------------------------------------------------------------------------

_HEADER_NAME = _Pattern(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def unsendable(text: str, *, is_name: bool = False) -> str:
    """Return why a key, or the value or name of a header, cannot be sent over HTTP: "holds …"; empty where it can."""
    if "\n" in text or "\r" in text:
        return "holds a line break"
    if "\ufeff" in text:
        return "holds a byte order mark (U+FEFF), which an editor may have put there"
    for character in text:
        if not " " <= character <= "~" and character != "\t":
            shown = f"U+{ord(character):04X}"
            return f"holds the character {shown}, which cannot be sent in a header"
    if is_name and not _HEADER_NAME.fullmatch(text):
        return "is not the name of a header: letters, digits and - are"
    return ""


# --- texts without secrets -------------------------------------------------------------------------------------


class KnownSecrets:
    """Values that no error shows for as long as this object lives."""

    __slots__ = ("__weakref__", "_values")

    def __init__(self, values: Iterable[str]) -> None:
        self._values = frozenset(
            value for value in values if len(value) >= SHORTEST and value not in PLACEHOLDERS
        )
        if self._values:
            with _lock:
                _alive.add(self)

    def __repr__(self) -> str:
        return f"<{len(self._values)} secrets>"

    def found_in(self, text: str) -> set[str]:
        """Return those that stand in the text."""
        return {value for value in self._values if value in text}


_alive: WeakSet[KnownSecrets] = WeakSet()
_lock = threading.Lock()


def _free() -> None:
    """Let go of the lock in a process that was forked while a thread held it."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free)


def scrubbed(text: str, secrets: Iterable[str | None] = ()) -> str:
    """Return the text without these secrets, those of all that is alive, and what has the shape of one."""
    with _lock:
        alive = list(_alive)
    found = {value for known in alive for value in known.found_in(text)}
    found |= {value for value in secrets if value and len(value) >= SHORTEST and value in text}
    for value in sorted(found, key=len, reverse=True):  # one may be a part of another
        text = text.replace(value, MASK)
    for pattern in (*_IN_URLS, _BEARER):
        text = pattern.sub(rf"\g<before>{MASK}", text)
    for pattern in (_KEY, _LIKE_KEY, _JWT):
        text = pattern.sub(MASK, text)
    return text


def without_secrets(content: Any) -> Any:
    """Return plain data without the values of fields whose names say that they are secret."""
    if isinstance(content, Mapping):
        return {
            str(name): MASK if is_secret_name(name) else without_secrets(value)
            for name, value in content.items()
        }
    if isinstance(content, list | tuple):
        return [without_secrets(value) for value in content]
    return content


def masked(text: str) -> str:
    """Return the text with everything that looks like a secret hidden, at unchanged length."""
    for pattern in (*_IN_URLS, _URL_QUOTED):
        text = pattern.sub(_hide, text)
    for pattern in (_KEY, _LIKE_KEY, _JWT, _RANDOM):
        text = pattern.sub(lambda match: "*" * len(match[0]), text)
    return text


def masked_argument(text: str) -> str:
    """Return a program's argument, with the values of what sounds secret in it hidden, at unchanged length."""
    return masked(_ASSIGNED.sub(_hide, text))


def hidden(value: str) -> str:
    """Return a value as it is written, hidden at unchanged length; quotation marks and variables stay."""
    if not holds_literal(value.strip("'\" ")):
        return value
    begin = value[:1] if value[:1] in ("'", '"') else ""
    end = begin if len(value) > 1 and value.endswith(begin) else ""
    return begin + "*" * (len(value) - len(begin) - len(end)) + end


def holds_literal(text: str) -> bool:
    """Return whether there is more in it than `${VARIABLES}`, whose names may be shown."""
    return not _VARIABLES_ONLY.fullmatch(text)


def _hide(match: re.Match[str]) -> str:
    secret = match["secret"]
    return match["before"] + ("*" * len(secret) if holds_literal(secret) else secret)


def secrets_in(tree: Any, *, is_known: bool = False) -> Iterator[str]:
    """Yield the secret values in a tree of the config: all at keys that say so, else those in addresses."""
    match tree:
        case Mapping():
            for name, value in tree.items():
                if name == _NO_SECRET[0] and isinstance(value, Mapping):
                    value = {key: item for key, item in value.items() if key != _NO_SECRET[1]}
                yield from secrets_in(value, is_known=is_known or may_be_secret_name(str(name)))
        case list() | tuple():
            for index, value in enumerate(tree):
                yield from secrets_in(value, is_known=is_known or follows_flag(tree, index))
        case str():
            if is_known:
                yield from (tree, tree.strip(), tree.strip().rpartition(" ")[2])  # Bearer …
            yield from secrets_of_url(tree)


def secrets_of_url(url: str) -> Iterator[str]:
    """Yield passwords, tokens and keys in an address, or a text with addresses: as written, decoded, and in pieces.

    Who reads an address with a raw `@` or `/` in its password tells a piece of it as the host or the path.
    """
    found = [match["secret"] for pattern in _IN_URLS for match in pattern.finditer(url)]
    if whole := _URL.fullmatch(url):  # then a space in it does not end it
        found.append(whole["user"].partition(":")[2])
    for secret in found:
        yield from (secret, unquote(secret), *_PIECES.split(secret))
