"""What is secret or personal in a text: where it stands, and how much of a text under way is safe to show."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import regex

from auwgent.middleware.redact.kinds import LOOKS, PATTERNS, plain
from auwgent.secrecy import is_secret_name

TIMEOUT = 2.0  # seconds that one pattern may take for one text; what takes longer ends the run
BEHIND = 64  # characters before the place to begin at that patterns may look back to

PLACEHOLDER = regex.compile(r"\[[A-Z][A-Z_]*_\d+\]")  # what stands for a secret, and is none itself
BLANK = regex.compile(r"\$\{?\w+\}?|\$\(.*\)|\{\{.*\}\}|%\w+%|<[^<>]*>|[*•…]+")  # a variable, or nothing yet


class FoundSecret(NamedTuple):
    """A secret in a text. `begin` and `end` are those of the match, which may be more than the secret."""

    begin: int
    end: int
    first: int
    last: int
    kind: str


class Finder:
    """Finds all that some patterns match, each under the name of its kind. `keep` lists what is not a secret.

    `detect` says what else is one in a whole text, as (begin, end, kind): with it a text under way shows nothing.
    """

    def __init__(
        self,
        patterns: Mapping[str, str],
        keep: Sequence[str] = (),
        detect: Callable[[str], Sequence[tuple[int, int, str]]] | None = None,
    ) -> None:
        self._patterns = {kind: compiled(kind, pattern) for kind, pattern in patterns.items()}
        self._looks = {kind: look for kind, look in LOOKS.items() if patterns.get(kind) == PATTERNS[kind]}
        self._keep = frozenset(text.casefold() for text in keep)
        self._knows_passwords = "password" in patterns
        self._detect = detect

    def is_secret(self, words: str) -> bool:
        """Return whether these words must not be seen: not where they may stay, or stand for a secret already."""
        return words.casefold() not in self._keep and PLACEHOLDER.fullmatch(words) is None

    def is_password(self, words: str) -> bool:
        """Return whether a field that is named for a password holds one, and not a variable."""
        return self.is_secret(words) and BLANK.fullmatch(words) is None

    def is_secret_name(self, name: object) -> bool:
        """Return whether a field of that name holds a password."""
        return self._knows_passwords and is_secret_name(name)

    def kind_of_number(self, digits: str) -> str | None:
        """Return what a number is, as a whole; a telephone's is written as a text."""
        found = [
            one
            for one in self._matched(digits)
            if one.kind != "phone" and one.last - one.first == len(digits)
        ]
        return found[0].kind if found else None

    def spans(self, text: str, begin: int = 0) -> list[FoundSecret]:
        """Return the findings from there on, in order; of two that overlap, the first, or else the longer one."""
        found = self._matched(text, begin)
        return found if self._detect is None else _apart([*found, *self._detected(text, begin, found)])

    def settled(self, text: str, begin: int) -> tuple[list[FoundSecret], int]:
        """What is found for sure in a text under way, and up to where: behind it a match may be incomplete."""
        if self._detect is not None:
            return [], begin
        open_at: list[int] = []
        matches = list(self._matches(text, begin, open_at))
        end = min(open_at, default=len(text))
        for match in sorted(matches, reverse=True):  # the end must be in none of them
            if match.begin < end < match.end:
                end = match.begin
        return _apart(match for match in matches if match.kind and match.end <= end), end

    def _matched(self, text: str, begin: int = 0) -> list[FoundSecret]:
        return _apart(span for span in self._matches(text, begin, []) if span.kind)

    def _detected(self, text: str, begin: int, found: Sequence[FoundSecret]) -> Iterator[FoundSecret]:
        """Yield what else is detected. Patterns know better where a match ends; a placeholder is no name."""
        assert self._detect is not None
        taken = sorted(
            [(one.first, one.last) for one in found] + [one.span() for one in PLACEHOLDER.finditer(text)]
        )
        for start, stop, kind in self._detect(text):
            place = max(start, begin)
            for first, last in [*((a, b) for a, b in taken if a < stop and b > place), (stop, stop)]:
                words = text[place:first].strip()
                if words and self.is_secret(words):
                    at = text.index(words, place)
                    yield FoundSecret(at, at + len(words), at, at + len(words), kind)
                place = max(place, last)

    def _matches(self, text: str, begin: int, open_at: list[int]) -> Iterator[FoundSecret]:
        """Yield all matches; those without a kind do not count. `open_at` gets where more text could change them."""
        base = max(0, begin - BEHIND)
        seen = plain(text[base:])
        for kind, pattern in self._patterns.items():
            try:
                for match in self._candidates(pattern, kind, seen, begin - base):
                    start, stop = match.span()
                    if match.partial or stop == len(seen):
                        open_at += [base + start] if start < len(seen) else []
                    elif pattern.fullmatch(seen, start, partial=True, timeout=TIMEOUT):
                        open_at.append(base + start)
                    if match.partial:
                        continue
                    first, last = self._secret(kind, match)
                    is_one = first < last and self.is_secret(text[base + first : base + last])
                    yield FoundSecret(
                        base + start, base + stop, base + first, base + last, kind if is_one else ""
                    )
            except TimeoutError:
                raise TimeoutError(
                    f"the pattern {kind!r} took more than {TIMEOUT:g} s for a text of {len(seen)} characters; "
                    "write it without repetitions inside of repetitions"
                ) from None

    def _candidates(
        self, pattern: regex.Pattern[str], kind: str, text: str, place: int
    ) -> Iterator[regex.Match[str]]:
        """The matches from a place on. Behind one that is none after all, or only in part, there may be another."""
        while match := pattern.search(text, place, partial=True, timeout=TIMEOUT):
            yield match
            if match.partial:
                return
            place = max(match.start() + 1, self._secret(kind, match)[1])

    def _secret(self, kind: str, match: regex.Match[str]) -> tuple[int, int]:
        """Return what of a match is secret; nothing, if it is none after all."""
        look = self._looks.get(kind)
        if look is not None:
            return look(match) or (0, 0)
        return match.span("secret") if "secret" in match.re.groupindex else match.span()


def _apart(spans: Iterable[FoundSecret]) -> list[FoundSecret]:
    """Return the spans in order, without those that overlap an earlier one."""
    chosen: list[FoundSecret] = []
    for span in sorted(spans, key=lambda span: (span.first, -span.last)):
        if not chosen or span.first >= chosen[-1].last:
            chosen.append(span)
    return chosen


def compiled(kind: str, pattern: str) -> regex.Pattern[str]:
    """Return the pattern. `ValueError` where it is none, or matches nothing at all."""
    try:
        made = regex.compile(pattern)
    except regex.error as error:
        raise ValueError(f"the pattern {kind!r} is not a regular expression: {error}") from None
    if made.match("") is not None:
        raise ValueError(f"the pattern {kind!r} matches nothing at all, and so everywhere")
    return made
