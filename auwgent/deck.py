"""Puts a tape into what an agent's runs are made with: one to write them down, or one to play them from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from auwgent.engine.order import Services
from auwgent.models.embedding import Embedder
from auwgent.tape import (
    PlayedEmbedder,
    PlayedModels,
    Player,
    RecordedEmbedder,
    RecordedModels,
    Recorder,
)


def recording(services: Services, recorder: Recorder) -> Services:
    """Return the services whose answers are written to a tape."""
    embed = services.embed
    return replace(
        services,
        models=RecordedModels(services.models, recorder),
        embed=RecordedEmbedder(embed, recorder) if isinstance(embed, Embedder) else embed,
        tape=recorder,
    )


def playing(services: Services, player: Player) -> Services:
    """Return the services that answer from a tape alone."""
    embed = services.embed
    return replace(
        services,
        models=PlayedModels(services.models, player, services.root),
        embed=PlayedEmbedder(embed, player) if isinstance(embed, Embedder) else embed,
        tape=player,
    )


class Recorders:
    """The tapes that are being written. Runs of one tape and model share its writer."""

    def __init__(self) -> None:
        self._known: dict[tuple[Path, str], Recorder] = {}

    def recording(self, services: Services, tape: Path | None) -> Services:
        """Return the services, with the tape that a run is to be written to."""
        if tape is None:
            return services
        key = tape, services.agents[services.root].model
        if key not in self._known:
            self._known[key] = Recorder(*key)
        return recording(services, self._known[key])
