"""A protocol: one module that turns requests into runs and intents into events.

It is a function that is given the `Desk` once for each config, and returns a `Protocol`: its routes, and what else
the server should know of it. Nothing of its own is stored: what it needs later it asks the store for.

    from starlette.requests import Request
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    from auwgent.serve.bodies import read
    from auwgent.serve.desk import Desk, who
    from auwgent.serve.protocol import Protocol


    def shout(desk: Desk) -> Protocol:
        async def answer(request: Request) -> PlainTextResponse:
            body = await read(request)                       # a JSON object, else a 400
            agent = desk.agent_named(body.get("model"))      # the root, or a helper of `agents`; else a 404
            live = desk.begin(who(request), str(body.get("say")), agent=agent)
            await desk.whole(request, live)                  # whoever hangs up leaves the run
            session = await live.outcome()                   # raises what ended the run
            return PlainTextResponse(session.text.upper())

        return Protocol([Route("/shout", answer, methods=["POST"])])

In the config: `protocols = ["chat", "my_app.protocols.shout"]`.

- A run: `desk.begin(who, input, agent=…, session_id=…, run_id=…, background=…, …)` takes the options of
  `agent.run`; it gives a `Live`, one leg of a run. `live.read(after, cut)` yields batches of `(number, Intent)`;
  `live.outcome()`, `live.cancel()`, `live.status`, `live.calls` (what a paused one waits for), `live.usage`.
- A stream: `EventStream(texts, desk.metrics)`, where `texts(cut)` is an async generator of server-sent events, made by
  `event(…)`; put what it reads of a run that its request began into `async with desk.reading(live)`.
  `Words` (`words.py`) says which pieces are the answer.
- What is raised is answered: a `Refusal` as it is, each error of Auwgent with its status. In a stream that has begun
  the protocol tells it itself, with the words of `refusal_of(error).body()`.
- In a path `{id:part}` (`paths.py`) is one part, percent-decoded: ids may hold slashes.
- Who may ask, hosts, origins, content type and size were looked at before; `public` names paths that need no token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

from starlette.convertors import register_url_convertor
from starlette.routing import BaseRoute

from auwgent.config import Config
from auwgent.errors import ConfigError, Problem
from auwgent.imports import ImportFailure, late, resolve, search_path
from auwgent.serve.desk import Desk
from auwgent.serve.paths import PathPart
from auwgent.words import describe

register_url_convertor("part", PathPart())

# Where those are that `protocols` may name, and what is always there.
OURS: Mapping[str, str] = {
    "chat": "auwgent.serve.chat:chat",
    "responses": "auwgent.serve.responses:responses",
    "ag-ui": "auwgent.serve.ag_ui:ag_ui",
    "mcp": "auwgent.serve.mcp_tools:mcp",
    "a2a": "auwgent.serve.a2a:a2a",
    "web": "auwgent.serve.web:web",
}
EXTRAS = ("a2a",)  # of them, those that need an extra
ALWAYS: Sequence[str] = ("auwgent.serve.runs:runs", "auwgent.serve.sessions:sessions")


@dataclass(frozen=True, slots=True)
class Protocol:
    """The routes of a protocol. `paths` are its part of the OpenAPI document, `schemas` what they refer to.

    `lifespan` is entered before its first request and left behind its last.
    """

    routes: Sequence[BaseRoute]
    paths: Mapping[str, Any] = field(default_factory=dict)
    schemas: Mapping[str, Any] = field(default_factory=dict)
    public: Sequence[str] = ()
    lifespan: Callable[[], AbstractAsyncContextManager[Any]] | None = None


Maker = Callable[[Desk], Protocol]


@dataclass(frozen=True, slots=True)
class Named:
    """What [serve] names of the user's code, imported."""

    makers: Sequence[Maker]
    auth: Callable[..., Any] | None


def named(config: Config) -> Named:
    """Import what [serve] names; `ConfigError` with all that is wrong."""
    problems: list[Problem] = []

    def take(key: tuple[str | int, ...], use: Any, what: str) -> Any:
        try:
            found = resolve(use, allow=config.imports.allow) if isinstance(use, str) else use
        except ImportFailure as error:
            problems.append(config.problem(key, str(error), error.hint))
            return None
        if not callable(found):
            problems.append(config.problem(key, f"{use!r} is not a function: {what}"))
            return None
        return found

    with search_path(config.folder, config.imports.path):
        makers = []
        for index, use in enumerate(config.serve.protocols):
            if isinstance(use, str) and use in OURS:
                try:
                    makers.append(late(OURS[use]))
                except ModuleNotFoundError as error:
                    if use not in EXTRAS:
                        raise
                    words = f"{use!r} needs the extra of that name ({error})"
                    hint = f'pip install "auwgent[{use}]"'
                    problems.append(config.problem(("serve", "protocols", index), words, hint))
            else:
                makers.append(take(("serve", "protocols", index), use, "a protocol is one of the desk"))
        auth = config.serve.auth
        if auth is not None:
            auth = take(("serve", "auth"), auth, "`auth` is one of a request's headers")
    if problems:
        raise ConfigError(problems)
    return Named([*map(late, ALWAYS), *makers], auth)


def make(maker: Maker, desk: Desk) -> Protocol:
    """Return the protocol; `ConfigError` where the function of a user's own does not give one."""
    name = getattr(maker, "__qualname__", repr(maker))
    try:
        made: Any = maker(desk)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"the protocol {name} could not be made: {describe(error)}") from error
    if not isinstance(made, Protocol):
        raise ConfigError(
            f"the protocol {name} gave {type(made).__name__}, not an auwgent.serve.protocol.Protocol"
        )
    return made
