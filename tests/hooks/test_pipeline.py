"""The middleware in order: who is asked when, and what their answers do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Literal
from unittest.mock import AsyncMock, MagicMock

import pytest

from auwgent.errors import (
    ConfigError,
    LimitExceeded,
    MiddlewareError,
    SessionConflict,
    SessionNotFound,
    StoreError,
    ToolError,
)
from auwgent.hooks.answers import Decision, Failure, Piece, PromptText, Verdict
from auwgent.hooks.context import AgentState, Context, Middleware, RunState
from auwgent.hooks.names import HOOKS
from auwgent.hooks.pipeline import Chain, Installed, Pipeline
from auwgent.session import Session, Turn

SESSION = Session(id="s1", user_id="u1", stack=["Main"])


def context(agent: str = "Main", session: Session = SESSION) -> Context:
    state = RunState(run_id="r1", root_agent="Main", user_id="u1", session=session, input="Hi")
    return Context(state, AgentState(agent, (agent,)))


def one(
    hooks: dict[str, Any],
    name: str = "One",
    *,
    waits: bool = False,
    target: str | list[str] | None = None,
    on_error: Literal["raise", "warn"] = "raise",
) -> Installed:
    """A middleware with these hooks; a hook is what it returns, an exception it raises, or a function."""
    methods = {hook: _method(does, waits) for hook, does in hooks.items()}
    return Installed.of(type(name, (), methods)(), target=target, on_error=on_error)


def _method(does: Any, waits: bool) -> Callable[..., Any]:
    def plain(self: Any, *given: Any) -> Any:
        if isinstance(does, BaseException):
            raise does
        return does(*given) if callable(does) else does

    async def later(self: Any, *given: Any) -> Any:
        await asyncio.sleep(0)
        return plain(self, *given)

    return later if waits else plain


async def started(*installed: Installed, ctx: Context | None = None) -> Chain:
    """The chain of a run that has begun."""
    chain = Pipeline(installed).begin()
    await chain.start(SESSION, ctx or context(), lambda session: session)
    return chain


async def prompt_of(chain: Chain, prompt: str, ctx: Context | None = None) -> str:
    return (await chain.fire("onLLMStart", ctx or context(), PromptText(prompt))).prompt


async def judge(chain: Chain, name: str, value: dict[str, Any], ctx: Context | None = None) -> Verdict:
    return await chain.fire("onIntent", ctx or context(), Verdict(name, value))


async def fire(chain: Chain, hook: str, ctx: Context | None = None) -> Any:
    ctx = ctx or context()
    match hook:
        case "onCheckpoint":
            return await chain.checkpoint(SESSION, ctx, {"at": "llm_start"})
        case "onLLMStart":
            return await prompt_of(chain, "Hi", ctx)
        case "onIntentPartial":
            return await chain.fire(hook, ctx, Piece("response_text", {}))
        case "onIntent":
            return await judge(chain, "tool_call", {}, ctx)
        case "onLLMEnd":
            return await chain.fire(hook, ctx, {})
        case "onRunComplete":
            return await chain.complete(SESSION, ctx)
        case "onError":
            return (await chain.fire(hook, ctx, Failure(ValueError("x"), SESSION))).decision
    raise AssertionError(hook)


async def failure_of(installed: Installed, hook: str) -> Any:
    """What comes of its failing hook."""
    try:
        chain = await started(installed)
        return await fire(chain, hook)  # the end gives it back, so that all others are told, too
    except MiddlewareError as error:
        assert hook != "onRunComplete"
        return error


LISTED = ["onCheckpoint", "onLLMStart", "onIntentPartial", "onIntent"]
REVERSED = ["onLLMEnd", "onRunComplete", "onError"]
AFTER_START = [*LISTED, *REVERSED]


def noting(seen: list[str], name: str) -> Callable[..., None]:
    return lambda *_: seen.append(name)


# Order


@pytest.mark.parametrize("waits", [False, True], ids=["plain", "async"])
@pytest.mark.parametrize("hook", AFTER_START)
async def test_hooks_fire_in_the_order_of_the_contract(hook: str, waits: bool) -> None:
    seen: list[str] = []
    installed = [one({hook: noting(seen, name)}, waits=waits) for name in "abc"]
    await fire(await started(*installed), hook)
    assert seen == (["a", "b", "c"] if hook in LISTED else ["c", "b", "a"])


@pytest.mark.parametrize("waits", [False, True], ids=["plain", "async"])
async def test_on_run_start_fires_in_listed_order(waits: bool) -> None:
    seen: list[str] = []
    await started(*[one({"onRunStart": noting(seen, name)}, waits=waits) for name in "abc"])
    assert seen == ["a", "b", "c"]


async def test_plain_and_async_hooks_may_be_mixed() -> None:
    chain = await started(
        one({"onLLMStart": lambda prompt, ctx: prompt + "1"}),
        one({"onLLMStart": lambda prompt, ctx: prompt + "2"}, waits=True),
    )
    assert await prompt_of(chain, "Hi") == "Hi12"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("onLLMStop", "onLLMStart"),
        ("on_run_start", "onRunStart"),
        ("onRunstart", "onRunStart"),
        ("onIntentPartials", "onIntentPartial"),
        ("OnError", "onError"),
        ("onStart", "onRunStart"),
    ],
)
def test_a_misspelt_hook_is_refused_with_the_one_that_is_meant(name: str, meant: str) -> None:
    wrong = type("Guard", (), {"onRunComplete": noting([], ""), name: noting([], "")})
    with pytest.raises(ConfigError, match=f"'Guard' has a method '{name}', which is not a hook") as refused:
        Installed.of(wrong())
    assert f"did you mean '{meant}'?" in str(refused.value)


def test_methods_of_other_names_are_the_classs_own() -> None:
    own = ("only_errors", "online", "once", "onMessage", "onConnect", "_onRunstart", "on_event", "note")
    fields = {name: noting([], "") for name in (*own, "onLLMEnd")} | {"onStart": 5}
    instance = type("Guard", (), fields)()
    assert Installed.of(instance).instance is instance


def test_the_hooks_of_the_base_do_not_count() -> None:
    class Quiet(Middleware):
        def onLLMEnd(self, response: dict[str, Any], ctx: Context) -> None:
            pass

    pipeline = Pipeline([Installed.of(Quiet())])
    assert not pipeline.listens("onIntentPartial")
    assert pipeline.listens("onLLMEnd")


# onRunStart


async def test_a_returned_session_replaces_the_runs_and_later_middleware_gets_it() -> None:
    other = Session(id="s2", user_id="u1", turns=[Turn(role="user", content="before")])
    seen: list[Session] = []
    adopted: list[Session] = []

    def adopt(session: Session) -> Session:
        adopted.append(session)
        return session

    chain = Pipeline(
        [
            one({"onRunStart": lambda *_: other}),
            one({"onRunStart": lambda session, ctx: seen.append(session)}),
            one({"onRunStart": lambda session, ctx: session}),
        ]
    ).begin()
    session = await chain.start(SESSION, context(), adopt)
    assert session == other
    assert seen == [other]
    assert adopted == [other] * 3


async def test_a_session_that_a_hook_changes_in_place_may_not_become_anothers() -> None:
    session = Session(id="s1", user_id="u1")
    chain = Pipeline([one({"onRunStart": lambda session, ctx: setattr(session, "user_id", "u2")})]).begin()
    with pytest.raises(MiddlewareError, match="another user"):
        await chain.start(session, context(), lambda session: session)


async def test_a_dict_of_its_form_is_a_session_and_what_it_leaves_out_stays() -> None:
    chain = Pipeline([one({"onRunStart": {"turns": [{"role": "user", "content": "before"}]}})]).begin()
    session = await chain.start(SESSION, context(), lambda session: session)
    assert (session.id, session.user_id, session.turns[0].text) == ("s1", "u1", "before")


async def test_a_session_object_without_owner_and_id_gets_the_runs() -> None:
    chain = Pipeline([one({"onRunStart": Session(stack=["Main", "Joker"])})]).begin()
    session = await chain.start(SESSION, context(), lambda session: session)
    assert (session.id, session.user_id, session.stack) == ("s1", "u1", ["Main", "Joker"])


async def test_turns_may_be_put_into_the_session_as_dicts() -> None:
    session = Session(id="s1", user_id="u1")

    def put(session: Any, ctx: Any) -> None:
        session.turns.append({"role": "user", "content": "from a dict"})

    chain = Pipeline([one({"onRunStart": put})]).begin()
    assert await chain.start(session, context(), lambda session: session) is session
    assert isinstance(session.turns[0], Turn)


@pytest.mark.parametrize(
    ("returned", "problem"),
    [
        (
            {"turns": [{"role": "nobody"}]},
            r"`turns\[0\]\.role` should be 'user', 'assistant' or 'tool', not 'nobody'",
        ),
        (
            {"turns": [{"role": "user", "content": 5}]},
            r"`turns\[0\]\.content` should be a text or a list of parts, not 5",
        ),
        ({"version": 2}, "version"),
        ({"messages": []}, "messages"),
        ("saved", "returned str from onRunStart; it may return a Session"),
        (True, "returned bool from onRunStart"),
        (Session(user_id="u2"), "another user"),
        ({"user_id": "u2"}, "another user"),
        ({"user_id": ""}, "another user"),
    ],
)
async def test_what_is_no_session_of_this_user_is_refused(returned: Any, problem: str) -> None:
    with pytest.raises(MiddlewareError, match=problem) as refused:
        await started(one({"onRunStart": returned}, "Store"))
    assert (refused.value.middleware, refused.value.hook) == ("Store", "onRunStart")


# onLLMStart and onIntent


async def test_each_gets_the_prompt_as_the_one_before_left_it() -> None:
    chain = await started(
        one({"onLLMStart": lambda prompt, ctx: prompt.upper()}),
        one({"onLLMStart": None}),
        one({"onLLMStart": lambda prompt, ctx: f"{prompt}!"}),
    )
    assert await prompt_of(chain, "hi") == "HI!"


@pytest.mark.parametrize("name", ["tool_call", "workflow_call", "helper_call"])
async def test_a_call_can_be_skipped_or_answered(name: str) -> None:
    value = {"type": "add", "args": {}, "id": "c1"}
    skipped = await judge(await started(one({"onIntent": {"skip": True}})), name, value)
    assert skipped == Verdict(name, value, skip=True)
    answered = await judge(await started(one({"onIntent": {"result": None}})), name, value)
    assert answered == Verdict(name, value, overridden=True, result=None)


async def test_an_intent_of_the_users_own_can_be_skipped() -> None:
    chain = await started(one({"onIntent": {"skip": True}}))
    assert await judge(chain, "Loud", {"words": "Hm"}) == Verdict("Loud", {"words": "Hm"}, skip=True)


async def test_all_are_told_of_a_call_and_a_skip_holds() -> None:
    seen: list[str] = []
    chain = await started(
        one({"onIntent": {"skip": True}}),
        one({"onIntent": {"result": 5}}),
        one({"onIntent": noting(seen, "told")}),
    )
    assert (await judge(chain, "tool_call", {})).skip
    assert seen == ["told"]


@pytest.mark.parametrize(
    ("name", "key", "overridden"),
    [
        ("tool_result", "result", True),
        ("workflow_result", "result", True),
        ("helper_result", "result", True),
        ("response_text", "text", False),
        ("response_schema", "response", False),
    ],
)
async def test_a_replaced_result_is_what_later_middleware_sees(name: str, key: str, overridden: bool) -> None:
    seen: list[dict[str, Any]] = []
    chain = await started(
        one({"onIntent": {"result": "new"}}),
        one({"onIntent": lambda name, value, ctx: seen.append(value)}),
    )
    before = {key: "old", "id": "c1"}
    verdict = await judge(chain, name, before)
    expected = {key: "new", "id": "c1"} | ({"overridden": True} if overridden else {})
    assert verdict.value == expected
    assert seen == [expected]
    assert before[key] == "old"


@pytest.mark.parametrize("returned", [None, {}, {"skip": False}])
async def test_an_intent_without_an_answer_stays(returned: Any) -> None:
    chain = await started(one({"onIntent": returned}))
    assert await judge(chain, "tool_result", {"result": 1}) == Verdict("tool_result", {"result": 1})


@pytest.mark.parametrize(
    ("name", "returned", "problem"),
    [
        ("tool_call", "skip", "returned str from onIntent; it may return None"),
        ("tool_call", True, "returned bool"),
        ("tool_call", {"skp": True}, "skp"),
        ("tool_result", {"skip": True}, "for 'tool_result'; .* it has run; skip its tool_call"),
        ("helper_result", {"skip": True}, "for 'helper_result'; .* it has run; skip its helper_call"),
        ("response_text", {"skip": True}, "for 'response_text'; .* an answer can be replaced only"),
        ("response_schema", {"skip": True}, "for 'response_schema'; .* an answer can be replaced only"),
        ("tool_error", {"result": "x"}, "for 'tool_error'; it may return None: change its value"),
        ("tool_skipped", {"skip": True}, "for 'tool_skipped'; it may return None: this intent only tells"),
        ("model_retry", {"skip": True}, "for 'model_retry'; it may return None: this intent only tells"),
        (
            "Loud",
            {"result": {}},
            "for 'Loud'; it may return None or {\"skip\": True}: change its fields in place",
        ),
        ("response_text", {"result": 5}, "a string"),
    ],
)
async def test_a_wrong_answer_to_an_intent_is_named(name: str, returned: Any, problem: str) -> None:
    chain = await started(one({"onIntent": returned}, "Guard"))
    with pytest.raises(MiddlewareError, match=problem) as refused:
        await judge(chain, name, {})
    assert (refused.value.middleware, refused.value.hook) == ("Guard", "onIntent")


async def test_a_wrong_prompt_is_named() -> None:
    chain = await started(one({"onLLMStart": 5}, "Rag"))
    with pytest.raises(MiddlewareError, match="returned int from onLLMStart; it may return a string or None"):
        await prompt_of(chain, "Hi")


# onError


@pytest.mark.parametrize(
    ("returned", "decision"),
    [
        (None, None),
        (False, None),
        ({"swallow": False}, None),
        (True, Decision(swallow=True)),
        ({"swallow": True}, Decision(swallow=True)),
        ({"swallow": True, "response": "Sorry"}, Decision(swallow=True, response="Sorry")),
        ({"forceStart": "llm_start"}, Decision(force_start="llm_start")),
        ({"forceStart": "run_start"}, Decision(force_start="run_start")),
    ],
)
async def test_what_an_error_hook_may_decide(returned: Any, decision: Decision | None) -> None:
    chain = await started(one({"onError": returned}))
    assert await fire(chain, "onError") == decision


@pytest.mark.parametrize(
    "returned",
    [
        "swallow",
        {"forceStart": "now"},
        {"swallow": "yes"},
        {"swallow": True, "reponse": "Sorry"},
        {"swallow": True, "response": 5},
        {"forceStart": "llm_start", "swallow": True},
        {"retry": True},
    ],
)
async def test_a_wrong_decision_is_named(returned: Any) -> None:
    chain = await started(one({"onError": returned}, "Retry"))
    with pytest.raises(MiddlewareError, match="from onError; it may return None, True") as refused:
        await fire(chain, "onError")
    assert refused.value.middleware == "Retry"


async def test_all_are_told_of_an_error_and_the_first_decision_holds() -> None:
    seen: list[str] = []
    chain = await started(
        one({"onError": noting(seen, "listed first")}),
        one({"onError": {"forceStart": "llm_start"}}),
        one({"onError": {"swallow": True, "response": "listed last"}}),
    )
    assert await fire(chain, "onError") == Decision(swallow=True, response="listed last")
    assert seen == ["listed first"]


# Failures


@pytest.mark.parametrize("hook", ["onRunStart", *AFTER_START])
async def test_an_exception_in_a_hook_is_named(hook: str) -> None:
    cause = ValueError("bad  \n policy")
    failing = one({hook: cause}, "Guard")
    error = await failure_of(failing, hook)
    assert str(error) == f"middleware 'Guard' failed in {hook}: ValueError: bad policy"
    assert (error.middleware, error.hook, error.__cause__) == ("Guard", hook, cause)


@pytest.mark.parametrize("hook", ["onRunStart", *AFTER_START])
async def test_with_on_error_warn_it_is_logged_and_the_run_goes_on(
    hook: str, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []
    chain = await started(
        one({hook: noting(seen, "before")}),
        one({hook: ValueError("oops")}, "Audit", on_error="warn"),
        one({hook: noting(seen, "after")}),
    )
    if hook != "onRunStart":
        await fire(chain, hook)
    assert sorted(seen) == ["after", "before"]
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, f"middleware 'Audit' failed in {hook}: ValueError: oops")
    ]


@pytest.mark.parametrize(
    ("hook", "returned"),
    [("onLLMStart", 5), ("onIntent", "skip"), ("onError", "x"), ("onRunStart", {"user_id": "u2"})],
)
async def test_with_on_error_warn_a_wrong_answer_changes_nothing(
    hook: str, returned: Any, caplog: pytest.LogCaptureFixture
) -> None:
    chain = await started(one({hook: returned}, "Audit", on_error="warn"))
    if hook != "onRunStart":
        outcome = await fire(chain, hook)
        assert outcome in ("Hi", Verdict("tool_call", {}), None)
    assert "Audit" in caplog.text


@pytest.mark.parametrize(
    "error",
    [
        LimitExceeded("spent", key="limits.usd"),
        SessionConflict("held"),
        SessionNotFound("none"),
    ],
)
async def test_errors_meant_for_the_caller_reach_him_as_they_are(error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        await started(one({"onRunStart": error}))
    assert caught.value is error


@pytest.mark.parametrize("error", [StoreError("no disk"), ToolError("no")])
async def test_other_errors_of_ours_are_the_middlewares_failure(error: Exception) -> None:
    with pytest.raises(MiddlewareError) as caught:
        await started(one({"onRunStart": error}))
    assert caught.value.__cause__ is error


async def test_one_whose_start_failed_or_was_not_reached_sits_the_run_out() -> None:
    seen: list[str] = []
    hooks = ("onRunComplete", "onCheckpoint")
    chain = Pipeline(
        [
            one({hook: noting(seen, f"first {hook}") for hook in hooks}),
            one({"onRunStart": OSError("disk")} | {hook: noting(seen, "failed") for hook in hooks}),
            one({hook: noting(seen, "not reached") for hook in hooks}),
        ]
    ).begin()
    with pytest.raises(MiddlewareError, match="disk"):
        await chain.start(SESSION, context(), lambda session: session)
    for hook in hooks:
        await fire(chain, hook)
    assert seen == ["first onRunComplete", "first onCheckpoint"]


async def test_one_that_may_fail_and_failed_at_the_start_sits_the_run_out() -> None:
    seen: list[str] = []
    chain = await started(
        one(
            {"onRunStart": OSError("disk"), "onRunComplete": noting(seen, "saved nothing over something")},
            on_error="warn",
        )
    )
    await fire(chain, "onRunComplete")
    assert seen == []


async def test_a_failure_at_the_end_keeps_no_other_from_saving() -> None:
    seen: list[str] = []
    chain = await started(
        one({"onRunComplete": noting(seen, "a")}),
        one({"onRunComplete": ValueError("second")}, "B"),
        one({"onRunComplete": noting(seen, "c")}),
        one({"onRunComplete": ValueError("first")}, "D"),
    )
    error = await fire(chain, "onRunComplete")
    assert seen == ["c", "a"]
    assert error.middleware == "D"


# Targets


@pytest.mark.parametrize("hook", [*LISTED, "onLLMEnd", "onError"])
@pytest.mark.parametrize("target", ["Helper", ["Helper", "Other"]])
async def test_a_target_limits_a_middleware_to_its_agents(hook: str, target: Any) -> None:
    seen: list[str] = []
    chain = await started(one({hook: noting(seen, "called")}, target=target))
    await fire(chain, hook, context("Main"))
    assert seen == []
    await fire(chain, hook, context("Helper"))
    assert seen == ["called"]


def test_the_target_of_the_config_wins_over_that_of_the_class() -> None:
    class Scoped(Middleware):
        target = "Helper"

    assert Installed.of(Scoped()).targets == frozenset({"Helper"})
    assert Installed.of(Scoped(), target=["Main"]).targets == frozenset({"Main"})
    assert Installed.of(Middleware()).targets is None


async def test_the_end_is_told_to_a_scoped_middleware_that_took_part() -> None:
    seen: list[str] = []
    hooks = {"onLLMEnd": None, "onRunComplete": lambda session, ctx: seen.append(ctx.activeAgent)}
    chain = await started(one(hooks, target="Helper"), one(hooks, target="Other"))
    await fire(chain, "onLLMEnd", context("Helper"))
    await fire(chain, "onRunComplete", context("Main"))
    assert seen == ["Helper"]


async def test_the_start_of_another_agents_run_is_not_a_scoped_middlewares() -> None:
    seen: list[str] = []
    await started(one({"onRunStart": noting(seen, "called")}, target="Helper"))
    assert seen == []
    await started(one({"onRunStart": noting(seen, "called")}, target="Helper"), ctx=context("Helper"))
    assert seen == ["called"]


# Checkpoints


async def test_checkpoints_of_one_run_follow_one_another() -> None:
    seen: list[str] = []
    inside = asyncio.Event()
    leave = asyncio.Event()

    class Store:
        async def onCheckpoint(self, session: Session, ctx: Any) -> None:
            call = ctx["checkpoint"]["call_id"]
            seen.append(f"{call} begins")
            inside.set()
            await leave.wait()
            seen.append(f"{ctx['checkpoint']['call_id']} ends")

    chain, ctx = await started(Installed.of(Store())), context()
    first = asyncio.create_task(chain.checkpoint(SESSION, ctx, {"call_id": "a"}))
    await inside.wait()
    second = asyncio.create_task(chain.checkpoint(SESSION, ctx, {"call_id": "b"}))
    await asyncio.sleep(0)
    leave.set()
    await asyncio.gather(first, second)
    assert seen == ["a begins", "a ends", "b begins", "b ends"]


# Opening and closing


async def test_they_are_opened_in_order_and_closed_in_reverse() -> None:
    seen: list[str] = []
    pipeline = Pipeline(
        [
            one({"open": noting(seen, "open a"), "close": noting(seen, "close a")}),
            one({"onLLMEnd": None}),
            one({"open": noting(seen, "open b"), "close": noting(seen, "close b")}, waits=True),
        ]
    )
    await pipeline.open()
    await pipeline.close()
    assert seen == ["open a", "open b", "close b", "close a"]


async def test_when_one_fails_to_open_those_before_it_are_closed() -> None:
    seen: list[str] = []
    pipeline = Pipeline(
        [
            one({"close": noting(seen, "close a")}),
            one({"open": OSError("no disk"), "close": noting(seen, "close b")}, "Store"),
            one({"open": noting(seen, "open c"), "close": noting(seen, "close c")}),
        ]
    )
    with pytest.raises(MiddlewareError, match="'Store' failed to open: OSError: no disk"):
        await pipeline.open()
    assert seen == ["close a"]


async def test_a_cancelled_opening_closes_what_was_opened() -> None:
    seen: list[str] = []
    reached = asyncio.Event()

    class Slow:
        async def open(self) -> None:
            reached.set()
            await asyncio.Event().wait()

    pipeline = Pipeline([one({"close": noting(seen, "close a")}), Installed.of(Slow())])
    opening = asyncio.create_task(pipeline.open())
    await reached.wait()
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert seen == ["close a"]


async def test_an_error_of_ours_at_the_opening_stays_what_it_is() -> None:
    with pytest.raises(StoreError, match="no disk"):
        await Pipeline([one({"open": StoreError("no disk")})]).open()


async def test_a_failure_to_close_is_logged_and_the_others_are_closed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[str] = []
    await Pipeline(
        [one({"close": noting(seen, "close a")}), one({"close": OSError("gone")}, "Store")]
    ).close()
    assert seen == ["close a"]
    assert "middleware 'Store' failed to close: OSError: gone" in caplog.text


@pytest.mark.parametrize(
    "target", [5, {"Main": 1}, ["Main", 5], object()], ids=["number", "dict", "list", "thing"]
)
def test_a_target_of_another_kind_is_refused_by_name(target: Any) -> None:
    with pytest.raises(ConfigError, match=r"'Shooter' has a `target` that is .*, not the name of an agent"):
        Installed.of(type("Shooter", (), {"target": target, "onLLMEnd": noting([], "")})())


class TestObjectsThatAnswerToEverything:
    """Mocks and the like: what they were not given on purpose limits nothing."""

    @pytest.mark.parametrize("kind", [MagicMock, AsyncMock])
    async def test_a_mock_is_asked_at_each_hook(self, kind: type[MagicMock]) -> None:
        mock = kind()
        for hook in HOOKS:
            getattr(mock, hook).return_value = None
        chain = await started(Installed.of(mock))
        for hook in (*LISTED, *REVERSED):
            await fire(chain, hook)
        assert [getattr(mock, hook).called for hook in HOOKS] == [True] * len(HOOKS)

    async def test_a_mock_with_a_target_is_for_that_agent(self) -> None:
        mock = MagicMock(target="Helper")
        chain = await started(Installed.of(mock))
        await fire(chain, "onLLMEnd", context("Main"))
        assert not mock.onLLMEnd.called
        await fire(chain, "onLLMEnd", context("Helper"))
        assert mock.onLLMEnd.called

    async def test_what_wraps_a_middleware_is_for_its_agents(self) -> None:
        seen: list[str] = []

        class Wrapped:
            inner = one({"onLLMEnd": noting(seen, "called")}, target=None).instance

            def __getattr__(self, name: str) -> Any:
                return getattr(self.inner, name)

        Wrapped.inner.target = ["Helper"]
        chain = await started(Installed.of(Wrapped()))
        await fire(chain, "onLLMEnd", context("Main"))
        assert seen == []
        await fire(chain, "onLLMEnd", context("Helper"))
        assert seen == ["called"]


class Counter(Middleware):
    """Its hook is put on the instance, and is an object that can be called."""

    def __init__(self, hook: Any) -> None:
        self.onLLMEnd = hook  # type: ignore[method-assign]


async def test_a_hook_may_be_any_object_that_can_be_called() -> None:
    seen: list[str] = []

    class Count:
        def __call__(self, response: Any, ctx: Any) -> None:
            seen.append("called")

    await fire(await started(Installed.of(Counter(Count()))), "onLLMEnd")
    assert seen == ["called"]


def test_what_cannot_be_called_is_refused_as_a_hook() -> None:
    with pytest.raises(ConfigError, match="onLLMEnd of 'Counter' is str, not a method"):
        Installed.of(Counter("my_app.count"))


@pytest.mark.parametrize(
    "thing", [len, "my_app.Audit", {"onLLMEnd": print}], ids=["function", "text", "dict"]
)
def test_what_has_no_hook_at_all_is_refused(thing: Any) -> None:
    with pytest.raises(ConfigError, match="is not a middleware: it has none of the hooks onRunStart"):
        Installed.of(thing)


class Panic(BaseException):
    """What native libraries raise."""


@pytest.mark.parametrize("hook", ["onRunStart", *AFTER_START])
async def test_what_a_native_library_raises_in_a_hook_is_its_failure(hook: str) -> None:
    error = await failure_of(one({hook: Panic("at the disco")}, "Guard"), hook)
    assert str(error) == f"middleware 'Guard' failed in {hook}: Panic: at the disco"


@pytest.mark.parametrize("through", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
async def test_only_what_ends_a_program_or_a_task_goes_through(through: type[BaseException]) -> None:
    with pytest.raises(through):
        await fire(await started(one({"onLLMEnd": through()})), "onLLMEnd")


@pytest.mark.parametrize("name", ["model_call", "paused", "error"])
@pytest.mark.parametrize("returned", [{"skip": True}, {"result": "x"}, "anything"])
async def test_what_is_returned_for_an_intent_that_only_tells_is_ignored(name: str, returned: Any) -> None:
    chain = await started(one({"onIntent": returned}))
    assert await judge(chain, name, {"x": 1}) == Verdict(name, {"x": 1})
