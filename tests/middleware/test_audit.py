"""Audit: a log that is only appended, and tells what was done to it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auwgent import Runtime, auwgent
from auwgent.middleware import Audit, Redact
from auwgent.middleware.audit import verify
from tests.middleware.conformance import Conformance, at_work, over_http
from tests.support.aimock import Aimock
from tests.support.answering import provider
from tests.support.bench import Hook, bench, calls

SECRET = "a secret that nobody else knows"


def log_of(folder: Path) -> Path:
    return folder / "audit.jsonl"


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


class TestConformance(Conformance):
    path = "auwgent.middleware.Audit"
    wrong = (
        ({"include": ["everything"]}, "include"),
        ({"path": ""}, "path"),
        ({"secret": "short"}, "at least 16 characters"),
        ({"fsync": "yes"}, "fsync"),
        ({"file": "x.jsonl"}, "its options: path, include, secret, fsync"),
    )

    def make(self, folder: Path) -> Audit:
        return Audit(str(log_of(folder)))

    def make_failing(self, folder: Path) -> Audit:
        return Audit(str(folder))  # a folder is no file

    async def test_helpers_are_included(self, tmp_path: Path) -> None:
        await at_work(Audit(str(log_of(tmp_path)))).ask("Please ask the clerk")
        written = [(one["event"], one["agent"]) for one in records(log_of(tmp_path))]
        assert [event for event, agent in written if agent == "Clerk"] == ["model_call", "response_text"]
        assert sorted(event for event, agent in written if agent == "Main") == sorted(
            [
                *("run_start", "model_call", "tool_call", "helper_call", "tool_result", "helper_result"),
                *("model_call", "response_text", "run_end"),
            ]
        )


def test_a_secret_that_is_too_short_is_not_told() -> None:
    with pytest.raises(ValueError, match="`secret` should have at least 16") as caught:
        Audit(secret="canary")
    assert "canary" not in str(caught.value)


async def test_a_log_says_who_did_what_and_verifies(tmp_path: Path) -> None:
    agent = at_work(Audit(str(log_of(tmp_path))))
    session = await agent.ask("Please ask the clerk", user_id="ada")
    found = verify(log_of(tmp_path))
    written = records(log_of(tmp_path))
    assert found.ok
    assert (found.records, found.head) == (len(written), written[-1]["hash"])
    assert {(one["user"], one["session"]) for one in written} == {("ada", session.id)}
    assert [one["number"] for one in written] == list(range(1, len(written) + 1))
    assert written[-1]["event"] == "run_end"
    assert written[-1]["status"] == "completed"


async def test_what_was_said_is_not_written_unless_it_is_asked_for(tmp_path: Path) -> None:
    quiet, chatty = tmp_path / "quiet.jsonl", tmp_path / "chatty.jsonl"
    everything = Audit(str(chatty), include=["texts", "arguments", "results"])
    await at_work(Audit(str(quiet)), everything).ask("Please ask the clerk")
    assert "clerk said" not in quiet.read_text().lower()
    assert "Look it up" not in quiet.read_text()
    assert "Look it up" in chatty.read_text()
    assert "Found: forty-two." in chatty.read_text()
    called = next(one for one in records(quiet) if one["event"] == "helper_call")
    assert called["args_length"] == len('{"input": "Look it up"}')


async def test_arguments_with_secret_names_and_keys_are_never_written(tmp_path: Path) -> None:
    def log_in(name: str, password: str, api_key: str) -> str:
        """Log in."""
        return "done"

    secrets = {"name": "ada", "password": "canary-1", "api_key": "canary-2"}
    audit = Audit(str(log_of(tmp_path)), include=["arguments"])

    def with_key(prompt: str, ctx: Any) -> None:
        ctx.apiKey, ctx.headers = "canary-3", {"X-Token": "canary-4"}

    agent = bench(
        [calls(("log_in", secrets)), "In."], tools=[log_in], middleware=[Hook(onLLMStart=with_key), audit]
    )
    await agent.ask("Log me in")
    assert '"name":"ada"' in log_of(tmp_path).read_text()
    assert "canary" not in log_of(tmp_path).read_text()


async def test_an_intent_of_the_users_own_is_content(tmp_path: Path) -> None:
    intents = {"Loud": {"fields": {"name": "string"}}}
    agent = bench(
        [calls(("Loud", {"name": "canary"})), "Done."],
        intents=intents,
        middleware=[Audit(str(log_of(tmp_path)))],
    )
    await agent.ask("Be loud")
    assert "canary" not in log_of(tmp_path).read_text()
    assert "Loud" in [one["event"] for one in records(log_of(tmp_path))]


async def test_a_failed_run_is_in_the_log(tmp_path: Path) -> None:
    agent = bench([{"error": {"status": 401, "message": "no"}}], middleware=[Audit(str(log_of(tmp_path)))])
    with pytest.raises(Exception, match="no"):
        await agent.ask("Hi")
    events = {one["event"]: one for one in records(log_of(tmp_path))}
    assert events["failure"]["fault"] == "auth"
    assert events["run_end"]["status"] == "failed"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A log of ten records."""
    path = log_of(tmp_path_factory.mktemp("audit"))

    async def fill() -> None:
        agent = at_work(Audit(str(path), include=["texts"]))
        await agent.ask("One")
        await agent.ask("Two")

    asyncio.run(fill())
    return path.read_bytes()


@given(data=st.data())
def test_any_change_of_any_byte_is_found(
    written: bytes, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = data.draw(st.integers(0, len(written) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda one: one != written[place]))
    path = log_of(tmp_path_factory.mktemp("changed"))
    path.write_bytes(written[:place] + bytes([byte]) + written[place + 1 :])
    assert not verify(path).ok


@given(data=st.data())
def test_lines_taken_out_moved_or_put_in_are_found(
    written: bytes, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lines = written.splitlines(keepends=True)
    places = st.integers(0, len(lines) - 1)
    one, other = data.draw(places), data.draw(places)
    match data.draw(st.sampled_from(["take", "move", "repeat"])):
        case "take":
            lines.pop(min(one, len(lines) - 2))  # the last one may be gone without a trace
        case "move":
            lines[one], lines[other] = lines[other], lines[one]
        case "repeat":
            lines.insert(other, lines[one])
    path = log_of(tmp_path_factory.mktemp("changed"))
    path.write_bytes(b"".join(lines))
    assert verify(path).ok is (b"".join(lines) == written)


def test_a_cut_off_end_is_found_by_who_has_kept_the_head(written: bytes, tmp_path: Path) -> None:
    lines = written.splitlines(keepends=True)
    log_of(tmp_path).write_bytes(b"".join(lines[:-1]))
    head = json.loads(lines[-1])["hash"]
    assert verify(log_of(tmp_path)).ok
    assert "cut off" in verify(log_of(tmp_path), head=head).problem
    log_of(tmp_path).write_bytes(written)
    assert verify(log_of(tmp_path), head=head).ok


async def test_without_the_secret_nobody_can_seal_a_record(tmp_path: Path) -> None:
    await at_work(Audit(str(log_of(tmp_path)), secret=SECRET)).ask("Hi")
    assert verify(log_of(tmp_path), secret=SECRET).ok
    assert verify(log_of(tmp_path)).line == 1
    await at_work(Audit(str(log_of(tmp_path)), secret="the secret of somebody else")).ask("Hi")
    assert not verify(log_of(tmp_path), secret=SECRET).ok
    assert SECRET not in log_of(tmp_path).read_text()


@pytest.mark.parametrize("broken", [b'{"number":3,"prev', b'\n{"number":3\n{"num', b"\xff\xfe"])
async def test_a_line_that_broke_off_is_told_of_by_the_next_record(tmp_path: Path, broken: bytes) -> None:
    agent = at_work(Audit(str(log_of(tmp_path))))
    await agent.ask("One")
    with log_of(tmp_path).open("ab") as file:
        file.write(broken)
    assert "broken off" in verify(log_of(tmp_path)).problem
    await agent.ask("Two")
    assert verify(log_of(tmp_path)).ok
    text = log_of(tmp_path).read_bytes().replace(broken, broken[:-1] + b"?")
    log_of(tmp_path).write_bytes(text)
    assert not verify(log_of(tmp_path)).ok


async def test_a_file_that_is_no_audit_log_is_left_alone(tmp_path: Path) -> None:
    log_of(tmp_path).write_text("my diary\nof two lines\n")
    with pytest.raises(Exception, match="not an audit log"):
        await at_work(Audit(str(log_of(tmp_path)))).ask("One")
    assert log_of(tmp_path).read_text() == "my diary\nof two lines\n"


async def test_long_records_are_chained_too(tmp_path: Path) -> None:
    agent = at_work(Audit(str(log_of(tmp_path)), include=["texts"]))
    await agent.ask("x" * 200_000)
    await agent.ask("Short")
    assert verify(log_of(tmp_path)).ok


@pytest.mark.process
def test_two_processes_write_one_log(tmp_path: Path) -> None:
    program = f"""
import asyncio
from auwgent import Runtime, auwgent
agent = auwgent({{"middleware": [{{"use": "auwgent.middleware.Audit", "path": {str(log_of(tmp_path))!r}}}],
                 "agent": {{"model": "scripted/echo"}}}})
async def main():
    await asyncio.gather(*(agent.run(f"Hi {{n}}") for n in range(20)))
asyncio.run(main())
"""
    working = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(2)]
    assert [one.wait(60) for one in working] == [0, 0]
    assert (verify(log_of(tmp_path)).problem, verify(log_of(tmp_path)).records) == ("", 2 * 20 * 4)


async def test_the_log_is_its_owners_and_beside_the_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with auwgent(
        {"middleware": ["auwgent.middleware.Audit"], "agent": {"model": "scripted/echo"}}
    ) as agent:
        await agent.run("Hi")
    path = tmp_path / ".auwgent" / "audit.jsonl"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


async def test_over_http(aimock: Aimock, tmp_path: Path) -> None:
    async with over_http(aimock, "audit", Audit(str(log_of(tmp_path)), fsync=True)) as agent:
        await agent.run("Say hello")
    assert records(log_of(tmp_path))[-1]["input_tokens"] == 11
    assert "a-key" not in log_of(tmp_path).read_text()
    assert verify(log_of(tmp_path)).ok


@pytest.mark.process
async def test_calls_beside_the_conversation_are_written_with_whose_they_are(tmp_path: Path) -> None:
    judge = {"use": "auwgent.middleware.Moderate", "model": "main", "where": ["inputs"]}
    retrieve = {"use": "auwgent.middleware.Retrieve", "url": f"sqlite:///{tmp_path / 'k.db'}"}
    async with provider(lambda body: "ALLOW") as server:
        config = {
            "middleware": [Audit(str(log_of(tmp_path))), judge, retrieve],
            "agent": {"model": "main", "prompt": "{{ ctx.knowledge }}"},
            "models": {"main": server.model(), "vectors": server.model("openai/vectors")},
            "embedding": {"model": "vectors"},
            "context": {"knowledge": ""},
        }
        async with Runtime(config) as agent:
            await agent.run("Hello")
    asked = [one for one in records(log_of(tmp_path)) if one["event"] in ("model_call", "embedding")]
    assert [(one["event"], one["model"], one.get("by")) for one in asked] == [
        ("model_call", "openai/test", "moderate"),
        ("embedding", "openai/vectors", "retrieve"),
        ("model_call", "openai/test", None),
    ]
    assert verify(log_of(tmp_path)).ok


async def test_a_secret_in_a_text_is_written_where_texts_are(tmp_path: Path) -> None:
    audit = Audit(str(log_of(tmp_path)), include=["texts"])
    await at_work(audit).ask("My password is hunter2hunter")
    assert "hunter2hunter" in log_of(tmp_path).read_text()  # as docs say; Redact takes it out
    redacted = tmp_path / "redacted.jsonl"
    await at_work(Audit(str(redacted), include=["texts"]), Redact()).ask("My password is hunter2hunter")
    assert "hunter2hunter" not in redacted.read_text()
