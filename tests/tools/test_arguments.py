from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from auwgent.config.tables import ToolOptions
from auwgent.errors import ToolError
from auwgent.hooks.context import Context
from auwgent.tools.function import function_tool

if TYPE_CHECKING:
    from fractions import Fraction


class Unit(Enum):
    CELSIUS = "c"
    FAHRENHEIT = "f"


class Place(BaseModel):
    """Somewhere."""

    city: str = Field(description="Its name")
    within: Optional[Place] = None  # noqa: UP045 - both spellings are used out there


@dataclass
class Span:
    first: date
    last: date


class Options(TypedDict):
    verbose: bool


def get_weather(
    city: str,
    days: int = 3,
    unit: Unit = Unit.CELSIUS,
    detail: Literal["low", "high"] = "low",
    limit: Annotated[float, Field(gt=0, description="At most so many")] = 1.5,
) -> str:
    """Tell the weather.

    Real or not.

    Args:
        city: Where to look.
        days: How far ahead.
    """
    return f"{city} {days} {unit.name} {detail} {limit}"


async def called(function: Callable[..., Any], **arguments: Any) -> Any:
    tool = function_tool(function)
    return await tool.call(tool.check(arguments), {"user": "me"})


def refusal(function: Callable[..., Any], **arguments: Any) -> str:
    with pytest.raises(ToolError) as caught:
        function_tool(function).check(arguments)
    return str(caught.value)


def test_the_schema_comes_from_signature_annotations_and_docstring() -> None:
    spec = function_tool(get_weather).spec
    assert spec.name == "get_weather"
    assert spec.description == "Tell the weather.\n\nReal or not."
    assert spec.parameters == {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "Where to look."},
            "days": {"type": "integer", "description": "How far ahead.", "default": 3},
            "unit": {"type": "string", "enum": ["c", "f"], "default": "c"},
            "detail": {"type": "string", "enum": ["low", "high"], "default": "low"},
            "limit": {
                "type": "number",
                "exclusiveMinimum": 0,
                "description": "At most so many",
                "default": 1.5,
            },
        },
        "required": ["city"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    "docstring",
    [
        "Add.\n\nArgs:\n    left: The first.",
        "Add.\n\n:param left: The first.",
        "Add.\n\nParameters\n----------\nleft : int\n    The first.",
    ],
    ids=["google", "rest", "numpy"],
)
def test_every_common_docstring_style_describes_parameters(docstring: str) -> None:
    def add(left: int) -> int:
        return left

    add.__doc__ = docstring
    spec = function_tool(add).spec
    assert spec.description == "Add."
    assert spec.parameters["properties"]["left"]["description"] == "The first."


def test_a_tool_may_have_no_arguments_and_no_docstring() -> None:
    def now() -> int:
        return 1

    spec = function_tool(now).spec
    assert (spec.description, spec.parameters) == (
        "",
        {"type": "object", "properties": {}, "additionalProperties": False},
    )


def test_references_are_written_out_and_only_recursive_ones_stay() -> None:
    def visit(place: Place, spans: list[Span]) -> None: ...

    schema = function_tool(visit).spec.parameters
    assert schema["properties"]["spans"]["items"]["properties"]["first"] == {
        "type": "string",
        "format": "date",
    }
    assert schema["properties"]["place"] == {"$ref": "#/$defs/Place"}
    place = schema["$defs"]["Place"]
    assert place["properties"]["city"] == {"type": "string", "description": "Its name"}
    assert place["properties"]["within"]["anyOf"] == [{"$ref": "#/$defs/Place"}, {"type": "null"}]
    assert list(schema["$defs"]) == ["Place"]
    assert '"title"' not in json.dumps(schema)


def test_a_parameter_may_be_called_title_or_schema() -> None:
    def write(title: str, schema: dict[str, int], _private: bool = False) -> None: ...

    properties = function_tool(write).spec.parameters["properties"]
    assert list(properties) == ["title", "schema", "_private"]
    assert properties["schema"] == {"type": "object", "additionalProperties": {"type": "integer"}}


def test_tuples_unions_and_decimals_use_plain_keywords_only() -> None:
    def plot(
        point: tuple[int, int], price: Decimal, kind: Literal["one"], extra: int | str | None = None
    ) -> None: ...

    properties = function_tool(plot).spec.parameters["properties"]
    assert properties == {
        "point": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
        "price": {"anyOf": [{"type": "number"}, {"type": "string"}]},
        "kind": {"type": "string", "enum": ["one"]},
        "extra": {"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]},
    }


def test_name_and_description_of_the_config_win() -> None:
    tool = function_tool(
        get_weather, ToolOptions(name="weather", description="Ask me", approve="ask", idempotent=True)
    )
    assert (tool.name, tool.spec.description, tool.options.approve, tool.options.idempotent) == (
        "weather",
        "Ask me",
        "ask",
        True,
    )


def test_ctx_is_not_in_the_schema() -> None:
    def one(ctx: Fraction, city: str) -> None: ...  # its annotation need not even be importable
    def two(city: str, *, run: Context) -> None: ...

    assert list(function_tool(one).spec.parameters["properties"]) == ["city"]
    assert list(function_tool(two).spec.parameters["properties"]) == ["city"]


def test_building_a_tool_takes_milliseconds() -> None:
    function_tool(get_weather)
    began = time.process_time()
    for _ in range(20):
        function_tool(get_weather)
    assert (time.process_time() - began) / 20 < 0.02


def _positional(city: str, /) -> None: ...
def _variadic(*cities: str) -> None: ...
def _keywords(**cities: str) -> None: ...
def _unicode(größe: int) -> None: ...
def _unknown(share: Fraction) -> None: ...
def _opaque(lock: threading.Event) -> None: ...
def _no_type(city: "3 +") -> None: ...  # type: ignore[valid-type] # noqa: F722


def _yields() -> Any:
    yield 1


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (Place, "Place is a class; a tool is a function"),
        (json, "is a module, not a function"),
        (_positional, "'city' is positional-only"),
        (_variadic, r"a model cannot be told what \*cities: "),
        (_keywords, r"a model cannot be told what \*\*cities: "),
        (_unicode, "'größe' has a name that not every provider accepts"),
        (_unknown, "type of parameter 'share', 'Fraction', is not known when the program runs"),
        (_opaque, "parameter 'lock' cannot be described to a model: .*threading.Event"),
        (_no_type, "the annotation of parameter 'city' is not a type"),
        (_yields, "_yields yields; a tool returns its result"),
        (Path.exists, "it wants 'self': take the method of an object"),
        (lambda: 1, 'name = "lambda" would do'),
    ],
)
def test_what_cannot_be_a_tool_is_refused_with_the_reason(function: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        function_tool(function)


@pytest.mark.parametrize(
    ("name", "better"), [("my tool!", "my_tool"), ("a.b", "a_b"), ("9", "my_tool"), ("x" * 65, "x" * 64)]
)
def test_a_name_some_provider_refuses_comes_with_a_better_one(name: str, better: str) -> None:
    with pytest.raises(ValueError, match=f'name = "{better}" would do'):
        function_tool(get_weather, ToolOptions(name=name))
    assert function_tool(get_weather, ToolOptions(name=better)).name == better


def test_a_timeout_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        function_tool(get_weather, ToolOptions(timeout=0))


async def test_arguments_reach_the_function_as_what_it_declares() -> None:
    def take(place: Place, span: Span, options: Options, units: set[Unit], at: datetime) -> Any:
        return place, span, options, units, at

    assert await called(
        take,
        place={"city": "Bonn", "within": {"city": "Germany"}},
        span={"first": "2024-01-01", "last": "2024-01-02"},
        options={"verbose": True},
        units=["c", "f"],
        at="2024-01-01T00:00:00Z",
    ) == (
        Place(city="Bonn", within=Place(city="Germany")),
        Span(date(2024, 1, 1), date(2024, 1, 2)),
        {"verbose": True},
        {Unit.CELSIUS, Unit.FAHRENHEIT},
        datetime(2024, 1, 1, tzinfo=UTC),
    )


async def test_what_is_left_out_is_left_to_the_defaults() -> None:
    assert await called(get_weather, city="Bonn") == "Bonn 3 CELSIUS low 1.5"


async def test_a_default_may_be_a_pydantic_field() -> None:
    def search(limit: int = Field(5, ge=1, description="How many")) -> int:
        return limit

    assert await called(search) == 5
    assert function_tool(search).spec.parameters["properties"]["limit"] == {
        "type": "integer",
        "minimum": 1,
        "description": "How many",
        "default": 5,
    }
    assert "`limit` should" in refusal(search, limit=0)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"count": "5"}, (5, "a", None)),
        ({"count": 5.0}, (5, "a", None)),
        ({"count": 5, "code": 12345}, (5, "12345", None)),
        ({"count": 5, "code": None}, (5, "a", None)),
        ({"count": 5, "tags": '["x", "y"]'}, (5, "a", ["x", "y"])),
    ],
)
async def test_habits_of_models_are_understood(arguments: dict[str, Any], expected: Any) -> None:
    def take(count: int, code: str = "a", tags: list[str] | None = None) -> Any:
        return count, code, tags

    assert await called(take, **arguments) == expected


async def test_text_that_looks_like_json_stays_text() -> None:
    def save(text: str) -> str:
        return text

    assert await called(save, text='{"a": 1}') == '{"a": 1}'


def test_every_problem_of_the_arguments_is_named_at_once() -> None:
    assert refusal(get_weather, town="Bonn", Days=2, days="soon", unit="k").splitlines() == [
        "the arguments of get_weather do not fit, so it was not run:",
        "- `city` is missing",
        "- `days` should be a whole number, not 'soon'",
        "- `unit` should be 'c' or 'f', not 'k'",
        "- `town` is unknown; known here: city, days, unit, detail, limit",
        "- `Days` is unknown; did you mean `days`?",
    ]


def test_a_problem_deep_inside_is_named_by_its_place() -> None:
    def visit(places: list[Place]) -> None: ...

    assert "- `places[0].within.city` is missing" in refusal(visit, places=[{"city": "a", "within": {}}])


def test_a_tool_without_arguments_takes_none() -> None:
    def now() -> None: ...

    assert "`x` is unknown; known here: nothing" in refusal(now, x=1)


def test_a_huge_wrong_value_is_cut() -> None:
    assert len(refusal(get_weather, city="a", days="9" * 10_000 + "x")) < 300


def test_the_model_cannot_set_ctx() -> None:
    def who(ctx: Context) -> str:
        return str(ctx["user"])

    assert "`ctx` is unknown" in refusal(who, ctx={"user": "admin"})
