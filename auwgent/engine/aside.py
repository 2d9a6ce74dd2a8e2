"""Model calls of middleware, beside the conversation: counted, limited, redacted and traced like an agent's."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace

from auwgent.engine.failures import no_answer
from auwgent.engine.state import Run
from auwgent.hooks.answers import Failure, PromptText
from auwgent.hooks.context import AgentState, Context
from auwgent.hooks.metering import ASKING
from auwgent.models.base import ModelRequest, Reply, Route
from auwgent.models.faults import ended
from auwgent.models.resilience import ask as ask_model
from auwgent.session import Turn


async def ask_aside(run: Run, agent: AgentState, prompt: str, model: str | None, system: str) -> str:
    """Ask a model for a middleware. What it says is shown to nobody and stands in no turn.

    Middleware that hears of `asides` is told before and after; `ctx.aside` names who asks.
    """
    run.count_call()
    route = run.services.models.get(model or run.services.agents[agent.active].model)
    said, spec = Turn(role="user", content=run.final(prompt), agent=agent.active), route.spec
    aside = AgentState(agent.active, agent.stack, system, [said], aside=ASKING.get() or "tool")
    aside.call = {
        "model": spec.name,
        "provider": spec.provider,
        "url": spec.base_url,
        "config": dict(spec.params),
    }
    ctx = Context(run, aside)
    await run.chain.fire("onLLMStart", ctx, PromptText(said.text), who="asides")
    request = ModelRequest(system=system, turns=[said], stream=False, purse=run.paying(Context(run, agent)))
    try:
        reply = await _whole_answer(route, request)
        run.usage += reply.usage
        if problem := ended(spec, reply):
            raise problem
    except Exception as error:
        await run.chain.fire("onError", ctx, Failure(error, run.session), who="asides")
        raise
    aside.reply = replace(reply, text=run.final(reply.text))
    await run.chain.fire("onLLMEnd", ctx, {"text": aside.reply.text}, who="asides")
    return aside.reply.text


async def _whole_answer(route: Route, request: ModelRequest) -> Reply:
    async with aclosing(ask_model(route, request)) as pieces:
        async for piece in pieces:
            if isinstance(piece, Reply):
                return piece
    raise no_answer(route.spec)
