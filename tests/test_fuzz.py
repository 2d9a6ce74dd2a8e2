"""A few of the broken inputs that benchmarks/fuzz.py tries in great numbers."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import fuzz


@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_a_broken_input_is_read_or_refused(kind: str) -> None:
    assert fuzz.tried(kind, count=200, seconds=60, seed=7)
