"""Retrieve: the passages that are near to what the user says reach the prompt."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auwgent import ConfigError, Runtime
from auwgent.errors import ProviderError, StoreError
from auwgent.middleware import Redact, Retrieve
from auwgent.middleware.chunks import chunks
from auwgent.models.base import ModelSpec
from auwgent.models.embedding import embed
from auwgent.session import Media, Session, Text, Turn
from auwgent.store.side import SideDatabase, passages
from auwgent.store.side.passages import Passage, Source
from tests.middleware.conformance import Conformance, at_work, closing, over_http
from tests.support.aimock import Aimock
from tests.support.answering import Answer, Provider, provider
from tests.support.bench import Bench, bench

WORDS = ModelSpec("scripted/words")
PROMPT = "You help {{ ctx.name }}.\n{{ ctx.knowledge }}"
TEXTS = {
    "cats.md": "Cats sleep most of the day.",
    "dogs.md": "Dogs like long walks.",
    "tea.md": "Green tea is made with water below the boiling point.",
}


async def by_words(texts: Sequence[str]) -> list[list[float]]:
    return await embed(WORDS, texts)


async def filled(url: str = "sqlite://", **options: Any) -> Retrieve:
    retrieve = Retrieve(url=url, **options)
    for name, text in TEXTS.items():
        assert await retrieve.add(name, text, by_words) == 1
    return retrieve


def asking(retrieve: Any, *more: Any, **config: Any) -> Bench:
    agent = bench(
        [{"when": "", "text": "ok"}],
        middleware=[*more, retrieve],
        **{"prompt": PROMPT, "context": {"name": "Ada"}, **config},
    )
    agent.change(embed=by_words)
    return agent


class Conforming(Retrieve):
    """With vectors of its own, as the kit has no embedding model."""

    async def search(self, words: str, embed: Any, *, model: str = "") -> Any:
        return await super().search(words, by_words)


class TestConformance(Conformance):
    path = "auwgent.middleware.Retrieve"
    wrong = (
        ({"top": 0}, "`top` should be greater than 0, not 0"),
        ({"min_score": 2}, "`min_score`"),
        ({"into": "my docs"}, "`into`"),
        ({"size": 10}, "`size`"),
        ({"size": 100, "overlap": 90}, "`overlap` must be at most half of `size`"),
        ({"path": "x"}, "its options: url, collection, top, min_score, into, size, overlap"),
    )

    def make(self, folder: Path) -> Retrieve:
        return Conforming(url="sqlite://")

    def make_failing(self, folder: Path) -> Retrieve:
        return Conforming(url=f"sqlite:///{folder}")

    async def test_helpers_are_included(self, tmp_path: Path) -> None:
        retrieve = await filled(top=1)
        async with closing(retrieve):
            helper = {"Clerk": {"description": "x", "model": "clerk", "prompt": "{{ ctx.knowledge }}"}}
            scripts: dict[str, list[Any]] = {
                "main": [{"tool_calls": [{"name": "Clerk", "args": {"input": "x"}}]}, "Done."],
                "clerk": ["ok"],
            }
            agent = bench(scripts, helpers=helper, middleware=[retrieve])
            agent.change(embed=by_words)
            await agent.ask("How do cats sleep?")
        assert agent.requests("clerk")[0].system == f"[1] cats.md\n{TEXTS['cats.md']}"


async def test_the_nearest_passages_reach_the_prompt_beside_other_values(url: str) -> None:
    retrieve = await filled(url, top=2)
    async with closing(retrieve):
        agent = asking(retrieve)
        await agent.ask("How long do cats sleep in a day?")
    system = agent.requests()[0].system
    assert system.startswith(f"You help Ada.\n[1] cats.md\n{TEXTS['cats.md']}\n\n[2] ")
    assert "tea.md" not in system


async def test_what_is_not_near_enough_stays_away() -> None:
    retrieve = await filled(min_score=0.5)
    async with closing(retrieve):
        agent = asking(retrieve)
        session = await agent.ask("Cats sleep most of the night.")
        assert agent.requests()[0].system == f"You help Ada.\n[1] cats.md\n{TEXTS['cats.md']}"
        await agent.ask("Something else entirely", session=session)
        assert agent.requests()[1].system == "You help Ada."


@pytest.mark.parametrize("said", ["", [Media(type="image", url="https://x.example/y.png")]])
async def test_an_input_without_words_finds_nothing(said: Any) -> None:
    retrieve = await filled()
    async with closing(retrieve):
        agent = asking(retrieve)
        await agent.ask(said)
        assert agent.requests()[0].system == "You help Ada."


async def test_parts_and_a_run_without_new_input_are_answered_as_well() -> None:
    retrieve = await filled(top=1)
    async with closing(retrieve):
        agent = asking(retrieve)
        await agent.ask([Text(text="How do cats sleep?")])
        await agent.ask(None, session=Session(turns=[Turn(role="user", content="How do cats sleep?")]))
        assert all("cats.md" in request.system for request in agent.requests())


async def test_found_passages_are_data_for_others() -> None:
    seen: list[Any] = []

    class Cites:
        def onRunComplete(self, session: Session, ctx: Any) -> None:
            seen.extend(ctx.passages)

    retrieve = await filled(top=1)
    async with closing(retrieve):
        await asking(retrieve, Cites()).ask("Cats sleep most of the day.")
    assert seen == [{"source": "cats.md", "text": TEXTS["cats.md"], "score": 1.0}]


async def test_the_embedding_model_reads_what_redact_left() -> None:
    read: list[str] = []

    async def listening(texts: Sequence[str]) -> list[list[float]]:
        read.extend(texts)
        return await by_words(texts)

    retrieve = await filled()
    async with closing(retrieve):
        agent = asking(retrieve, Redact())
        agent.change(embed=listening)
        await agent.ask("I am ada@example.com")
    assert read == ["I am [EMAIL_1]"]


async def test_without_an_embedding_model_the_run_says_what_is_missing() -> None:
    retrieve = Retrieve(url="sqlite://")
    async with closing(retrieve):
        with pytest.raises(Exception, match=r"needs a model under \[embedding\]"):
            await at_work(retrieve).ask("Hi")


@pytest.mark.process
@pytest.mark.parametrize("longest", [30_000, 8000, 2000])
async def test_a_question_that_is_too_long_is_cut(longest: int, caplog: pytest.LogCaptureFixture) -> None:
    def vectors(texts: Sequence[str]) -> Any:
        if any(len(text) > longest for text in texts):
            return Answer("This model's maximum context length is 8192 tokens", status=400)
        return [[1.0, 0.5] for _ in texts]

    async with provider(lambda body: "Fine.", vectors) as server, agent_of(server) as agent:
        session = await agent.run("Explain this log: " + "x y z " * 8000)
        assert session.text == "Fine."
        assert "a.md" in session.system_prompt
        assert server.embedded[-1][0].startswith("Explain this log")
    assert "too long to be embedded" in caplog.text


@pytest.mark.process
async def test_without_its_embedding_model_a_run_goes_on_without_passages(
    caplog: pytest.LogCaptureFixture,
) -> None:
    down: list[bool] = []

    def vectors(texts: Sequence[str]) -> Any:
        return Answer("Overloaded", status=503) if down else [[1.0, 0.5]]

    async with provider(lambda body: "Fine.", vectors) as server, agent_of(server) as agent:
        down.append(True)
        first = await agent.run("Hello")
        down.clear()
        second = await agent.run("Hello")
    assert (first.text, first.system_prompt) == ("Fine.", "")
    assert "a.md" in second.system_prompt
    assert "the run goes on without passages" in caplog.text


@asynccontextmanager
async def agent_of(server: Provider) -> AsyncIterator[Any]:
    """An agent with a document, whose models are asked over HTTP."""
    config = {
        "middleware": [{"use": Retrieve, "url": "sqlite://"}],
        "agent": {"model": "main", "prompt": "{{ ctx.knowledge }}"},
        "models": {"main": server.model(via="direct"), "vectors": server.model("openai/vectors")},
        "embedding": {"model": "vectors"},
        "context": {"knowledge": ""},
    }
    async with Runtime(config) as agent:
        await agent.middleware[0].add("a.md", "Cats sleep.", agent.embed, model=agent.embed_model)
        yield agent


class TestTheIndex:
    async def test_texts_that_did_not_change_are_left_alone(self) -> None:
        retrieve = await filled()
        async with closing(retrieve):
            assert await retrieve.add("cats.md", TEXTS["cats.md"], by_words) is None
            assert await retrieve.add("cats.md", TEXTS["cats.md"], by_words, model="another") == 1
            assert await retrieve.add("cats.md", "Cats purr.", by_words) == 1
            assert (await retrieve.search("cats", by_words))[0].text == "Cats purr."
            assert [source.passages for source in await retrieve.sources()] == [1, 1, 1]

    async def test_texts_can_be_taken_out(self, url: str) -> None:
        retrieve = await filled(url)
        async with closing(retrieve):
            assert await retrieve.remove(["cats.md", "birds.md"]) == 1
            assert [source.name for source in await retrieve.sources()] == ["dogs.md", "tea.md"]
            assert "cats.md" not in [found.source for found in await retrieve.search("cats", by_words)]

    async def test_collections_are_apart(self, url: str) -> None:
        one, other = await filled(url), Retrieve(url=url, collection="other")
        async with closing(one, other):
            assert await other.search("cats", by_words) == []

    async def test_vectors_of_another_model_are_an_error_that_says_what_to_do(self, url: str) -> None:
        async def short(texts: Sequence[str]) -> list[list[float]]:
            return [[1.0, 0.0] for _ in texts]

        retrieve = await filled(url)
        async with closing(retrieve):
            with pytest.raises(StoreError, match="rebuild the index with `auwgent index --renew`"):
                await retrieve.search("cats", short)

    async def test_many_passages_are_found_by_their_signs_first(self, url: str) -> None:
        dice = random.Random(7)

        def near(vector: list[float], by: float) -> list[float]:
            return [number + dice.gauss(0, by) for number in vector]

        database = SideDatabase(url, passages.TABLES, default="x.db")
        count, wanted = passages.EXACT + 500, [dice.gauss(0, 1) for _ in range(96)]
        content = [Passage(f"far {n}", [dice.gauss(0, 1) for _ in range(96)]) for n in range(count)]
        content += [Passage(f"near {n}", near(wanted, 0.1 + n / 10)) for n in range(5)]
        dice.shuffle(content)
        async with closing(database):
            await database.run(None, passages.put, "x", Source("all", "", count), content)
            found = await database.run(None, passages.search, "x", wanted, 5)
        assert [one.text for one in found] == [f"near {n}" for n in range(5)]
        assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


class TestPassages:
    @given(st.text(alphabet="ab \n.", max_size=400), st.integers(50, 120), st.integers(0, 25))
    def test_nothing_is_lost_and_none_is_too_long(self, text: str, size: int, overlap: int) -> None:
        found = chunks(text, size, overlap)
        assert all(0 < len(passage) <= size for passage in found)
        words, place = "".join(text.split()), 0
        for passage in found:  # each goes on where the one before ended, or earlier
            begin = words.find("".join(passage.split()), max(0, place - size))
            assert 0 <= begin <= place
            place = max(place, begin + len("".join(passage.split())))
        assert place == len(words)

    def test_they_end_where_paragraphs_or_sentences_do(self) -> None:
        text = f"{'One two. ' * 5}\n\n{'Three four. ' * 4}"
        assert chunks(text, 60, 0) == [("One two. " * 5).strip(), ("Three four. " * 4).strip()]
        assert all(passage.endswith(".") for passage in chunks("A sentence here. " * 20, 50, 0))

    def test_a_text_without_any_break_is_cut_all_the_same(self) -> None:
        assert chunks("x" * 130, 50, 0) == ["x" * 50, "x" * 50, "x" * 30]


async def test_it_works_in_an_agent_of_a_config(tmp_path: Path) -> None:
    config = {
        "middleware": [{"use": Retrieve, "url": f"sqlite:///{tmp_path / 'i.db'}", "top": 1}],
        "agent": {"model": "scripted/echo", "prompt": "{{ ctx.knowledge }}"},
        "embedding": {"model": "scripted/words"},
    }
    async with Runtime(config) as agent:
        (retrieve,) = agent.middleware
        await retrieve.add("cats.md", TEXTS["cats.md"], agent.embed)
        session = await agent.run("How do cats sleep?")
    assert session.system_prompt == f"[1] cats.md\n{TEXTS['cats.md']}"


async def test_over_http(aimock: Aimock) -> None:
    retrieve = Conforming(url="sqlite://")
    async with over_http(aimock, "retrieve", retrieve, prompt="{{ ctx.knowledge }}") as agent:
        await retrieve.add("hello.md", "How to say hello in Lisbon.", by_words)
        await agent.run("Say hello")
    assert "in Lisbon" in str(aimock.journal("retrieve"))


def test_a_wrong_url_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="url names the database 'mysql'"):
        Retrieve(url="mysql://x/y")


@pytest.mark.process
@pytest.mark.parametrize("vectors", [[], [[]], [[1.0], [1.0]]])
async def test_vectors_that_are_not_one_for_each_text_are_none(
    vectors: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with provider(lambda body: "An answer.", lambda texts: vectors) as server:
        config = {
            "middleware": [Retrieve(url="sqlite://")],
            "agent": {"model": "main", "prompt": "{{ ctx.knowledge }}"},
            "models": {"main": server.model(via="direct"), "vectors": server.model("openai/v")},
            "embedding": {"model": "vectors"},
            "context": {"knowledge": ""},
        }
        async with Runtime(config) as agent:
            assert (await agent.run("Hello")).text == "An answer."
            (retrieve,) = agent.middleware
            with pytest.raises(ProviderError, match="openai/v answered 1 texts with"):
                await retrieve.add("a.md", "Cats sleep.", agent.embed)
    assert "goes on without passages: openai/v answered 1 texts with" in caplog.text


@pytest.mark.parametrize("is_first", [True, False])
async def test_what_is_looked_up_is_the_input_as_guards_leave_it(is_first: bool) -> None:
    class Own:
        """A guard of a user, which says nothing of itself."""

        def onRunStart(self, session: Session, ctx: Any) -> None:
            ctx.input = ctx.input.replace("Berlin", "a city")

    looked_up: list[str] = []

    async def embed(texts: Sequence[str]) -> list[list[float]]:
        looked_up.extend(texts)
        return await by_words(texts)

    retrieve = await filled()
    async with closing(retrieve):
        guards = [Redact(), Own()]
        agent = bench(["ok"], middleware=[retrieve, *guards] if is_first else [*guards, retrieve])
        agent.change(embed=embed)
        await agent.ask("I live in Berlin, mail ada@example.com")
    assert looked_up == ["I live in a city, mail [EMAIL_1]"]
