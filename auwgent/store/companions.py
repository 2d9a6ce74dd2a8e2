"""What is kept beside the sessions for each of them, and goes with them when they are copied, renamed or deleted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeGuard, runtime_checkable

from auwgent.hooks.names import answers_to_anything

SessionKey = tuple[str, str]  # user and id


@runtime_checkable
class Companion(Protocol):
    """Hears what became of sessions, once that is stored. What it raises reaches who asked for it."""

    async def session_copied(self, user_id: str, session_id: str, new_id: str) -> None:
        """There is a copy of a session, of the same user."""

    async def session_renamed(self, user_id: str, session_id: str, new_id: str) -> None:
        """A session has another id."""

    async def sessions_deleted(self, sessions: Sequence[SessionKey]) -> None:
        """Sessions are gone."""


class Companions:
    """All companions of a store, told one after another."""

    def __init__(self) -> None:
        self._all: list[Companion] = []

    def add(self, more: Iterable[object]) -> None:
        """Have those hear of what comes that want to; again does no harm."""
        known = {id(one) for one in self._all}
        self._all += [one for one in more if is_companion(one) and id(one) not in known]

    async def copied(self, user_id: str, session_id: str, new_id: str) -> None:
        for one in self._all:
            await one.session_copied(user_id, session_id, new_id)

    async def renamed(self, user_id: str, session_id: str, new_id: str) -> None:
        for one in self._all:
            await one.session_renamed(user_id, session_id, new_id)

    async def deleted(self, sessions: Sequence[SessionKey]) -> None:
        for one in self._all if sessions else ():
            await one.sessions_deleted(sessions)


def is_companion(instance: object) -> TypeGuard[Companion]:
    """Whether an object has all of a companion's methods, and not only every name that it is asked for."""
    return isinstance(instance, Companion) and not answers_to_anything(instance)
