"""`ctx`: what the hooks of one run share."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import auwgent
from auwgent.errors import ConfigError
from auwgent.hooks.context import (
    CALL_SETTINGS,
    NAMES,
    AgentState,
    AuwgentMiddleware,
    Context,
    Middleware,
    RunState,
    check_context,
)
from auwgent.hooks.names import HOOKS
from auwgent.session import Session, Text, Turn, Usage

RESERVED = {key for key, name in NAMES.items() if name.is_reserved}
ADDED = NAMES.keys() - RESERVED
READ_ONLY = sorted(key for key in RESERVED if not NAMES[key].settable)


def state(**more: Any) -> RunState:
    session = Session(id="s1", user_id="u1", stack=["Main"], turns=[Turn(role="user", content="Hi")])
    return RunState(
        **{
            "run_id": "r1",
            "root_agent": "Main",
            "user_id": "u1",
            "session": session,
            "input": "Hello",
            "values": {"color": "blue"},
            **more,
        }
    )


def context(run: RunState | None = None, **agent: Any) -> Any:
    return Context(run or state(), AgentState(**{"active": "Main", "stack": ("Main",), **agent}))


def test_values_are_read_as_from_a_dict_by_attribute_and_with_get() -> None:
    ctx = context()
    assert ctx["color"] == ctx.color == ctx.get("color") == "blue"
    assert ctx.get("size") is None
    assert ctx.get("size", 3) == 3
    assert "color" in ctx
    assert "size" not in ctx


def test_what_is_missing_is_an_error_of_its_form() -> None:
    with pytest.raises(KeyError, match="size"):
        context()["size"]
    with pytest.raises(AttributeError, match=r"ctx\.get\('size'\)"):
        _ = context().size


def test_notes_are_set_in_every_way_and_shared_by_all_agents_of_a_run() -> None:
    run = state()
    ctx, other = context(run), context(run, active="Helper")
    ctx["trace_id"] = "t1"
    ctx.count = 1
    ctx.update(size=3)
    ctx.setdefault("log", []).append("x")
    assert (other.trace_id, other["count"], other.size, other.log) == ("t1", 1, 3, ["x"])
    del other["trace_id"]
    assert "trace_id" not in ctx


def test_threads_that_begin_a_list_at_once_share_it() -> None:
    both_have_looked = threading.Barrier(2)

    class Values(dict[str, Any]):
        def __missing__(self, key: str) -> Any:
            both_have_looked.wait(5)
            raise KeyError(key)

    ctx = context(state(values=Values(color="blue")))
    with ThreadPoolExecutor(2) as threads:
        one, other = threads.map(lambda number: ctx.setdefault("seen", [number]), range(2))
    assert one is other is ctx.seen
    assert ctx.setdefault("color", "red") == "blue"
    assert ctx.setdefault("runId", "another") == "r1"


def test_a_note_hides_a_context_value_until_it_is_deleted() -> None:
    ctx = context()
    ctx["color"] = "red"
    assert ctx.color == "red"
    assert list(ctx).count("color") == 1
    del ctx["color"]
    assert ctx.color == "blue"


def test_two_runs_never_share() -> None:
    one, other = context(), context()
    one.trace_id = "t1"
    assert "trace_id" not in other


def test_the_facts_of_the_run_are_there() -> None:
    run = state(usage=Usage(input_tokens=3))
    ctx = context(run, active="Joker", stack=("Main", "Joker"), system_prompt="You joke.", raw_block="Ha")
    assert (ctx.sessionId, ctx.userId, ctx.runId, ctx.rootAgent) == ("s1", "u1", "r1", "Main")
    assert (ctx.activeAgent, ctx.stack, ctx.systemPrompt, ctx.rawBlock) == (
        "Joker",
        ["Main", "Joker"],
        "You joke.",
        "Ha",
    )
    assert (ctx.input, ctx.status, ctx.error, ctx.usage.input_tokens) == ("Hello", "running", None, 3)
    assert [turn.text for turn in ctx.session.turns] == ["Hi"]


def test_everything_in_it_can_be_listed_and_read() -> None:
    everything = dict(context())
    assert everything.keys() == RESERVED | ADDED | {"color"}
    assert len(context()) == len(everything)


@pytest.mark.parametrize("name", READ_ONLY)
def test_the_facts_are_read_only(name: str) -> None:
    ctx = context(setting="onLLMStart")
    with pytest.raises(AttributeError, match=f"ctx.{name} is read-only"):
        ctx[name] = 1
    with pytest.raises(AttributeError, match=f"ctx.{name} is read-only"):
        setattr(ctx, name, 1)


@pytest.mark.parametrize("name", [*CALL_SETTINGS, "systemPrompt"])
def test_settings_of_a_call_may_be_set_only_where_they_count(name: str) -> None:
    with pytest.raises(AttributeError, match="onLLMStart"):
        setattr(context(), name, "x")
    ctx = context(setting="onLLMStart")
    setattr(ctx, name, "x")
    assert ctx[name] == "x"


def test_on_error_the_system_prompt_may_not_be_set() -> None:
    ctx = context(setting="onError")
    ctx.model = "openai/x"
    with pytest.raises(AttributeError, match=r"ctx\.systemPrompt may be set in onLLMStart only"):
        ctx.systemPrompt = "x"


def test_the_input_may_be_set_at_the_start_only() -> None:
    ctx = context(setting="onRunStart")
    ctx.input = [{"type": "text", "text": "Hi"}]
    assert ctx.input == [Text(text="Hi")]
    with pytest.raises(AttributeError, match=r"ctx\.input may be set in onRunStart only"):
        context(setting="onLLMStart").input = "x"


def test_settings_of_a_call_belong_to_one_agent_at_work() -> None:
    run = state()
    one, other = context(run, setting="onLLMStart"), context(run, setting="onLLMStart")
    one.model = "openai/x"
    assert other.model is None


def test_the_session_on_ctx_cannot_change_that_of_the_run() -> None:
    run = state()
    session = context(run).session
    session.turns.clear()
    session.stack.append("Joker")
    context(run).session.turns[0].content = "changed"
    context(run).stack.append("Joker")
    context(run).messages.append("x")
    assert [turn.text for turn in run.session.turns] == ["Hi"]
    assert run.session.stack == ["Main"]


def test_the_session_on_ctx_is_as_it_is_now() -> None:
    run = state()
    ctx = context(run)
    run.session.turns.append(Turn(role="assistant", content="Hello"))
    assert [turn.text for turn in ctx.session.turns] == ["Hi", "Hello"]


def test_usage_cannot_be_talked_down() -> None:
    with pytest.raises(ValueError, match="frozen"):
        context().usage.input_tokens = 0


@pytest.mark.parametrize(
    ("user_id", "values", "expected"),
    [
        ("u1", {"userId": "other"}, "u1"),
        ("", {"userId": "u2"}, "u2"),
        ("", {}, ""),
    ],
)
def test_the_user_is_the_runs_or_the_one_of_the_context(
    user_id: str, values: dict[str, Any], expected: str
) -> None:
    ctx = context(state(user_id=user_id, values=values))
    assert ctx.userId == ctx.get("userId") == ctx["userId"] == expected


@pytest.mark.parametrize("name", ["setContext", "set_context"])
def test_the_runs_context_can_be_replaced(name: str) -> None:
    run = state()
    ctx = context(run)
    ctx["note"] = 1
    ctx[name]({"size": 3})
    assert run.values == {"size": 3}
    assert ctx.get("color") is None
    assert ctx.note == 1


@pytest.mark.parametrize("name", sorted(RESERVED - {"userId"}))
def test_context_values_may_not_take_a_name_of_ctx(name: str) -> None:
    with pytest.raises(ConfigError, match=repr(name)):
        check_context({name: 1})
    with pytest.raises(ConfigError, match=repr(name)):
        context().setContext({name: 1})


def test_all_taken_names_are_told_at_once() -> None:
    with pytest.raises(ConfigError, match="'input', 'stack'"):
        check_context({"stack": 1, "input": 2, "userId": "u1", "fine": 3})


async def test_texts_are_embedded_by_the_runs_model() -> None:
    async def embed(agent: Any, texts: Any) -> list[list[float]]:
        return [[float(len(text))] for text in texts]

    ctx = context(state(embed=embed))
    assert await ctx.embed("abc") == [3.0]
    assert await ctx.embedBatch(["a", "ab"]) == [[1.0], [2.0]]


async def test_embedding_without_a_model_says_what_is_missing() -> None:
    with pytest.raises(ConfigError, match=r"\[embedding\]"):
        await context().embed("abc")


def test_it_says_who_it_is_and_shows_no_values() -> None:
    assert repr(context(state(values={"key": "secret"}))) == "<ctx of run r1, agent 'Main', running>"


def test_the_base_has_every_hook_and_none_does_anything() -> None:
    base = Middleware()
    session, ctx = Session(), context()
    arguments: dict[str, tuple[Any, ...]] = {
        "onRunStart": (session, ctx),
        "onCheckpoint": (session, ctx),
        "onLLMStart": ("Hi", ctx),
        "onIntentPartial": ("response_text", {}, ctx),
        "onIntent": ("response_text", {}, ctx),
        "onLLMEnd": ({}, ctx),
        "onRunComplete": (session, ctx),
        "onError": (ValueError(), session, ctx),
    }
    assert tuple(arguments) == HOOKS
    assert [getattr(base, name)(*given) for name, given in arguments.items()] == [None] * len(HOOKS)


def test_the_documented_names_are_the_same_class() -> None:
    assert auwgent.Middleware is auwgent.AuwgentMiddleware is AuwgentMiddleware is Middleware


@pytest.mark.parametrize("name", sorted(ADDED))
def test_what_goes_beyond_the_contract_gives_way_to_values_of_the_users(name: str) -> None:
    check_context({name: "mine"})
    assert context(state(values={name: "mine"}))[name] == "mine"
