"""What a run was answered is written down, and plays again: the same for everybody, and nothing is run."""

from __future__ import annotations

import json
import stat
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from auwgent import AuwgentError, ConfigError, Middleware, ProviderError, Runtime, auwgent
from auwgent.errors import TapeMiss
from auwgent.tape import TapeFile
from tests.tape.acting import World, call, config, on_tape, played, recorded, scripted, watched, without_ids

PROGRAM = Path(__file__).parent.parent / "support" / "mcp_server.py"


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    return tmp_path / "tapes" / "refund.jsonl"


def kinds(tape: Path) -> list[str]:
    return [list(entry)[1] for _, entry in TapeFile(tape).entries()]


def text_of(tape: Path) -> str:
    return tape.read_text(encoding="utf-8")


def of_lines(tape: Path, lines: list[str]) -> Path:
    """A tape beside this one."""
    other = tape.with_name("other.jsonl")
    other.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return other


def mode_of(tape: Path) -> int:
    return stat.S_IMODE(tape.stat().st_mode)


def ordered(seen: list[Any]) -> list[Any]:
    return sorted(seen, key=repr)  # calls side by side end in any order


async def test_a_played_run_shows_and_stores_what_the_recorded_one_did_and_runs_no_tool(tape: Path) -> None:
    world, idle = World(), World()
    before = await recorded(config(world), tape)
    after = await played(config(idle), tape)
    assert len(world.done) == 6
    assert idle.done == []
    assert ordered(after.intents) == ordered(before.intents)
    assert ordered(without_ids(after.session)) == ordered(without_ids(before.session))
    assert after.session.system_prompt == before.session.system_prompt == "You help Ada."
    assert after.of("tool_error") == [{"tool": "breaks", "message": "ValueError: no such luck"}]


async def test_a_tape_is_private_lines_of_json_without_ids_and_times(tape: Path) -> None:
    seen = await recorded(config(World()), tape)
    assert mode_of(tape) == 0o600
    text = text_of(tape)
    assert json.loads(text.splitlines()[0]) == {"tape": 1}
    for turn in seen.session.turns:
        assert turn.id not in text
        assert all(one.id not in text for one in turn.tool_calls or ())
    assert seen.session.id not in text
    assert str(seen.session.turns[0].created_at.year) not in text


async def test_two_recordings_of_one_run_are_the_same_text(tmp_path: Path) -> None:
    steps = [
        {"tool_calls": [call("find_order", number=7), call("refund", number=7), call("breaks")]},
        "Done.",
    ]
    one = config(World(), models={"main": scripted("main", *steps), "fun": scripted("fun", "x")})
    texts = set()
    for number in range(3):
        tape = tmp_path / f"{number}.jsonl"
        await recorded(one, tape)
        texts.add(text_of(tape))
    assert len(texts) == 1


async def test_calls_side_by_side_stand_in_the_order_of_their_begin(tape: Path) -> None:
    import asyncio

    async def slow() -> str:
        """Slow."""
        await asyncio.sleep(0.05)
        return "slow"

    def quick() -> str:
        """Quick."""
        return "quick"

    steps = [{"tool_calls": [call("slow"), call("quick")]}, "Done."]
    agent = {"model": "main", "tools": [slow, quick]}
    await recorded({"agent": agent, "models": {"main": scripted("main", *steps)}, "middleware": []}, tape)
    named = [entry["tool"] for _, entry in TapeFile(tape).entries() if "tool" in entry]
    assert named == ["slow", "quick"]


async def test_the_n_th_equal_call_gets_the_n_th_answer(tape: Path) -> None:
    counted: list[int] = []

    def count() -> int:
        """Count."""
        counted.append(1)
        return len(counted)

    again = {"tool_calls": [call("count")]}
    steps = [again, again, "{result}"]
    one = {
        "agent": {"model": "main", "tools": [count]},
        "models": {"main": scripted("main", *steps)},
        "middleware": [],
    }
    await recorded(one, tape)
    assert (await played(one, tape)).session.text == "2"
    assert len(counted) == 2


async def test_equal_runs_are_played_one_after_the_other_and_then_there_are_no_more(tape: Path) -> None:
    plain = {"agent": {"model": "scripted/echo"}, "middleware": []}
    for _ in range(2):
        await recorded(plain, tape, text="Hello")
    async with Runtime(on_tape(plain, tape)) as agent:
        for _ in range(2):
            assert (await agent.run("Hello")).text == "You said: Hello"
        with pytest.raises(TapeMiss, match="stands there 2 times, and was played 2 times already"):
            await agent.run("Hello")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"text": "Refund order 8"}, 'message 1 (user): on the tape "Refund order 7", now "Refund order 8"'),
        (
            {"context": {"user_name": "Bob"}},
            'the system prompt: on the tape "You help Ada.", now "You help Bob."',
        ),
    ],
)
async def test_a_miss_shows_the_nearest_call_and_the_first_difference(
    tape: Path, changes: dict[str, Any], words: str
) -> None:
    await recorded(config(World()), tape)
    with pytest.raises(TapeMiss) as failure:
        await played(config(World()), tape, **changes)
    assert f"The nearest is on line 3; it differs first in {words}" in str(failure.value)
    assert str(tape) in str(failure.value)


async def test_another_tool_or_parameter_is_a_miss_that_says_so(tape: Path) -> None:
    await recorded(config(World()), tape)
    fewer = config(World(), agent={"tools": [World().find_order]})
    with pytest.raises(TapeMiss, match=r"differs first in tool 2"):
        await played(fewer, tape)


async def test_a_call_that_no_tape_knows_ends_the_run_whatever_middleware_wants(tape: Path) -> None:
    class Swallow(Middleware):
        name = "swallow"

        def onError(self, error: Exception, session: Any, ctx: Any) -> Any:
            return {"swallow": True, "response": "All is well."}

    await recorded(config(World()), tape)
    with pytest.raises(TapeMiss):
        await played(config(World(), middleware=[Swallow]), tape, text="Another question")


async def test_a_tool_called_otherwise_is_a_miss(tape: Path) -> None:
    class Other(Middleware):
        name = "other"

        def onLLMStart(self, prompt: str, ctx: Any) -> None:
            if ctx.get("change"):
                ctx.modelReply = {"calls": [{"id": "c", "name": "refund", "arguments": '{"number": 9}'}]}

    one = config(World(), middleware=[Other])
    await recorded(one, tape)
    with pytest.raises(TapeMiss) as failure:
        await played(one, tape, context={"change": True})
    assert "no result of this call: refund({\"number\": 9}) of 'Main'" in str(failure.value)
    assert "differs first in the arguments.number: on the tape 7, now 9" in str(failure.value)


async def test_a_whole_answer_plays_as_a_stream_and_a_stream_as_a_whole_answer(tape: Path) -> None:
    await recorded(config(World()), tape, whole=True)
    seen = await played(config(World()), tape)
    deltas = [value["delta"] for name, partial, value in seen.intents if partial and name == "response_text"]
    assert seen.session.text in deltas[-1]
    tape = tape.with_name("streamed.jsonl")
    await recorded(config(World()), tape)
    seen = await played(config(World()), tape, whole=True)
    assert not any(partial for _, partial, _ in seen.intents)
    assert seen.session.text.startswith("Order 7 is paid back")


async def test_failures_retries_and_stand_ins_play_again(tape: Path) -> None:
    failing = scripted("main", {"error": {"status": 503, "message": "too much to do"}})
    models = {"main": {**failing, "fallbacks": ["fun"]}, "fun": scripted("fun", "Standing in.")}
    one = {"agent": {"model": "main"}, "models": models, "middleware": []}
    before = await recorded(one, tape)
    after = await played(one, tape)
    assert after.session.text == "Standing in."
    assert after.session.turns[-1].model == before.session.turns[-1].model == "scripted/fun"
    assert [one["failed"] for one in after.of("model_retry")] == ["scripted/main"]

    tape = tape.with_name("failed.jsonl")
    one = {**one, "models": {"main": failing}}
    with pytest.raises(ProviderError):
        await recorded(one, tape)
    with pytest.raises(ProviderError, match="too much to do") as failure:
        await played(one, tape)
    assert (failure.value.status, failure.value.fault) == (503, "unavailable")


async def test_middleware_sees_what_it_saw_and_its_own_calls_are_on_the_tape(tape: Path) -> None:
    saw: list[Any] = []

    class Judge(Middleware):
        name = "judge"

        async def onLLMStart(self, prompt: str, ctx: Any) -> None:
            vector = await ctx.embed(prompt)
            saw.append(
                [ctx.model, ctx.provider, ctx.config.get("chunk"), prompt, vector[:8], ctx.contextWindow]
            )

        async def onRunStart(self, session: Any, ctx: Any) -> None:
            saw.append(await ctx.ask("Is it polite?", model="fun"))

    one = config(World(), middleware=[Judge], embedding={"model": "scripted/vectors"})
    one["models"]["main"]["params"]["chunk"] = 4
    await recorded(one, tape)
    before, saw[:] = list(saw), []
    await played(one, tape)
    assert saw == before
    assert saw[1][:3] == ["scripted/main", "scripted", 4]
    assert kinds(tape).count("embed") == 4  # one of them for the helper
    asides = [entry["ask"] for _, entry in TapeFile(tape).entries() if entry.get("ask", {}).get("by")]
    assert [(one["by"], one["model"]) for one in asides] == [("judge", "scripted/fun")]


async def test_answers_to_questions_are_on_the_tape(tape: Path) -> None:
    world, asked = World(), []

    def approver(request: Any) -> bool | str:
        asked.append(request.tool)
        return "not today" if request.tool == "refund" else True

    tools = [{"use": world.refund, "approve": "ask"}, {"use": world.find_order, "approve": "ask"}]
    steps = [{"tool_calls": [call("refund", number=1), call("find_order", number=1)]}, "Fine."]
    one = {
        "agent": {"model": "main", "tools": tools},
        "models": {"main": scripted("main", *steps)},
        "middleware": [],
    }
    async with Runtime(one, on_approval=approver) as agent:
        before = await watched(agent, record=tape)
    after = await played(one, tape)
    assert asked == ["refund", "find_order"]
    assert [turn.outcome for turn in after.session.turns if turn.role == "tool"] == ["denied", "ok"]
    assert without_ids(after.session) == without_ids(before.session)


async def test_long_results_are_read_on_from_a_tape(tape: Path) -> None:
    def report() -> str:
        """A long report."""
        return "word " * 1000

    class Reading:
        """Reads on in the first result, by the id that stands in it."""

        def __init__(self) -> None:
            self.asked = 0

        async def ask(self, request: Any) -> Any:
            from auwgent.models.base import RawCall, Reply

            results = [turn for turn in request.turns if turn.role == "tool"]
            if not results:
                yield Reply(calls=(RawCall("toolu_ab12cd34", "report", "{}"),))
            elif len(results) == 1:
                where = json.dumps({"id": results[0].tool_call_id, "start": 100, "end": 130})
                yield Reply(calls=(RawCall("toolu_ef56", "read_result", where),))
            else:
                yield results[1].text

    one = {
        "agent": {"model": "own", "tools": [{"use": report, "result_chars": 60}]},
        "models": {"own": {"use": Reading()}},
        "middleware": [],
    }
    before = await recorded(one, tape)
    assert "toolu_" not in text_of(tape)
    after = await played(one, tape)
    assert after.session.text == before.session.text
    assert after.session.text.startswith("[characters 100 to 130 of 5000]")


async def test_secrets_of_the_config_are_masked_also_where_they_come_in_pieces(
    tape: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "correct-horse-battery"

    def leak() -> dict[str, str]:
        """Leak."""
        return {"found": f"the key is {secret}"}

    steps = [{"tool_calls": [call("leak")]}, f"It is {secret}, and sk-{'a' * 30}."]
    one = {
        "agent": {"model": "main", "prompt": f"Never say {secret}.", "tools": [leak]},
        "models": {"main": {**scripted("main", *steps, chunk=4), "api_key": secret}},
        "middleware": [],
    }
    await recorded(one, tape, text=f"My key: {secret}")
    text = text_of(tape)
    assert secret not in text
    assert "a" * 30 not in text
    assert "correct" not in text
    after = await played(one, tape, text=f"My key: {secret}")
    assert secret not in after.session.text


async def test_a_tape_needs_no_key_also_for_helpers_and_named_models(
    tape: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await recorded(config(World()), tape)
    for name in ("OPENAI_API_KEY", "TEAM_KEY", "SERVER_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    one = config(World())
    text = f"""
        middleware = []
        [agent]
        model = "tape/{tape}"
        prompt = "You help Ada."
        helpers = ["Joker"]
        tools = ["mcp:far"]
        [api_keys]
        openai = "${{OPENAI_API_KEY}}"
        [helpers.Joker]
        description = "Tells jokes"
        model = "openai/gpt-5-mini"
        [models.team]
        use = "anthropic/claude-sonnet-4-5"
        api_key = "${{TEAM_KEY}}"
        [mcp.far]
        url = "https://far.example/mcp"
        headers = {{ Authorization = "Bearer ${{SERVER_TOKEN}}" }}
    """
    file = tape.with_name("auwgent.toml")
    file.write_text(text)
    async with auwgent(file) as agent:
        with pytest.raises(TapeMiss, match="does not tell which MCP tools 'Main' has"):
            await agent.run("Refund order 7")
    assert one["agent"]["model"] == "main"


@pytest.mark.process
async def test_mcp_servers_are_not_started_for_a_tape(tape: Path) -> None:
    steps = [{"tool_calls": [call("add", a=1, b=2), call("fail", words="oh no")]}, "Fine."]
    one = {
        "agent": {"model": "main", "tools": ["mcp:demo"]},
        "models": {"main": scripted("main", *steps)},
        "mcp": {"demo": {"command": sys.executable, "args": [str(PROGRAM)]}},
        "middleware": [],
    }
    before = await recorded(one, tape)
    assert "mcp" in kinds(tape)
    gone = {**one, "mcp": {"demo": {"command": "/nowhere/at/all"}}}
    after = await played(gone, tape)
    assert without_ids(after.session) == without_ids(before.session)
    assert [turn.outcome for turn in after.session.turns if turn.role == "tool"] == ["ok", "error"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read: No such file"),
        ("", "is not a tape"),
        ("hello\n", "is not a tape"),
        ('{"tape": 9}\n', "is a tape of form 9; this version reads form 1"),
        ('{"tape": 1}\nnonsense\n{"voice": "a"}\n', ":2 is not an entry of a tape"),
    ],
)
def test_what_is_no_tape_is_a_config_error(tape: Path, text: str | None, words: str) -> None:
    tape.parent.mkdir()
    if text is not None:
        tape.write_text(text)
    with pytest.raises(ConfigError, match=words):
        auwgent({"agent": {"model": f"tape/{tape}"}, "middleware": []})


async def test_a_file_that_is_no_tape_is_never_written_to(tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("my notes\n")
    with pytest.raises(ConfigError, match="is not a tape"):
        await recorded(config(World()), notes)
    assert notes.read_text() == "my notes\n"


async def test_a_run_from_a_tape_is_not_recorded(tape: Path) -> None:
    await recorded(config(World()), tape)
    with pytest.raises(ConfigError, match="cannot be recorded"):
        await played(config(World()), tape, record=tape.with_name("copy.jsonl"))


async def test_a_tape_broken_off_anywhere_plays_up_to_there_and_is_gone_on_with(tape: Path) -> None:
    await recorded(config(World()), tape)
    whole = text_of(tape).encode()
    lines = whole.splitlines(keepends=True)
    ends = [sum(map(len, lines[: number + 1])) for number in range(len(lines))]
    places = {end + more for end in ends for more in (-1, 0, 1)} & set(range(len(whole)))
    torn = tape.with_name("torn.jsonl")
    for place in sorted(places):
        torn.write_bytes(whole[:place])
        left = sum(end <= place for end in ends)
        if left == 0:
            continue
        assert len(TapeFile(torn).entries()) == left - 1
        with pytest.raises((TapeMiss, AuwgentError)):
            await played(config(World()), torn)
        TapeFile(torn).append({"voice": "more"})
        assert torn.read_bytes().startswith(whole[: ends[left - 1]] + b'{"voice": "more"}\n')


async def test_a_model_on_a_tape_may_be_chosen_by_its_name(tape: Path) -> None:
    for name in ("one", "two"):
        plain = {
            "agent": {"model": name},
            "models": {name: scripted(name, f"I am {name}.")},
            "middleware": [],
        }
        await recorded(plain, tape, text="Who?")
    for name in ("one", "two"):
        one = {"agent": {"model": f"tape/{tape}#scripted/{name}"}, "middleware": []}
        async with Runtime(one) as agent:
            assert (await agent.run("Who?")).text == f"I am {name}."


async def test_a_helper_may_have_a_tape_of_its_own(tape: Path) -> None:
    await recorded(config(World()), tape)
    world = World()
    one = config(world)
    one["helpers"]["Joker"]["model"] = f"tape/{tape}"
    async with Runtime(one) as agent:
        session = await agent.run("Refund order 7")
    assert world.done
    assert any(turn.text == "Knock knock." for turn in session.turns)


async def test_a_pause_and_the_legs_behind_it_are_recorded_and_played(tape: Path, tmp_path: Path) -> None:
    world, idle = World(), World()
    steps = [{"tool_calls": [call("find_order", number=7), call("refund", number=7)]}, "Done: {result}"]

    def one(world: World, name: str) -> dict[str, Any]:
        store = {"use": "auwgent.middleware.SQLModelSessions", "url": f"sqlite:///{tmp_path / name}.db"}
        tools = [world.find_order, {"use": world.refund, "approve": "ask"}]
        agent = {"model": "main", "tools": tools}
        return {"middleware": [store], "agent": agent, "models": {"main": scripted("main", *steps)}}

    async def talked(config: dict[str, Any], **options: Any) -> list[Any]:
        async with Runtime(config) as agent:
            begun = await watched(agent, session_id="s", **options)
            assert begun.session.status == "paused"
            [open_call] = begun.session.pending
            ended = await watched(agent, None, session_id="s", answers={open_call["id"]: True}, **options)
            assert ended.session.status == "completed"
        return [without_ids(begun.session), without_ids(ended.session), begun.intents[:-1], ended.intents]

    before = await talked(one(world, "recorded"), record=tape)
    assert world.done == ["find 7", "refund 7"]
    assert await talked(on_tape(one(idle, "played"), tape)) == before
    assert idle.done == []


async def test_a_tape_grows_with_the_conversation_and_not_with_its_square(tape: Path) -> None:
    steps = [{"tool_calls": [call("find_order", number=number)]} for number in range(40)]
    one = {
        "agent": {"model": "main", "tools": [World().find_order]},
        "models": {"main": scripted("main", *steps, "Done.")},
        "limits": {"llm_calls": 50, "repeats": 50},
        "middleware": [],
    }
    before = await recorded(one, tape)
    lines = text_of(tape).splitlines()
    asks = [json.loads(line)["ask"] for line in lines if '"ask"' in line]
    earlier, *new = asks[-1]["turns"]
    assert (earlier["turns"], [next(iter(turn)) for turn in new]) == (79, ["assistant", "tool"])
    assert max(len(json.dumps(ask["turns"])) for ask in asks) < 1000
    read = [entry["ask"]["turns"] for _, entry in TapeFile(tape).entries() if "ask" in entry]
    assert [len(turns) for turns in read] == list(range(1, 82, 2))
    assert all(later[: len(turns)] == turns for turns, later in pairwise(read))
    assert (await played(one, tape)).of("response") == before.of("response")

    named = next(number for number, line in enumerate(lines) if '"turns": [{"same"' in line)
    gone = next(at for at in range(named - 1, 0, -1) if '"ask"' in lines[at])
    with pytest.raises(ConfigError, match="a line was taken out"):
        TapeFile(of_lines(tape, [*lines[:gone], *lines[gone + 1 :]])).entries()
