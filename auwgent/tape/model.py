"""A tape as a model among others: a helper's, or a stand-in. As the model of the root agent it plays the whole run."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Self

from auwgent.models.base import ModelRequest, ModelSpec, Piece, Reply
from auwgent.tape.player import Player
from auwgent.tape.sources import PlayedRoute
from auwgent.tape.voices import path_in, voice_in


@dataclass(slots=True)
class TapeModel:
    """Answers the model calls of an agent from a tape."""

    spec: ModelSpec
    _player: Player | None = field(default=None, init=False)

    @classmethod
    def of(cls, spec: ModelSpec) -> Self:
        """Return the model of `tape/PATH`. The file is read when it is asked first."""
        return cls(spec)

    def check(self) -> None:
        """Raise `ConfigError` where the tape cannot be read."""
        Player(path_in(self.spec.name))

    async def ask(self, request: ModelRequest) -> AsyncGenerator[Piece | Reply, None]:
        if self._player is None:
            self._player = Player(path_in(self.spec.name), voice_in(self.spec.name))
        model = self._player.model_of(request.agent) or self.spec.name
        params = self._player.models.get(model, {}).get("params", {})
        spec = self.spec.changed(name=model, params=params)
        async for item in PlayedRoute(spec, self._player).ask(request):
            yield item

    async def aclose(self) -> None:
        """Nothing is held."""
