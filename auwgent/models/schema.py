"""JSON Schemas as providers take them: the same meaning, in words that all know, and never much longer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urljoin

from auwgent.models.conjunction import ANNOTATIONS, both, either_only

OF_SCHEMAS = ("properties", "patternProperties", "dependentSchemas")  # name -> schema
LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
SINGLE = (
    *("items", "additionalProperties", "propertyNames", "unevaluatedItems", "unevaluatedProperties"),
    *("contains", "not", "if", "then", "else"),
)
# Where a schema must not become wider: what is refused there would be refused too little, or too much.
_EXACT = ("not", "if", "oneOf", "contains")
_UNEVALUATED = ("unevaluatedProperties", "unevaluatedItems")
# Words that may speak of properties in another schema.
_PARTS = {"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "$ref"}
_DEFINITIONS = ("$defs", "definitions")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_DROPPED = (
    *("title", *_DEFINITIONS, *_REFERENCES, "discriminator", "$schema", "$id", "id", "$comment"),
    *("$anchor", "$dynamicAnchor", "$recursiveAnchor", "$vocabulary"),
)
# Up to 2019 whatever stood beside a reference was ignored.
_LONE_REFERENCES = re.compile(r"draft-0[3467]/")
_DIALECT = re.compile(r"\(\?[=!<]|\\[1-9pPkZAz]|\\u\{")  # of patterns; some providers refuse these
_SLACK = 1_000  # characters that written-out definitions may add


def tidy(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same schema in the words all providers understand.

    What fits the original fits this one, and but for patterns in a dialect of their own the other way round, too.
    Definitions are written out where they stand, unless they are recursive or that would make the whole much
    longer: then they stay under `$defs`. Raises `ValueError` where it is nested too deeply.
    """
    try:
        return _Tidy(schema).whole()
    except RecursionError:
        raise ValueError("the schema is nested too deeply") from None


def subschemas(schema: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the schemas directly inside one, definitions included."""
    for key, value in schema.items():
        if key in (*OF_SCHEMAS, *_DEFINITIONS, "dependencies") and isinstance(value, Mapping):
            yield from value.values()
        elif isinstance(value, list) and (key in LISTS or key == "items"):
            yield from value
        elif key in SINGLE or key == "additionalItems":
            yield value


class SchemaDocument:
    """A schema with all that references in it can name: definitions, any other place, anchors, ids."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._resources: dict[str, Any] = {"": root}
        self._anchors: dict[tuple[str, str], list[tuple[Any, str]]] = {}
        self._index(root, "")

    def target(self, reference: str, base: str) -> tuple[Any, str, str] | None:
        """Return the schema it refers to, the address that counts there, and a name for it; None where it leads out."""
        address = base + reference if reference.startswith("#") else urljoin(base, reference)
        address, _, fragment = address.partition("#")
        if address not in self._resources:
            return None
        if fragment and not fragment.startswith("/"):
            found = self._anchors.get((address, fragment), [])
            return (*found[0], fragment) if len(found) == 1 else None
        place, base, name = self._resources[address], address, address.rpartition("/")[2] or "root"
        for token in unquote(fragment).split("/")[1:]:
            name = token.replace("~1", "/").replace("~0", "~")
            try:
                place = place[int(name)] if isinstance(place, list) else place[name]
            except (KeyError, IndexError, ValueError, TypeError):
                return None
            base = address_in(place, base)
        return place, base, name

    def _index(self, schema: Any, base: str) -> None:
        if not isinstance(schema, Mapping):
            return
        base = address_in(schema, base)
        if base and base not in self._resources:
            self._resources[base] = schema
        for key in ("$anchor", "$dynamicAnchor"):
            if isinstance(schema.get(key), str):
                self._anchors.setdefault((base, schema[key]), []).append((schema, base))
        for inner in subschemas(schema):
            self._index(inner, base)


def address_in(schema: Any, base: str) -> str:
    """Return the address that references in a schema are relative to."""
    own = schema.get("$id", schema.get("id")) if isinstance(schema, Mapping) else None
    if not isinstance(own, str) or own.startswith("#"):
        return base
    return urljoin(base, own).partition("#")[0]


def references(schema: Mapping[str, Any]) -> list[str]:
    """Return what a schema refers to."""
    return [schema[key] for key in _REFERENCES if isinstance(schema.get(key), str)]


class _Definition:
    """Something that is referred to: its schema, how often, and how long it is."""

    def __init__(self, name: str, schema: Any, base: str) -> None:
        self.name = name
        self.schema = schema
        self.base = base
        self.uses = 0
        self.needs: list[_Definition] = []  # one for each reference in it
        self.size = 0  # of itself, then with what is written out in it
        self.is_kept = True  # under $defs


class _Tidy:
    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._document = SchemaDocument(schema)
        self._lone = bool(_LONE_REFERENCES.search(str(schema.get("$schema", ""))))
        self._definitions: dict[int, _Definition] = {}  # by the identity of their schemas
        self._root = _Definition("", schema, "")
        self._refers_exactly = False  # to a kept definition from a place that must not become wider
        self._collect(self._root)
        self._decide()

    def whole(self) -> dict[str, Any]:
        schema: Any = self._root.schema
        written: set[int] = set()
        while (target := self._only_refers(schema)) is not None and id(target.schema) not in written:
            written.add(
                id(target.schema)
            )  # a root that is a mere reference is written out: it has to be an object
            schema = {**(target.schema if isinstance(target.schema, Mapping) else {}), **_annotations(schema)}
            self._root.base = target.base
        result: dict[str, Any] = self._schema(schema, self._root.base)
        while True:
            exactly = self._refers_exactly
            kept = self._kept(result, exactly)
            if exactly == self._refers_exactly:
                return result | {"$defs": kept} if kept else result

    def _kept(self, result: Mapping[str, Any], exactly: bool) -> dict[str, Any]:
        """Return the definitions that stay, of those that are referred to."""
        by_name = {one.name: one for one in self._definitions.values() if one.is_kept}
        kept: dict[str, Any] = {}
        while missing := sorted((_mentioned([result, kept]) & by_name.keys()) - kept.keys()):
            for name in missing:
                kept[name] = self._schema(by_name[name].schema, by_name[name].base, exact=exactly)
        return kept

    def _collect(self, definition: _Definition) -> None:
        """Find all that is referred to, from the root on."""
        todo = [definition]
        while todo:
            one = todo.pop()
            one.size = len(json.dumps(_bare(one.schema), default=str))
            for target in self._targets(one.schema, one.base):
                if target.uses == 0:
                    todo.append(target)
                target.uses += 1
                one.needs.append(target)

    def _targets(self, schema: Any, base: str) -> Iterator[_Definition]:
        if not isinstance(schema, Mapping):
            return
        base = address_in(schema, base)
        for reference in references(schema):
            if (found := self._definition(reference, base)) is not None:
                yield found
        for inner in subschemas(_bare(schema)):
            yield from self._targets(inner, base)

    def _definition(self, reference: str, base: str) -> _Definition | None:
        for _ in range(len(self._definitions) + 100):  # references that only refer on
            found = self._document.target(reference, base)
            if found is None:
                return None
            schema, base, name = found
            onward = references(schema) if isinstance(schema, Mapping) else []
            if len(onward) != 1 or schema.keys() - {*_DROPPED, *_DEFINITIONS}:
                break
            reference = onward[0]
        else:
            return None  # in a circle: they say nothing
        if id(schema) not in self._definitions:
            self._definitions[id(schema)] = _Definition(self._free(name), schema, base)
        return self._definitions[id(schema)]

    def _free(self, name: str) -> str:
        base = re.sub(r"[^A-Za-z0-9_.-]+", "_", name)[:60] or "schema"
        taken = {one.name for one in self._definitions.values()}
        return next(
            free for free in (base, *(f"{base}_{n}" for n in range(2, len(taken) + 3))) if free not in taken
        )

    def _decide(self) -> None:
        """Decide what stays under $defs: what is recursive, and all that is used more often if the whole grew much."""
        order = self._leaves_first()
        original = len(json.dumps(self._root.schema, default=str))
        own = {id(one): one.size for one in (*order, self._root)}
        for one in order:
            one.is_kept = False
            one.size += sum(need.size if not need.is_kept else 0 for need in one.needs)
        whole = self._root.size + sum(need.size for need in self._root.needs if not need.is_kept)
        cyclic = [one for one in self._definitions.values() if one.is_kept]
        whole += sum(one.size + sum(need.size for need in one.needs if not need.is_kept) for one in cyclic)
        if whole > original + _SLACK:
            for one in order:
                one.is_kept = one.uses > 1 and own[id(one)] > len(one.name) + 30

    def _leaves_first(self) -> list[_Definition]:
        """Return the definitions that are part of no circle and lead into none, those that need no others first."""
        open_needs = {id(one): len(one.needs) for one in self._definitions.values()}
        users: dict[int, list[_Definition]] = {}
        for one in self._definitions.values():
            for need in one.needs:
                users.setdefault(id(need), []).append(one)
        order = [one for one in self._definitions.values() if not one.needs]
        for leaf in order:  # grows meanwhile
            for user in users.get(id(leaf), ()):
                open_needs[id(user)] -= 1
                if open_needs[id(user)] == 0:
                    order.append(user)
        return order

    def _only_refers(self, schema: Any) -> _Definition | None:
        found = references(schema) if isinstance(schema, Mapping) else []
        if len(found) != 1 or schema.keys() - {*ANNOTATIONS, *_DROPPED}:
            return None
        return self._definition(found[0], address_in(schema, self._root.base))

    def _schema(self, schema: Any, base: str, *, exact: bool = False) -> Any:
        if isinstance(schema, bool):
            return {} if schema else {"not": {}}
        if not isinstance(schema, Mapping):
            return {}
        base = address_in(schema, base)
        found = references(schema)
        result = self._inside(_annotations(schema) if found and self._lone else schema, base, exact)
        rest = {key: result.pop(key) for key in _UNEVALUATED if key in result}  # by all the other words
        for part in result.pop("allOf", []):
            result = both(result, part)
        for reference in found:
            if (definition := self._definition(reference, base)) is None:
                continue
            if not definition.is_kept:
                result = both(self._schema(definition.schema, definition.base, exact=exact), result)
            else:
                self._refers_exactly |= exact
                result = both({"$ref": f"#/$defs/{definition.name}"}, result)
        if "unevaluatedProperties" in rest and not result.keys() & _PARTS:
            result.setdefault("additionalProperties", rest.pop("unevaluatedProperties"))  # which all know
        return result | rest

    def _inside(self, schema: Mapping[str, Any], base: str, exact: bool) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in _modern(schema).items():
            if key in _DROPPED:
                continue
            if key in OF_SCHEMAS and isinstance(value, Mapping):
                result[key] = {name: self._schema(one, base, exact=exact) for name, one in value.items()}
            elif key in LISTS and isinstance(value, list):
                inner = exact or key in _EXACT
                result[key] = [self._schema(one, base, exact=inner) for one in value]
            elif key in SINGLE:
                closed = isinstance(value, bool) and key not in _EXACT
                result[key] = value if closed else self._schema(value, base, exact=exact or key in _EXACT)
            else:
                result[key] = value
        return _plain(result, exact)


def _mentioned(places: Any) -> set[str]:
    """Return the definitions that are referred to anywhere in these."""
    return set(re.findall(r'"\$ref": "#/\$defs/([A-Za-z0-9_.-]+)"', json.dumps(places, default=str)))


def _bare(schema: Any) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    return {key: value for key, value in schema.items() if key not in _DEFINITIONS}


def _annotations(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key in ANNOTATIONS}


def _modern(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema with the words of today for those of older drafts."""
    result = dict(schema)
    for key in ("Minimum", "Maximum"):
        bound = result.get(f"exclusive{key}")
        if isinstance(bound, bool):
            del result[f"exclusive{key}"]
            if bound and key.lower() in result:
                result[f"exclusive{key}"] = result.pop(key.lower())
    if isinstance(result.get("items"), list):
        result["prefixItems"] = result.pop("items")
        if "additionalItems" in result:
            result["items"] = result.pop("additionalItems")
    result.pop("additionalItems", None)
    if isinstance(result.get("properties"), Mapping):
        named = [name for name, one in result["properties"].items() if _says(one, "required", True)]
        if named:
            result["required"] = [*_list(result.get("required")), *named]
    if not isinstance(result.get("required", []), list):
        del result["required"]
    dependencies = result.pop("dependencies", None)
    for name, value in dependencies.items() if isinstance(dependencies, Mapping) else ():
        kind = "dependentRequired" if isinstance(value, list) else "dependentSchemas"
        result[kind] = {**result.get(kind, {}), name: value}
    return result


def _says(schema: Any, key: str, value: Any) -> bool:
    return isinstance(schema, Mapping) and schema.get(key) is value


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _plain(schema: dict[str, Any], exact: bool) -> dict[str, Any]:
    if "const" in schema and "enum" not in schema:
        schema["enum"] = [schema.pop("const")]
    if "type" not in schema and (kind := _one_kind(schema.get("enum"))):
        schema["type"] = kind
    if "default" in schema and schema["default"] is None:
        del schema["default"]  # says no more than that the property is not required
    if "pattern" in schema and not exact and _DIALECT.search(str(schema["pattern"])):
        del schema["pattern"]  # such as pydantic's own for decimals
    if "oneOf" in schema and "anyOf" not in schema and either_only(schema["oneOf"], schema):
        schema["anyOf"] = schema.pop("oneOf")
    if schema.get("prefixItems"):
        _bound_tuple(schema, exact)
    elif schema.get("type") == "array" and not exact:
        schema.setdefault("items", {})  # some providers refuse an array without
    return schema


def _one_kind(values: Any) -> str:
    """Return the type that all these values have, if it is one."""
    names = {str: "string", bool: "boolean", int: "integer", type(None): "null"}
    kinds = {names.get(type(value), "") for value in values} if isinstance(values, list) else set()
    return kinds.pop() if len(kinds) == 1 else ""


def _bound_tuple(schema: dict[str, Any], exact: bool) -> None:
    """Say with `items`, which all providers know, what `prefixItems` says, where that means the same."""
    first = schema["prefixItems"]
    rest = schema.setdefault("items", {})
    if rest is False:
        schema["maxItems"] = min(len(first), schema.get("maxItems", len(first)))
    if exact or schema.get("maxItems", len(first) + 1) > len(first):
        return
    kinds = [one for index, one in enumerate(first) if one not in first[:index]]
    schema["items"] = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    if len(kinds) == 1:
        del schema["prefixItems"]
