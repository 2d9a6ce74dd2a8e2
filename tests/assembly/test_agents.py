"""Agents of a config: what keeps them from being made is told where it stands."""

from __future__ import annotations

from collections.abc import Callable

from auwgent.errors import Problem

Wrong = Callable[[str], list[Problem]]
AGENT = '[agent]\nmodel = "scripted/echo"\n'


def test_every_wrong_field_of_an_intent_is_told_where_it_stands(wrong: Wrong) -> None:
    problems = wrong(
        AGENT
        + """
[intents.Loud.fields]
right = "string"
slip = "strng"
foreign = "float"
number = 3
schema = { type = "strin" }
deep = { type = "object", properties = { x = { type = 3 } } }
remote = { "$ref" = "https://example.com/x" }
whole = { type = "array", items = { type = "string" } }
"""
    )
    assert [(problem.line, problem.column) for problem in problems] == [
        *((6, 8), (7, 11), (8, 10), (9, 10), (10, 8), (11, 10)),
    ]
    assert [problem.message for problem in problems] == [
        "`intents.Loud.fields.slip`: there is no type 'strng'",
        "`intents.Loud.fields.foreign`: there is no type 'float'",
        "`intents.Loud.fields.number` should be the name of a type, or a JSON Schema as a table",
        "`intents.Loud.fields.schema`: not a JSON Schema: $.type: 'strin' is not valid under any of the given schemas",
        (
            "`intents.Loud.fields.deep`: not a JSON Schema: $.properties.x.type: "
            "3 is not valid under any of the given schemas"
        ),
        (
            "`intents.Loud.fields.remote`: $ref 'https://example.com/x' leads out of the schema, "
            "or to nothing in it"
        ),
    ]
    assert problems[0].hint == "did you mean `string`?"
    assert problems[1].hint == "types: string, integer, number, boolean, array, object, null"


def test_the_name_of_an_intent_and_its_fields_are_told_together(wrong: Wrong) -> None:
    problems = wrong(AGENT + '[intents."no name".fields]\na = "bool"\n')
    assert len(problems) == 2
    assert problems[0].message.startswith("intent 'no name': ")
    assert problems[1].hint == "did you mean `boolean`?"
