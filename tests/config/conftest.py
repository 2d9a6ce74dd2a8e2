"""A config written to a file, and what `load` finds wrong with it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from auwgent.config import load
from auwgent.errors import ConfigError, Problem

Wrong = Callable[..., list[Problem]]
AGENT = '[agent]\nmodel = "scripted/echo"\n'


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Writes the text to `auwgent.toml`; the path is relative, so that messages are the same everywhere."""
    monkeypatch.chdir(tmp_path)

    def write(text: str) -> Path:
        path = Path("auwgent.toml")
        path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8", newline="")
        return path

    return write


@pytest.fixture
def wrong(file: Callable[[str], Path]) -> Wrong:
    """The problems of a config; it must have some."""

    def problems(
        text: str,
        *,
        environ: Mapping[str, str] | None = None,
        overrides: Sequence[str] = (),
        profile: str | None = None,
    ) -> list[Problem]:
        with pytest.raises(ConfigError) as caught:
            load(file(text), environ=environ or {}, overrides=overrides, profile=profile)
        return list(caught.value.problems)

    return problems
