"""Failures: what the hooks are told, what they may decide, and that nothing is lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from auwgent.engine.agent import BackOff
from auwgent.errors import AuwgentError, LimitExceeded, MiddlewareError, ProviderError
from auwgent.session import Session, Turn
from tests.support.bench import Bench, Hook, Recorder, bench, calls, check_history, short

DOWN = {"error": {"status": 503}}


def flaky(times: int, status: int = 503) -> dict[str, Any]:
    """A reply that fails so often before it comes."""
    return {"text": "At last.", "error": {"status": status, "times": times}}


def forced(where: str, **settings: Any) -> Hook:
    """A middleware that forces a start, with these settings on ctx."""

    def onError(error: Exception, session: Session, ctx: Any) -> Any:
        for name, value in settings.items():
            setattr(ctx, name, value)
        return {"forceStart": where}

    return Hook(onError=onError)


async def test_a_failing_provider_fails_the_run_and_nothing_is_lost() -> None:
    log: list[str] = []
    agent = bench([DOWN], middleware=[Recorder(log)])
    with pytest.raises(ProviderError) as caught:
        await agent.ask()
    assert caught.value.status == 503
    assert short(caught.value.session.turns) == ["user: Hello"]
    assert log == [
        "onRunStart Main",
        "onLLMStart(Hello) Main",
        "onCheckpoint(llm_start) Main",
        "onError(ProviderError) Main",
        "onIntent(error) Main",
        "onRunComplete(failed) Main",
    ]
    assert agent.heard == [("error", {"message": str(caught.value), "kind": "unavailable"})]


async def test_the_hooks_know_the_error_and_the_status() -> None:
    seen: list[Any] = []
    agent = bench(
        [DOWN],
        middleware=[
            Hook(
                onError=lambda error, session, ctx: seen.append(ctx.error is error),
                onRunComplete=lambda session, ctx: seen.append((ctx.status, type(ctx.error))),
            )
        ],
    )
    with pytest.raises(ProviderError):
        await agent.ask()
    assert seen == [True, ("failed", ProviderError)]


async def test_what_was_said_before_a_stream_broke_is_kept() -> None:
    agent = bench([{"text": "One two three", "error": {"after": 2}}])
    with pytest.raises(ProviderError) as caught:
        await agent.ask()
    assert short(caught.value.session.turns) == ["user: Hello", "assistant: One two"]


# Swallowing


async def test_a_swallowed_error_gives_the_hooks_answer() -> None:
    seen: list[Any] = []
    swallow = Hook(
        onError=lambda *_: {"swallow": True, "response": "Sorry."},
        onRunComplete=lambda session, ctx: seen.append((ctx.status, ctx.error, session.text)),
    )
    agent = bench([DOWN], middleware=[swallow])
    session = await agent.ask()
    assert agent.heard == [("response_text", {"text": "Sorry."})]
    assert short(session.turns) == ["user: Hello", "assistant: Sorry."]
    assert seen == [("completed", None, "Sorry.")]


async def test_an_error_swallowed_without_an_answer_ends_the_run_quietly() -> None:
    agent = bench([DOWN], middleware=[Hook(onError=lambda *_: True)])
    session = await agent.ask()
    assert agent.heard == []
    assert short(session.turns) == ["user: Hello"]


async def test_what_was_half_said_is_not_kept_beside_the_answer_of_a_hook() -> None:
    swallow = Hook(onError=lambda *_: {"swallow": True, "response": "Sorry."})
    agent = bench([{"text": "One two", "error": {"after": 1}}], middleware=[swallow])
    session = await agent.ask()
    assert short(session.turns) == ["user: Hello", "assistant: Sorry."]


async def test_a_limit_can_be_swallowed_with_an_answer() -> None:
    swallow = Hook(onError=lambda *_: {"swallow": True, "response": "Enough."})
    agent = bench(
        [calls("ping")] * 3, tools=[ping], limits={"llm_calls": 2, "repeats": 9}, middleware=[swallow]
    )
    session = await agent.ask()
    assert session.text == "Enough."
    check_history(session.turns)


async def ping() -> str:
    """Ping."""
    return "pong"


# llm_start


async def test_llm_start_repeats_the_call() -> None:
    log: list[str] = []
    agent = bench([flaky(2)], middleware=[Recorder(log), forced("llm_start")])
    session = await agent.ask()
    assert session.text == "At last."
    assert len(agent.requests()) == 3
    assert [line for line in log if "onLLMStart" in line or "onError" in line] == [
        "onLLMStart(Hello) Main",
        "onError(ProviderError) Main",
        "onLLMStart(Hello) Main",
        "onError(ProviderError) Main",
        "onLLMStart(Hello) Main",
    ]
    assert log[-1] == "onRunComplete(completed) Main"
    assert short(session.turns) == ["user: Hello", "assistant: At last."]


async def test_a_start_is_forced_at_most_five_times() -> None:
    agent = bench([DOWN], middleware=[forced("llm_start")])
    with pytest.raises(ProviderError):
        await agent.ask()
    assert len(agent.requests()) == 6


@pytest.mark.parametrize(("settings", "waits"), [({}, True), ({"model": "backup"}, False)])
async def test_the_provider_is_given_the_time_it_wants_unless_another_is_asked(
    settings: dict[str, Any], waits: bool
) -> None:
    busy = {"text": "At last.", "error": {"status": 429, "retry_after": 20, "times": 1}}
    agent = bench({"main": [busy], "backup": ["Here."]}, middleware=[forced("llm_start", **settings)])
    agent.change(back_off=BackOff(first=0.0, longest=0.05))
    clock = asyncio.get_running_loop().time
    began = clock()
    await agent.ask()
    assert (clock() - began >= 0.05) is waits


@pytest.mark.clock
async def test_each_forced_start_waits_twice_as_long_as_the_one_before() -> None:
    agent = bench([flaky(3)], middleware=[forced("llm_start")])
    agent.change(back_off=BackOff(first=0.01, longest=0.03))
    clock = asyncio.get_running_loop().time
    began = clock()
    await agent.ask()
    assert 0.06 <= clock() - began < 5.0


async def test_what_the_hook_put_on_ctx_is_used_from_then_on() -> None:
    agent = bench(
        {"main": [DOWN], "backup": [calls("ping"), "Done."]},
        tools=[ping],
        middleware=[
            forced(
                "llm_start",
                model="backup",
                headers={"X-Team": "blue"},
                config={"temperature": 0},
                url="https://b.example",
                apiKey="k2",
                provider="scripted",
            )
        ],
    )
    session = await agent.ask()
    assert agent.models.settings[0] == {}
    changed = {
        "model": "backup",
        "headers": {"X-Team": "blue"},
        "config": {"temperature": 0},
        "url": "https://b.example",
        "apiKey": "k2",
    }
    assert agent.models.settings[1:] == [changed, changed]
    assert session.turns[-1].model == "scripted/backup"


async def test_settings_changed_in_place_count_as_well() -> None:
    def onError(error: Exception, session: Session, ctx: Any) -> Any:
        ctx.headers["X-Team"] = "blue"
        ctx.config["extra"] = {"a": 1}
        return {"forceStart": "llm_start"}

    agent = bench([flaky(1)], middleware=[Hook(onError=onError)])
    await agent.ask()
    assert agent.models.settings[1]["headers"] == {"X-Team": "blue"}
    assert agent.models.settings[1]["config"]["extra"] == {"a": 1}
    assert agent.model().spec.headers == {}
    assert "extra" not in agent.model().spec.params


async def test_nothing_is_forced_where_the_hook_does_not_say_so() -> None:
    agent = bench(
        {"main": [flaky(1)], "backup": ["No."]},
        middleware=[Hook(onError=lambda error, session, ctx: setattr(ctx, "model", "backup"))],
    )
    with pytest.raises(ProviderError):
        await agent.ask()
    assert len(agent.requests("backup")) == 0


async def test_a_forced_start_after_a_broken_stream_begins_a_new_block() -> None:
    broken = {"text": "One two three", "error": {"after": 1, "times": 1}}
    agent = bench([broken], middleware=[forced("llm_start")])
    session = await agent.ask()
    assert session.text == "One two three"
    segments = [(piece.value["segment"], piece.value["raw"]) for piece in agent.partials]
    assert segments == [(0, "One"), (1, "One"), (1, "One two"), (1, "One two three")]
    assert short(session.turns) == ["user: Hello", "assistant: One two three"]


async def test_what_was_said_last_is_kept_where_a_forced_start_fails_before_a_word() -> None:
    def once(error: Exception, session: Session, ctx: Any) -> Any:
        if "tried" in ctx:
            return None
        ctx.tried, ctx.model = True, "backup"
        return {"forceStart": "llm_start"}

    agent = bench(
        {"main": [{"text": "One two", "error": {"after": 1}}], "backup": [DOWN]},
        middleware=[Hook(onError=once)],
    )
    with pytest.raises(ProviderError):
        await agent.ask()
    assert short(agent.session.turns) == ["user: Hello", "assistant: One"]


# run_start


async def test_run_start_begins_again_with_the_input() -> None:
    agent = bench([flaky(1)], middleware=[forced("run_start")])
    session = await agent.ask("Hello")
    assert short(session.turns) == ["user: Hello", "assistant: At last."]
    assert [short(request.turns) for request in agent.requests()] == [["user: Hello"]] * 2


async def test_run_start_forgets_what_was_half_said() -> None:
    broken = {"text": "One two three", "error": {"after": 1, "times": 1}}
    agent = bench([broken], middleware=[forced("run_start")])
    session = await agent.ask("Hello")
    assert short(session.turns) == ["user: Hello", "assistant: One two three"]


async def test_run_start_goes_back_to_the_session_of_on_run_start() -> None:
    before = Session(turns=[Turn(role="user", content="before"), Turn(role="assistant", content="ok")])

    def load(session: Session, ctx: Any) -> Session:
        return before

    agent = bench([flaky(1)], middleware=[Hook(onRunStart=load), forced("run_start")])
    session = await agent.ask("Hello")
    assert short(session.turns) == ["user: before", "assistant: ok", "user: Hello", "assistant: At last."]


async def test_run_start_keeps_tool_calls_that_finished() -> None:
    ran: list[str] = []

    def charge() -> str:
        """Charge the card."""
        ran.append("charged")
        return "charged"

    agent = bench([calls("charge"), flaky(1)], tools=[charge], middleware=[forced("run_start")])
    session = await agent.ask("Buy")
    assert ran == ["charged"]
    assert short(session.turns) == ["user: Buy", "?charge", "charge=charged", "assistant: At last."]
    check_history(session.turns)


async def test_run_start_happens_once_for_the_hooks() -> None:
    log: list[str] = []
    agent = bench([flaky(2)], middleware=[Recorder(log), forced("run_start")])
    await agent.ask()
    assert log.count("onRunStart Main") == 1
    assert [line for line in log if "Complete" in line] == ["onRunComplete(completed) Main"]


async def test_both_kinds_of_start_share_one_count() -> None:
    kinds = iter(["llm_start", "run_start"] * 10)
    agent = bench([DOWN], middleware=[Hook(onError=lambda *_: {"forceStart": next(kinds)})])
    with pytest.raises(ProviderError):
        await agent.ask()
    assert len(agent.requests()) == 6


# Hooks and handlers that fail


@pytest.mark.parametrize("hook", ["onLLMStart", "onIntent", "onLLMEnd", "onIntentPartial", "onCheckpoint"])
@pytest.mark.parametrize("decision", [True, {"forceStart": "llm_start"}, {"forceStart": "run_start"}])
async def test_a_failing_hook_ends_the_run_whatever_others_want(hook: str, decision: Any) -> None:
    def fails(*_: Any) -> None:
        raise ValueError("policy")

    seen: list[str] = []
    agent = bench(
        ["Hi."],
        middleware=[
            Hook(onRunComplete=lambda session, ctx: seen.append(ctx.status)),
            Hook(**{hook: fails}),
            Hook(onError=lambda error, session, ctx: decision),
        ],
    )
    with pytest.raises(MiddlewareError, match=f"'Hook' failed in {hook}: ValueError: policy") as caught:
        await agent.ask()
    assert isinstance(caught.value.__cause__, ValueError)
    assert caught.value.session is agent.session
    assert seen == ["failed"]
    assert len(agent.requests()) <= 1


async def test_a_text_that_a_guard_refused_is_nowhere() -> None:
    def guard(name: str, value: Any, ctx: Any) -> None:
        if "secret" in str(value):
            raise ValueError("leak")

    for hook in ("onIntent", "onIntentPartial"):
        agent = bench(["The secret word."], middleware=[Hook(**{hook: guard})])
        with pytest.raises(MiddlewareError):
            await agent.ask()
        assert short(agent.session.turns) == ["user: Hello"]


async def test_an_error_hook_that_fails_is_not_asked_again() -> None:
    asked: list[str] = []

    def fails(error: Exception, session: Session, ctx: Any) -> None:
        asked.append(type(error).__name__)
        raise ValueError("cannot cope")

    agent = bench([DOWN], middleware=[Hook(onError=fails)])
    with pytest.raises(MiddlewareError, match="failed in onError"):
        await agent.ask()
    assert asked == ["ProviderError"]
    assert agent.names == ["error"]


async def test_a_failing_start_runs_nothing_and_is_named() -> None:
    log: list[str] = []

    def fails(*_: Any) -> None:
        raise OSError("disk")

    agent = bench(["Hi."], middleware=[Recorder(log), Hook(onRunStart=fails), Recorder(log, "never: ")])
    with pytest.raises(MiddlewareError, match="failed in onRunStart: OSError: disk"):
        await agent.ask()
    assert agent.requests() == []
    assert log == [
        "onRunStart Main",
        "onError(MiddlewareError) Main",
        "onIntent(error) Main",
        "onRunComplete(failed) Main",
    ]


async def test_a_stack_that_a_hook_empties_does_no_harm() -> None:
    seen: list[str] = []
    agent = bench(
        [DOWN],
        middleware=[
            Hook(
                onCheckpoint=lambda session, ctx: session.stack.clear(),
                onRunComplete=lambda session, ctx: seen.append(session.stack[0]),
            )
        ],
    )
    with pytest.raises(ProviderError):
        await agent.ask()
    assert seen == ["Main"]


async def test_a_failing_start_behind_a_session_without_a_stack_is_named() -> None:
    def fails(*_: Any) -> None:
        raise OSError("disk")

    agent = bench(["Hi."], middleware=[Hook(onRunStart=lambda *_: Session(stack=[])), Hook(onRunStart=fails)])
    with pytest.raises(MiddlewareError, match="OSError: disk"):
        await agent.ask()


async def test_a_failed_save_carries_the_session_with_the_answer() -> None:
    def fails(*_: Any) -> None:
        raise OSError("disk full")

    agent = bench(["The answer."], middleware=[Hook(onRunComplete=fails)])
    with pytest.raises(MiddlewareError, match="disk full") as caught:
        await agent.ask()
    assert caught.value.session.text == "The answer."
    assert agent.names == ["response_text"]


async def test_a_failed_save_of_a_failed_run_is_told_beside_the_failure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fails(*_: Any) -> None:
        raise OSError("disk full")

    agent = bench([DOWN], middleware=[Hook(onRunComplete=fails)])
    with pytest.raises(ProviderError) as caught:
        await agent.ask()
    assert "disk full" in caught.value.__notes__[0]
    assert "disk full" in caplog.text


@pytest.mark.parametrize("name", ["response_text", "error"])
async def test_a_handler_that_fails_does_not_keep_the_session_from_being_saved(name: str) -> None:
    def handler(intent: str, value: Any, agent_name: str) -> None:
        if intent == name:
            raise ValueError("my own bug")

    seen: list[str] = []
    agent = bench(
        [DOWN if name == "error" else "Hi."],
        handler=handler,
        middleware=[Hook(onRunComplete=lambda session, ctx: seen.append(ctx.status))],
    )
    with pytest.raises(ProviderError if name == "error" else AuwgentError) as failure:
        await agent.ask()
    assert failure.value.session is agent.session
    assert name == "error" or "ValueError: my own bug" in str(failure.value)
    assert seen == ["failed"]


# Limits


async def failing(agent: Bench) -> LimitExceeded:
    with pytest.raises(LimitExceeded) as caught:
        await agent.ask()
    assert caught.value.session is agent.session
    assert caught.value.key in str(caught.value)
    check_history(agent.session.turns)
    return caught.value


async def test_model_calls_are_limited() -> None:
    agent = bench([calls("ping")] * 9, tools=[ping], limits={"llm_calls": 3, "repeats": 9})
    assert (await failing(agent)).key == "limits.llm_calls"
    assert len(agent.requests()) == 3
    assert agent.names[-1] == "error"


async def test_identical_calls_in_a_row_are_limited() -> None:
    agent = bench([calls("ping")] * 9, tools=[ping], limits={"repeats": 3})
    assert (await failing(agent)).key == "limits.repeats"
    assert [name for name in agent.names if name == "tool_result"] == ["tool_result"] * 3


async def test_calls_that_a_limit_kept_from_beginning_are_skipped() -> None:
    agent = bench([calls("ping"), calls("ping", "ping")], tools=[ping], limits={"repeats": 2})
    await failing(agent)
    results = [turn for turn in agent.session.turns if turn.role == "tool"]
    assert [turn.outcome for turn in results] == ["ok", "skipped", "skipped"]
    assert "was not made" in results[1].text
    check_history(agent.session.turns)


async def test_of_calls_that_are_cut_off_only_those_that_began_are_unknown() -> None:
    async def hang() -> None:
        """Hang."""
        await asyncio.Event().wait()

    def save(session: Session, ctx: Any) -> None:
        if ctx["checkpoint"].get("name") == "ping":
            raise RuntimeError("the disk is full")

    agent = bench([calls("hang", "ping")], tools=[hang, ping], middleware=[Hook(onCheckpoint=save)])
    with pytest.raises(MiddlewareError):
        await agent.ask()
    results = {turn.name: turn.outcome for turn in agent.session.turns if turn.role == "tool"}
    assert results == {"hang": "unknown", "ping": "skipped"}


@pytest.mark.parametrize("name", ["nonsense", "ping"])
async def test_identical_calls_that_cannot_be_made_are_limited_too(name: str) -> None:
    agent = bench([calls((name, "{oops"))] * 9, tools=[ping], limits={"repeats": 3})
    assert (await failing(agent)).key == "limits.repeats"
    assert len(agent.requests()) == 4


async def test_other_calls_in_between_begin_the_count_anew() -> None:
    async def pong() -> str:
        """Pong."""
        return "ping"

    agent = bench([calls("ping"), calls("pong")] * 4 + ["Done."], tools=[ping, pong], limits={"repeats": 1})
    assert (await agent.ask()).text == "Done."


async def test_tokens_are_limited() -> None:
    used = {"input_tokens": 60, "output_tokens": 40}
    agent = bench([{**calls("ping"), "usage": used}] * 9, tools=[ping], limits={"tokens": 200, "repeats": 9})
    assert (await failing(agent)).key == "limits.tokens"
    assert len(agent.requests()) == 2


async def test_money_is_limited() -> None:
    used = {"input_tokens": 1, "output_tokens": 1, "usd": 0.6}
    agent = bench([{**calls("ping"), "usage": used}] * 9, tools=[ping], limits={"repeats": 9})
    agent.limit(usd=1.0)
    assert (await failing(agent)).key == "limits.usd"
    assert len(agent.requests()) == 2


async def test_where_the_cost_is_not_known_a_limit_of_money_stops_the_run() -> None:
    used = {"input_tokens": 1, "output_tokens": 1}
    agent = bench([{**calls("ping"), "usage": used}] * 9, tools=[ping])
    agent.limit(usd=1.0)
    error = await failing(agent)
    assert error.key == "limits.usd"
    assert "price" in str(error)
    assert len(agent.requests()) == 1


async def test_time_is_limited_and_hooks_are_told() -> None:
    log: list[str] = []
    slow = {"text": "One two", "pause": 60.0}
    agent = bench([slow], limits={"seconds": 0.05}, middleware=[Recorder(log)])
    assert (await failing(agent)).key == "limits.seconds"
    assert short(agent.session.turns) == ["user: Hello", "assistant: One"]
    assert log[-3:] == [
        "onError(LimitExceeded) Main",
        "onIntent(error) Main",
        "onRunComplete(failed) Main",
    ]


async def test_the_limit_of_time_holds_over_forced_starts() -> None:
    slow = {"text": "Hi", "delay": 0.03, "error": {"status": 503}}
    agent = bench([slow], limits={"seconds": 0.05}, middleware=[forced("llm_start")])
    assert (await failing(agent)).key == "limits.seconds"
    assert len(agent.requests()) < 4


async def test_a_timeout_of_the_users_own_is_no_limit() -> None:
    def fails(*_: Any) -> None:
        raise TimeoutError("mine")

    agent = bench(["Hi."], limits={"seconds": 60}, handler=fails)
    with pytest.raises(AuwgentError, match="the run failed: TimeoutError: mine"):
        await agent.ask()


@pytest.mark.parametrize("where", ["llm_start", "run_start"])
async def test_a_limit_cannot_be_forced_past(where: str) -> None:
    log: list[str] = []
    agent = bench(
        [calls("ping")] * 9,
        tools=[ping],
        limits={"llm_calls": 2, "repeats": 9},
        middleware=[Recorder(log), forced(where)],
    )
    assert (await failing(agent)).key == "limits.llm_calls"
    assert len(agent.requests()) == 2
    assert log.count("onError(LimitExceeded) Main") == 1
