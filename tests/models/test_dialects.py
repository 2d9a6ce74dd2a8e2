from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auwgent.models.base import ModelRequest, ModelSpec, ToolSpec
from auwgent.models.dialects import as_parameters, written_out
from auwgent.models.schema import tidy
from auwgent.models.wire import tools
from tests.models.test_schema_meaning import VALUES, fits, schemas

NODE = {"$ref": "#/$defs/Node"}
TREE = {
    "type": "object",
    "properties": {"root": NODE},
    "$defs": {
        "Node": {"type": "object", "properties": {"left": NODE, "right": NODE, "name": {"type": "string"}}}
    },
}
ORDER = {
    "type": "object",
    "description": "An order.",
    "properties": {"to": {"type": "string"}},
    "required": ["to"],
    "oneOf": [
        {
            "properties": {"kind": {"const": "pickup"}, "shop": {"type": "string"}},
            "required": ["kind", "shop"],
        },
        {"properties": {"kind": {"const": "delivery"}, "fee": {"type": "number"}}, "required": ["kind"]},
    ],
}


@settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=100)
@given(schemas(), st.lists(VALUES, min_size=1, max_size=8))
def test_what_fits_a_schema_fits_its_poorer_forms(schema: dict[str, Any], values: list[Any]) -> None:
    tidied = tidy(schema)
    plain, inlined = as_parameters(tidied), written_out(tidied)
    assert '"$ref"' not in json.dumps(inlined)
    assert len(json.dumps(inlined)) <= max(4_000, 4 * len(json.dumps(tidied)))
    for value in values:
        if fits(tidied, value):
            assert fits(inlined, value) is not False
            assert not isinstance(value, dict) or fits(plain, value) is not False


def test_parameters_have_a_plain_object_at_the_root_and_say_the_rest_in_words() -> None:
    plain = as_parameters(tidy(ORDER))
    assert plain["type"] == "object"
    assert plain["properties"] == {
        "to": {"type": "string"},
        "kind": {"type": "string", "enum": ["pickup", "delivery"]},
        "shop": {},
        "fee": {},
    }
    assert plain["required"] == ["to", "kind"]
    assert plain["description"].startswith('An order.\nAll of it must fit this JSON Schema, too: {"anyOf":[')
    assert not {"oneOf", "anyOf", "allOf", "not", "enum", "if"} & plain.keys()


@pytest.mark.parametrize("provider", ["gemini", "vertex_ai", "bedrock", "cohere_chat"])
def test_a_provider_that_takes_no_references_gets_definitions_written_out_to_some_depth(
    provider: str,
) -> None:
    request = ModelRequest(system="", turns=[], tools=[ToolSpec("walk", "Walk.", TREE)])
    sent = tools(ModelSpec(f"{provider}/m"), request)[0]["function"]["parameters"]
    assert "$ref" not in json.dumps(sent)
    assert sent["properties"]["root"]["properties"]["left"]["properties"]["name"] == {"type": "string"}
    kept = tools(ModelSpec("openai/m"), request)[0]["function"]["parameters"]
    assert kept["$defs"] == TREE["$defs"]


def test_types_that_hold_each_other_are_written_out_no_further_than_there_is_room() -> None:
    names = [f"T{n}" for n in range(12)]
    schema = {
        "type": "object",
        "properties": {"t": {"$ref": "#/$defs/T0"}},
        "$defs": {
            name: {"type": "object", "properties": {to: {"$ref": f"#/$defs/{to}"} for to in names}}
            for name in names
        },
    }
    assert len(json.dumps(written_out(schema))) < 4 * len(json.dumps(schema))
