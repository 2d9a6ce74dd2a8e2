"""Words that errors share: near names, misfits, exceptions in one line."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from auwgent.words import cut, describe, did_you_mean, misfits, nearest


def not_loud(text: str) -> str:
    if text.isupper():
        raise ValueError("do not shout")
    return text


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    title: Annotated[str, AfterValidator(not_loud)] = Field("a", min_length=1)
    kind: Literal["new", "old"] = "new"
    counts: list[int] = []
    secret: str = Field("x" * 8, min_length=8)


def told(**how: Any) -> Any:
    def tell(data: Any) -> str:
        with pytest.raises(ValidationError) as refused:
            Order.model_validate(data)
        return misfits(refused.value.errors(), **how)

    return tell


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"title": 5}, "`title` should be a string, not 5"),
        ({"title": ""}, "`title` may not be empty"),
        ({"title": "LOUD"}, "`title`: do not shout, not 'LOUD'"),
        ({"kind": "newer"}, "`kind` should be 'new' or 'old', not 'newer'"),
        ({"kind": "n" * 100}, "`kind` should be 'new' or 'old', not a string"),
        (
            {"counts": [1, None, 1.5]},
            "`counts[1]` should be a whole number, not nothing; `counts[2]` should be a whole number, not 1.5",
        ),
        ({"counts": {}}, "`counts` should be a list, not a table"),
        ({"secret": "short"}, "`secret` should have at least 8 characters, not 'short'"),
        ({"titel": "a"}, "`titel` is unknown; did you mean `title`?"),
        ({"zzzz": "a"}, "`zzzz` is unknown; known here: title, kind, counts, secret"),
        ({"a b": {"c": 1}}, '`"a b"` is unknown; known here: title, kind, counts, secret'),
        ([], "the order should be a table, not a list"),
        (
            {"counts": ["a"] * 5},
            "; ".join(f"`counts[{n}]` should be a whole number, not 'a'" for n in range(3)) + "; and 2 more",
        ),
    ],
)
def test_what_does_not_fit_is_told_by_its_place_and_what_would_be_right(data: Any, words: str) -> None:
    assert told(whole="the order", known=lambda _: Order.model_fields)(data) == words


def test_a_value_is_not_repeated_where_none_may_be_shown() -> None:
    assert told(shown=0)({"kind": "canary", "secret": "canary", "title": 7}) == (
        "`title` should be a string, not a whole number; `kind` should be 'new' or 'old'; "
        "`secret` should have at least 8 characters"
    )


@pytest.mark.parametrize(
    ("name", "near"), [("Model", "model"), ("base-url", "base_url"), ("modle", "model"), ("zzz", None)]
)
def test_a_near_name_is_the_same_in_another_spelling_or_a_few_letters_away(
    name: str, near: str | None
) -> None:
    assert nearest(name, ["model", "base_url"]) == near
    assert did_you_mean(name, ["model", "base_url"]) == (f"did you mean `{near}`?" if near else "")


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("a\n  b"), "ValueError: a b"),
        (ValueError(), "ValueError"),
        (Mute(), "Mute"),
        (OSError(f"no luck with gsk_{'a1' * 12}"), "OSError: no luck with ***"),
    ],
)
def test_an_exception_is_told_in_one_line_without_secrets(error: Exception, words: str) -> None:
    assert describe(error) == words


def test_a_text_is_cut_to_its_length() -> None:
    assert (cut("abc", 3), cut("abcd", 3)) == ("abc", "ab…")
