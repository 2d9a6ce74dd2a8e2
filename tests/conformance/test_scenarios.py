"""The canonical scenarios of every Auwgent, deterministic and strict: streaming and not, in process and over HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from auwgent import Context, LimitExceeded, Runtime, Session, ToolError, Turn
from auwgent.intents import Intent
from tests.support.bench import Hook, Recorder, asks_helper, calls, check_history, short
from tests.support.script_server import ScriptServer, script_server

pytestmark = [
    pytest.mark.process,
    pytest.mark.parametrize("stream", [True, False], ids=["streaming", "whole"]),
    pytest.mark.usefixtures("wire"),
]


@pytest.fixture(params=["scripted", "openai", "anthropic"])
async def wire(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """Where the models of all scenes are: in process, or behind a server that speaks a provider's wire format."""
    async with script_server() as server:
        monkeypatch.setattr(Scene, "wire", request.param)
        monkeypatch.setattr(Scene, "server", server)
        yield request.param


class Sent:
    """A middleware that notes each request as it is about to be sent."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []

    def onCheckpoint(self, session: Session, ctx: Context) -> None:
        if ctx["checkpoint"]["at"] == "llm_start":
            self.requests.append(
                {
                    "agent": ctx.activeAgent,
                    "system": ctx.systemPrompt,
                    "turns": short(ctx.messages),
                    "model": ctx.model,
                    "headers": dict(ctx.headers),
                    "config": dict(ctx.config),
                }
            )

    def of(self, agent: str) -> list[dict[str, Any]]:
        return [request for request in self.requests if request["agent"] == agent]


class Scene:
    """An agent, and what its last run showed."""

    wire: str = "scripted"
    server: ScriptServer | None = None

    def __init__(
        self,
        models: Mapping[str, Sequence[Any]] | Sequence[Any],
        middleware: Sequence[Any] = (),
        tables: Mapping[str, Any] | None = None,
        **agent: Any,
    ) -> None:
        scripts = models if isinstance(models, Mapping) else {"main": models}
        self.sent = Sent()
        self.intents: list[Intent] = []  # but for each `model_call`
        self.model_calls: list[Intent] = []
        self.partials: list[Intent] = []
        self.agent = Runtime(
            {
                "agent": {"model": "main", "prompt": "You help.", **agent},
                "models": {name: self.model(name, replies) for name, replies in scripts.items()},
                "middleware": [*middleware, self.sent],
                **(tables or {}),
            }
        )

    def model(self, name: str, replies: Sequence[Any]) -> dict[str, Any]:
        table: dict[str, Any] = {"use": f"{self.wire}/{name}", "retries": 0}
        if self.wire == "scripted":
            return table | {"params": {"replies": list(replies)}}
        assert self.server is not None
        self.server.follow(name, replies)
        return table | {"base_url": self.server.url, "api_key": "a-key"}

    async def run(self, input: str, stream: bool, **options: Any) -> Session:
        self.intents, self.partials, self.model_calls = [], [], []
        running = self.agent.stream(input, whole=not stream, **options)
        async for intent in running:
            whole = self.model_calls if intent.name == "model_call" else self.intents
            (self.partials if intent.partial else whole).append(intent)
        assert running.session is not None
        check_history(running.session.turns)
        assert stream or not self.partials
        return running.session

    @property
    def heard(self) -> list[tuple[str, Any]]:
        return [(intent.name, intent.value) for intent in self.intents]

    @property
    def names(self) -> list[str]:
        return [intent.name for intent in self.intents]


def joker(**more: Any) -> dict[str, Any]:
    return {"helpers": {"Joker": {"description": "Jokes", "model": "joker", "prompt": "You joke.", **more}}}


def get_time() -> str:
    """The time."""
    return "noon"


class Weather(BaseModel):
    city: str
    degrees: float


async def test_01_basic_chat(stream: bool) -> None:
    scene = Scene(["Hello, Ada."])
    session = await scene.run("I am Ada", stream)
    assert scene.heard == [("response_text", {"text": "Hello, Ada."})]
    assert short(session.turns) == ["user: I am Ada", "assistant: Hello, Ada."]
    assert (session.stack, session.system_prompt, session.version) == (["Main"], "You help.", 1)


async def test_02_tool_without_arguments(stream: bool) -> None:
    scene = Scene([calls("get_time"), "It is {result}."], tools=[get_time])
    session = await scene.run("What time is it?", stream)
    call_id = scene.heard[0][1]["id"]
    assert scene.heard == [
        ("tool_call", {"type": "get_time", "args": {}, "id": call_id}),
        ("tool_result", {"name": "get_time", "args": {}, "result": "noon", "id": call_id}),
        ("response_text", {"text": "It is noon."}),
    ]
    assert session.turns[2].tool_call_id == call_id


async def test_03_tool_with_typed_arguments(stream: bool) -> None:
    received: list[Any] = []

    def report(weather: Weather, unit: Literal["C", "F"] = "C") -> Weather:
        """Report the weather."""
        received.append((weather, unit))
        return weather

    weather = {"city": "Bonn", "degrees": 21.5}
    scene = Scene([calls(("report", {"weather": weather})), "{result}"], tools=[report])
    session = await scene.run("Report", stream)
    assert received == [(Weather(city="Bonn", degrees=21.5), "C")]
    assert json.loads(session.text) == weather
    assert scene.names == ["tool_call", "tool_result", "response_text"]


async def test_04_workflow(stream: bool) -> None:
    done: list[str] = []

    def back_up(user: str) -> str:
        """Back up."""
        done.append(f"back up {user}")
        return "saved"

    def remove(user: str) -> str:
        """Remove."""
        done.append(f"remove {user}")
        return "removed"

    async def delete_user(user: str, ctx: Context) -> str:
        """Delete a user."""
        if not ctx.get("is_admin"):
            return "no permission"
        await ctx.call_tool("back_up", user=user)
        return str(await ctx.call_tool("remove", user=user))

    flow = [{"use": delete_user, "tools": [back_up, remove]}]
    replies = [calls(("delete_user", {"user": "bob"})), "{result}"]

    scene = Scene(replies, workflows=flow)
    assert (await scene.run("Delete bob", stream, context={"is_admin": True})).text == "removed"
    assert done == ["back up bob", "remove bob"]
    assert scene.names == [
        "workflow_call",
        *["tool_call", "tool_result"] * 2,
        "workflow_result",
        "response_text",
    ]

    done.clear()
    scene = Scene(replies, workflows=flow)
    assert (await scene.run("Delete bob", stream, context={"is_admin": False})).text == "no permission"
    assert done == []

    scene = Scene([calls(("remove", {"user": "bob"})), "I cannot."], workflows=flow)
    await scene.run("Remove bob", stream)
    assert done == []
    assert scene.names == ["tool_error", "response_text"]


async def test_05_helper_with_structured_output(stream: bool) -> None:
    scene = Scene(
        {"main": [asks_helper("Joker"), "Got it."], "joker": ['{"city": "Bonn", "degrees": 3}']},
        helpers=["Joker"],
        tables=joker(output=Weather),
    )
    session = await scene.run("Weather?", stream)
    weather = {"city": "Bonn", "degrees": 3.0}
    assert [(intent.name, intent.agent) for intent in scene.intents] == [
        ("helper_call", "Main"),
        ("response_schema", "Joker"),
        ("helper_result", "Main"),
        ("response_text", "Main"),
    ]
    assert scene.intents[1].value == {"type": "Weather", "response": weather}
    assert scene.intents[2].value["result"] == weather
    assert session.stack == ["Main"]


async def test_06_helper_handing_off_to_the_user(stream: bool) -> None:
    scene = Scene(
        {"main": [asks_helper("Joker"), "never"], "joker": ["Knock knock. Who's there?", "Ada who."]},
        helpers=["Joker"],
        tables=joker(handoff="user"),
    )
    session = await scene.run("A joke", stream)
    assert [(intent.name, intent.agent) for intent in scene.intents] == [
        ("helper_call", "Main"),
        ("response_text", "Joker"),
        ("helper_result", "Main"),
    ]
    assert session.stack == ["Main", "Joker"]
    session = await scene.run("Ada", stream, session=session)
    assert [(intent.name, intent.agent) for intent in scene.intents] == [("response_text", "Joker")]
    assert len(scene.sent.of("Main")) == 1
    assert session.stack == ["Main"]


async def test_07_custom_intent(stream: bool) -> None:
    loud = {"intents": {"Loud": {"fields": {"actions": "string", "reason": "string"}}}}
    fields = {"actions": "look", "reason": "curious"}
    scene = Scene([calls(("Loud", fields)), "Done."], intents=["Loud"], tables=loud)
    await scene.run("Think", stream)
    assert scene.heard == [("Loud", fields), ("response_text", {"text": "Done."})]


async def test_08_order_of_the_hooks_over_two_model_calls(stream: bool) -> None:
    log: list[str] = []
    scene = Scene([calls("get_time"), "Noon."], [Recorder(log, "1 "), Recorder(log, "2 ")], tools=[get_time])
    await scene.run("Time?", stream)

    def both(hook: str, first: str = "12") -> list[str]:
        return [f"{mark} {hook} Main" for mark in first]

    assert log == [
        *both("onRunStart"),
        *both("onLLMStart(Time?)"),
        *both("onCheckpoint(llm_start)"),
        *both("onIntent(tool_call)"),
        *both("onCheckpoint(tool_start)"),
        *both("onIntent(tool_result)"),
        *both("onCheckpoint(tool_end)"),
        *both("onLLMStart(Time?)"),
        *both("onCheckpoint(llm_start)"),
        *both("onIntent(response_text)"),
        *both("onLLMEnd({'text': 'Noon.'})", "21"),
        *both("onRunComplete(completed)", "21"),
    ]


async def test_09_export_and_import(stream: bool) -> None:
    first = Scene([calls("get_time"), "Noon."], tools=[get_time])
    exported = json.dumps((await first.run("Time?", stream, user_id="u1")).model_dump(mode="json"))
    imported = Session.model_validate_json(exported)
    assert json.loads(exported) == imported.model_dump(mode="json")

    load = Hook(onRunStart=lambda session, ctx: json.loads(exported))
    answer = {"when": "again", "text": "As I said: noon."}  # whoever said the rest
    second = Scene({"main": [], "other": [answer]}, [load], model="other", tools=[get_time])
    session = await second.run("Again?", stream, user_id="u1")
    expected = ["user: Time?", "?get_time", "get_time=noon", "assistant: Noon.", "user: Again?"]
    assert second.sent.requests[0]["turns"] == expected
    assert session.model_dump(mode="json")["turns"][:4] == json.loads(exported)["turns"]
    assert session.id == imported.id


async def test_10_errors_swallowed_and_fed_back(stream: bool) -> None:
    swallow = Hook(onError=lambda *_: {"swallow": True, "response": "Try later."})
    scene = Scene([{"error": {"status": 500}}], [swallow])
    session = await scene.run("Hello", stream)
    assert scene.heard == [("response_text", {"text": "Try later."})]
    assert session.text == "Try later."

    def pay() -> None:
        """Pay."""
        raise ToolError("the card has expired")

    scene = Scene([calls("pay"), "I was told: {result}"], tools=[pay])
    session = await scene.run("Pay", stream)
    assert scene.names == ["tool_call", "tool_error", "response_text"]
    assert scene.heard[1][1] == {
        "tool": "pay",
        "message": "the card has expired",
        "id": scene.heard[0][1]["id"],
    }
    assert "the card has expired" in session.text


async def test_11_partials_add_up(stream: bool) -> None:
    scene = Scene([calls("get_time", text="Let me see."), "It is noon, Ada."], tools=[get_time])
    session = await scene.run("Time?", stream)
    texts: dict[int, str] = {}
    for piece in scene.partials:
        if piece.name == "response_text":
            texts[piece.value["segment"]] = texts.get(piece.value["segment"], "") + piece.value["delta"]
    finals = [value["text"] for name, value in scene.heard if name == "response_text"]
    assert finals == ["Let me see.", "It is noon, Ada."]
    assert list(texts.values()) == (finals if stream else [])
    assert session.text == finals[-1]
    everything = [*scene.intents, *scene.model_calls, *scene.partials]
    assert sorted(intent.seq for intent in everything) == [*range(1, len(everything) + 1)]


async def test_12_state_shared_across_hooks_and_apart_between_runs(stream: bool) -> None:
    seen: list[Any] = []
    hook = Hook(
        onRunStart=lambda session, ctx: ctx.update(trace=[ctx.input]),
        onLLMStart=lambda prompt, ctx: ctx.trace.append("asked"),
        onRunComplete=lambda session, ctx: seen.append(ctx.trace),
    )
    scene = Scene(["Hi."], [hook])
    await scene.run("one", stream)
    await scene.run("two", stream)
    assert seen == [["one", "asked"], ["two", "asked"]]


async def test_13_prompt_replaced_for_one_call(stream: bool) -> None:
    def retrieve(prompt: str, ctx: Context) -> str | None:
        return None if "seen" in ctx else ctx.setdefault("seen", f"{prompt} [notes]")

    scene = Scene([calls("get_time"), "Noon."], [Hook(onLLMStart=retrieve)], tools=[get_time])
    session = await scene.run("Time?", stream)
    assert [request["turns"][0] for request in scene.sent.requests] == ["user: Time? [notes]", "user: Time?"]
    assert session.turns[0].text == "Time?"
    assert "[notes]" not in session.model_dump_json()


async def test_14_settings_changed_for_one_call(stream: bool) -> None:
    def change(prompt: str, ctx: Context) -> None:
        if "changed" not in ctx:
            ctx["changed"] = True
            ctx.headers["X-Trace"] = "t1"
            ctx.config["temperature"] = 0.7
            ctx.systemPrompt = "You whisper."

    scene = Scene([calls("get_time"), "Noon."], [Hook(onLLMStart=change)], tools=[get_time])
    await scene.run("Time?", stream)
    first, second = scene.sent.requests
    assert first["headers"] == {"X-Trace": "t1"}
    assert first["config"]["temperature"] == 0.7
    assert first["system"] == "You whisper."
    assert second["headers"] == {}
    assert "temperature" not in second["config"]
    assert second["system"] == "You help."
    if scene.wire != "scripted":
        assert scene.server is not None
        (_, headers, body), (_, later_headers, later_body) = scene.server.requests
        assert (headers["x-trace"], body["temperature"]) == ("t1", 0.7)
        assert "x-trace" not in later_headers
        assert "temperature" not in later_body


async def test_15_stack_set_in_a_hook(stream: bool) -> None:
    def go_to_joker(session: Session, ctx: Context) -> None:
        session.stack = ["Main", "Joker"]

    scene = Scene(
        {"main": ["Main again."], "joker": ["Knock knock."]},
        [Hook(onRunStart=go_to_joker)],
        helpers=["Joker"],
        tables=joker(),
    )
    await scene.run("A joke", stream)
    assert [request["agent"] for request in scene.sent.requests] == ["Joker", "Main"]
    assert scene.sent.requests[0]["turns"] == ["user: A joke"]
    assert [intent.agent for intent in scene.intents] == ["Joker", "Main"]


async def test_16_result_overridden(stream: bool) -> None:
    ran: list[str] = []

    def pay() -> str:
        """Pay."""
        ran.append("paid")
        return "paid"

    def override(name: str, value: Any, ctx: Context) -> Any:
        return {"result": "pretended"} if name == "tool_call" else None

    scene = Scene([calls("pay"), "{result}"], [Hook(onIntent=override)], tools=[pay])
    session = await scene.run("Pay", stream)
    assert ran == []
    assert scene.names == ["tool_call", "tool_result", "response_text"]
    assert (scene.heard[1][1]["result"], scene.heard[1][1]["overridden"]) == ("pretended", True)
    assert session.text == "pretended"


async def test_17_skip(stream: bool) -> None:
    ran: list[str] = []

    def pay() -> str:
        """Pay."""
        ran.append("paid")
        return "paid"

    def skip(name: str, value: Any, ctx: Context) -> Any:
        return {"skip": True} if name == "tool_call" else None

    scene = Scene([calls("pay"), "I was not allowed to."], [Hook(onIntent=skip)], tools=[pay])
    session = await scene.run("Pay", stream)
    assert ran == []
    assert scene.names == ["tool_call", "tool_skipped", "response_text"]
    assert "skipped" in scene.sent.requests[1]["turns"][-1]
    assert session.text == "I was not allowed to."


async def test_18_turn_injected_at_the_start(stream: bool) -> None:
    def inject(session: Session, ctx: Context) -> None:
        session.turns.append(Turn(role="user", content="I like tea."))

    scene = Scene(["Tea."], [Hook(onRunStart=inject)])
    session = await scene.run("What do I like?", stream)
    assert scene.sent.requests[0]["turns"] == ["user: I like tea.", "user: What do I like?"]
    assert short(session.turns) == ["user: I like tea.", "user: What do I like?", "assistant: Tea."]


async def test_19_too_many_requests_and_another_model(stream: bool) -> None:
    def fall_back(error: Any, session: Session, ctx: Context) -> Any:
        assert error.status == 429
        ctx.model = "backup"
        return {"forceStart": "llm_start"}

    log: list[str] = []
    scene = Scene(
        {"main": [{"error": {"status": 429}}], "backup": [calls("get_time"), "From the backup."]},
        [Hook(onError=fall_back), Recorder(log)],
        tools=[get_time],
    )
    session = await scene.run("Hello", stream)
    assert session.text == "From the backup."
    assert [turn.model for turn in session.turns if turn.role == "assistant"] == [f"{scene.wire}/backup"] * 2
    assert [line for line in log if "onError" in line] == ["onError(ProviderError) Main"]
    assert log.count("onLLMStart(Hello) Main") == 3

    scene = Scene([calls("get_time")] * 9, tools=[get_time], tables={"limits": {"llm_calls": 2}})
    with pytest.raises(LimitExceeded) as caught:
        await scene.run("Loop", stream)
    assert caught.value.key == "limits.llm_calls"
    assert len(scene.sent.requests) == 2


async def test_20_unknown_tool(stream: bool) -> None:
    scene = Scene([calls(("rm", {"path": "/"})), "There is none."], tools=[get_time])
    session = await scene.run("Clean up", stream)
    assert scene.names == ["tool_error", "response_text"]
    assert scene.heard[0][1]["tool"] == "rm"
    assert "there is no tool 'rm'" in scene.sent.requests[1]["turns"][-1]
    assert session.turns[2].outcome == "error"


class Cat(BaseModel):
    name: str
    age: int | None = None


class Dog(BaseModel):
    name: str
    tricks: list[str] = []


@pytest.mark.parametrize("tools", [[], [get_time]], ids=["alone", "beside tools"])
async def test_21_structured_output(stream: bool, tools: Any) -> None:
    wrong = json.dumps({"type": "Cat", "response": {"name": "Tom", "age": "old"}})
    right = json.dumps({"type": "Dog", "response": {"name": "Rex"}})
    scene = Scene([wrong, right], output=[Cat, Dog], tools=tools)
    await scene.run("A pet", stream)
    assert scene.heard == [("response_schema", {"type": "Dog", "response": {"name": "Rex", "tricks": []}})]
    assert "age" in scene.sent.requests[1]["turns"][-1]
    scene = Scene([json.dumps({"type": "Cat", "response": {"name": "Tom"}})], output=[Cat, Dog], tools=tools)
    await scene.run("A pet", stream)
    assert scene.heard == [("response_schema", {"type": "Cat", "response": {"name": "Tom", "age": None}})]
