"""The layers of a config, highest first, and how they are merged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from auwgent.config.document import Document
from auwgent.config.keys import Aspect, Finding, Key, lookup
from auwgent.config.overrides import Overrides
from auwgent.config.references import Used, used
from auwgent.config.variables import Unset, expand, same
from auwgent.errors import Problem
from auwgent.words import written

_ECHO = "scripted/echo"
# Without one of these a table cannot stand, so where one is lacking a table not in use is left out.
_VITAL = ("use", "model", "description", "command", "url")


@dataclass(frozen=True)
class Part:
    """The file, or one of its profiles, with its variables filled in."""

    document: Document
    tree: dict[str, Any]
    prefix: Key = ()  # ("profiles", NAME) for a profile

    def problem(self, finding: Finding) -> Problem:
        key = (*self.prefix, *finding.key)
        return self.document.problem(Finding(key, finding.message, finding.hint, finding.about))

    def source_of(self, key: Key) -> str:
        """Return a source such as `auwgent.toml:12`, or `auwgent.toml:40 (profile strict)`."""
        line = self.document.line_of((*self.prefix, *key))
        place = self.document.source if line is None else f"{self.document.source}:{line}"
        return f"{place} (profile {self.prefix[1]})" if self.prefix else place


@dataclass
class Layers:
    """A config being loaded: its layers, and what was found while merging them."""

    all: Sequence[Overrides | Part]
    beside: Mapping[str, str] = field(default_factory=dict, repr=False)  # variables of the env_file
    only: str | None = None  # the table that is looked at; None: all of them
    merged: Mapping[str, Any] = field(default_factory=dict)
    unset: list[Finding] = field(default_factory=list)  # variables that are missing and needed
    dropped: set[Key] = field(default_factory=set)  # keys whose variables are missing, needed or not
    left_out: set[Key] = field(default_factory=set)  # keys that are wrong, where the rest is to be looked at

    @property
    def document(self) -> Document:
        return next(layer.document for layer in self.all if isinstance(layer, Part))

    def problem(self, finding: Finding) -> Problem:
        """Return the finding with the place where its key was set."""
        placed = replace(finding, key=self.placed(finding.key))
        return self.layer_of(placed.key, finding.about).problem(placed)

    def problems(self, findings: Iterable[Finding]) -> Iterator[Problem]:
        """Yield the findings with their places: an unknown key is reported once per layer that sets it."""
        for finding in findings:
            stray = (
                [layer for layer in self.all if lookup(layer.tree, finding.key)[0]]
                if finding.about == "key"
                else []
            )
            yield from (
                layer.problem(finding) for layer in stray or [self.layer_of(finding.key, finding.about)]
            )

    def layer_of(self, key: Key, about: Aspect = "value") -> Overrides | Part:
        """Return the layer that has the last word on a key, or on the nearest table around it."""
        layers = list(self.all)
        if about == "table":  # what a table lacks is shown in the file, where it can be added
            layers.sort(key=lambda layer: isinstance(layer, Overrides))
        for end in range(len(key), 0, -1):
            for layer in layers:
                if lookup(layer.tree, key[:end])[0]:
                    return layer
        return self.all[-1]

    def origin(self, key: Key) -> str:
        """Return what set a key: a place in the file, a variable, `--set`, or `default`."""
        key = self.placed(key)
        layer = next((layer for layer in self.all if lookup(layer.tree, key)[0]), None)
        return "default" if layer is None else layer.source_of(key)

    def settle(self, merged: Mapping[str, Any]) -> dict[str, Any]:
        """Return the merged tree without the keys whose variables are missing. They are a problem only where in use."""
        tree = self._settle(merged, (), used(merged))
        for key in self.left_out:
            if stand_in := _stand_in(key):
                tree = _with(tree, key, stand_in)
        self.merged, in_use = tree, used(tree)
        return {name: self._standing(name, value, in_use) for name, value in self.merged.items()}

    def _settle(self, value: Any, key: Key, in_use: Used) -> Any:
        if isinstance(value, dict):
            items = {
                name: self._settle(item, (*key, name), in_use)
                for name, item in value.items()
                if (*key, name) not in self.left_out
            }
            return same(value, {name: item for name, item in items.items() if not isinstance(item, Unset)})
        if type(value) in (list, tuple):
            listed = [
                self._settle(item, (*key, index), in_use)
                for index, item in enumerate(value)
                if (*key, index) not in self.left_out
            ]
            settled = same(value, type(value)(listed))
            return next((item for item in listed if isinstance(item, Unset)), settled)
        if isinstance(value, Unset):
            self._note(key, value, in_use)
        return value

    def leave_out(self, key: Key, *, is_lacking: bool) -> None:
        """Leave out what is wrong at a key, or the table that needs it, so that the rest can be checked."""
        if is_lacking and _stand_in(key) is None:
            key = key[:-1]
        while key and key in self.left_out:
            key = key[:-1]
        self.left_out.add(key)

    def placed(self, key: Key) -> Key:
        """Return a key as the layers have it: what was left out of a list counts there, too."""
        placed: Key = ()
        for part in key:
            if isinstance(part, int):
                gone = sorted(
                    one[-1] for one in self.left_out if one[:-1] == placed and isinstance(one[-1], int)
                )
                for other in gone:
                    part += other <= part
            placed = (*placed, part)
        return placed

    def is_whole(self, key: Key) -> bool:
        """Return whether nothing at a key, or below it, is missing."""
        return not any(one[: len(key)] == key for one in (*self.dropped, *self.left_out))

    def _note(self, key: Key, value: Unset, in_use: Used) -> None:
        self.dropped.add(key)
        if not in_use.needs(key) or self.only not in (None, key[0]):
            return
        if "" in value.names:
            message = f"`{written(key)}` holds a `${{` that does not begin a variable"
            hint = "write ${NAME} or ${NAME:-default}, and $$ for a plain dollar sign"
        else:
            plural = "s" if len(value.names) > 1 else ""
            message = f"`{written(key)}` needs the environment variable{plural} {', '.join(value.names)}"
            set_it = f"set {'them' if plural else 'it'}"
            if any(name.endswith("_API_KEY") for name in value.names):
                set_it += (
                    f", keep the key with `auwgent keys set {key[1] if key[0] == 'api_keys' else 'PROVIDER'}`"
                )
            hint = f"{set_it}, or give a default: ${{{value.names[0]}:-…}}"
        self.unset.append(Finding(key, message, hint))

    def _standing(self, name: str, tables: Any, in_use: Used) -> Any:
        """Drop unused tables whose required value depends on an unset variable."""
        lacking = {key[1] for key in self.dropped if len(key) == 3 and key[0] == name and key[2] in _VITAL}
        idle = {table for table in lacking if not in_use.needs((name, table))}
        return {table: value for table, value in tables.items() if table not in idle} if idle else tables


def _stand_in(key: Key) -> Any:
    """Return what a table cannot do without, where it is wrong or lacking; None where it can."""
    match key:
        case ("agent",):
            return {"model": _ECHO}
        case ("agent" | "embedding", "model") | ("helpers", _, "model") | ("models", _, "use"):
            return _ECHO
        case ("helpers", _, "description"):
            return "…"
        case _:
            return None


def _with(table: Mapping[str, Any], key: Key, value: Any) -> dict[str, Any]:
    """Return the table with a value at a key, if what is around it is there."""
    name, below = str(key[0]), key[1:]
    if not below:
        return {**table, name: value}
    around = table.get(name)
    return {**table, name: _with(around, below, value)} if isinstance(around, dict) else dict(table)


def part(document: Document, environ: Mapping[str, str], profile: str | None = None) -> Part:
    """Return the file, or a profile of it, as a layer."""
    if profile is None:
        # Profiles are layers of their own: their variables count when they are laid over the file.
        kept = {"profiles": document.tree["profiles"]} if "profiles" in document.tree else {}
        tree = {name: value for name, value in document.tree.items() if name != "profiles"}
        return Part(document, expand(tree, environ) | kept)
    return Part(document, expand(document.tree["profiles"][profile], environ), ("profiles", profile))


def profile_names(tree: Mapping[str, Any]) -> Iterable[str]:
    """Return the profiles that are tables, as they should be."""
    profiles = tree.get("profiles")
    return (
        [name for name, value in profiles.items() if isinstance(value, dict)]
        if isinstance(profiles, dict)
        else []
    )
