"""Shared by all builders: the config, the list of problems, and the resolving of dotted paths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from auwgent.config import Config
from auwgent.errors import ConfigError, Problem
from auwgent.imports import ImportFailure, resolve

Key = tuple[str | int, ...]


@dataclass(slots=True)
class Workbench:
    """A config being built. Collects all problems, so that they are reported together.

    Parts that depend on something already `known` to be wrong are not looked at.
    """

    config: Config
    known: Sequence[Problem] = ()
    problems: list[Problem] = field(default_factory=list)

    def problem(self, key: Key, message: str, hint: str = "") -> None:
        """Note a problem at `key`."""
        self.problems.append(self.config.problem(key, message, hint))

    def attempt(self, key: Key, work: Callable[[], Any]) -> Any:
        """Call the function; what it raises becomes a problem at `key`, and the result is None."""
        try:
            return work()
        except ImportFailure as error:
            self.problem(key, str(error), error.hint)
        except ConfigError as error:
            for found in error.problems:
                self.problem(key, found.message, found.hint)
        except (ValueError, TypeError, OSError) as error:
            self.problem(key, str(error))
        return None

    def resolve(self, key: Key, use: Any) -> Any:
        """Return what a dotted path names; an object in a dict is itself."""
        if not isinstance(use, str):
            return use
        return self.attempt(key, lambda: resolve(use, allow=self.config.imports.allow))


def name_of(use: Any) -> str:
    """Return a dotted path, or an object of a dict, as a problem names it."""
    return repr(use) if isinstance(use, str) else repr(getattr(use, "__qualname__", type(use).__qualname__))
