"""Thoughts among provider_data: read, changed, and left out where they are signed."""

from __future__ import annotations

from typing import Any

import pytest

from auwgent.middleware.thoughts import changed, thoughts

SIGNED = {"type": "thinking", "thinking": "Ada lives here", "signature": "abc"}
OTHER = {"type": "thinking", "thinking": "Fine", "signature": "def"}
HIDDEN = {"type": "redacted_thinking", "data": "xyz"}


def without_ada(text: str) -> str:
    return text.replace("Ada", "[NAME_1]")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (None, []),
        ({}, []),
        ({"reasoning_content": "Hm."}, ["Hm."]),
        ({"thinking_blocks": [SIGNED, HIDDEN]}, ["Ada lives here", ""]),
        ({"reasoning_details": [{"text": "a", "summary": "b"}]}, ["a\nb"]),
        ({"reasoning_content": ["no text"], "thinking_blocks": "no list", "else": "Ada"}, []),
        ({"thinking_blocks": ["no block"]}, [""]),
    ],
)
def test_the_words_of_each_thought_are_read(data: Any, words: list[str]) -> None:
    assert list(thoughts(data)) == words


@pytest.mark.parametrize(
    ("data", "kept"),
    [
        (None, None),
        ({"reasoning_content": "Ada"}, {"reasoning_content": "[NAME_1]"}),
        ({"thinking_blocks": [SIGNED, OTHER]}, {"thinking_blocks": [OTHER]}),
        ({"thinking_blocks": [SIGNED]}, None),
        ({"thinking_blocks": [SIGNED], "id": "r1"}, {"id": "r1"}),
        ({"reasoning_details": [{"summary": "of Ada"}, HIDDEN]}, {"reasoning_details": [HIDDEN]}),
    ],
)
def test_what_is_signed_goes_where_its_words_would_change(data: Any, kept: Any) -> None:
    assert changed(data, without_ada) == kept


@pytest.mark.parametrize("data", [{}, {"thinking_blocks": [OTHER, HIDDEN]}, {"else": "Ada", "id": 1}])
def test_what_need_not_change_is_the_very_same(data: Any) -> None:
    assert changed(data, without_ada) is data
