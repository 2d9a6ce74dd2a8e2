"""Lengths of time in words."""

from __future__ import annotations

from typing import Any

import pytest

from auwgent import ConfigError
from auwgent.config import load
from auwgent.spans import Span


@pytest.mark.parametrize("given", [10**400, 1e300, float("nan"), -1, True, None, "", "7", "99999999w", "7 d"])
def test_what_is_no_length_of_time_is_a_value_error(given: Any) -> None:
    with pytest.raises(ValueError, match="must be a length of time"):
        Span.parse(given)


def test_a_limit_is_read_as_a_length_of_time_and_told_where_it_is_none() -> None:
    agent = {"model": "scripted/echo"}
    assert str(load({"agent": agent}, environ={}).limits.approval) == "7d"
    assert (
        load({"agent": agent, "limits": {"approval": "12h"}}, environ={}).limits.approval.total_seconds()
        == 43200
    )
    with pytest.raises(ConfigError, match=r"`limits\.approval`: must be a length of time"):
        load({"agent": agent}, overrides=[f"limits.approval={'9' * 500}"], environ={})
