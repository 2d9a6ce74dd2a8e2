"""The tables [[test]], in the config or in files of their own that hold nothing else."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, Tag, ValidationError, WithJsonSchema, model_validator

from auwgent.config.document import Document, read
from auwgent.config.explain import explain
from auwgent.config.keys import Finding, Key
from auwgent.config.tables import PATH, Many, Name, Table, one_of, refuse
from auwgent.config.variables import Unset, expand
from auwgent.errors import ConfigError
from auwgent.limits import Count
from auwgent.model_settings import NotNegative
from auwgent.words import written

Status = Literal["completed", "failed", "cancelled", "paused"]


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"should be a regular expression: {error}") from None
    return text


class Expectation(Table):
    """What must be so after the last input of a test. All that is given must hold."""

    status: Status | None = Field(None, description="How the last run ended; `completed` when absent.")
    calls: Many[Name] | None = Field(
        None,
        description="Tools, workflows and helpers that must be called in this order, others between them.",
    )
    not_calls: Many[Name] | None = Field(None, description="Those that must never be called.")
    text: str | None = Field(None, description="What the last answer must contain.")
    matches: Annotated[str, AfterValidator(_pattern)] | None = Field(
        None, description="A regular expression that must be found in the last answer."
    )
    output: Any = Field(None, description="What the structured answer must have; it may have more.")
    max_usd: NotNegative | None = Field(None, description="US dollars that all of it may cost.")
    max_llm_calls: Count | None = Field(None, description="Model calls that all of it may take.")
    check: Annotated[Any, WithJsonSchema({"type": "string"})] = Field(
        None,
        description=f"A function `(session)` that raises or returns what is wrong, as dotted path: {PATH}.",
    )

    @model_validator(mode="after")
    def _expects_something(self) -> Expectation:
        if not self.model_fields_set:
            raise refuse(f"says nothing: give one of {', '.join(type(self).model_fields)}")
        return self


AnswerTo = Annotated[
    Annotated[bool, Tag("<bool>")] | Annotated[str, Tag("<text>")],
    one_of("true, false, or a text that says why not"),
]


class TestTable(Table):
    """One test: what is said to the agent, and what must come of it."""

    __test__ = False  # no class of tests

    name: Name = Field(description="What it is called; no other test of the file has this name.")
    input: str = Field(description="What the user says.")
    then: Many[str] = Field((), description="What the user says after that, one after the other.")
    session: Name | None = Field(
        None, description="An exported session to begin with, relative to the file of the test."
    )
    context: dict[str, Any] = Field({}, description="Values for `{{ ctx.… }}`, over those of [context].")
    models: Many[Name] = Field(
        (), description="Models to test, by name or as `provider/model`; the agent's own when absent."
    )
    repeat: Count = Field(1, description="How often it is run with each model.")
    tape: Name | None = Field(
        None,
        description="A tape, relative to the file of the test: written by `--record`, played otherwise.",
    )
    answers: dict[str, AnswerTo] = Field(
        {}, description="Answers to the questions whether a tool may be called, by its name."
    )
    expect: Expectation = Field(description="What must come of it.")


class TestFile(Table):
    """A file of tests."""

    __test__ = False

    test: Many[TestTable] = Field((), description="Tests of the agent.")


def read_tests(
    path: Path, environ: Mapping[str, str] | None = None
) -> tuple[Document, tuple[TestTable, ...]]:
    """Return the tests of a file that holds nothing else. Raises `ConfigError` with everything that is wrong."""
    document = read(path)
    tree = expand(document.tree, os.environ if environ is None else environ)
    findings = list(_unset(tree, ()))
    tests: tuple[TestTable, ...] = ()
    try:
        tests = TestFile.model_validate(tree).test
    except ValidationError as error:
        lacking = {finding.key for finding in findings}
        explained = [explain(each, TestFile) for each in error.errors(include_url=False)]
        findings += [finding for finding in explained if finding.key not in lacking]
    findings += check_names(tree)
    if findings:
        raise ConfigError([document.problem(finding) for finding in findings])
    return document, tests


def check_names(tree: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield a finding for each test whose name another one before it has."""
    tests = tree.get("test")
    names = (
        [one.get("name") if isinstance(one, Mapping) else None for one in tests]
        if isinstance(tests, list)
        else []
    )
    seen: Counter[Any] = Counter()
    for index, name in enumerate(names):
        if isinstance(name, str):
            seen[name] += 1
            if seen[name] == 2:
                yield Finding(("test", index, "name"), f"there are two tests named {name!r}")


def _unset(value: Any, key: Key) -> Iterator[Finding]:
    if isinstance(value, Unset):
        names = ", ".join(name for name in value.names if name) or "a `${` that does not begin one"
        yield Finding(key, f"`{written(key)}` needs environment variables: {names}")
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _unset(item, (*key, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unset(item, (*key, index))
