from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

import jsonschema
import pytest
from pydantic import BaseModel, ConfigDict, Field, field_validator

from auwgent.outputs import OutputError, output_type, partial_json


class Report(BaseModel):
    """What was found."""

    title: str
    score: int = Field(ge=0)
    due: date | None = None

    @field_validator("title")
    @classmethod
    def _spoken(cls, title: str) -> str:
        if title.isupper():
            raise ValueError("do not shout")
        return title


class Refusal(BaseModel):
    reason: str = ""
    retry: bool = False


class Tree(BaseModel):
    name: str
    children: list[Tree] = []


class Exact(BaseModel):
    model_config = ConfigDict(strict=True)

    on: date = Field(alias="theDay")


@dataclass
class Point:
    x: int


SCHEMA = {
    "title": "City list",
    "type": "object",
    "properties": {"cities": {"type": "array", "items": {"$ref": "#/$defs/city"}}},
    "required": ["cities"],
    "$defs": {"city": {"type": "string", "minLength": 2}},
}


def refusal(output: Any, answer: Any) -> str:
    with pytest.raises(OutputError) as caught:
        output_type(output).validate(answer)
    return str(caught.value)


def test_a_model_gives_its_name_plain_data_and_a_live_object() -> None:
    output = output_type(Report)
    assert output.spec.name == "Report"
    assert output.spec.schema["required"] == ["title", "score"]
    assert output.validate('{"title": "a", "score": 1, "due": "2024-01-01"}') == (
        "Report",
        {"title": "a", "score": 1, "due": "2024-01-01"},
        Report(title="a", score=1, due=date(2024, 1, 1)),
    )


def test_data_that_was_parsed_already_is_checked_too() -> None:
    assert output_type(Report).validate({"title": "a", "score": 1})[2] == Report(title="a", score=1)
    assert output_type(Exact).validate({"theDay": "2024-01-01"})[1] == {"theDay": "2024-01-01"}
    assert output_type(Point).validate({"x": 1}) == ("Point", {"x": 1}, Point(1))


@pytest.mark.parametrize(
    "answer",
    [
        '  {"reason": "no"}\n',
        '```json\n{"reason": "no"}\n```',
        'Here it is:\n\n```\n{"reason": "no"}\n```\nAnything else?',
        'Sure! {"reason": "no"} Done.',
    ],
)
def test_json_is_found_between_what_models_put_around_it(answer: str) -> None:
    assert output_type(Refusal).validate(answer)[2] == Refusal(reason="no")


def test_every_problem_of_an_answer_is_named_for_the_model() -> None:
    assert refusal(Report, '{"title": "LOUD", "score": -1, "due": "soon"}') == (
        "`title`: do not shout, not 'LOUD'; "
        "`score` should be greater than or equal to 0, not -1; "
        "`due` should be a valid date or datetime, input is too short, not 'soon'"
    )
    assert refusal(Tree, {"name": "a", "children": [{}]}) == "`children[0].name` is missing"


@pytest.mark.parametrize("answer", ["", "I cannot do that.", '{"title": "a"', '["a" "b"]'])
def test_what_is_no_json_is_said_so(answer: str) -> None:
    problem = refusal(Report, answer)
    assert problem.startswith("not valid JSON: ")
    assert problem.endswith(f"; the answer begins {answer!r}")


def test_many_problems_are_cut() -> None:
    answer = {"cities": ["x"] * 1000}
    assert refusal(SCHEMA, answer).endswith("; and 990 more")
    assert len(refusal(Report, "x" * 10_000)) < 300


def test_only_an_object_stands_at_the_root_of_what_a_provider_gets() -> None:
    assert output_type(Tree).spec.schema == {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "children": {"type": "array", "items": {"$ref": "#/$defs/Tree"}, "default": []},
        },
        "required": ["name"],
        "$defs": {
            "Tree": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "children": {"type": "array", "items": {"$ref": "#/$defs/Tree"}, "default": []},
                },
                "required": ["name"],
            }
        },
    }
    numbers = output_type({"type": "array", "items": {"type": "integer"}})
    assert numbers.spec.schema["properties"] == {"response": {"type": "array", "items": {"type": "integer"}}}
    assert numbers.validate('{"response": [1]}')[1] == [1]
    assert numbers.validate("[1]")[1] == [1]


def test_a_union_is_told_apart_by_a_type_beside_the_answer() -> None:
    output = output_type([Report, Refusal, Tree])
    schema = output.spec.schema
    assert output.spec.name == "Report_or_Refusal_or_Tree"
    assert schema["required"] == ["type", "response"]
    assert schema["properties"]["type"] == {"type": "string", "enum": ["Report", "Refusal", "Tree"]}
    assert list(schema["$defs"]) == ["Tree"]
    jsonschema.Draft202012Validator.check_schema(schema)
    answer = {"type": "Tree", "response": {"name": "a", "children": [{"name": "b"}]}}
    jsonschema.validate(answer, schema)
    assert output.validate(json.dumps(answer))[::2] == ("Tree", Tree(name="a", children=[Tree(name="b")]))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"type": "Refusal", "response": {"reason": "no"}}, Refusal(reason="no")),
        ({"response": {"title": "a", "score": 1}}, Report(title="a", score=1)),
        ({"title": "a", "score": 1}, Report(title="a", score=1)),
        ({"type": "Refusal", "reason": "no"}, Refusal(reason="no")),
        ({"type": "Refusal", "response": {}}, Refusal()),
    ],
)
def test_a_union_understands_an_answer_without_its_frame(answer: Any, expected: BaseModel) -> None:
    # Refusal comes first and would take anything: what an answer holds decides.
    name, _, live = output_type([Refusal, Report]).validate(answer)
    assert (name, live) == (type(expected).__name__, expected)


def test_a_union_that_was_written_as_one_is_the_same() -> None:
    assert output_type(Report | Refusal).spec == output_type([Report, Refusal]).spec


def test_a_wrong_answer_to_a_union_is_judged_by_what_it_says_it_is() -> None:
    assert refusal([Report, Refusal], {"type": "Report", "response": {"title": "a"}}) == "`score` is missing"
    both = refusal([Report, Tree], {"response": {"title": "a"}})
    assert both == "as Report: `score` is missing; as Tree: `name` is missing"


def test_a_json_schema_checks_the_answer_as_it_is_written() -> None:
    output = output_type(SCHEMA)
    assert output.spec.name == "City_list"
    assert output.spec.schema["properties"]["cities"]["items"] == {"type": "string", "minLength": 2}
    data = {"cities": ["Bonn"], "more": 1}
    assert output.validate(json.dumps(data)) == ("City_list", data, data)
    assert (
        refusal(SCHEMA, {"cities": ["x", 1]})
        == "$.cities[0]: 'x' is too short; $.cities[1]: 1 is not of type 'string'"
    )


def test_formats_of_a_json_schema_are_checked() -> None:
    schema = {"type": "object", "properties": {"on": {"type": "string", "format": "date"}}}
    assert refusal(schema, {"on": "soon"}) == "$.on: 'soon' is not a 'date'"


def test_a_json_schema_may_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(SCHEMA))
    assert output_type(file).spec == output_type(SCHEMA).spec
    for content, words in (
        (b"{,}", "is not JSON: .*line 1 column 2"),
        (b"[]", "holds a list"),
        (b"\xff", "is not JSON"),
    ):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=rf"schema\.json' {words}"):
            output_type(file)
    with pytest.raises(ValueError, match="there is no file"):
        output_type(tmp_path / "none.json")
    with pytest.raises(ValueError, match="Is a directory"):
        output_type(tmp_path)


class Opaque:
    pass


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (json.dumps, "is a function, not a Pydantic model"),
        (Report(title="a", score=1), "is a Report, not a Pydantic model"),
        (3, "3 is a int, not a Pydantic model"),
        ([], "an empty list is not an output"),
        ([Report, Report], "two outputs are called 'Report'"),
        (Opaque, "Opaque cannot be described to a model"),
        ({"type": "objekt"}, r"not a JSON Schema: \$\.type: 'objekt' is not valid"),
        ({"items": [{"$ref": "https://example.com/s"}]}, "leads out of the schema"),
    ],
)
def test_what_cannot_be_an_output_is_refused_with_the_reason(value: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        output_type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("Well", None),
        ("{", {}),
        ('{"title": "a b', {"title": "a b"}),
        ('{"title": "a", "sco', {"title": "a"}),
        ('```json\n{"tags": ["x", "y', {"tags": ["x", "y"]}),
        ('{"a": 1}', {"a": 1}),
    ],
)
def test_half_an_answer_says_what_it_holds_so_far(text: str, value: Any) -> None:
    assert partial_json(text) == value


def test_half_an_answer_to_a_union_comes_without_its_frame() -> None:
    output = output_type([Report, Refusal])
    assert output.partial({}) == ("Report_or_Refusal", None)
    assert output.partial({"type": "Rep"}) == ("Report_or_Refusal", None)
    assert output.partial({"type": "Report", "response": {"title": "a"}}) == ("Report", {"title": "a"})
    assert output.partial(None) == ("Report_or_Refusal", None)
    assert output_type(Report).partial({"title": "a"}) == ("Report", {"title": "a"})


def test_half_a_surrogate_pair_is_no_answer() -> None:
    assert "surrogate" in refusal(Refusal, {"reason": "\ud800"})


def test_other_types_can_be_outputs() -> None:
    output = output_type(list[Literal["a", "b"]])
    assert output.spec.schema["properties"] == {
        "response": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}}
    }
    assert output.validate('["a"]') == ("list", ["a"], ["a"])


class Panic(BaseException):
    """What libraries written in Rust raise."""


@pytest.mark.parametrize("error", [KeyError("x"), RuntimeError("no"), StopIteration(), Panic("index")])
def test_a_validator_that_raises_anything_is_a_misfit(error: BaseException) -> None:
    class City(BaseModel):
        name: str

        @field_validator("name")
        @classmethod
        def known(cls, name: str) -> str:
            if name == "Oslo":
                return name
            raise error

    output = output_type(City)
    with pytest.raises(OutputError, match=f"a validator of City broke: {type(error).__name__}"):
        output.validate('{"name": "Bergen"}')
    assert output.validate('{"name": "Oslo"}')[1] == {"name": "Oslo"}


@pytest.mark.parametrize(
    "text",
    [
        r'"{\"title\": \"a\", \"score\": 1}"',
        '<think>{"title": "b"}</think>{"title": "a", "score": 1}',
        'First {"title": "b", "score": "many"}, then {"title": "a", "score": "1"}. And {"so": "on"}.',
    ],
)
def test_an_answer_is_taken_as_models_write_it(text: str) -> None:
    assert output_type(Report).validate(text)[1] == {"title": "a", "score": 1, "due": None}


def test_an_answer_within_its_frame_may_be_text_that_is_json() -> None:
    numbers = output_type(list[int])
    assert numbers.validate('{"response": "[1, 2]"}')[1] == [1, 2]
    with pytest.raises(OutputError):
        numbers.validate('{"response": "one"}')


def test_two_shapes_keep_their_own_definitions_of_one_name() -> None:
    def nested(kind: str) -> dict[str, Any]:
        node = {"type": "object", "properties": {"value": {"type": kind}, "next": {"$ref": "#/$defs/Node"}}}
        return {
            "title": kind,
            "type": "object",
            "properties": {"head": {"$ref": "#/$defs/Node"}},
            "$defs": {"Node": node},
        }

    schema = output_type([nested("string"), nested("integer")]).spec.schema
    kinds = [one["properties"]["value"]["type"] for one in schema["$defs"].values()]
    assert kinds == ["string", "integer"]
