"""Tapes: what a run was answered, written down so that it can be played again without keys, network or tools.

`Recorder` writes one, `Player` answers from one; `sources` brings either between a run and its models. The lines of a
tape are described in docs/recording.md, and made in `form`.
"""

from auwgent.tape.base import Tape
from auwgent.tape.lines import TapeFile
from auwgent.tape.player import Player
from auwgent.tape.recorder import Recorder
from auwgent.tape.sources import PlayedEmbedder, PlayedModels, RecordedEmbedder, RecordedModels

__all__ = [
    "PlayedEmbedder",
    "PlayedModels",
    "Player",
    "RecordedEmbedder",
    "RecordedModels",
    "Recorder",
    "Tape",
    "TapeFile",
]
