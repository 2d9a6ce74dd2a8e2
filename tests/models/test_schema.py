from __future__ import annotations

from typing import Any

import pytest

from auwgent.models.schema import checker, tidy


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"title": "T", "type": "string"}, {"type": "string"}),
        ({"const": "a"}, {"enum": ["a"]}),
        ({"oneOf": [{"type": "null"}], "discriminator": {}}, {"anyOf": [{"type": "null"}]}),
        ({"type": "string", "pattern": r"^(?!x)", "default": None}, {"type": "string"}),
        ({"type": "string", "pattern": r"^\d+$"}, {"type": "string", "pattern": r"^\d+$"}),
        (
            {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]},
            {"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "string"}]}},
        ),
        (
            {"type": "object", "properties": {"title": {"title": "Title"}, "$defs": {}}},
            {"type": "object", "properties": {"title": {}, "$defs": {}}, "additionalProperties": False},
        ),
        (
            {"if": {"$ref": "#/definitions/a"}, "definitions": {"a": {"title": "A", "type": "null"}}},
            {"if": {"type": "null"}},
        ),
        ({"default": {"title": "kept"}, "enum": [{"title": "kept"}]},) * 2,
    ],
)
def test_a_schema_is_put_in_words_that_every_provider_knows(schema: Any, expected: Any) -> None:
    assert tidy(schema) == expected


def test_what_stands_beside_a_reference_wins_over_its_definition() -> None:
    schema = {
        "properties": {"a": {"$ref": "#/$defs/x", "description": "mine"}},
        "$defs": {"x": {"type": "integer", "description": "its"}},
    }
    assert tidy(schema)["properties"]["a"] == {"type": "integer", "description": "mine"}


def test_definitions_that_need_each_other_stay_together() -> None:
    schema = {
        "$ref": "#/$defs/a",
        "$defs": {
            "a": {"properties": {"b": {"$ref": "#/$defs/b"}}},
            "b": {"properties": {"a": {"$ref": "#/$defs/a", "description": "back"}}},
            "unused": {},
        },
    }
    tidied = tidy(schema)
    assert list(tidied["$defs"]) == ["a"]
    inner = tidied["properties"]["b"]["properties"]["a"]
    assert inner == {"anyOf": [{"$ref": "#/$defs/a"}], "description": "back"}


def test_a_schema_is_left_as_it_was() -> None:
    schema = {"title": "T", "const": 1, "prefixItems": [{"title": "x"}]}
    tidy(schema)
    assert schema == {"title": "T", "const": 1, "prefixItems": [{"title": "x"}]}


def test_data_that_does_not_fit_is_told_everything() -> None:
    misfits = checker({"properties": {"a": {"type": "integer"}, "on": {"format": "date"}}, "required": ["b"]})
    assert misfits({"b": 1}) == []
    assert misfits({"a": "x" * 200, "on": "soon"}) == [
        "$: 'b' is a required property",
        f"$.a: '{'x' * 78}…",
        "$.on: 'soon' is not a 'date'",
    ]


@pytest.mark.parametrize("reference", ["https://example.com/schema", "other.json", "file:///etc/passwd"])
def test_nothing_is_fetched_to_check_data(reference: str) -> None:
    with pytest.raises(ValueError, match="is outside the schema; only those beginning with # are followed"):
        checker({"properties": {"a": {"items": [{"$ref": reference}]}}})
