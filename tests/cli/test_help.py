"""`--help` of every command ends with examples, and each of them is a command line that is understood."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from auwgent.cli import group


def commands(context: click.Context) -> Iterator[click.Context]:
    yield context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            command = context.command.get_command(context, name)
            assert command is not None
            yield from commands(click.Context(command, info_name=name, parent=context))


EVERY = {context.command_path: context for context in commands(click.Context(group, info_name="auwgent"))}


def examples(context: click.Context) -> list[str]:
    _, heading, listed = (context.command.epilog or "").partition("Examples:\n")
    lines = listed.partition("\n\n")[0].splitlines()
    return [line.strip() for line in lines] if heading else []


def own_words(example: str) -> Iterator[list[str]]:
    """The words of each `auwgent …` of a line, without what a shell does and what is said of it."""
    for call in example.split("auwgent ")[1:]:
        words = []
        for word in shlex.split(re.split(r"\s{2,}", call)[0].replace(')"', "")):
            if word in ("|", "||", ">", "#"):
                break
            words.append(word)
        yield words


def understood(command: click.Command, words: list[str], parent: click.Context | None = None) -> None:
    """Have the words read, and nothing done."""
    with command.make_context(command.name, list(words), parent=parent) as context:
        if isinstance(command, click.Group) and context._protected_args:
            _, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])
            assert found is not None
            understood(found, rest, context)


@pytest.mark.parametrize("path", EVERY)
def test_the_help_has_examples_that_work(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    listed = examples(EVERY[path])
    assert listed
    assert any(path in example for example in listed)
    for example in listed:
        for words in own_words(example):
            for word in words:
                if re.fullmatch(r"[\w/-]+\.(jpg|json|md|toml)", word):  # what a command reads must be there
                    (tmp_path / word).parent.mkdir(exist_ok=True)
                    (tmp_path / word).touch()
            understood(group, words)


@pytest.mark.process
@pytest.mark.parametrize("path", EVERY)
def test_every_command_and_option_says_what_it_is(path: str) -> None:
    command = EVERY[path].command
    assert command.help
    silent = [each.name for each in command.params if isinstance(each, click.Option) and not each.help]
    assert silent == []
