"""An agent on a bench: a real engine of a real config, on scripted models whose requests can be looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from auwgent.assembly import build
from auwgent.config import load
from auwgent.engine.agent import Approver, BackOff
from auwgent.engine.order import Order, Services
from auwgent.engine.run import carry_out
from auwgent.engine.state import Run
from auwgent.errors import ConfigError
from auwgent.hooks.pipeline import Pipeline
from auwgent.intents import Handlers, Intent
from auwgent.models.base import ModelRequest, ModelSpec, Route
from auwgent.models.scripted import ScriptedModel, scripted
from auwgent.session import Session, Turn

TABLES = ("helpers", "intents", "limits", "context")

Replies = Sequence[Any]  # texts, and tables of the scripted model


class Models:
    """Scripted models by name. It keeps what it was asked for."""

    def __init__(self, scripts: Mapping[str, Replies], keeps_schema: bool | Collection[str]) -> None:
        self.by_name = {
            name: scripted(*replies, name=f"scripted/{name}") for name, replies in scripts.items()
        }
        self.settings: list[dict[str, Any]] = []  # of each call, in order
        self._keeps_schema = keeps_schema  # all, none, or those of these names

    def spec(self, name: str, /, **settings: Any) -> ModelSpec:
        return self.by_name[name].spec

    def get(self, model: str | ModelSpec, /, **settings: Any) -> Route:
        self.settings.append(settings)
        name = str(settings.get("model", model)).removeprefix("scripted/")
        if name not in self.by_name:
            raise ConfigError(f"there is no model {name!r}")
        return self.by_name[name]

    def window(self, name: str, /, **settings: Any) -> int | None:
        return None

    def keeps_schema(self, name: str, has_tools: bool, /, **settings: Any) -> bool:
        if isinstance(self._keeps_schema, bool):
            return self._keeps_schema
        return str(settings.get("model", name)).removeprefix("scripted/") in self._keeps_schema


class Bench:
    """One agent, and what its last run showed."""

    def __init__(self, services: Services, models: Models, values: Mapping[str, Any]) -> None:
        self.services = services
        self.values = values  # of [context]
        self.models = models
        self.intents: list[Intent] = []  # of the last run, but for each `model_call`
        self.model_calls: list[Intent] = []
        self.partials: list[Intent] = []
        self.run: Run | None = None  # the last one

    async def ask(
        self, input: Any = "Hello", *, stream: bool = True, context: Any = None, **order: Any
    ) -> Session:
        """One run to its end."""
        intents: list[Intent] = []
        partials: list[Intent] = []
        self.intents, self.partials, self.model_calls = intents, partials, []

        async def sink(intent: Intent) -> None:
            whole = self.model_calls if intent.name == "model_call" else intents
            (partials if intent.partial else whole).append(intent)

        values = {**self.values, **(context or {})}
        order["whole"] = not stream
        self.run = Run(self.services, Order(input=input, values=values, **order), sink)
        return await carry_out(self.run)

    def change(self, **changed: Any) -> None:
        """Change what the runs to come share."""
        self.services = replace(self.services, **changed)

    def limit(self, **limits: Any) -> None:
        """Change limits, also to what a config would refuse for a model without a price."""
        self.change(limits=self.services.limits.model_copy(update=limits))

    @property
    def heard(self) -> list[tuple[str, dict[str, Any]]]:
        """The intents of the last run: names and payloads."""
        return [(intent.name, intent.value) for intent in self.intents]

    @property
    def names(self) -> list[str]:
        return [intent.name for intent in self.intents]

    @property
    def session(self) -> Session:
        """The session of the last run, as it is now."""
        assert self.run is not None
        return self.run.session

    def requests(self, model: str = "main") -> list[ModelRequest]:
        """What a model was asked, oldest first."""
        return list(self.models.by_name[model].requests)

    def model(self, name: str = "main") -> ScriptedModel:
        return self.models.by_name[name]


def bench(
    replies: Replies | Mapping[str, Replies] = ("Hello.",),
    *,
    middleware: Sequence[Any] = (),
    approver: Approver | None = None,
    keeps_schema: bool | Collection[str] = True,
    handler: Any = None,
    partial_handler: Any = None,
    **config: Any,
) -> Bench:
    """An agent Main on model `main`; `replies` are that model's, or those of several models by name.

    `config` are tables of the config; keys that belong to `[agent]` may be given as they are. The agent may emit
    all `intents` and call all `helpers`, unless `emits` and `calls` say which.
    """
    scripts = replies if isinstance(replies, Mapping) else {"main": replies}
    tables = {key: config.pop(key) for key in TABLES if key in config}
    helpers = config.pop("calls", list(tables.get("helpers", ())))
    emits = config.pop("emits", list(tables.get("intents", ())))
    agent = {"name": "Main", "model": "main", "prompt": "You help.", "intents": emits, "helpers": helpers}
    agent |= config
    named = {name: {"use": f"scripted/{name}"} for name in scripts}
    parts = build(load({"middleware": list(middleware), "agent": agent, "models": named, **tables}))
    models = Models(scripts, keeps_schema)
    handlers, partial_handlers = Handlers(), Handlers()
    if handler is not None:
        handlers.add(handler)
    if partial_handler is not None:
        partial_handlers.add(partial_handler)
    services = Services(
        agents=parts.agents,
        root=parts.root,
        pipeline=Pipeline(parts.installed),
        models=models,
        limits=parts.limits,
        handlers=handlers,
        partial_handlers=partial_handlers,
        approver=approver,
        back_off=BackOff(first=0.0, longest=0.0),
    )
    return Bench(services, models, tables.get("context", {}))


def calls(*named: str | tuple[str, Any], text: str = "") -> dict[str, Any]:
    """A reply that calls tools: names, or names with arguments."""
    listed = [(one, {}) if isinstance(one, str) else one for one in named]
    return {"text": text, "tool_calls": [{"name": name, "args": args} for name, args in listed]}


def asks_helper(name: str, task: str = "Do it", text: str = "") -> dict[str, Any]:
    """A reply that calls a helper."""
    return calls((name, {"input": task}), text=text)


def short(turns: Sequence[Turn], agent: str | None = None) -> list[str]:
    """Turns in one line each: `user: Hi`, `?add` for a call, `add=3` for a result."""
    lines: list[str] = []
    for turn in turns:
        if agent not in (None, turn.agent):
            continue
        if turn.role == "tool":
            lines.append(f"{turn.name}={turn.text}")
        elif turn.text or not turn.tool_calls:
            lines.append(f"{turn.role}: {turn.text}")
        lines += [f"?{call.name}" for call in turn.tool_calls or ()]
    return lines


def check_history(turns: Sequence[Turn]) -> None:
    """Fail unless each tool call has exactly one result, behind it, and no result is without its call."""
    called: list[str] = []
    answered: list[str] = []
    for turn in turns:
        called += [call.id for call in turn.tool_calls or ()]
        if turn.role == "tool":
            assert turn.tool_call_id in called
            answered.append(turn.tool_call_id)
    assert sorted(called) == sorted(answered)
    assert len(set(called)) == len(called)


class Recorder:
    """A middleware that notes every hook, with the agent it fires for; not what each model call ends with."""

    def __init__(self, log: list[str] | None = None, mark: str = "") -> None:
        self.log: list[str] = [] if log is None else log
        self.mark = mark

    def note(self, what: str, ctx: Any) -> None:
        if what not in ("onIntent(model_call)", "onCheckpoint(calls)"):
            self.log.append(f"{self.mark}{what} {ctx.activeAgent}")

    def onRunStart(self, session: Session, ctx: Any) -> None:
        self.note("onRunStart", ctx)

    def onCheckpoint(self, session: Session, ctx: Any) -> None:
        point = ctx["checkpoint"]
        self.note(f"onCheckpoint({point['at']})", ctx)

    def onLLMStart(self, prompt: str, ctx: Any) -> None:
        self.note(f"onLLMStart({prompt})", ctx)

    def onIntent(self, name: str, value: Any, ctx: Any) -> None:
        self.note(f"onIntent({name})", ctx)

    def onLLMEnd(self, response: Any, ctx: Any) -> None:
        self.note(f"onLLMEnd({response})", ctx)

    def onRunComplete(self, session: Session, ctx: Any) -> None:
        self.note(f"onRunComplete({ctx.status})", ctx)

    def onError(self, error: Exception, session: Session, ctx: Any) -> None:
        self.note(f"onError({type(error).__name__})", ctx)


class Hook:
    """A middleware made of functions: `Hook(onLLMStart=…)`."""

    def __init__(self, **hooks: Callable[..., Any]) -> None:
        for name, function in hooks.items():
            setattr(self, name, function)


class Gate:
    """A place to stop at: whoever `passes` it waits until it is opened, and can be waited for."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()

    async def passes(self, *_: Any) -> None:
        self.reached.set()
        await self.opened.wait()
