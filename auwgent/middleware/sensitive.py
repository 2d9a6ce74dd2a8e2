"""What is secret or personal in a text: where it stands, and how much of a text under way is safe to show."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import regex

from auwgent.secrecy import KEY_SHAPES, is_secret_name

TIMEOUT = 2.0  # seconds that one pattern may take for one text; what takes longer ends the run

# A group `secret` is the part that counts; without one it is the whole match. Look-arounds see one character at
# most, so that a text under way can be judged.
PATTERNS: Mapping[str, str] = {
    "private_key": r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----[^-]*+-----END [A-Z ]{0,20}PRIVATE KEY-----",
    "jwt": r"(?<![\w-])eyJ[\w-]{8,}+\.eyJ[\w-]{8,}+\.[\w-]*+",
    "api_key": rf"(?<![A-Za-z0-9])(?:{'|'.join(KEY_SHAPES)})(?![A-Za-z0-9])",
    "password": (
        r"(?i)(?<![a-z0-9])(?:password|passwd|passphrase|client_secret|api[_-]?key|access_token)"
        r"[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?P<secret>[^\s\"',;]{6,}+)"
    ),
    "url_password": r"(?<=[a-z])://[^\s/@:]{0,64}:(?P<secret>[^\s/@]{1,128})@",
    "email": r"(?<![\w.+-])[\w+-](?:[\w.+-]{0,63})@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])",
    "card": r"(?<![\w-])\d(?:[ -]?\d){12,18}(?![\w-])",
    "iban": r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)",
    "ssn": r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])",
    "phone": (
        r"(?<![\w+-])(?:\+\d{1,3}(?:[ .-]?\(?\d{1,4}\)?){2,6}|(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4})(?![\w-])"
    ),
    "ip": r"(?<![\w.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?!\w)",
}
DEFAULT_KINDS = tuple(kind for kind in PATTERNS if kind != "ip")


def is_card(text: str) -> bool:
    """Whether the last digit is what the others make it by Luhn's rule."""
    digits = [int(character) for character in text if character.isdecimal()]
    doubled = (digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def is_iban(text: str) -> bool:
    """Whether the check digits are right (ISO 7064, mod 97-10)."""
    packed = text.replace(" ", "")
    return int("".join(str(int(character, 36)) for character in packed[4:] + packed[:4])) % 97 == 1


def is_phone(text: str) -> bool:
    return 8 <= sum(character.isdecimal() for character in text) <= 15


CHECKS: Mapping[str, Callable[[str], bool]] = {"card": is_card, "iban": is_iban, "phone": is_phone}


PLACEHOLDER = regex.compile(r"\[([A-Z][A-Z_]*)_(\d+)\]")  # what stands for a secret, and is none itself


class Span(NamedTuple):
    """A secret in a text. `begin` and `end` are those of the match, which may be more than the secret."""

    begin: int
    end: int
    first: int
    last: int
    kind: str


class Finder:
    """Finds all that some patterns match, each under the name of its kind. `keep` lists what is no secret."""

    def __init__(self, patterns: Mapping[str, str], keep: Sequence[str] = ()) -> None:
        self._patterns = {kind: compiled(kind, pattern) for kind, pattern in patterns.items()}
        self._keep = frozenset(text.casefold() for text in keep)
        self._knows_passwords = "password" in patterns

    def is_secret(self, words: str) -> bool:
        """Whether these words must not be seen: not where they may stay, or stand for a secret already."""
        return words.casefold() not in self._keep and PLACEHOLDER.fullmatch(words) is None

    def is_secret_name(self, name: object) -> bool:
        """Whether a field of that name holds a password."""
        return self._knows_passwords and is_secret_name(name)

    def spans(self, text: str, begin: int = 0) -> list[Span]:
        """What is found from there on, in order; of two that overlap the one that begins first, or else the longer."""
        return _apart(span for span in self._matches(text, begin, []) if span.kind)

    def settled(self, text: str, begin: int) -> tuple[list[Span], int]:
        """What is found for sure in a text under way, and up to where: behind it a match may be in the making."""
        open_at: list[int] = []
        matches = list(self._matches(text, begin, open_at))
        end = min(open_at, default=len(text))
        for match in sorted(matches, reverse=True):  # the end must be in none of them
            if match.begin < end < match.end:
                end = match.begin
        return _apart(match for match in matches if match.kind and match.end <= end), end

    def _matches(self, text: str, begin: int, open_at: list[int]) -> Iterator[Span]:
        """All matches; those without a kind are none after all. `open_at` gets where more text could change them."""
        for kind, pattern in self._patterns.items():
            check = CHECKS.get(kind)
            for match in pattern.finditer(text, begin, partial=True, timeout=TIMEOUT):
                start, stop = match.span()
                if match.partial or stop == len(text):
                    open_at += [start] if start < len(text) else []
                elif pattern.fullmatch(text, start, partial=True, timeout=TIMEOUT):
                    open_at.append(start)
                if match.partial:
                    continue
                first, last = match.span("secret") if "secret" in pattern.groupindex else (start, stop)
                words = text[first:last]
                is_one = first < last and self.is_secret(words) and (check is None or check(words))
                yield Span(start, stop, first, last, kind if is_one else "")


def _apart(spans: Iterable[Span]) -> list[Span]:
    """The spans in order, without those that overlap an earlier one."""
    chosen: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.first, -span.last)):
        if not chosen or span.first >= chosen[-1].last:
            chosen.append(span)
    return chosen


def compiled(kind: str, pattern: str) -> regex.Pattern[str]:
    """The pattern. `ValueError` where it is none, or matches nothing at all."""
    try:
        made = regex.compile(pattern)
    except regex.error as error:
        raise ValueError(f"the pattern {kind!r} is no regular expression: {error}") from None
    if made.match("") is not None:
        raise ValueError(f"the pattern {kind!r} matches nothing at all, and so everywhere")
    return made
