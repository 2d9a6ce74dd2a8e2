"""What fits a schema fits what is sent, and the other way round."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from auwgent.models.schema import tidy

NAMES = st.sampled_from(["a", "b", "c"])
SCALARS = st.sampled_from([None, True, False, 0, 1, 2, 7, 1.5, "", "x", "yy", "12"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
REFERENCES = st.sampled_from(
    [
        "#/$defs/p",
        "#/$defs/q",
        "#/$defs/r",
        "#/properties/a",
        "#",
        "#here",
        "https://x.example/s.json#/$defs/p",
    ]
)
KINDS = st.sampled_from(["string", "integer", "number", "boolean", "null", "array", "object"])


def _word(inner: Any) -> st.SearchStrategy[dict[str, Any]]:
    """One keyword, or a few that go together."""

    def of(**parts: Any) -> st.SearchStrategy[dict[str, Any]]:
        return st.fixed_dictionaries(parts)

    some = st.lists(inner, min_size=1, max_size=3)
    named = st.dictionaries(NAMES, inner, min_size=1, max_size=3)
    names = st.lists(NAMES, unique=True, max_size=2)
    return st.one_of(
        of(type=KINDS | st.lists(KINDS, min_size=1, max_size=3, unique=True)),
        of(type=st.just("object"), properties=named, required=names),
        of(properties=named, additionalProperties=st.booleans() | inner),
        of(patternProperties=st.dictionaries(st.sampled_from(["^a", "b|c"]), inner, min_size=1)),
        of(dependentSchemas=named),
        of(dependentRequired=st.dictionaries(NAMES, names, max_size=2)),
        of(propertyNames=inner),
        of(unevaluatedProperties=st.booleans()),
        of(items=inner),
        of(prefixItems=some),
        of(prefixItems=some, items=st.just(False)),
        of(prefixItems=some, minItems=st.integers(0, 2), maxItems=st.integers(1, 3)),
        of(contains=inner),
        of(enum=st.lists(SCALARS, min_size=1, max_size=3)),
        of(const=SCALARS),
        of(anyOf=some),
        of(oneOf=some),
        of(allOf=some),
        of(**{"not": inner}),
        of(**{"if": inner, "then": inner, "else": inner}),
        of(minimum=st.integers(0, 2)),
        of(maxLength=st.integers(0, 2)),
        of(description=st.just("d"), title=st.just("T"), default=st.none()),
        of(pattern=st.sampled_from(["^x", "^[0-9]+$", "(?=x)"])),
        of(**{"$ref": REFERENCES}),
    )


def _joined(words: list[dict[str, Any]]) -> dict[str, Any]:
    return {key: value for word in words for key, value in word.items()}


INNER = st.recursive(
    st.booleans() | KINDS.map(lambda kind: {"type": kind}) | st.builds(lambda to: {"$ref": to}, REFERENCES),
    lambda inner: st.lists(_word(inner), min_size=1, max_size=3).map(_joined),
    max_leaves=6,
)


@st.composite
def schemas(draw: Any) -> dict[str, Any]:
    whole = _joined(draw(st.lists(_word(INNER), min_size=1, max_size=3)))
    whole["$defs"] = {name: draw(INNER) for name in "pqr"}
    whole["$defs"]["named"] = {"$anchor": "here", "type": draw(KINDS)}
    whole["properties"] = {"a": draw(INNER)} | whole.get("properties", {})
    return {"$id": "https://x.example/s.json", **whole}


def fits(schema: dict[str, Any], value: Any) -> bool | None:
    """Whether it fits; None for a schema that is itself, whose meaning is not defined."""
    try:
        return jsonschema.Draft202012Validator(schema).is_valid(value)
    except BaseException as error:  # the library's Rust makes a panic of a recursion without end
        if type(error).__name__ not in ("RecursionError", "PanicException"):
            raise
        return None


CLOSED = {
    "allOf": [{"$ref": "#/$defs/p"}, {"properties": {"b": {"type": "integer"}}, "required": ["b"]}],
    "unevaluatedProperties": False,
    "$defs": {"p": {"properties": {"a": {"type": "string"}}, "required": ["a"]}},
}


@settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=150)
@given(schemas(), st.lists(VALUES, min_size=1, max_size=12))
@example(CLOSED, [{"a": "x", "b": 1}, {"a": "x", "b": 1, "c": 2}, {"a": "x"}])
@example({"items": CLOSED, "$defs": CLOSED["$defs"]}, [[{"a": "x", "b": 1}], [{"a": "x", "b": 1, "c": 2}]])
def test_what_fits_a_schema_fits_what_is_sent_and_the_other_way_round(
    schema: dict[str, Any], values: list[Any]
) -> None:
    text = json.dumps(schema)
    tidied = tidy(schema)
    assert json.dumps(schema) == text
    jsonschema.Draft202012Validator.check_schema(tidied)
    has_dialect = "(?=" in text
    for value in values:
        before, after = fits(schema, value), fits(tidied, value)
        if before is not None and after is not None:
            assert after or not before
            assert before or not after or has_dialect
    assert len(json.dumps(tidied)) <= 4 * len(text) + 1_000
