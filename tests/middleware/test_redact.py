"""Redact: what is secret is neither stored, nor shown, nor sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from auwgent.errors import MiddlewareError
from auwgent.middleware import Redact, SQLModelSessions
from auwgent.session import Media, Session, Text, Turn
from tests.middleware.conformance import Conformance, at_work, closing, over_http
from tests.support.aimock import Aimock
from tests.support.bench import bench, calls

MAIL, CARD = "ada@example.com", "4111 1111 1111 1111"
KEY = "sk-proj-abcdefghijklmnopqrstuvwx"


def send(to: str, body: str = "") -> str:
    """Send a mail."""
    return f"Sent to {to}."


def everything(session: Session) -> str:
    return session.model_dump_json()


class TestConformance(Conformance):
    path = "auwgent.middleware.Redact"
    wrong = (
        ({"kinds": ["moods"]}, "there is no 'moods'; there are private_key"),
        ({"patterns": {"badge": "("}}, "the pattern 'badge' is not a regular expression"),
        ({"patterns": {"badge": "x*"}}, "the pattern 'badge' matches nothing at all"),
        ({"patterns": {"Badge": "x"}}, "patterns.Badge"),
        ({"where": ["everywhere"]}, "where"),
        ({"vault": "carrier pigeon"}, "url is not a database URL"),
        ({"secret": 1}, "its options: kinds, patterns, keep, where, restore, vault"),
    )

    def make(self, folder: Path) -> Redact:
        return Redact()

    def make_failing(self, folder: Path) -> Redact:
        return Redact(vault=f"sqlite:///{folder}")

    async def test_helpers_are_included(self, tmp_path: Path) -> None:
        agent = at_work(Redact(patterns={"answer": "forty-two"}))
        session = await agent.ask("Please ask the clerk")
        assert "forty-two" not in everything(session)
        assert [turn.text for turn in session.turns if turn.agent == "Clerk"][-1] == "Found: [ANSWER_1]."
        assert session.text == "The clerk: Found: [ANSWER_1]."


class TestEveryPlace:
    async def test_inputs_are_redacted_before_anything_else_sees_them(self) -> None:
        agent = bench(["You said: {user}"], middleware=[Redact()])
        session = await agent.ask(f"I am {MAIL}, and again {MAIL}; not bob@example.com")
        assert session.turns[0].text == "I am [EMAIL_1], and again [EMAIL_1]; not [EMAIL_2]"
        assert MAIL not in repr(agent.requests())

    async def test_parts_of_an_input_are_redacted_and_the_caller_keeps_his_own(self) -> None:
        photo = Media(type="image", data="aGk=", mime_type="image/png", name=f"{MAIL}.png")
        given = [Text(text=f"Look, {MAIL}"), photo]
        session = await bench(["ok"], middleware=[Redact()]).ask(given)
        assert everything(session).count(MAIL) == 0
        assert session.turns[0].text == "Look, [EMAIL_1]"
        assert given == [Text(text=f"Look, {MAIL}"), photo]

    async def test_arguments_results_and_answers(self) -> None:
        replies = [calls(("send", {"to": MAIL, "body": "\u0040"})), f"Done, {MAIL}"]
        agent = bench(replies, tools=[send], middleware=[Redact()])
        session = await agent.ask("Write to her")
        call, result, answer = session.turns[1:]
        assert call.tool_calls is not None
        assert call.tool_calls[0].args == {"to": "[EMAIL_1]", "body": "@"}
        assert result.outcome == "error"
        assert "'send' was not called: to held what looks secret or personal" in result.text
        assert answer.text == "Done, [EMAIL_1]"
        shown = json.dumps([intent.as_json() for intent in [*agent.intents, *agent.partials]])
        assert MAIL not in everything(session) + shown

    async def test_data_keeps_its_form(self) -> None:
        def find() -> dict[str, Any]:
            """Find them."""
            return {MAIL: [{"card": 4111111111111111, "age": 36, "password": "x"}]}

        agent = bench([calls("find"), "ok"], tools=[find], middleware=[Redact()])
        session = await agent.ask("Find them")
        found = json.loads(session.turns[2].text)
        assert found == {"[EMAIL_1]": [{"card": "[CARD_1]", "age": 36, "password": "[PASSWORD_1]"}]}

    async def test_structured_answers(self) -> None:
        schema = {"type": "object", "properties": {"mail": {"type": "string"}}}
        agent = bench([json.dumps({"mail": MAIL})], output=schema, middleware=[Redact()])
        session = await agent.ask("Who?")
        assert session.text == '{"mail": "[EMAIL_1]"}'
        assert agent.heard[-1][1]["response"] == {"mail": "[EMAIL_1]"}
        assert MAIL not in json.dumps([piece.as_json() for piece in agent.partials])

    async def test_errors_of_tools(self) -> None:
        def fail() -> None:
            """Fail."""
            raise RuntimeError(f"no such user: {MAIL}")

        agent = bench([calls("fail"), "ok"], tools=[fail], middleware=[Redact()])
        session = await agent.ask("Go")
        assert session.turns[2].text == "Error: RuntimeError: no such user: [EMAIL_1]"
        assert agent.heard[1][1]["message"] == "RuntimeError: no such user: [EMAIL_1]"

    async def test_errors_of_the_run(self, tmp_path: Path) -> None:
        broken = {"text": f"Write to {MAIL} now please", "error": {"after": 4, "message": f"lost {MAIL}"}}
        store = SQLModelSessions(f"sqlite:///{tmp_path / 'x.db'}")
        async with closing(store):
            agent = bench([broken], middleware=[store, Redact()])
            with pytest.raises(Exception, match="lost") as caught:
                await agent.ask("Go")
        assert MAIL not in str(caught.value)
        assert agent.session.turns[-1].text == "Write to [EMAIL_1] now"
        assert MAIL not in json.dumps([intent.as_json() for intent in agent.intents])
        assert MAIL.encode() not in (tmp_path / "x.db").read_bytes()

    async def test_history_from_before_is_not_sent_again(self) -> None:
        old = Session(turns=[Turn(role="user", content=f"I am {MAIL}"), Turn(role="assistant", content="Hi")])
        agent = bench(["ok"], middleware=[Redact()])
        session = await agent.ask("Who am I?", session=old)
        assert [turn.text for turn in agent.requests()[0].turns] == ["I am [EMAIL_1]", "Hi", "Who am I?"]
        assert session.turns[0].text == f"I am {MAIL}"  # what is stored already stays

    async def test_the_system_prompt_only_where_asked(self) -> None:
        for redact, prompt in (
            (Redact(), f"You serve {MAIL}."),
            (Redact(where=["prompt"]), "You serve [EMAIL_1]."),
        ):
            agent = bench(["ok"], prompt=f"You serve {MAIL}.", middleware=[redact])
            session = await agent.ask("Hi")
            assert agent.requests()[0].system == session.system_prompt == prompt

    async def test_only_the_places_that_are_asked_for(self) -> None:
        agent = bench([f"It is {MAIL}."], middleware=[Redact(where=["inputs"])])
        session = await agent.ask(MAIL)
        assert [turn.text for turn in session.turns] == ["[EMAIL_1]", f"It is {MAIL}."]

    async def test_the_store_on_disk_holds_nothing_of_it(self, tmp_path: Path) -> None:
        store = SQLModelSessions(f"sqlite:///{tmp_path / 'x.db'}")
        async with closing(store):
            replies = [calls(("send", {"to": MAIL})), f"Sent. The key is {KEY}"]
            await bench(replies, tools=[send], middleware=[store, Redact()]).ask(f"Mail {MAIL}, card {CARD}")
        stored = (tmp_path / "x.db").read_bytes()
        assert b"[EMAIL_1]" in stored
        assert not any(secret.encode() in stored for secret in (MAIL, CARD, KEY))


class TestRestoring:
    CALL = calls(("send", {"to": "[EMAIL_1]", "body": "from [NOTE_1]"}))

    async def test_tools_that_are_named_get_the_real_values(self) -> None:
        got: list[tuple[str, str]] = []

        def send(to: str, body: str) -> str:
            """Send a mail."""
            got.append((to, body))
            return f"Sent to {to}."

        agent = bench([self.CALL, "Sent."], tools=[send], middleware=[Redact(restore=["sen*"])])
        session = await agent.ask(f"Write to {MAIL}")
        assert got == [(MAIL, "from [NOTE_1]")]
        assert MAIL not in everything(session)
        assert session.turns[2].text == "Sent to [EMAIL_1]."

    async def test_other_tools_get_placeholders(self) -> None:
        agent = bench([self.CALL, "Sent."], tools=[send], middleware=[Redact(restore=["pay"])])
        session = await agent.ask(f"Write to {MAIL}")
        assert session.turns[2].text == "Sent to [EMAIL_1]."
        assert agent.heard[0][1]["args"]["to"] == "[EMAIL_1]"

    async def test_placeholders_are_the_same_in_later_runs(self) -> None:
        redact = Redact(restore=["send"])
        agent = bench(["Noted.", self.CALL, "Sent."], tools=[send], middleware=[redact])
        session = await agent.ask(f"I am {MAIL}")
        session = await agent.ask(f"Write to me, {MAIL}, not to bob@example.com", session=session)
        assert session.turns[2].text == "Write to me, [EMAIL_1], not to [EMAIL_2]"
        assert agent.heard[0][1]["args"]["to"] == MAIL

    async def test_another_session_cannot_restore_them(self) -> None:
        redact = Redact(restore=["send"])
        agent = bench([self.CALL, "Sent."], tools=[send], middleware=[redact])
        await agent.ask(f"I am {MAIL}", session_id="1")
        session = await agent.ask("Write to [EMAIL_1]", session_id="2")
        assert session.turns[2].text == "Sent to [EMAIL_1]."

    async def test_another_process_says_that_it_does_not_know_them(self) -> None:
        agent = bench(["Noted."], tools=[send], middleware=[Redact(restore=["send"])])
        session = await agent.ask(f"I am {MAIL}")
        later = bench(["x", self.CALL, "Sorry."], tools=[send], middleware=[Redact(restore=["send"])])
        session = await later.ask("Write to me, not to eve@example.com", session=session)
        assert session.turns[2].text == "Write to me, not to [EMAIL_2]"
        assert "what [EMAIL_1] stood for is not known any more" in session.turns[4].text

    async def test_with_a_vault_another_process_knows_them(self, url: str) -> None:
        session = Session()
        for replies, words in ((["Noted."], f"I am {MAIL}"), (["x", self.CALL, "Sent."], "Write to me")):
            redact = Redact(restore=["send"], vault=url)
            async with closing(redact):
                agent = bench(replies, tools=[send], middleware=[redact])
                session = await agent.ask(words, session=session)
        assert agent.heard[0][1]["args"]["to"] == MAIL
        assert MAIL not in everything(session)


async def streamed(text: str, size: int, **config: Any) -> tuple[list[Any], Any]:
    """The pieces that were shown, and the last intent."""
    agent = bench([text], middleware=[Redact()], **config)
    agent.model().script = agent.model().script.model_copy(update={"chunk": size})
    await agent.ask("Hi")
    return [piece.value for piece in agent.partials], agent.heard[-1][1]


@pytest.mark.parametrize("size", [1, 4, 1000])
async def test_what_is_streamed_is_what_is_said_in_the_end(size: int) -> None:
    pieces, final = await streamed(f"Write to {MAIL}, or pay with {CARD}", size)
    assert "".join(piece["delta"] for piece in pieces) == final["text"]
    assert pieces[-1]["snapshot"] == final == {"text": "Write to [EMAIL_1], or pay with [CARD_1]"}


@pytest.mark.parametrize("size", [1, 4, 1000])
async def test_data_that_is_streamed_is_what_is_said_in_the_end(size: int) -> None:
    text = json.dumps({"to": MAIL, "password": "letmein", "notes": ["new\nline", 1]}).replace("@", "\\u0040")
    pieces, final = await streamed(text, size, output={"type": "object"})
    assert json.loads("".join(piece["delta"] for piece in pieces)) == final["response"]
    assert pieces[-1]["snapshot"] == final
    assert final["response"] == {"to": "[EMAIL_1]", "password": "[PASSWORD_1]", "notes": ["new\nline", 1]}


async def test_only_what_may_become_a_secret_is_held_back() -> None:
    pieces, _ = await streamed(f"Hello there, write to {MAIL} today. ", 1)
    at_once = [piece["raw"] for piece in pieces]
    assert "Hello there, " in at_once
    assert "Hello there, write to [EMAIL_1] " in at_once
    assert not any("ada" in raw for raw in at_once)


async def test_over_http_a_provider_never_reads_it(aimock: Aimock) -> None:
    async with over_http(aimock, "redact", Redact()) as agent:
        session = await agent.run(f"Say hello to {MAIL}")
    assert session.turns[0].text == "Say hello to [EMAIL_1]"
    asked = json.dumps(aimock.journal("redact"))
    assert "[EMAIL_1]" in asked
    assert MAIL not in asked


async def test_a_pattern_that_takes_for_ever_ends_the_run_and_is_named() -> None:
    agent = bench(["ok"], middleware=[Redact(kinds=[], patterns={"badge": "(?:a|aa)+b"})])
    with pytest.raises(MiddlewareError, match="the pattern 'badge' took more than 2 s for a text of 200"):
        await agent.ask("a" * 200)
    assert agent.requests() == []
