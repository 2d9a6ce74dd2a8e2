"""Helpers: agents that agents call, who speaks to the user, and where the next word goes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from auwgent.errors import LimitExceeded, MiddlewareError, ProviderError
from auwgent.session import Session, ToolCall, Turn
from tests.support.bench import (
    Bench,
    Hook,
    Recorder,
    asks_helper,
    bench,
    calls,
    check_history,
    short,
)

DOWN = {"error": {"status": 503}}
BYE = {"Bye": {"fields": {"reason": "string"}, "terminal": True}}


def helper(model: str = "joker", **more: Any) -> dict[str, Any]:
    return {"description": "Tells jokes", "model": model, "prompt": "You joke.", **more}


def with_joker(main: Any, joker: Any, *, middleware: Any = (), **joker_more: Any) -> Bench:
    return bench(
        {"main": main, "joker": joker}, helpers={"Joker": helper(**joker_more)}, middleware=middleware
    )


def waiting_for(*stack: str) -> Session:
    return Session(stack=list(stack))


# handoff = "return"


async def test_a_helper_answers_its_caller() -> None:
    agent = with_joker([asks_helper("Joker", "A joke, please"), "He said: {result}"], ["Knock knock."])
    session = await agent.ask("Make me laugh")
    call = session.turns[1].tool_calls
    assert call is not None
    args = {"input": "A joke, please"}
    assert [(one.name, one.value, one.agent) for one in agent.intents] == [
        ("helper_call", {"type": "Joker", "args": args, "id": call[0].id}, "Main"),
        ("response_text", {"text": "Knock knock."}, "Joker"),
        (
            "helper_result",
            {"name": "Joker", "args": args, "result": "Knock knock.", "id": call[0].id},
            "Main",
        ),
        ("response_text", {"text": "He said: Knock knock."}, "Main"),
    ]
    assert session.stack == ["Main"]
    assert session.system_prompt == "You help."
    assert short(session.turns, "Joker") == ["user: A joke, please", "assistant: Knock knock."]
    assert short(session.turns, "Main") == [
        "user: Make me laugh",
        "?Joker",
        "Joker=Knock knock.",
        "assistant: He said: Knock knock.",
    ]
    check_history(session.turns)


async def test_each_model_is_shown_its_own_turns_and_prompt() -> None:
    agent = with_joker([asks_helper("Joker", "A joke"), "Done."], ["Knock."])
    await agent.ask("Hello")
    assert [short(request.turns) for request in agent.requests("joker")] == [["user: A joke"]]
    assert agent.requests("joker")[0].system == "You joke."
    assert short(agent.requests()[1].turns) == ["user: Hello", "?Joker", "Joker=Knock."]
    spec = agent.requests()[0].tools[0]
    assert (spec.name, spec.description) == ("Joker", "Tells jokes")
    assert spec.parameters["required"] == ["input"]


async def test_a_helper_remembers_its_earlier_turns() -> None:
    main = [asks_helper("Joker", "1"), asks_helper("Joker", "2"), "Done.", asks_helper("Joker", "3"), "Done."]
    agent = with_joker(main, ["One.", "Two.", "Three."])
    session = await agent.ask()
    assert short(agent.requests("joker")[1].turns) == ["user: 1", "assistant: One.", "user: 2"]
    await agent.ask("More", session=session)
    assert short(agent.requests("joker")[2].turns)[2:] == ["user: 2", "assistant: Two.", "user: 3"]


async def test_the_same_hooks_fire_inside() -> None:
    log: list[str] = []
    agent = with_joker([asks_helper("Joker"), "Done."], ["Knock."], middleware=[Recorder(log)])
    await agent.ask()
    assert log == [
        "onRunStart Main",
        "onLLMStart(Hello) Main",
        "onCheckpoint(llm_start) Main",
        "onIntent(helper_call) Main",
        "onCheckpoint(tool_start) Main",
        "onLLMStart(Do it) Joker",
        "onCheckpoint(llm_start) Joker",
        "onIntent(response_text) Joker",
        "onLLMEnd({'text': 'Knock.'}) Joker",
        "onIntent(helper_result) Main",
        "onCheckpoint(tool_end) Main",
        "onLLMStart(Hello) Main",
        "onCheckpoint(llm_start) Main",
        "onIntent(response_text) Main",
        "onLLMEnd({'text': 'Done.'}) Main",
        "onRunComplete(completed) Main",
    ]


async def test_a_stack_changed_in_place_holds_for_the_hooks_to_come() -> None:
    seen: list[Any] = []

    def begin(session: Session, ctx: Any) -> None:
        session.stack.append("Joker")

    look = Hook(onRunStart=lambda session, ctx: seen.append((ctx.activeAgent, ctx.stack)))
    middleware = [Hook(onRunStart=begin), {"use": look, "target": "Joker"}]
    await with_joker(["Done."], ["Knock."], middleware=middleware).ask()
    assert seen == [("Joker", ["Main", "Joker"])]


async def test_a_target_is_a_helper() -> None:
    log: list[str] = []
    agent = with_joker(
        [asks_helper("Joker"), "Done."],
        ["Knock."],
        middleware=[{"use": Recorder(log), "target": "Joker"}],
    )
    await agent.ask()
    assert {line.rpartition(" ")[2] for line in log} == {"Joker"}
    assert [line.partition("(")[0] for line in log] == [
        "onLLMStart",
        "onCheckpoint",
        "onIntent",
        "onLLMEnd",
        "onRunComplete",
    ]


async def test_ctx_knows_where_it_is_and_the_session_waits_for_main() -> None:
    seen: list[Any] = []

    def onLLMStart(prompt: str, ctx: Any) -> None:
        seen.append((ctx.activeAgent, ctx.rootAgent, ctx.stack, ctx.session.stack, ctx.systemPrompt))

    agent = with_joker([asks_helper("Joker"), "Done."], ["Knock."], middleware=[Hook(onLLMStart=onLLMStart)])
    await agent.ask()
    assert seen[1] == ("Joker", "Main", ["Main", "Joker"], ["Main"], "You joke.")
    assert seen[0] == seen[2] == ("Main", "Main", ["Main"], ["Main"], "You help.")


async def test_usage_of_helpers_counts() -> None:
    used = {"usage": {"input_tokens": 10, "output_tokens": 1, "usd": 0.1}}
    agent = with_joker([asks_helper("Joker") | used, {"text": "Done."} | used], [{"text": "Ha"} | used])
    await agent.ask()
    assert agent.run is not None
    assert agent.run.usage.input_tokens == 30


async def test_model_calls_of_helpers_count() -> None:
    agent = with_joker([asks_helper("Joker"), "Done."], ["Knock."])
    agent.limit(llm_calls=2)
    with pytest.raises(LimitExceeded, match=r"limits\.llm_calls"):
        await agent.ask()
    assert len(agent.requests()) == 1


async def test_a_limit_reached_in_a_helper_ends_the_run() -> None:
    agent = with_joker([asks_helper("Joker"), "never"], ["never"])
    agent.limit(llm_calls=1)
    with pytest.raises(LimitExceeded, match=r"limits\.llm_calls"):
        await agent.ask()
    assert agent.names == ["helper_call", "error"]
    check_history(agent.session.turns)


@pytest.mark.parametrize("hook", ["onLLMStart", "onIntent", "onCheckpoint"])
async def test_a_guard_that_raises_in_a_helper_ends_the_run(hook: str) -> None:
    def guard(*given: Any) -> None:
        if given[-1].activeAgent == "Joker":
            raise ValueError("policy")

    agent = with_joker([asks_helper("Joker"), "never"], ["Knock."], middleware=[Hook(**{hook: guard})])
    with pytest.raises(MiddlewareError, match="policy"):
        await agent.ask()
    assert len(agent.requests()) == 1
    check_history(agent.session.turns)


async def test_a_helper_that_fails_is_popped_and_its_caller_told() -> None:
    log: list[str] = []
    agent = with_joker([asks_helper("Joker"), "He is ill."], [DOWN], middleware=[Recorder(log)])
    session = await agent.ask()
    assert agent.names == ["helper_call", "tool_error", "response_text"]
    assert "helper 'Joker' failed" in agent.heard[1][1]["message"]
    assert [line for line in log if "onError" in line] == ["onError(ProviderError) Joker"]
    assert session.stack == ["Main"]
    assert session.text == "He is ill."
    check_history(session.turns)


async def test_what_a_failing_helper_had_said_is_kept() -> None:
    agent = with_joker([asks_helper("Joker"), "Pity."], [{"text": "Knock knock", "error": {"after": 1}}])
    session = await agent.ask()
    assert short(session.turns) == [
        "user: Hello",
        "?Joker",
        "user: Do it",
        "assistant: Knock",
        f"Joker={session.turns[4].text}",
        "assistant: Pity.",
    ]


async def test_an_error_in_a_helper_can_be_forced_past_there() -> None:
    def onError(error: Exception, session: Session, ctx: Any) -> Any:
        ctx.model = "backup"
        return {"forceStart": "llm_start"}

    agent = bench(
        {"main": [asks_helper("Joker"), "Done."], "joker": [DOWN], "backup": ["Knock."]},
        helpers={"Joker": helper()},
        middleware=[Hook(onError=onError)],
    )
    session = await agent.ask()
    assert short(session.turns, "Joker")[-1] == "assistant: Knock."
    assert session.turns[-1].model == "scripted/main"


def restarting(*joker: Any, **more: Any) -> Bench:
    """An agent whose run starts again with another model for the helper that failed."""

    def onError(error: Exception, session: Session, ctx: Any) -> Any:
        ctx.model = "backup"
        return {"forceStart": "run_start"}

    return bench(
        {"main": [asks_helper("Joker"), "Done."], "joker": joker, "backup": ["Knock."]},
        helpers={"Joker": helper(**more)},
        middleware=[Hook(onError=onError)],
    )


async def test_run_start_from_a_helper_begins_again_at_the_root() -> None:
    agent = restarting(DOWN)
    session = await agent.ask()
    assert short(session.turns) == [
        "user: Hello",
        "?Joker",
        "user: Do it",
        "assistant: Knock.",
        "Joker=Knock.",
        "assistant: Done.",
    ]
    check_history(session.turns)


async def test_run_start_from_a_helper_keeps_the_tools_it_had_run() -> None:
    ran: list[str] = []

    def charge() -> str:
        """Charge."""
        ran.append("charged")
        return "charged"

    agent = restarting(calls("charge"), DOWN, tools=[charge])
    session = await agent.ask()
    assert ran == ["charged"]
    assert short(session.turns, "Joker") == [
        "user: Do it",
        "?charge",
        "charge=charged",
        "user: Do it",
        "assistant: Knock.",
    ]
    check_history(session.turns)


async def test_helpers_called_in_one_message_work_side_by_side_and_apart() -> None:
    here, there = asyncio.Event(), asyncio.Event()

    async def meet(place: str) -> str:
        """Waits for the other."""
        mine, other = (here, there) if place == "a" else (there, here)
        mine.set()
        await other.wait()
        return place.upper()

    joker = [
        {"when": "go to a", **calls(("meet", {"place": "a"}))},
        {"when": "go to b", **calls(("meet", {"place": "b"}))},
        {"when": "go to", "result": True, "text": "I was in {result}."},
    ]
    both = {
        "tool_calls": [
            {"name": "Joker", "args": {"input": "go to a"}},
            {"name": "Joker", "args": {"input": "go to b"}},
        ]
    }
    agent = with_joker([both, "Done."], joker, tools=[meet])
    async with asyncio.timeout(5):
        session = await agent.ask()
    results = [turn.text for turn in session.turns if turn.role == "tool" and turn.agent == "Main"]
    assert results == ["I was in A.", "I was in B."]
    for request in agent.requests("joker"):
        tasks = [turn.text for turn in request.turns if turn.role == "user"]
        assert len(tasks) == 1
    check_history(session.turns)


async def test_calls_of_helpers_side_by_side_have_ids_of_their_own() -> None:
    def get_time() -> str:
        """The time."""
        return "noon"

    async def after_the_other(name: str, value: Any, ctx: Any) -> None:
        await asyncio.sleep(0)

    joker = [
        {"when": "task", "text": "I look.", "tool_calls": [{"name": "get_time", "id": "call_1"}]},
        {"when": "task", "result": True, "text": "Noon."},
    ]
    both = {"tool_calls": [{"name": "Joker", "args": {"input": f"task {n}"}} for n in range(2)]}
    agent = with_joker([both, "Done."], joker, tools=[get_time], middleware=[Hook(onIntent=after_the_other)])
    session = await agent.ask()
    check_history(session.turns)


async def test_the_same_calls_of_helpers_side_by_side_are_no_loop() -> None:
    def get_time() -> str:
        """The time."""
        return "noon"

    joker = [
        {"when": "task", **calls("get_time")},
        {"when": "task", "result": True, "text": "Noon."},
    ]
    many = {"tool_calls": [{"name": "Joker", "args": {"input": f"task {n}"}} for n in range(5)]}
    agent = with_joker([many, "Done."], joker, tools=[get_time])
    assert (await agent.ask()).text == "Done."


async def test_helpers_call_helpers_and_depth_is_limited() -> None:
    def agents() -> Bench:
        return bench(
            {"main": [asks_helper("A"), "Done."], "a": [asks_helper("B"), "A done."], "b": ["B done."]},
            helpers={"A": helper("a", helpers=["B"]), "B": helper("b")},
            calls=["A"],
        )

    agent = agents()
    session = await agent.ask()
    assert [intent.agent for intent in agent.intents if intent.name == "response_text"] == ["B", "A", "Main"]
    check_history(session.turns)
    agent = agents()
    agent.limit(helper_depth=1)
    with pytest.raises(LimitExceeded, match=r"limits\.helper_depth") as caught:
        await agent.ask()
    assert caught.value.key == "limits.helper_depth"
    assert agent.requests("b") == []


async def test_a_skipped_helper_does_not_work() -> None:
    def skip(name: str, value: Any, ctx: Any) -> Any:
        return {"skip": True} if name == "helper_call" else None

    agent = with_joker([asks_helper("Joker"), "Pity."], ["never"], middleware=[Hook(onIntent=skip)])
    session = await agent.ask()
    assert agent.names == ["helper_call", "helper_skipped", "response_text"]
    assert agent.requests("joker") == []
    assert session.stack == ["Main"]


async def test_a_helpers_result_can_be_replaced() -> None:
    def replace(name: str, value: Any, ctx: Any) -> Any:
        return {"result": "[a joke]"} if name == "helper_result" else None

    agent = with_joker([asks_helper("Joker"), "Done."], ["Knock."], middleware=[Hook(onIntent=replace)])
    await agent.ask()
    assert agent.requests()[1].turns[-1].text == "[a joke]"


# Tools


def greet() -> str:
    """Greet."""
    return "hi"


def part() -> str:
    """Say good-bye."""
    return "bye"


@pytest.mark.parametrize(
    ("inherit", "expected"), [(False, []), (True, ["greet", "part"]), (["part"], ["part"])]
)
async def test_a_helper_has_its_callers_tools_only_where_it_inherits_them(
    inherit: Any, expected: list[str]
) -> None:
    agent = bench(
        {"main": [asks_helper("Joker"), "Done."], "joker": [calls("greet", "part"), "Ha."]},
        tools=[greet, part],
        helpers={"Joker": helper(inherit_tools=inherit)},
    )
    await agent.ask()
    assert [tool.name for tool in agent.requests("joker")[0].tools] == expected
    inside = [(one.name, one.value) for one in agent.intents if one.agent == "Joker"]
    worked = [value["name"] for name, value in inside if name == "tool_result"]
    failed = [value["tool"] for name, value in inside if name == "tool_error"]
    assert worked == expected
    assert sorted([*worked, *failed]) == ["greet", "part"]


async def test_a_helpers_tool_is_not_its_callers() -> None:
    agent = bench(
        {"main": [calls("greet"), "Done."], "joker": ["Ha."]}, helpers={"Joker": helper(tools=[greet])}
    )
    await agent.ask()
    assert agent.names == ["tool_error", "response_text"]


# handoff = "user", and the stack


async def test_a_helper_that_answers_the_user_ends_the_run() -> None:
    ended: list[Any] = []
    agent = with_joker(
        [asks_helper("Joker"), "never"],
        ["Knock knock."],
        handoff="user",
        middleware=[Hook(onLLMEnd=lambda response, ctx: ended.append((response, ctx.activeAgent)))],
    )
    session = await agent.ask()
    assert [(one.name, one.agent) for one in agent.intents] == [
        ("helper_call", "Main"),
        ("response_text", "Joker"),
        ("helper_result", "Main"),
    ]
    assert len(agent.requests()) == 1
    assert session.stack == ["Main"]
    assert session.system_prompt == "You help."
    assert ended == [({"text": "Knock knock."}, "Joker")]
    check_history(session.turns)


async def test_a_helper_that_asks_the_user_keeps_the_word() -> None:
    agent = with_joker(
        [asks_helper("Joker"), "never"], ["Which kind of joke?", "Knock knock."], handoff="user"
    )
    session = await agent.ask()
    assert session.stack == ["Main", "Joker"]
    session = await agent.ask("A short one", session=session)
    assert len(agent.requests()) == 1
    assert short(agent.requests("joker")[1].turns) == [
        "user: Do it",
        "assistant: Which kind of joke?",
        "user: A short one",
    ]
    assert agent.heard == [("response_text", {"text": "Knock knock."})]
    assert agent.intents[0].agent == "Joker"
    assert session.stack == ["Main"]
    assert session.system_prompt == "You joke."
    check_history(session.turns)


async def test_an_intent_keeps_the_word_for_a_helper_that_speaks_to_the_user() -> None:
    agent = bench(
        {"main": [asks_helper("Joker")], "joker": [calls(("Bye", {"reason": "x"}))]},
        helpers={"Joker": helper(intents=["Bye"], handoff="user")},
        intents=BYE,
        emits=[],
    )
    assert (await agent.ask()).stack == ["Main", "Joker"]


async def test_a_helper_that_ends_with_an_intent_keeps_the_word() -> None:
    agent = bench(
        {"main": [asks_helper("Joker"), "Done."], "joker": [calls(("Bye", {"reason": "x"})), "I am back."]},
        helpers={"Joker": helper(intents=["Bye"])},
        intents=BYE,
        emits=[],
    )
    session = await agent.ask()
    assert session.stack == ["Main", "Joker"]
    assert agent.names == ["helper_call", "Bye", "helper_result"]
    check_history(session.turns)
    session = await agent.ask("Hello again", session=session)
    assert [(one.name, one.agent) for one in agent.intents] == [
        ("response_text", "Joker"),
        ("response_text", "Main"),
    ]
    assert "I am back." in agent.requests()[1].turns[-1].text
    assert session.stack == ["Main"]


async def test_user_then_continue_answers_and_goes_on() -> None:
    agent = with_joker(
        [asks_helper("Joker"), "And now to work."], ["Knock knock."], handoff="user_then_continue"
    )
    session = await agent.ask()
    assert [(one.name, one.agent) for one in agent.intents if one.name == "response_text"] == [
        ("response_text", "Joker"),
        ("response_text", "Main"),
    ]
    assert session.stack == ["Main"]


def nested(**b: Any) -> Bench:
    return bench(
        {"main": ["Main here."], "a": ["A here."], "b": ["B here."]},
        helpers={"A": helper("a", helpers=["B"]), "B": helper("b", **b)},
        calls=["A"],
    )


async def test_the_next_word_goes_to_the_top_of_the_stack_and_then_down() -> None:
    agent = nested()
    session = await agent.ask("Hello", session=waiting_for("Main", "A", "B"))
    assert [(one.value["text"], one.agent) for one in agent.intents] == [
        ("B here.", "B"),
        ("A here.", "A"),
        ("Main here.", "Main"),
    ]
    assert short(agent.requests("b")[0].turns) == ["user: Hello"]
    assert "B here." in agent.requests("a")[0].turns[-1].text
    assert session.stack == ["Main"]
    assert session.system_prompt == "You help."


async def test_a_nested_helper_that_speaks_to_the_user_calls_no_ancestor() -> None:
    agent = nested(handoff="user")
    session = await agent.ask("Hello", session=waiting_for("Main", "A", "B"))
    assert [one.agent for one in agent.intents] == ["B"]
    assert agent.requests() == agent.requests("a") == []
    assert session.stack == ["Main"]


async def test_a_resumed_helper_that_fails_is_popped_and_its_caller_told() -> None:
    agent = with_joker(["I take over."], [DOWN])
    session = await agent.ask("Hello", session=waiting_for("Main", "Joker"))
    assert session.stack == ["Main"]
    assert session.text == "I take over."
    assert "'Joker' failed" in agent.requests()[0].turns[-1].text


async def test_where_the_error_of_a_resumed_helper_is_swallowed_it_is_popped() -> None:
    swallow = Hook(onError=lambda *_: {"swallow": True, "response": "Sorry."})
    agent = with_joker(["never"], [DOWN], middleware=[swallow])
    session = await agent.ask("Hello", session=waiting_for("Main", "Joker"))
    assert session.stack == ["Main"]
    assert session.text == "Sorry."
    assert agent.requests() == []


async def test_where_all_fail_the_next_word_goes_to_the_root() -> None:
    agent = with_joker([DOWN], [DOWN])
    with pytest.raises(ProviderError) as caught:
        await agent.ask("Hello", session=waiting_for("Main", "Joker"))
    assert caught.value.session.stack == ["Main"]


async def test_a_stack_that_a_hook_sets_goes_straight_to_the_helper() -> None:
    def in_place(session: Session, ctx: Any) -> None:
        session.stack = ["Main", "Joker"]

    for hook in (in_place, lambda session, ctx: Session(stack=["Main", "Joker"])):
        agent = with_joker(["Main."], ["Joker."], handoff="user", middleware=[Hook(onRunStart=hook)])
        await agent.ask()
        assert [one.agent for one in agent.intents] == ["Joker"]


@pytest.mark.parametrize(
    ("stack", "speaks"),
    [([], "Main"), (["Gone"], "Main"), (["Main", "Gone"], "Main"), (["Old", "Joker"], "Joker")],
)
async def test_a_stack_of_an_older_config_is_cut_to_what_there_is(stack: list[str], speaks: str) -> None:
    agent = with_joker(["Main."], ["Joker."], handoff="user")
    await agent.ask(session=waiting_for(*stack))
    assert [one.agent for one in agent.intents] == [speaks]


async def test_a_stack_leads_from_each_agent_to_one_of_its_own_helpers() -> None:
    agent = nested()
    await agent.ask("Hello", session=waiting_for("Main", "B"))
    assert [one.agent for one in agent.intents] == ["Main"]


async def test_two_helpers_that_speak_to_the_user_in_one_message_leave_one_word() -> None:
    agent = bench(
        {
            "main": [calls(("A", {"input": "x"}), ("B", {"input": "y"}))],
            "a": [{"text": "What?", "delay": 0.01}],
            "b": ["Done."],
        },
        helpers={"A": helper("a", handoff="user"), "B": helper("b", handoff="user")},
    )
    session = await agent.ask()
    assert session.stack == ["Main", "A"]
    check_history(session.turns)


async def test_a_turn_without_an_agent_is_the_roots() -> None:
    agent = with_joker([asks_helper("Joker"), "Done."], ["Knock."])
    old = Session(
        turns=[
            Turn(role="user", content="before"),
            Turn(role="assistant", tool_calls=[ToolCall(id="c1", name="old")]),
        ]
    )
    session = await agent.ask(session=old)
    assert {turn.agent for turn in session.turns[:3]} == {"Main"}
    assert short(agent.requests("joker")[0].turns) == ["user: Do it"]
    check_history(session.turns)
