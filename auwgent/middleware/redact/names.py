"""Placeholders of a session: given to secrets, and turned back into them, however a model bends them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import regex

from auwgent.errors import ToolError
from auwgent.session import Turn

# What may be one of ours, or be taken for one: with brackets or without.
_LIKE_ONE = regex.compile(r"(?i)(?<![a-z0-9])([a-z][a-z_]{1,40}?)(?:\\?[_ -]){1,2}(\d{1,9})(?![a-z0-9])")
_OURS = regex.compile(r"\[([A-Z][A-Z_]*)_\d+\]")
_OPEN = r"(?:\\?[\[【]|%5B|&#91;|&lbrack;)"
_CLOSE = r"(?:\\?[\]】]|%5D|&#93;|&rbrack;)"
_NARROW = {
    code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)
}  # letters, digits and brackets of full width
_WRAPPED = regex.compile(r"\s*([<{(`\"']{0,2})(?P<inner>.*?)([>})`\"']{0,2})\s*", regex.DOTALL)


class Names:
    """The placeholders of one session, and what they stand for."""

    def __init__(self) -> None:
        self._by_secret: dict[str, str] = {}
        self._secrets: dict[str, str] = {}
        self._numbers: dict[str, int] = {}  # the highest that was given or seen, by label
        self._labels: set[str] = set()  # of those that were given
        self._bent: regex.Pattern[str] | None = None
        self.unsaved: dict[str, str] = {}

    def __call__(self, kind: str, secret: str) -> str:
        """Return the placeholder for a secret."""
        known = self._by_secret.get(secret)
        if known is not None:
            return known
        label = kind.upper()
        number = self._numbers[label] = self._numbers.get(label, 0) + 1
        placeholder = f"[{label}_{number}]"
        self._add(placeholder, secret)
        self.unsaved[placeholder] = secret
        return placeholder

    def copied(self) -> Names:
        """Return names of their own for a copy of the session."""
        copy = Names()
        copy.learn(self._secrets)
        copy._numbers.update(self._numbers)
        copy._labels.update(self._labels)
        copy.unsaved.update(self.unsaved)
        return copy

    def learn(self, known: Mapping[str, str]) -> None:
        """Take over what was saved."""
        for placeholder, secret in known.items():
            self.skip(placeholder)
            self._add(placeholder, secret)

    def skip(self, text: str, begin: int = 0) -> None:
        """Give none that the text holds from there on: there it is a word of somebody else's."""
        for label, number in _LIKE_ONE.findall(text.translate(_NARROW), begin):
            label = label.upper()
            self._numbers[label] = max(self._numbers.get(label, 0), int(number))

    def skip_used(self, turns: Iterable[Turn]) -> None:
        """Give none that is in the history: it may have stood for something else."""
        for turn in turns:
            for text in (turn.text, *(str(call.args) for call in turn.tool_calls or ())):
                self.skip(text)
                self._labels.update(_OURS.findall(text))
        self._bent = None

    def restored(self, value: Any) -> Any:
        """Return the data with what its placeholders stand for. `ToolError` where that is not known any more."""
        if isinstance(value, dict):
            return {self.restored(key): self.restored(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self.restored(one) for one in value]
        return self._restored_text(value) if isinstance(value, str) and self._labels else value

    def _restored_text(self, text: str) -> str:
        if self._bent is None:
            labels = "|".join(
                regex.escape(label).replace("_", r"\\?[_ -]")
                for label in sorted(self._labels, key=len, reverse=True)
            )
            self._bent = regex.compile(
                rf"(?i)(?:(?P<open>{_OPEN}\s*)|(?<![a-z0-9_]))(?P<label>{labels})"
                rf"(?:\\?[_ -]\s*|)(?P<number>\d{{1,9}})?(?![a-z0-9_])(?P<close>\s*{_CLOSE})?"
            )
        seen = text.translate(_NARROW)
        wrapped = _WRAPPED.fullmatch(seen)
        inner = wrapped["inner"] if wrapped is not None else seen
        alone = self._bent.fullmatch(inner)
        if alone is not None and alone["number"] is not None:
            return self._secret(alone)
        restored, place = "", 0
        for found in self._bent.finditer(seen):
            known = self._meant(found)
            if known is not None:
                restored, place = restored + text[place : found.start()] + known, found.end()
        return restored + text[place:]

    def _meant(self, found: regex.Match[str]) -> str | None:
        """What one that looks like a placeholder stands for; None: it is a word of the text."""
        is_bracketed = found["open"] is not None and found["close"] is not None
        if is_bracketed:
            return self._secret(found)
        # Without brackets only what is written as ours are: `email 1` may be a word of the text.
        is_plain = found["number"] is not None and f"{found['label']}_{found['number']}" in found[0]
        return self._secrets.get(_placeholder(found)) if is_plain and found["label"].isupper() else None

    def _secret(self, found: regex.Match[str]) -> str:
        if found["number"] is None:
            label = _placeholder(found)[1:].removesuffix("_]")
            known = [one for one in self._secrets if one[1:].rpartition("_")[0] == label]
            if len(known) == 1:
                return self._secrets[known[0]]
            raise ToolError(
                f"{found[0]} does not say which one is meant; write the placeholder with its number"
            )
        secret = self._secrets.get(_placeholder(found))
        if secret is not None:
            return secret
        raise ToolError(
            f"what {_placeholder(found)} stood for is not known any more; ask the user for it again"
        )

    def _add(self, placeholder: str, secret: str) -> None:
        self._by_secret[secret] = placeholder
        self._secrets[placeholder] = secret
        label = placeholder[1:].rpartition("_")[0]
        if label not in self._labels:
            self._labels.add(label)
            self._bent = None


def _placeholder(found: regex.Match[str]) -> str:
    label = regex.sub(r"\\?[_ -]", "_", found["label"]).upper()
    return f"[{label}_{int(found['number'])}]" if found["number"] else f"[{label}_]"
