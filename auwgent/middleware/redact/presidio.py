"""What Presidio finds beside the patterns: names, places and other words that only a language model of spaCy knows."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from auwgent.errors import ConfigError
from auwgent.imports import ImportFailure, resolve
from auwgent.middleware.kept import Options

INSTALL = "`presidio` needs a library: pip install 'auwgent[presidio]'"
REMEMBERED = 256  # texts, the last ones: a prompt and a history are looked at before each request

Detected = tuple[int, int, str]  # where it begins and ends, and its kind


class Presidio(Options):
    """Whom to ask, what for, and above which score.

    `analyzer` is one of Presidio's, a function that makes it, or the dotted path of either; else one is made with a
    `model` of spaCy.
    """

    entities: Annotated[tuple[str, ...], Field(strict=False)] = ("PERSON", "LOCATION")
    score: Annotated[float, Field(ge=0, le=1, strict=False)] = 0.5
    language: str = "en"
    model: str = "en_core_web_lg"
    analyzer: Any = None

    def detector(self) -> Detector:
        """Return what asks it. `ConfigError` where it, or its model, is not installed."""
        given = self.analyzer
        if isinstance(given, str):
            try:
                given = resolve(given)
            except ImportFailure as error:
                raise ValueError(f"`presidio.analyzer`: {error}") from error
        if given is None:
            self._refuse_what_is_missing()
        if given is None:
            return Detector(self, self._made)
        return Detector(self, given if callable(given) else lambda: given)

    def _refuse_what_is_missing(self) -> None:
        try:
            import presidio_analyzer  # noqa: F401 - that it is missing is told here
            import spacy
        except ImportError as error:
            raise ConfigError(INSTALL) from error
        if not spacy.util.is_package(self.model) and not Path(self.model).exists():
            raise ConfigError(
                f"`presidio` needs spaCy's model {self.model!r}: python -m spacy download {self.model}"
            )

    def _made(self) -> Any:
        from presidio_analyzer import AnalyzerEngine
        from presidio_analyzer.nlp_engine import NlpEngineProvider

        models = [{"lang_code": self.language, "model_name": self.model}]
        engine = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": models})
        return AnalyzerEngine(nlp_engine=engine.create_engine(), supported_languages=[self.language])


class Detector:
    """Asks the analyzer about whole texts; what it needs is loaded once, when it is asked first."""

    def __init__(self, wanted: Presidio, make: Callable[[], Any]) -> None:
        self._wanted, self._make = wanted, make
        self._analyzer: Any = None
        self._asked = lru_cache(REMEMBERED)(self._ask)

    def load(self) -> None:
        """Load it now: a model takes seconds."""
        if self._analyzer is None:
            self._analyzer = self._make()

    def __call__(self, text: str) -> Sequence[Detected]:
        """Return what is found in a text."""
        return self._asked(text)

    def _ask(self, text: str) -> Sequence[Detected]:
        self.load()
        wanted = self._wanted
        found = self._analyzer.analyze(text=text, language=wanted.language, entities=list(wanted.entities))
        return [(one.start, one.end, _kind(one.entity_type)) for one in found if one.score >= wanted.score]


def _kind(entity: str) -> str:
    """As it may stand in a placeholder: letters and underscores."""
    return re.sub("[^a-z_]", "", entity.lower()).strip("_") or "found"
