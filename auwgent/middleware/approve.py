"""Approval: rules that say which calls may happen, which need a yes of the user, and which never happen."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from auwgent.hooks.context import Context
from auwgent.intents import CALLS
from auwgent.middleware.kept import Configured, Given, Options, option

Answer = Literal["allow", "ask", "deny"]
Patterns = tuple[str, ...]


class Rule(Options):
    """One rule. It is about a call if the names match, and for each argument listed one of its patterns."""

    tools: Patterns = Field(("*",), strict=False)
    agents: Patterns = Field(("*",), strict=False)
    args: dict[str, Annotated[Patterns, Field(strict=False)]] = Field({}, strict=False)
    then: Answer

    @field_validator("tools", "agents", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("args", mode="before")
    @classmethod
    def _each_one_or_more(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {name: (one,) if isinstance(one, str) else one for name, one in value.items()}

    def is_about(self, agent: str, tool: str, args: Mapping[str, Any]) -> bool:
        """Return whether this rule decides on the call."""
        return (
            _fits(tool, self.tools)
            and _fits(agent, self.agents)
            and all(_has(args, path.split("."), patterns) for path, patterns in self.args.items())
        )


class Approve(Configured):
    """Decides on each call of a tool, workflow or helper by the first of the `rules` that is about it.

    A rule has `tools`, `agents` and `args`, each optional, and `then`: `"allow"`, `"ask"` or `"deny"`. Names and
    arguments are matched by patterns with `*`, `?` and `[…]`, upper and lower case apart; several patterns in a list
    are alternatives. `args` names arguments, nested ones with dots (`"options.path"`), and is matched against their
    text, or their JSON where they are not text. Where no rule matches a call, `default` holds.

    What is denied, or not approved, is skipped; the model is told and goes on. An answer of the user counts for
    that call, with those arguments, once. What a tool's own `approve` says holds as well. List it after
    middleware that changes arguments: a call that is changed after it was approved does not happen.
    """

    name = "approve"

    rules: Annotated[Given[Sequence[Mapping[str, Any]], tuple[Rule, ...]], Field(strict=False)] = option(
        default=()
    )
    default: Answer = "ask"

    async def onIntent(self, name: str, value: dict[str, Any], ctx: Context) -> dict[str, Any] | None:
        if name not in CALLS:
            return None
        answer = self.decide(ctx.activeAgent, value["type"], value["args"])
        if answer == "allow" or (answer == "ask" and await ctx.approve(value)):
            return None
        return {"skip": True}

    def decide(self, agent: str, tool: str, args: Mapping[str, Any]) -> Answer:
        """Return what the rules say about a call."""
        about = (rule.then for rule in self.rules if rule.is_about(agent, tool, args))
        return next(about, self.default)


def _has(value: Any, path: Sequence[str], patterns: Patterns) -> bool:
    """Return whether there is such an argument, and it fits."""
    for step in path:
        if not isinstance(value, Mapping) or step not in value:
            return False
        value = value[step]
    return _fits(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), patterns)


def _fits(text: str, patterns: Patterns) -> bool:
    return any(fnmatchcase(text, pattern) for pattern in patterns)
