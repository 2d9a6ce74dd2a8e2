"""Puts a tape into what an agent's runs are made with: one to write them down, or one to play them from."""

from __future__ import annotations

from dataclasses import replace

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
