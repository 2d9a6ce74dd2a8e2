"""An agent run from beginning to end, and all that could be seen of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from auwgent.errors import AuwgentError
from auwgent.hooks.context import Context
from auwgent.intents import Intent
from auwgent.runtime import Runtime
from auwgent.session import Session, Turn, new_id


@dataclass(frozen=True, slots=True)
class Asked:
    """One model call as it was about to be sent, after all hooks."""

    agent: str
    model: str
    system: str
    turns: tuple[Turn, ...]
    tools: tuple[str, ...]
    settings: Mapping[str, Any]  # config, headers, url, provider


@dataclass(slots=True)
class Scenario:
    """What the runs of one session showed, in their order."""

    session: Session
    intents: list[Intent] = field(default_factory=list)  # whole ones
    partials: list[Intent] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    errors: list[AuwgentError] = field(default_factory=list)  # of runs that failed

    @property
    def names(self) -> list[str]:
        """The names of the whole intents."""
        return [intent.name for intent in self.intents]

    def of(self, name: str) -> list[dict[str, Any]]:
        """Return the payloads of the whole intents of this name."""
        return [intent.value for intent in self.intents if intent.name == name]

    @property
    def streamed(self) -> str:
        """The text that was streamed, piece by piece."""
        return "".join(intent.value["delta"] for intent in self.partials if intent.name == "response_text")


class _Listener:
    """Notes each model call behind all other middleware."""

    name = "scenario"

    def __init__(self, asked: list[Asked]) -> None:
        self._asked = asked

    def onCheckpoint(self, session: Session, ctx: Context) -> None:
        if ctx["checkpoint"]["at"] != "llm_start":
            return
        self._asked.append(
            Asked(
                agent=ctx.activeAgent,
                model=ctx.model,
                system=ctx.systemPrompt,
                turns=tuple(turn.model_copy(deep=True) for turn in ctx.messages),
                tools=tuple(tool["name"] for tool in ctx.toolSpecs),
                settings={key: ctx[key] for key in ("config", "headers", "url", "provider")},
            )
        )


async def run_scenario(
    config: Mapping[str, Any] | str | Path,
    *inputs: Any,
    stream: bool = True,
    session_id: str | None = None,
    user_id: str = "",
    context: Mapping[str, Any] | None = None,
    profile: str | None = None,
) -> Scenario:
    """Run an agent once for each input, on one session that goes on from run to run, also without a store.

    A run that fails is noted in `errors`, and the next input follows. `stream=False` asks models for whole answers.
    """
    asked: list[Asked] = []
    agent = Runtime(config, profile=profile, middleware=[_Listener(asked)])
    scenario = Scenario(Session(id=session_id or new_id(), user_id=user_id), asked=asked)
    async with agent:
        for one in inputs:
            running = agent.stream(
                one, session=scenario.session, user_id=user_id, context=context, whole=not stream
            )
            try:
                async for intent in running:
                    (scenario.partials if intent.partial else scenario.intents).append(intent)
            except AuwgentError as error:
                scenario.errors.append(error)
            if running.session is not None:
                scenario.session = running.session
    return scenario
