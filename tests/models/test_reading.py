from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auwgent.models.reading import answers, read_arguments
from auwgent.session import DEEPEST

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1}', {"a": 1}),
        *((text, {}) for text in ("", " \n", "null", " null ", "{}", "[]", '""', '"{}"', "{}{}")),
        (r'"{\"a\": 1}"', {"a": 1}),
        ('{}{"a": 1}', {"a": 1}),
        ('{"a": 1}\n{"a": 1}', {"a": 1}),
        ('{"a": "two\nlines"}', {"a": "two\nlines"}),
        ('{"a": 123456789012345678901234567890}', {"a": 123456789012345678901234567890}),
    ],
)
def test_arguments_are_read_as_models_write_them(text: str, expected: Any) -> None:
    assert read_arguments(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1',
        '{"a": 1}{"b"',
        '{"a": 1}{"a": 2}',
        '{"a": 1} and so on',
        "[1]",
        "1",
        "true",
        '"words"',
        "{'a': 1}",
        '{"a": NaN}',
        '{"a": 1e999}',
        '{"a": ' + "9" * 2_000 + "}",
        '{"a": "\\ud800"}',
        '{"a": ' + "[" * 200 + "]" * 200 + "}",
        '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"a": ' * 100_000,
    ],
    ids=lambda text: text[:20],
)
def test_what_is_no_object_or_cannot_be_kept_is_never_taken_for_arguments(text: str) -> None:
    assert read_arguments(text) is None


def test_arguments_may_be_as_deep_as_can_be_stored() -> None:
    deep = '{"a":' * DEEPEST + "1" + "}" * DEEPEST
    assert read_arguments(deep) is not None
    assert read_arguments('{"a":' + deep + "}") is None


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1}',
        '\ufeff{"a": 1}',
        'Here it is:\n```json\n{"a": 1}\n```\nDone.',
        'Sure! {"a": 1} is what you want.',
        '<think>maybe {"a": 2}?</think>{"a": 1}',
        'I begin with {"a": 2}. No: {"a": 1}',
        '```json\n{"a": 2}\n```\nbetter:\n```\n{"a": 1}\n```',
        '{"a": 1}{"a": 1}',
        'a set {x} and then {"a": 1}',
    ],
)
def test_an_answer_is_found_wherever_it_stands(text: str) -> None:
    assert next(answers(text)) == {"a": 1}


@given(JSON, st.text(alphabet="ab .:\n"), st.text(alphabet="ab .:\n"))
def test_any_object_or_list_is_found_among_words(value: Any, before: str, after: str) -> None:
    if isinstance(value, (dict, list)):
        assert value in list(answers(before + json.dumps(value) + after))


@pytest.mark.parametrize(
    "text", ["{" * 200_000, '{"a":' * 200_000, "[" * 200_000 + "]" * 200_000, "```\n" * 50_000]
)
def test_an_answer_of_nothing_but_beginnings_is_given_up_soon(text: str) -> None:
    began = time.process_time()
    assert list(answers(text)) == []
    assert time.process_time() - began < 10
