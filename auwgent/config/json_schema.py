"""The JSON Schema of the config file, for editors."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import NullableSchema, TaggedUnionSchema, WithDefaultSchema

from auwgent.config.serve import ServeConfig
from auwgent.config.settings import DEFAULT_MIDDLEWARE, Config
from auwgent.config.tables import Imports, MiddlewareEntry
from auwgent.limits import Limits

_ENTRIES = ("MiddlewareEntry", "ToolEntry", "WorkflowEntry")
_IN_PROFILE = "_in_profile"


def schema() -> dict[str, Any]:
    """Return the schema of the file as users write it, draft 2020-12."""
    for table in (Imports, Limits, MiddlewareEntry, ServeConfig):  # of which there are defaults
        table.model_rebuild()
    root = Config.model_json_schema(schema_generator=_AsWritten)
    tables = root["$defs"]
    options = tables["MiddlewareEntry"]["properties"].pop("options")
    tables["MiddlewareEntry"]["additionalProperties"] = {"description": options["description"]}
    for name in _ENTRIES:
        table = tables[name]
        tables[name] = {"description": table["description"], "anyOf": [table["properties"]["use"], table]}
    root["properties"]["middleware"]["default"] = [DEFAULT_MIDDLEWARE]
    _allow_parts_in_profiles(root)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **root,
        "title": "Auwgent config",
        "description": "The config file of an Auwgent agent.",
    }


class _AsWritten(GenerateJsonSchema):
    """TOML has no null, and a table needs no title beside its name."""

    def nullable_schema(self, schema: NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def tagged_union_schema(self, schema: TaggedUnionSchema) -> JsonSchemaValue:
        variants = [self.generate_inner(variant) for variant in schema["choices"].values()]
        # An object that a dict may hold looks in a file like its dotted path.
        return {"anyOf": [each for index, each in enumerate(variants) if each not in variants[:index]]}

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        return {
            key: value
            for key, value in super().default_schema(schema).items()
            if (key, value) != ("default", None)
        }

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _allow_parts_in_profiles(root: dict[str, Any]) -> None:
    """A profile is laid over the file table by table, so nothing is required in it but inside lists."""
    tables = root["$defs"]
    tables |= {f"{name}{_IN_PROFILE}": _partial(table) for name, table in tables.items()}
    keys = {name: _partial(value) for name, value in root["properties"].items() if name != "profiles"}
    profile = {"type": "object", "properties": keys, "additionalProperties": False}
    root["properties"]["profiles"]["additionalProperties"] = profile


def _partial(node: Any) -> Any:
    if isinstance(node, list):
        return [_partial(item) for item in node]
    if not isinstance(node, dict):
        return node
    part = {
        key: value if key == "items" else _partial(value) for key, value in node.items() if key != "required"
    }
    return part | {"$ref": part["$ref"] + _IN_PROFILE} if "$ref" in part else part
