from __future__ import annotations

import json
from typing import Any

import pytest

from auwgent.models.fits import checker
from auwgent.models.schema import tidy


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"title": "T", "type": "string"}, {"type": "string"}),
        ({"const": "a"}, {"enum": ["a"], "type": "string"}),
        ({"oneOf": [{"type": "null"}], "discriminator": {}}, {"anyOf": [{"type": "null"}]}),
        ({"type": "string", "pattern": r"^(?!x)", "default": None}, {"type": "string"}),
        ({"type": "string", "pattern": r"^\d+$"}, {"type": "string", "pattern": r"^\d+$"}),
        (
            {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]},
            {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": {}},
        ),
        (
            {"type": "array", "items": [{"type": "integer"}, {"type": "null"}], "additionalItems": False},
            {
                "type": "array",
                "prefixItems": [{"type": "integer"}, {"type": "null"}],
                "items": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
                "maxItems": 2,
            },
        ),
        (
            {"type": "object", "properties": {"title": {"title": "Title"}, "$defs": {}}},
            {"type": "object", "properties": {"title": {}, "$defs": {}}},
        ),
        (
            {"if": {"$ref": "#/definitions/a"}, "definitions": {"a": {"title": "A", "type": "null"}}},
            {"if": {"type": "null"}},
        ),
        ({"type": "array"}, {"type": "array", "items": {}}),
        ({"minimum": 1, "exclusiveMinimum": True}, {"exclusiveMinimum": 1}),
        ({"properties": {"a": True, "b": False}}, {"properties": {"a": {}, "b": {"not": {}}}}),
        ({"properties": {"a": {"required": True}}}, {"properties": {"a": {}}, "required": ["a"]}),
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
    assert sorted(tidied["$defs"]) == ["a", "b"]
    assert tidied["properties"]["b"] == {"$ref": "#/$defs/b"}
    inner = tidied["$defs"]["b"]["properties"]["a"]
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


@pytest.mark.parametrize(
    "reference",
    ["#/properties/a", "#/definitions/x", "#here", "s.json", "https://x.example/s.json#/definitions/x"],
)
def test_whatever_in_the_schema_is_referred_to_is_written_out(reference: str) -> None:
    schema: dict[str, Any] = {
        "$id": "https://x.example/main.json" if "here" in reference else "https://x.example/s.json",
        "properties": {"a": {"type": "integer"}, "b": {"$ref": reference}},
        "definitions": {"x": {"type": "integer"}, "y": {"$anchor": "here", "type": "integer"}},
    }
    if reference == "s.json":
        schema |= {"$id": "https://x.example/main.json"}
        schema["definitions"]["z"] = {"$id": "s.json", "type": "integer"}
    assert tidy(schema) == {"properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}
    assert checker(schema)({"b": "x"}) == ["$.b: 'x' is not of type 'integer'"]


def test_a_reference_in_a_circle_says_nothing() -> None:
    schema = {"$ref": "#/$defs/x", "$defs": {"x": {"$ref": "#/$defs/y"}, "y": {"$ref": "#/$defs/x"}}}
    assert tidy(schema) == {}
    assert checker(schema)(1) == ["$: nested too deeply to be checked"]


def test_parts_of_an_object_become_one_where_none_closes_what_the_other_opens() -> None:
    street = {"type": "object", "properties": {"street": {"type": "string"}}, "required": ["street"]}
    floor = {"properties": {"floor": {"type": "integer"}}, "required": ["floor"]}
    assert tidy({"allOf": [street, floor]}) == {
        "type": "object",
        "properties": {"street": {"type": "string"}, "floor": {"type": "integer"}},
        "required": ["street", "floor"],
    }
    closed = {**street, "additionalProperties": False}
    assert tidy({"allOf": [closed, floor]}) == {"allOf": [closed, floor]}


def test_definitions_that_share_others_are_sent_once() -> None:
    layers: dict[str, Any] = {
        f"l{n}": {"properties": {key: {"$ref": f"#/$defs/l{n + 1}"} for key in "abc"}} for n in range(20)
    }
    schema = {"$ref": "#/$defs/l0", "$defs": layers | {"l20": {"type": "string", "description": "d" * 100}}}
    assert len(json.dumps(tidy(schema))) < 1.2 * len(json.dumps(schema))


def test_types_that_hold_each_other_are_sent_once() -> None:
    names = [f"T{n}" for n in range(8)]
    schema = {
        "$ref": "#/$defs/T0",
        "$defs": {
            name: {"type": "object", "properties": {to: {"$ref": f"#/$defs/{to}"} for to in names}}
            for name in names
        },
    }
    assert len(json.dumps(tidy(schema))) < 1.2 * len(json.dumps(schema))


@pytest.mark.parametrize("place", ["pattern", "patternProperties", "propertyNames"])
def test_no_pattern_holds_the_interpreter(place: str) -> None:
    evil, long = "^(a+)+$", "a" * 50_000 + "!"
    schemas: dict[str, Any] = {
        "pattern": {"properties": {"x": {"pattern": evil}}},
        "patternProperties": {"patternProperties": {evil: True}, "additionalProperties": False},
        "propertyNames": {"propertyNames": {"pattern": evil}},
    }
    assert checker(schemas[place])({long: long, "x": long})


@pytest.mark.parametrize(
    "schema",
    [
        {"pattern": "(?=x)y"},
        {"not": {"pattern": "(?=x)"}},
        {"oneOf": [{"pattern": "(?!x)"}, {"type": "string"}]},
        {"if": {"pattern": r"(.)\1"}, "then": False},
    ],
)
def test_a_pattern_that_only_others_know_is_left_unchecked(schema: Any) -> None:
    assert checker(schema)("text") == []


def test_a_pattern_in_the_dialect_of_javascript_is_checked_where_it_can_be() -> None:
    misfits = checker({"type": "string", "pattern": r"^\p{L}+\/\d$"})
    assert misfits("Käse/1") == []
    assert misfits("1/1") == ["$: '1/1' does not match '^\\\\p{L}+\\\\/\\\\d$'"]


def test_a_schema_that_doubles_the_work_with_each_reference_comes_to_an_end() -> None:
    layers: dict[str, Any] = {f"l{n}": {"allOf": [{"$ref": f"#/$defs/l{n + 1}"}] * 2} for n in range(40)}
    assert checker({"$ref": "#/$defs/l0", "$defs": layers | {"l40": {}}})("x") == [
        "$: nested too deeply to be checked"
    ]


def test_a_schema_without_a_draft_is_read_in_the_one_that_it_fits() -> None:
    assert checker({"items": [{"type": "string"}]})([1]) == ["$[0]: 1 is not of type 'string'"]
    assert checker({"minimum": 1, "exclusiveMinimum": True})(1) != []
    with pytest.raises(ValueError, match="not a JSON Schema: "):
        checker({"type": "strin"})


@pytest.mark.parametrize("reference", ["https://example.com/schema", "other.json", "file:///etc/passwd"])
def test_nothing_is_fetched_to_check_data(reference: str) -> None:
    with pytest.raises(ValueError, match="leads out of the schema"):
        checker({"properties": {"a": {"items": [{"$ref": reference}]}}})
