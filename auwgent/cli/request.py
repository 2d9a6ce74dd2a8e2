"""What `auwgent run` was asked for: one answer, or a chat."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import click

from auwgent.cli import approval, options, prompt
from auwgent.cli.interrupt import interruptible
from auwgent.cli.stores import without_config
from auwgent.cli.waiting import WaitingLine
from auwgent.config import load
from auwgent.config.document import is_standard_input
from auwgent.config.overrides import Typed
from auwgent.engine.agent import Approver
from auwgent.errors import AuwgentError, ConfigError, RunPaused, SessionNotFound
from auwgent.imports import late
from auwgent.models.sent import watcher
from auwgent.options import user_of
from auwgent.render.run import JsonLines, PlainText, Printer, RunOutcome
from auwgent.render.sent import Requests
from auwgent.runtime import Runtime
from auwgent.session import Usage
from auwgent.stream import Stream

PAUSED = 3  # exit code


@dataclass(frozen=True, slots=True)
class CommandLine:
    """The command line of `auwgent run`, as it was typed."""

    prompt: str | None
    config: Path
    session: str | None
    last: bool
    resume: bool
    user: str | None
    context: tuple[str, ...]
    profile: str | None
    model: str | None
    overrides: tuple[str, ...]
    attach: tuple[Path, ...]
    as_json: bool
    stream: bool
    stdin: bool
    quiet: bool
    tools: tuple[str, ...] = ()
    schema: Path | None = None
    debug: bool = False
    record: Path | None = None
    no_config: bool = False  # -m alone says which agent it is

    @property
    def context_values(self) -> dict[str, str]:
        """Return the values that --context gives."""
        return options.pairs(self.context)

    @property
    def is_chat(self) -> bool:
        """Return whether to chat: a person is at the terminal and gave no prompt."""
        alone = self.prompt is None and self.stdin and not (self.as_json or self.attach or self.resume)
        return alone and sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()


def carry_out(typed: Mapping[str, Any], *, no_config: bool) -> int:
    """Do what was typed; gives the exit code."""
    request = CommandLine(**typed, no_config=no_config)
    if request.session is not None and request.last:
        raise click.UsageError("-s/--session and --last name two sessions: give one of them")
    if request.resume and (request.prompt is not None or request.attach):
        raise click.UsageError("--resume says nothing new: leave out PROMPT and --attach")
    if request.resume and request.session is None and not request.last:
        raise click.UsageError("--resume needs -s/--session or --last, to know which session")
    if request.debug:
        watcher.set(Requests(sys.stderr))
    code: int = late("auwgent.cli.chat.loop:chat")(request) if request.is_chat else answer(request)
    return code


def answer(request: CommandLine) -> int:
    """Make one run; gives the exit code. What tools and middleware print does not belong to the answer."""
    out = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        return _answered(request, out)


def _answered(request: CommandLine, out: TextIO) -> int:
    try:
        agent = build(request, on_approval=approval.Approval() if approval.somebody_is_there() else None)
        asked = None if request.resume else _asked(request)
    except AuwgentError as error:
        if request.as_json:
            JsonLines(out).over(RunOutcome(error=error))
        raise
    return carried(
        agent,
        partial(_begin, agent, request, asked),
        out,
        as_json=request.as_json,
        quiet=request.quiet,
        names_session=request.session is None and not request.last,
        answering=options_of(request.config, request.user),
    )


def options_of(config: Path, user: str | None) -> list[str]:
    """Return the options that another command needs to find the same run."""
    named = [] if str(config) == "auwgent.toml" else ["-c", str(config)]
    return named + (["-u", user] if user else [])


def carried(
    agent: Runtime,
    begin: Callable[[], Awaitable[Stream]],
    out: TextIO,
    *,
    as_json: bool,
    quiet: bool,
    names_session: bool = False,
    answering: Sequence[str] = (),
) -> int:
    """Show a run, which begins once the agent is open; gives the exit code, `PAUSED` where it waits for answers."""
    if as_json:
        printer: Printer = JsonLines(out)
    else:
        printer = PlainText(
            out,
            sys.stderr,
            speaks=agent.speaks_to_user,
            root=agent.config.agent.name,
            quiet=quiet,
            names_session=names_session,
            answering=answering,
        )
    waits = not (as_json or quiet) and out.isatty() and watcher.get() is None
    outcomes: list[RunOutcome] = []
    code = asyncio.run(interruptible(_show(agent, begin, printer, outcomes, waits)))
    return PAUSED if outcomes and outcomes[-1].is_paused and code == 0 else code


def _asked(request: CommandLine) -> prompt.Input:
    is_config = is_standard_input(request.config)
    if is_config and request.prompt is None and not request.attach:
        raise click.UsageError("standard input is the config: give a PROMPT")
    use_stdin = request.stdin and not is_config
    return prompt.gather(request.prompt, request.attach, use_stdin=use_stdin, quiet=request.quiet)


def build(request: CommandLine, on_approval: Approver | None = None) -> Runtime:
    """Return the agent that the command line describes."""
    overrides = request.overrides
    if request.schema is not None:
        overrides += (_override("--schema", "agent.output", {"file": str(request.schema.resolve())}),)
    if request.model is not None:
        overrides += (_override("--model", "agent.model", request.model),)
    if request.no_config:
        if request.tools:
            overrides += (_override("--tool", "agent.tools", list(request.tools)),)
        bare = without_config()[1]
        return Runtime(bare, profile=request.profile, overrides=overrides, on_approval=on_approval)
    if request.tools:
        config = load(request.config, profile=request.profile, overrides=overrides)
        tools = [tool.model_dump(exclude_unset=True) for tool in config.agent.tools]
        overrides += (_override("--tool", "agent.tools", [*tools, *request.tools]),)
    return Runtime(request.config, profile=request.profile, overrides=overrides, on_approval=on_approval)


def _override(option: str, key: str, value: Any) -> str:
    return Typed(option, f"{key}={json.dumps(value, ensure_ascii=False)}")


async def _begin(agent: Runtime, request: CommandLine, asked: prompt.Input | None) -> Stream:
    session_id = await newest(agent, request) if request.last else request.session
    if asked is None:
        await check_unfinished(agent, request, str(session_id))
    return agent.stream(
        asked,
        session_id=session_id,
        user_id=request.user,
        context=request.context_values,
        whole=not request.stream,
        record=request.record,
    )


async def _show(
    agent: Runtime,
    begin: Callable[[], Awaitable[Stream]],
    printer: Printer,
    outcomes: list[RunOutcome],
    waits: bool,
) -> None:
    stream: Stream | None = None
    failure: BaseException | None = None
    try:
        agent.preload()  # beside the store, which opens meanwhile
        with WaitingLine(sys.stderr, agent, on=waits) as waiting:
            async with agent:
                stream = await begin()
                async with contextlib.aclosing(stream):
                    async for intent in stream:
                        waiting.hide()
                        printer.show(intent)
                        waiting.saw(intent)
    except RunPaused as error:  # told by the printer
        failure = error
    except BaseException as error:
        failure = error
        raise
    finally:
        outcomes.append(outcome(stream, failure))
        printer.over(outcomes[-1])


def outcome(stream: Stream | None, failure: BaseException | None) -> RunOutcome:
    """Return how a run ended, for who shows it."""
    if isinstance(failure, RunPaused):
        return RunOutcome(failure.session, Usage(), failure, failure.run_id, failure.calls, is_paused=True)
    if stream is None:
        return RunOutcome(error=failure)
    is_paused = failure is None and stream.status == "paused"
    usage = stream.usage or Usage()
    return RunOutcome(stream.session, usage, failure, stream.run_id, stream.calls, is_paused=is_paused)


async def newest(agent: Runtime, request: CommandLine) -> str:
    """Return the id of the user's newest session, from the first middleware that can tell."""
    owner = user(agent, request)
    for middleware in agent.middleware:
        latest = getattr(middleware, "latest", None)
        if latest is not None:
            session_id: str | None = await latest(owner)
            if session_id is None:
                whose = f"of user {owner!r} " if owner else ""
                raise SessionNotFound(f"--last: there is no session {whose}yet")
            return session_id
    raise ConfigError(
        "--last needs a middleware that keeps sessions, such as auwgent.middleware.SQLModelSessions"
    )


async def check_unfinished(agent: Runtime, request: CommandLine, session_id: str) -> None:
    """`ConfigError` where the first middleware that can tell says that the session's last run was completed."""
    for middleware in agent.middleware:
        run_status = getattr(middleware, "run_status", None)
        if run_status is not None:
            status = await run_status(user(agent, request), session_id)
            if status == "completed":
                raise ConfigError(
                    f"--resume: there is nothing to resume, the last run of session {session_id!r} was completed"
                )
            return


def user(agent: Runtime, request: CommandLine) -> str:
    """Return the user that the run belongs to."""
    return user_of({**agent.config.context, **request.context_values}, request.user)
