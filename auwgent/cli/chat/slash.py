"""The commands of a chat: words after a slash."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from auwgent.cli.chat.talk import Talk
from auwgent.cli.chat.view import spent
from auwgent.cli.completion import MOST, names_of_models
from auwgent.errors import SessionNotFound
from auwgent.files import write_new
from auwgent.render.terminal import harmless, one_line
from auwgent.session import Usage
from auwgent.words import nearest

LISTED = 10  # sessions
NARROW = 30  # columns that a text needs beside its name


@dataclass(frozen=True, slots=True)
class Command:
    """`run` gets what stands behind the name; `choices` are words that may stand there, by how they begin."""

    name: str
    help: str
    run: Callable[[Talk, str], Awaitable[None]]
    choices: Callable[[Talk, str], Awaitable[Iterable[str]]] | None = None


async def obey(talk: Talk, line: str) -> None:
    """Carry out a line that begins with a slash."""
    name, _, argument = line[1:].partition(" ")
    command = next((one for one in COMMANDS if one.name == name), None)
    if command is None:
        near = nearest(name, [one.name for one in COMMANDS])
        meant = f"Did you mean /{near}?" if near else "/help lists them."
        talk.note(f"There is no command /{name}. {meant} To say it to the agent, begin with two slashes.")
        return
    await command.run(talk, argument.strip())


async def _help(talk: Talk, argument: str) -> None:
    rows = [(f"/{command.name}", command.help) for command in COMMANDS]
    rows.append(("Enter", "send; Alt-Enter, or \\ and Enter, begins another line"))
    rows.append(("Ctrl-C", "stop the answer and keep it; at the prompt clear the line, then leave"))
    _print(talk, rows)


async def _session(talk: Talk, argument: str) -> None:
    if argument:
        await _go_to(talk, argument)
        return
    root = talk.agent.config.agent.name
    rows = [
        ("session", talk.session_id),
        ("user", talk.user_id or "nobody in particular"),
        ("turns", str(len(talk.session.turns) if talk.session else 0)),
        ("speaking", " › ".join(talk.session.stack) if talk.session else root),
        ("model", talk.model),
        ("kept", "yes" if talk.agent.store else "no: this config has no session store"),
    ]
    _print(talk, rows)


async def _go_to(talk: Talk, session_id: str) -> None:
    if talk.agent.store is None:
        talk.note("This config keeps no sessions.")
        return
    try:
        talk.go_to(await talk.agent.store.get(talk.user_id, session_id))
    except SessionNotFound as error:
        talk.tell(error)
        return
    talk.note(f"On with session {session_id}.")


async def _new(talk: Talk, argument: str) -> None:
    talk.go_to(None)
    talk.note("A new session.")


async def _sessions(talk: Talk, argument: str) -> None:
    if talk.agent.store is None:
        talk.note("This config keeps no sessions.")
        return
    found = await talk.agent.store.list_sessions(talk.user_id, limit=LISTED)
    rows = []
    for one in found:
        here = "* " if one.id == talk.session_id else ""
        when = one.updated_at.astimezone().strftime("%Y-%m-%d %H:%M")
        rows.append((here + one.id, f"{when}, {one.turns} turns: {one.preview}"))
    _print(talk, rows, otherwise="There are no sessions yet.")


async def _model(talk: Talk, argument: str) -> None:
    if argument and not await talk.use_model(argument):
        return
    talk.note(f"The model is {talk.model}.")


async def _profile(talk: Talk, argument: str) -> None:
    if argument:
        wanted = None if argument == "none" else argument
        if not await talk.exchange(replace(talk.request, profile=wanted)):
            return
    talk.note(f"The profile is {talk.request.profile or 'none'}.")


async def _tools(talk: Talk, argument: str) -> None:
    rows = []
    for agent in talk.agent.agents.values():
        offered = [("", tool.spec) for tool in agent.tools.values()]
        offered += [("workflow", flow.function.spec) for flow in agent.workflows.values()]
        for kind, spec in offered:
            rows.append((f"{agent.name}: {spec.name}", f"{kind} {_first_line(spec.description)}".strip()))
        for name in agent.helpers:
            about = _first_line(talk.agent.agents[name].description)
            rows.append((f"{agent.name}: {name}", f"helper {about}"))
    _print(talk, rows, otherwise="The agent has no tools.")


async def _usage(talk: Talk, argument: str) -> None:
    totals: dict[str, Usage] = {}
    for turn in talk.session.turns if talk.session else ():
        if turn.usage is not None:
            model = turn.model or "?"
            totals[model] = totals[model] + turn.usage if model in totals else turn.usage
    rows = [(model, spent(usage)) for model, usage in totals.items()]
    _print(talk, rows, otherwise="Nothing was used yet.")


async def _undo(talk: Talk, argument: str) -> None:
    asked = talk.take_back()
    if asked is None:
        talk.note("There is nothing to take back in this chat.")
    else:
        talk.note(f"Taken back: {asked}")


async def _retry(talk: Talk, argument: str) -> None:
    asked = talk.take_back()
    if asked is None:
        talk.note("Nothing was asked in this chat yet.")
    else:
        talk.note(f"Once more: {asked}")
        await talk.say(asked)


async def _expand(talk: Talk, argument: str) -> None:
    if not talk.view.steps:
        talk.note("The last answer had no steps besides its words.")
    for intent in talk.view.steps:
        value = json.dumps(intent.value, ensure_ascii=False, indent=2, default=str)
        talk.console.print(Text(f"{intent.agent} {intent.name}", style="bold"))
        talk.console.print(Text(harmless(value)))


async def _export(talk: Talk, argument: str) -> None:
    if talk.session is None:
        talk.note("There is nothing to export yet.")
        return
    name = argument or f"{talk.session_id}.json"
    try:
        content = json.dumps(talk.session.model_dump(mode="json"), ensure_ascii=False, indent=2)
        write_new(Path(name), f"{content}\n")
    except OSError as error:
        talk.note(f"Not written: {name}: {error.strerror}")
    else:
        talk.note(f"Written to {name}.")


async def _quit(talk: Talk, argument: str) -> None:
    talk.leaves = True


def _print(talk: Talk, rows: Sequence[tuple[str, str]], otherwise: str = "") -> None:
    """Names and what is said of them: side by side, or on a narrow screen below each other."""
    if not rows:
        talk.note(otherwise)
        return
    widest = max(len(name) for name, _ in rows)
    if talk.console.width < widest + NARROW:
        for name, about in rows:
            talk.console.print(Text(one_line(name), style="cyan"))
            talk.console.print(Padding(Text(one_line(about)), (0, 0, 0, 2)))
        return
    table = Table.grid(Column(style="cyan", no_wrap=True), Column(), padding=(0, 2, 0, 0))
    for name, about in rows:
        table.add_row(Text(one_line(name)), Text(one_line(about)))
    talk.console.print(table)


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]


async def _ids(talk: Talk, typed: str) -> Iterable[str]:
    if talk.agent.store is None:
        return ()
    return [one.id for one in await talk.agent.store.list_sessions(talk.user_id, limit=MOST)]


async def _models(talk: Talk, typed: str) -> Iterable[str]:
    return names_of_models([*talk.agent.config.models, talk.model], typed)


async def _profiles(talk: Talk, typed: str) -> Iterable[str]:
    return ["none", *talk.agent.config.profiles]


COMMANDS = (
    Command("help", "this list", _help),
    Command("session", "which session this is; with an ID, go on with that one", _session, _ids),
    Command("sessions", "the newest sessions", _sessions),
    Command("new", "begin a new session", _new),
    Command("model", "which model answers; with a name, such as anthropic/…, use that one", _model, _models),
    Command("profile", "which profile is in force; with a name, use that one", _profile, _profiles),
    Command("tools", "what the agents may call", _tools),
    Command("expand", "the steps of the last answer, in full (Ctrl-O)", _expand),
    Command("usage", "tokens and money of this session", _usage),
    Command("undo", "take the last exchange back", _undo),
    Command("retry", "ask the last question again", _retry),
    Command("export", "write this session to a file, as JSON", _export),
    Command("quit", "leave (Ctrl-D)", _quit),
)
