"""A config written to a file, and what is wrong with it once what it names has been imported."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from auwgent.assembly import build
from auwgent.config import examine
from auwgent.errors import ConfigError, Problem


@pytest.fixture
def wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[Problem]]:
    """The problems of a config that says this; none where it is in order. Modules may lie beside it."""
    monkeypatch.chdir(tmp_path)

    def problems(text: str) -> list[Problem]:
        path = Path("auwgent.toml")
        path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        try:
            config, known = examine(path)
            if config is None:
                return known
            build(config, known=known)
        except ConfigError as error:
            return list(error.problems)
        return []

    return problems
