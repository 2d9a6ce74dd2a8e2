"""Compaction: the model is sent less, the session keeps all."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest

from auwgent import Runtime
from auwgent.errors import LimitExceeded, ProviderError
from auwgent.middleware import Compaction, Redact, SQLModelSessions
from auwgent.middleware.compaction.shortening import KEY, LEFT_OUT, SUMMARY
from auwgent.session import Media, Session, Text, Turn, Usage
from tests.middleware.conformance import Conformance, at_work, over_http
from tests.support.aimock import Aimock
from tests.support.answering import Answer, provider, texts_of
from tests.support.bench import Bench, Hook, bench, calls, check_history, short
from tests.support.raw_server import raw_server, whole

ECHO = {"when": "", "text": "You said: {user}"}
LONG = "word " * 400  # about 500 tokens


def echo(*middleware: Any, **config: Any) -> Bench:
    return bench({"main": [ECHO], "small": ["A summary."]}, middleware=middleware, **config)


def history(turns: int, text: str = "Hello") -> Session:
    """A conversation so far."""
    roles = ("user", "assistant")
    return Session(
        turns=[
            Turn(role=roles[n % 2], content=f"{n} {text}", agent="Main", model="scripted/main")  # type: ignore[arg-type]
            for n in range(turns)
        ]
    )


def sent(agent: Bench, model: str = "main") -> list[str]:
    return short(agent.requests(model)[-1].turns)


class Sent:
    """Notes what is sent, where models cannot be looked at."""

    def __init__(self) -> None:
        self.messages: list[list[Turn]] = []

    def onLLMStart(self, prompt: str, ctx: Any) -> None:
        self.messages.append(ctx.messages)


class TestConformance(Conformance):
    path = "auwgent.middleware.Compaction"
    wrong = (
        ({"share": 1.5}, "`share` should be less than or equal to 1, not 1.5"),
        ({"tokens": 0}, "tokens"),
        ({"keep": 1.0}, "keep"),
        ({"strategy": "shred"}, "strategy[0]"),
        ({"strategy": []}, "strategy"),
        ({"model": "openai/gpt-5-mini"}, '`model` is for the strategy "summarise"'),
        ({"size": 1}, "its options: share, tokens, turns, keep, strategy, model, window, result_chars"),
    )

    def make(self, folder: Path) -> Compaction:
        return Compaction(turns=6)

    def make_failing(self, folder: Path) -> Compaction:
        return Compaction(turns=1, strategy="summarise", model="no such model")

    async def test_helpers_are_included(self, tmp_path: Path) -> None:
        agent = at_work(Compaction(turns=3, keep=0.6))
        session = Session()
        for _ in range(3):
            session = await agent.ask("Please ask the clerk", session=session)
        assert len(short(session.turns, "Clerk")) == 6
        assert sent(agent, "clerk") == [f"user: {LEFT_OUT}", "user: Look it up"]


async def test_beyond_so_many_turns_the_oldest_are_left_out() -> None:
    agent = echo(Compaction(turns=8))
    session = await agent.ask("Now", session=history(10))
    assert len(session.turns) == 12
    assert sent(agent) == [f"user: {LEFT_OUT}", "user: 8 Hello", "assistant: 9 Hello", "user: Now"]
    check_history(agent.requests()[-1].turns)


async def test_beyond_so_many_tokens_too() -> None:
    agent = echo(Compaction(tokens=3000))
    await agent.ask("Now", session=history(5, LONG))
    assert len(sent(agent)) == 6
    await agent.ask("Now", session=history(9, LONG))
    assert sent(agent)[0] == f"user: {LEFT_OUT}"
    assert len(sent(agent)) == 3


async def test_between_two_compactions_the_beginning_stays_the_same() -> None:
    agent, session = echo(Compaction(turns=8)), Session()
    beginnings = []
    for number in range(12):
        session = await agent.ask(f"{number}", session=session)
        beginnings.append(tuple(sent(agent)[:2]))
    assert len(set(beginnings)) < 7
    assert all(len(short(request.turns)) <= 8 for request in agent.requests())
    assert len(session.turns) == 24


async def test_how_far_it_got_is_kept_with_the_session(tmp_path: Path) -> None:
    store = {"use": "auwgent.middleware.SQLModelSessions", "url": f"sqlite:///{tmp_path / 's.db'}"}
    compaction = {
        "use": "auwgent.middleware.Compaction",
        "turns": 6,
        "strategy": "summarise",
        "model": "small",
    }
    asked = []

    async def run(text: str) -> Session:
        """In a process of its own, as far as can be told."""
        seen = Sent()
        models = {
            "main": {"use": "scripted/main", "params": {"replies": ["Aye."], "repeat": True}},
            "small": {"use": "scripted/small", "params": {"replies": ["They talked."], "repeat": True}},
        }
        config = {"middleware": [store, compaction, seen], "agent": {"model": "main"}, "models": models}
        async with Runtime(config) as agent:
            session = await agent.run(text, session_id="s")
        asked.append(short(seen.messages[-1]))
        return session

    for number in range(6):
        session = await run(f"{number}")
    assert len(session.turns) == 12
    told = [one[0] for one in asked if "They talked." in one[0]]
    assert len(told) == 3
    marks = [number for number, turn in enumerate(session.turns) if KEY in (turn.provider_data or {})]
    assert marks == [7]


@pytest.mark.parametrize("found", [{"Main": {"cut": 5}}, "x", {"Main": {"cut": "gone", "short": "gone"}}])
async def test_a_note_that_makes_no_sense_is_none(found: Any) -> None:
    session = history(4)
    session.turns[1].provider_data = {KEY: found}
    agent = echo(Compaction(turns=8))
    await agent.ask("Now", session=session)
    assert sent(agent) == short([*session.turns, Turn(role="user", content="Now")])


async def test_a_summary_is_sent_also_where_what_it_sums_up_was_not_loaded() -> None:
    session = history(4)
    session.turns[1].provider_data = {KEY: {"Main": {"cut": "gone", "summary": "They met."}}}
    agent = echo(Compaction(turns=8))
    await agent.ask("Now", session=session)
    told = Turn(role="user", content=f"{SUMMARY}\n\nThey met.")
    assert sent(agent) == short([told, *session.turns, Turn(role="user", content="Now")])


async def test_old_results_are_cut_first_and_the_newest_is_whole() -> None:
    agent = bench(reading(4), tools=[read], middleware=[Compaction(tokens=4000, result_chars=100)])
    session = await agent.ask("Read all")
    check_history(session.turns)
    assert all(len(turn.text) > 4000 for turn in session.turns if turn.role == "tool")
    results = [turn.text for turn in agent.requests()[-1].turns if turn.role == "tool"]
    assert len(results) == 4
    assert [len(text) < 200 for text in results] == [True, True, True, False]


def read(page: int) -> str:
    """A page."""
    return f"page {page} " + "x" * 5000


def reading(pages: int) -> list[dict[str, Any]]:
    """Replies that read one page after the other, whatever of the conversation the model is shown."""
    nexts = [{"result": f"page {page} ", **calls(("read", {"page": page + 1}))} for page in range(pages - 1)]
    return [
        {"when": "", **calls(("read", {"page": 0}))},
        *nexts,
        {"result": f"page {pages - 1} ", "text": "Read."},
    ]


async def test_a_new_result_that_is_too_long_by_itself_is_cut_as_well() -> None:
    agent = bench(reading(1), tools=[read], middleware=[Compaction(tokens=1000, result_chars=100)])
    await agent.ask("Read")
    assert "characters left out" in sent(agent)[-1]


async def test_what_the_model_thought_since_the_question_is_never_left_out() -> None:
    thoughts = {"thinking_blocks": [{"type": "thinking", "thinking": "Hm.", "signature": "abc"}]}
    replies = [{**reply, "provider_data": thoughts} for reply in reading(6)]
    agent = bench(replies, tools=[read], middleware=[Compaction(turns=16, keep=0.2)])
    await agent.ask("Read all", session=history(4))
    last = agent.requests()[-1].turns
    assert [turn.text for turn in last if turn.role == "user"] == [LEFT_OUT, "Read all"]
    assert sum(turn.provider_data == thoughts for turn in last) == 6


async def test_without_thoughts_old_steps_of_a_long_turn_can_go_but_not_the_question() -> None:
    agent = bench(reading(6), tools=[read], middleware=[Compaction(turns=7)])
    session = await agent.ask("Read all")
    assert len(session.turns) == 14
    assert sent(agent)[:2] == ["user: Read all", f"user: {LEFT_OUT}"]
    assert len(sent(agent)) <= 7
    check_history(agent.requests()[-1].turns)


async def test_examples_and_system_prompt_stay() -> None:
    agent = echo(Compaction(turns=8), examples=[{"user": "Ping", "assistant": "Pong"}], prompt="You ping.")
    await agent.ask("Now", session=history(10))
    assert sent(agent)[:3] == ["user: Ping", "assistant: Pong", f"user: {LEFT_OUT}"]
    assert agent.requests()[-1].system == "You ping."


async def test_a_summary_stands_for_what_is_left_out_and_grows_with_it() -> None:
    agent = echo(Compaction(turns=8, strategy="summarise", model="small"))
    session = await agent.ask("Now", session=history(10))
    assert sent(agent)[0] == "user: [Summary of the conversation so far]\n\nA summary."
    asked = agent.requests("small")[-1].turns[-1].text
    assert "user: 0 Hello\nassistant: 1 Hello" in asked
    assert "8 Hello" not in asked
    assert agent.names == ["response_text"]
    assert {one.name for one in agent.partials} == {"response_text"}
    assert all("A summary." not in one.value["snapshot"]["text"] for one in agent.partials)
    assert agent.run is not None
    assert agent.run.usage.input_tokens > session.turns[-1].usage.input_tokens  # type: ignore[union-attr]
    for number in range(3):
        agent.models.by_name["small"].requests.clear()
        session = await agent.ask(f"Next {number}", session=session)
    asked = "".join(request.turns[-1].text for request in agent.requests("small"))
    assert "Summary of what was before:\nA summary." in asked
    assert "0 Hello" not in asked


async def test_a_long_history_is_summarised_in_parts() -> None:
    compaction = Compaction(tokens=2000, strategy="summarise", model="small")
    agent = bench({"main": [ECHO], "small": [{"when": "", "text": "Sum."}]}, middleware=[compaction])
    await agent.ask("Now", session=history(30, LONG))
    sizes = [len(request.turns[-1].text) / 4 for request in agent.requests("small")]
    assert len(sizes) > 5
    assert max(sizes) < 3000


async def test_where_no_summary_can_be_had_the_turns_go_without(caplog: pytest.LogCaptureFixture) -> None:
    replies: dict[str, list[Any]] = {"main": [ECHO], "small": [{"error": {"status": 503}}]}
    agent = bench(replies, middleware=[Compaction(turns=8, strategy="summarise", model="small")])
    session = await agent.ask("Now", session=history(10))
    assert session.text == "You said: Now"
    assert sent(agent)[0] == f"user: {LEFT_OUT}"
    assert "without a summary" in caplog.text


async def test_calls_for_summaries_count_in_limits() -> None:
    agent = echo(Compaction(turns=8, strategy="summarise", model="small"))
    agent.limit(llm_calls=1)
    with pytest.raises(LimitExceeded, match="llm_calls"):
        await agent.ask("Now", session=history(10))


async def test_a_summary_that_was_paid_for_is_used_also_where_it_is_longer_than_short_turns() -> None:
    replies: dict[str, list[Any]] = {"main": [ECHO], "small": [LONG]}
    agent = bench(replies, middleware=[Compaction(turns=8, strategy="summarise", model="small")])
    await agent.ask("Now", session=history(10))
    assert sent(agent)[0] == f"user: {SUMMARY}\n\n{LONG.strip()}"


async def test_a_summary_that_is_too_long_is_cut_to_the_room_there_is() -> None:
    replies: dict[str, list[Any]] = {"main": [ECHO], "small": [{"when": "", "text": LONG * 9}]}
    agent = bench(replies, middleware=[Compaction(tokens=2000, strategy="summarise", model="small")])
    await agent.ask("Now", session=history(10, LONG))
    turns = agent.requests()[-1].turns
    assert turns[0].text.startswith(f"{SUMMARY}\n\nword word")
    assert 1000 < sum(len(turn.text) for turn in turns) / 4 < 2000


async def test_where_there_is_no_room_for_a_summary_none_is_asked_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    agent = echo(Compaction(tokens=700, strategy="summarise", model="small"), prompt=LONG)
    await agent.ask("x" * 700, session=history(10))
    assert agent.requests("small") == []
    assert "no room for one" in caplog.text


@pytest.mark.parametrize(
    "useless", ["", "  \n", "I'm sorry, but I can't help with that.", "Lo siento, no puedo."]
)
async def test_a_summary_that_says_nothing_or_refuses_is_not_used(
    useless: str, caplog: pytest.LogCaptureFixture
) -> None:
    summaries = iter(["Allergic to nuts.", useless])

    def reply(body: dict[str, Any]) -> str:
        return next(summaries) if "Sum it up" in texts_of(body)[-1] else "ok"

    async with provider(reply) as server:
        compaction = {"use": "auwgent.middleware.Compaction", "turns": 8, "strategy": "summarise"}
        models = {"main": server.model(via="direct")}
        async with Runtime(
            {"middleware": [compaction], "agent": {"model": "main"}, "models": models}
        ) as agent:
            session = history(10)
            for _ in range(4):
                session = await agent.run("Next", session=session)
        assert next(summaries, None) is None
        assert texts_of(server.bodies[-1])[0] == f"{SUMMARY}\n\nAllergic to nuts."
    assert "without a summary: the model " in caplog.text


@pytest.mark.parametrize("name", ["openai/test", "anthropic/claude-test"])
@pytest.mark.parametrize("end", ["length", "content_filter"])
async def test_a_summary_that_was_cut_or_filtered_is_not_used(
    name: str, end: str, caplog: pytest.LogCaptureFixture
) -> None:
    def reply(body: dict[str, Any]) -> Answer | str:
        asked = [one for one in texts_of(body) if "Sum it up" in one]
        return Answer("Allergic to", end=end) if asked else "ok"

    async with provider(reply) as server:
        compaction = {"use": "auwgent.middleware.Compaction", "turns": 4, "strategy": ["summarise"]}
        config = {
            "middleware": [compaction],
            "agent": {"model": "main"},
            "models": {"main": server.model(name)},
        }
        async with Runtime(config) as agent:
            await agent.run("Now", session=history(6))
        assert texts_of(server.bodies[-1])[0].startswith(LEFT_OUT)
    assert "without a summary" in caplog.text


@pytest.mark.process
async def test_one_huge_turn_is_summed_up_in_parts_and_the_good_parts_stay() -> None:
    """The model of summaries reads 4,000 tokens, and is told so by nobody but the provider."""

    def reply(body: dict[str, Any]) -> Answer | str:
        said = "".join(texts_of(body))
        if len(said) > 16_000:
            return Answer("maximum context length is 4000 tokens", status=400, code="context_length_exceeded")
        if "Sum it up" not in said:
            return "ok"
        return "The budget is 500 EUR." if "500 EUR" in said else Answer("Server error", status=500)

    async with provider(reply) as server:
        small = server.model("openai/small")
        compaction = {
            "use": "auwgent.middleware.Compaction",
            "tokens": 3000,
            "strategy": "summarise",
            "model": "small",
        }
        models = {"main": server.model(), "small": small}
        session = history(2, "My budget is 500 EUR.")
        session.turns += history(2, "log " * 20_000).turns
        async with Runtime(
            {"middleware": [compaction], "agent": {"model": "main"}, "models": models}
        ) as agent:
            session = await agent.run("go on", session=session)
        assert session.text == "ok"
        assert texts_of(server.bodies[-1]) == [f"{SUMMARY}\n\nThe budget is 500 EUR.", "go on"]


def constraint(number: int) -> str:
    return f"Rule {number}: niemals mehr als {number} Tomaten, weil ich Nr. {number} nicht mag."


def honest(body: dict[str, Any]) -> str:
    """A model of summaries that keeps all rules it is shown, and nothing else."""
    asked = texts_of(body)[-1]
    if "Sum it up" not in asked:
        return "Verstanden. " + "Bla bla. " * 20
    rules = dict.fromkeys(re.findall(r"Rule \d+: [^.]*Nr\. \d+ nicht mag\.", asked))
    return " ".join(rules)


@pytest.mark.process
@pytest.mark.parametrize(("name", "stream"), [("openai/test", True), ("anthropic/claude-test", False)])
async def test_twenty_constraints_survive_two_hundred_turns(name: str, stream: bool, tmp_path: Path) -> None:
    store = {
        "use": "auwgent.middleware.SQLModelSessions",
        "url": f"sqlite:///{tmp_path / 's.db'}",
        "window": 60,
    }
    compaction = {
        "use": "auwgent.middleware.Compaction",
        "tokens": 2500,
        "strategy": ["truncate", "summarise"],
    }
    async with provider(honest) as server:
        models = {"main": server.model(name, **({"via": "direct"} if name.startswith("openai") else {}))}
        config = {"middleware": [store, compaction], "agent": {"model": "main"}, "models": models}
        async with Runtime(config) as agent:
            for turn in range(100):
                words = constraint(turn // 5) if turn % 5 == 0 else f"Und {turn}? " + "Noch mehr Worte. " * 20
                await agent.run(words, session_id="s", whole=not stream)
        seen = "".join(texts_of(server.bodies[-1]))
        assert [n for n in range(20) if constraint(n) not in seen] == []
        asked = sum("Sum it up" in texts_of(body)[-1] for body in server.bodies)
        assert 3 < asked < 20
        assert max(sum(map(len, texts_of(body))) / 4 for body in server.bodies) < 3000


async def test_a_fork_goes_on_from_the_summary_that_held_there(tmp_path: Path, url: str) -> None:
    summaries = iter(["First.", "Second.", "Third.", "Fourth.", "Fifth."])

    def reply(body: dict[str, Any]) -> str:
        return next(summaries) if "Sum it up" in texts_of(body)[-1] else "ok"

    async with provider(reply) as server:
        compaction = {"use": "auwgent.middleware.Compaction", "turns": 6, "strategy": "summarise"}
        store = SQLModelSessions(url)
        config = {
            "middleware": [store, compaction],
            "agent": {"model": "main"},
            "models": {"main": server.model(via="direct")},
        }
        async with Runtime(config) as agent:
            for turn in range(4):
                await agent.run(f"{turn}", session_id="s")
            assert texts_of(server.bodies[-1])[0].endswith("First.")
            await store.fork("", "s", "t")
            for turn in range(3):
                await agent.run(f"more {turn}", session_id="s")
            assert texts_of(server.bodies[-1])[0].endswith("Second.")
            await agent.run("In the fork", session_id="t")
            assert texts_of(server.bodies[-1])[0].endswith("First.")


@pytest.mark.parametrize("strategy", [("truncate", "drop"), ("summarise",)])
async def test_what_it_makes_of_a_long_run_is_sent_with_redact_beside_it(strategy: Any) -> None:
    """A turn, and the summary, may be sent in another form in each call of one run."""

    def look(n: int) -> str:
        """Look."""
        return f"found {n} for [EMAIL_1] " * 60

    async def sent(*beside: Redact) -> list[list[str]]:
        summaries, steps = iter(range(1, 99)), iter(range(1, 99))

        def reply(body: dict[str, Any]) -> Answer:
            if "Sum it up" in texts_of(body)[-1]:
                return Answer(f"Summary {next(summaries)}.", input_tokens=0)
            number = next(steps)
            return Answer("Done.", calls=[("look", {"n": number})] if number < 9 else [], input_tokens=0)

        async with provider(reply) as server:
            config = {
                "middleware": [*beside, Compaction(tokens=1200, strategy=strategy)],
                "agent": {"model": "main", "tools": [look]},
                "models": {"main": server.model(via="direct")},
            }
            async with Runtime(config) as agent:
                assert (await agent.run("Go")).text == "Done."
            return [texts_of(body) for body in server.bodies]

    with_redact, without = await sent(Redact()), await sent()
    assert with_redact == without
    assert any("left out" in text or "Summary 2." in text for texts in without for text in texts)


async def test_a_file_that_the_provider_counts_as_long_is_known_to_be_long() -> None:
    session = history(6)
    pdf = Media(type="file", data="JVBERi0=", mime_type="application/pdf", name="report.pdf")
    session.turns[0].content = [Text(text="Read this"), pdf]
    session.turns[-1].usage = Usage(input_tokens=90_000, output_tokens=10)
    agent = echo(Compaction(tokens=80_000))
    await agent.ask("Now", session=session)
    assert sent(agent)[0] == f"user: {LEFT_OUT}"
    assert len(sent(agent)) == 6  # nothing else had to go


async def test_what_a_provider_adds_to_each_request_is_not_taken_for_the_users_words() -> None:
    """Twenty thousand tokens of its own beside a short conversation: a few more words are not thousands."""
    session = history(6)
    session.turns[-1].usage = Usage(input_tokens=20_000, output_tokens=10)
    agent = echo(Compaction(tokens=22_000))
    await agent.ask("Now, " + "word " * 200, session=session)
    assert len(sent(agent)) == 7


async def test_twice_in_a_row_nothing_freed_ends_the_run(caplog: pytest.LogCaptureFixture) -> None:
    agent = bench(
        [*(calls(("look", {"at": n})) for n in range(9)), "Seen."],
        tools=[look],
        prompt=LONG,
        middleware=[Compaction(tokens=100, strategy="truncate")],
    )
    with pytest.raises(
        LimitExceeded, match="longer than 100 tokens, and nothing more of it can be left out"
    ) as caught:
        await agent.ask("Look")
    assert caught.value.key == "Compaction"
    assert len(agent.requests()) == 1
    check_history(caught.value.session.turns)


def look(at: int) -> str:
    """Look."""
    return "ok"


TOO_LONG = {"status": 400, "fault": "context", "message": "too long"}


async def test_a_request_that_was_too_long_is_sent_again_shorter_once() -> None:
    with_ten_answers = {"error": TOO_LONG}
    agent = bench([*["Fine."] * 10, with_ten_answers], middleware=[Compaction()])
    session = await agent.ask("Now", session=history(20, LONG))
    assert session.text == "Fine."
    first, second = agent.requests()
    assert len(first.turns) == 21
    assert len(second.turns) < 15
    assert second.turns[0].text == LEFT_OUT
    assert len(session.turns) == 22


async def test_but_not_a_second_time() -> None:
    agent = bench([{"when": "", "error": TOO_LONG}], middleware=[Compaction()])
    with pytest.raises(ProviderError, match="too long") as caught:
        await agent.ask("Now", session=history(20, LONG))
    assert caught.value.fault == "context"
    assert len(agent.requests()) == 2


async def test_other_errors_are_not_its_business() -> None:
    agent = bench([{"when": "", "error": {"status": 401}}], middleware=[Compaction(turns=4)])
    with pytest.raises(ProviderError):
        await agent.ask("Now", session=history(20))
    assert len(agent.requests()) == 1


async def with_model(models: dict[str, Any], compaction: Compaction, session: Session) -> list[Turn]:
    """What is sent to model main."""
    seen = Sent()
    given = Hook(onLLMStart=lambda prompt, ctx: setattr(ctx, "modelReply", "Aye."))
    config = {"middleware": [compaction, seen, given], "agent": {"model": "main"}, "models": models}
    async with Runtime(config) as agent:
        await agent.run("Now", session=session)
    return seen.messages[-1]


@pytest.mark.parametrize(
    ("model", "is_shortened"),
    [
        ({"use": "openai/gpt-5-mini"}, False),
        ({"use": "openai/gpt-4"}, True),
        ({"use": "openai/gpt-5-mini", "fallbacks": ["openai/gpt-4"]}, True),
        ({"use": "ollama_chat/x", "params": {"num_ctx": 4096}}, True),
        ({"use": "hosted_vllm/nobody-knows-it"}, False),
    ],
)
async def test_the_models_window_is_known_offline(model: dict[str, Any], is_shortened: bool) -> None:
    messages = await with_model({"main": model}, Compaction(), history(30, LONG))
    assert (messages[0].text == LEFT_OUT) is is_shortened


async def test_a_window_may_be_given() -> None:
    model = {"main": {"use": "hosted_vllm/nobody-knows-it"}}
    messages = await with_model(model, Compaction(share=0.5, window=8000), history(30, LONG))
    assert messages[0].text == LEFT_OUT
    assert sum(len(turn.text) for turn in messages) / 4 < 0.5 * 0.5 * 8000 + 600


async def test_tools_and_system_prompt_count() -> None:
    def wordy(text: str) -> str:
        return text

    wordy.__doc__ = LONG
    for config, turns in (({}, 6), ({"prompt": LONG}, 3), ({"tools": [wordy]}, 3)):
        agent = echo(Compaction(tokens=3000), **config)
        await agent.ask("Now", session=history(5, LONG))
        assert len(sent(agent)) == turns, config


async def test_what_the_provider_counted_is_the_measure() -> None:
    session = history(6, "a" * 2000)
    session.turns[-1].usage = Usage(input_tokens=9000, output_tokens=10)
    agent = echo(Compaction(tokens=9000))
    await agent.ask("Now", session=session)
    assert sent(agent)[0] == f"user: {LEFT_OUT}"
    session.turns[-1].usage = Usage(input_tokens=9000, output_tokens=10, estimated=True)
    agent = echo(Compaction(tokens=9000))
    await agent.ask("Now", session=session)
    assert len(sent(agent)) == 7


async def test_others_learn_what_was_done(caplog: pytest.LogCaptureFixture) -> None:
    done = []
    note = Hook(onLLMEnd=lambda response, ctx: done.append(ctx["compaction"]))
    caplog.set_level(logging.INFO)
    await echo(Compaction(turns=8), note).ask("Now", session=history(10))
    assert done[0]["agent"] == "Main"
    assert (done[0]["before"].turns, done[0]["after"].turns) == (11, 4)


async def test_over_http(aimock: Aimock, tmp_path: Path) -> None:
    store = SQLModelSessions(f"sqlite:///{tmp_path / 's.db'}")
    async with over_http(aimock, "compaction", store, Compaction(turns=5)) as agent:
        for _ in range(5):
            session = await agent.run("Say hello", session_id="s")
    bodies = [entry["body"]["messages"] for entry in aimock.journal("compaction")]
    assert len(session.turns) == 10
    assert [len(body) for body in bodies] == [1, 3, 5, 2, 4]
    assert bodies[-1][0]["content"].startswith(LEFT_OUT)
    assert [message["role"] for message in bodies[-1]] == ["user", "user", "assistant", "user"]


@pytest.mark.process
async def test_over_http_a_window_that_nobody_knew_is_learned_from_the_refusal() -> None:
    words = "This model's maximum context length is 4096 tokens. Please reduce the length of the messages."
    refusal = {
        "error": {"message": words, "type": "invalid_request_error", "code": "context_length_exceeded"}
    }
    choice = {"index": 0, "message": {"role": "assistant", "content": "Fine."}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 2000, "completion_tokens": 2, "total_tokens": 2002}
    answer = {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "x",
        "choices": [choice],
        "usage": usage,
    }
    async with raw_server([whole(json.dumps(refusal), status=400)], [whole(json.dumps(answer))]) as server:
        model = {"use": "hosted_vllm/our-own", "base_url": server.url, "retries": 0}
        config = {"middleware": [Compaction()], "agent": {"model": "main"}, "models": {"main": model}}
        async with Runtime(config) as agent:
            session = await agent.run("Now", session=history(20, LONG), whole=True)
    assert session.text == "Fine."
    assert len(session.turns) == 22
    first, second = (request.body["messages"] for request in server.requests)
    assert (len(first), first[-1]["content"]) == (21, "Now")
    assert len(second) < 12
    assert second[0]["content"].startswith(LEFT_OUT)
