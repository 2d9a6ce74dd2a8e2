"""Where keys and values stand in a TOML text."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from auwgent.config.keys import Aspect, Key, lookup
from auwgent.config.positions import Positions, TextSpan

TEXT = '''\
#:schema ./x.json
middleware = [ "a", # why
  { use = "é", "o é".p = 1 } ]
agent.x.y = 1
[agent.q] # hi
"na me"."é" = """x
y"""
'z' = 1
[[arr.b]]
x = 1
[[arr.b]]
x = 2
[arr.b.sub]
k = []
[agent.sub]
d = 1979-05-27
[late.inner]
k = 1
[late]
k = 2
'''


def cut(text: str, span: TextSpan) -> str:
    """The text of a span."""
    lines = text.split("\n")[span.start[0] : span.end[0] + 1]
    lines[-1] = lines[-1][: span.end[1]]
    lines[0] = lines[0][span.start[1] :]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("key", "about", "line", "expected"),
    [
        (("middleware",), "key", 2, "middleware"),
        (("middleware", 0), "value", 2, '"a"'),
        (("middleware", 1), "value", 3, '{ use = "é", "o é".p = 1 }'),
        (("middleware", 1, "o é", "p"), "key", 3, "p"),
        (("middleware", 1, "o é", "p"), "value", 3, "1"),
        (("middleware", 1, "missing"), "table", 3, '{ use = "é", "o é".p = 1 }'),
        (("agent",), "key", 4, "agent"),
        (("agent", "x", "y"), "value", 4, "1"),
        (("agent", "q"), "table", 5, "q"),
        (("agent", "q", "na me", "é"), "value", 6, '"""x\ny"""'),
        (("agent", "q", "z"), "key", 8, "'z'"),
        (("arr", "b"), "value", 9, "b"),
        (("arr", "b", 1), "table", 11, "b"),
        (("arr", "b", 0, "x"), "value", 10, "1"),
        (("arr", "b", 1, "x"), "value", 12, "2"),
        (("arr", "b", 1, "sub", "k"), "value", 14, "[]"),
        (("agent", "sub", "d"), "value", 16, "1979-05-27"),
        (("late",), "table", 19, "late"),
        (("nowhere", "at", "all"), "value", 1, ""),
    ],
)
def test_a_key_is_found_where_it_stands(key: Key, about: Aspect, line: int, expected: str) -> None:
    span = Positions(TEXT).find(key, about)
    assert (span.start[0] + 1, cut(TEXT, span)) == (line, expected)


NAMES = st.sampled_from(["a", "b", "c d", "é", "x.y", "", 'q"', "1"])
SCALARS = st.one_of(
    st.text(alphabet="aé \"'\\\n#=[]{}🦊", max_size=6),
    st.integers(-5, 5),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.dates(),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=8,
)


@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_every_value_of_any_text_is_found(tree: dict[str, Any]) -> None:
    text = tomli_w.dumps(tree)
    positions = Positions(text)
    for key, value in leaves(tomllib.loads(text), ()):
        span = positions.find(key, "value")
        assert tomllib.loads(f"value = {cut(text, span)}") == {"value": value}
    assert {key for key, _ in positions.scalars} == {key for key, value in leaves(tree, ()) if value != []}


def leaves(tree: Any, key: Key) -> Iterator[tuple[Key, Any]]:
    """The keys whose values are neither tables nor lists that hold something."""
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for part, value in inner:
        if isinstance(value, (dict, list)) and value:
            yield from leaves(value, (*key, part))
        elif value != {}:
            yield (*key, part), value


def test_a_tree_is_looked_up_by_the_same_keys() -> None:
    tree = tomllib.loads(TEXT)
    assert lookup(tree, ("arr", "b", 1, "x")) == (True, 2)
    assert lookup(tree, ("arr", "b", 2, "x")) == (False, None)
    assert lookup(tree, ("agent", "q", 0)) == (False, None)
