"""What type checkers must have nothing to say about: each way in which people write it."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from auwgent import ApprovalRequest, Context, Intent, Middleware, Runtime, Session, auwgent
from auwgent.payloads import AnyIntent, typed
from auwgent.typed import ConfigDict


class Report(BaseModel):
    title: str


def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"Sunny in {city}"


async def ask(request: ApprovalRequest) -> bool:
    return True


class Watch(Middleware):
    async def onRunStart(self, session: Session, ctx: Context) -> Session | None:
        ctx["trace_id"] = ctx.runId
        ctx.input = "Hello"
        return session if ctx.userId == session.user_id else None

    def onLLMStart(self, prompt: str, ctx: Context) -> str | None:
        ctx.model = "gpt-5-mini"
        ctx.headers["X-Team"] = "blue"
        ctx.systemPrompt += " Be brief."
        return f"{prompt} ({ctx['trace_id']}, {ctx.get('plan', 'free')})"

    def onRunComplete(self, session: Session, ctx: Context) -> None:
        print(ctx.status == "completed", ctx.usage.usd, ctx.activeAgent.upper(), ctx.stack[0])


class Own(Context):
    trace_id: str


class Mine:
    async def onRunStart(self, session: Session, ctx: Own) -> None:
        ctx.trace_id = ctx.runId
        print(len(ctx.trace_id), await ctx.ask("Short?", model="main"))


described: ConfigDict = {
    "middleware": ["auwgent.middleware.SQLModelSessions", Watch, Mine(), {"use": Watch, "target": "Main"}],
    "agent": {
        "model": "main",
        "tools": [get_weather, "my_app.f", {"use": get_weather, "approve": "ask"}],
        "prompt": ["You help.", {"file": "rules.md"}],
        "output": Report,
        "helpers": ["Joker"],
    },
    "models": {"main": {"use": "openai/gpt-5-mini", "cache": "auto", "retries": 3, "timeout": 5}},
    "helpers": {"Joker": {"description": "Jokes", "model": "main", "handoff": "user"}},
    "mcp": {"time": {"command": "uvx", "args": ["mcp-server-time"]}},
    "limits": {"usd": 1, "approval": "7d"},
    "api_keys": {"openai": "${OPENAI_API_KEY}"},
    "profiles": {"strict": {"agent": {"prompt": "Data only."}}},
}

made_up: dict[str, Any] = {"agent": {"model": "main", "name": "Ada"}}


def read_somewhere() -> dict[str, Any]:
    return {**made_up, "middleware": []}


agents: list[Runtime] = [
    auwgent("auwgent.toml", profile="strict", on_approval=ask),
    auwgent(Path("auwgent.toml"), overrides=["limits.seconds=3"], middleware=[Watch()]),
    auwgent(described, on_approval=lambda request: request.tool == "get_weather"),
    auwgent({"agent": {"model": "openai/gpt-5-mini"}}),
    auwgent(model="openai/gpt-5-mini", tools=[get_weather], output=Report, prompt="You help."),
    auwgent(model="openai/gpt-5-mini", middleware=[Watch], on_approval=ask),
    Runtime({"any": "mapping"}),
    auwgent(made_up, profile="strict"),
    auwgent(read_somewhere()),
]


async def answers() -> str:
    agent = auwgent(model="openai/gpt-5-mini", output=Report)
    session = await agent.run("Hi")
    return session.output.title.upper() if session.output is not None else ""


async def use(agent: Runtime) -> None:
    session = await agent.run("Hi", session_id="s1", user_id="u1", context={"plan": "pro"})
    print(session.text.upper(), session.turns[0].role)
    async for intent in agent.stream("Hi", run_id="order-7"):
        if intent.partial:
            print(intent.value["delta"].upper())
        elif intent.name == "Loud":
            print(intent.value["reason"])
        show(typed(intent))
        keep(intent)


def keep(intent: Intent) -> dict[str, Any]:
    return intent.as_json()


def show(intent: AnyIntent) -> None:
    if intent.partial is True:
        print(intent.value["delta"].upper(), intent.name)
    elif intent.name == "response_text":
        print(intent.value["text"])
    elif intent.name == "tool_call":
        print(intent.value["args"], intent.value["id"])
    elif intent.name == "tool_result":
        print(intent.value["result"])
    elif intent.name == "paused":
        print([call["kind"] for call in intent.value["calls"]])
    elif intent.name == "model_call":
        print(intent.value["seconds"], intent.value["usage"]["usd"])
