"""What happens when a model fails before it has said anything."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

import pytest

from auwgent.errors import Fault, ProviderError
from auwgent.models.base import ModelRequest, ModelSpec, Piece, Reply, Retry, TextPiece
from auwgent.models.resilience import Cooldowns, ResilientModel
from tests.models.asking import Heard, asked, hear, user


def failure(
    fault: Fault = "unavailable", retry_after: float | None = None, *, retryable: bool = True
) -> ProviderError:
    return ProviderError(
        "no", provider="p", model="p/m", fault=fault, retryable=retryable, retry_after=retry_after
    )


@dataclass
class Played:
    """A model that plays its acts in order, the last one for ever: a failure, a text, or a text and a failure."""

    spec: ModelSpec
    acts: list[Sequence[str | ProviderError]]
    asked: int = 0
    closed: list[str] = field(default_factory=list)

    async def ask(self, request: ModelRequest) -> AsyncGenerator[Piece | Reply, None]:
        act = self.acts[min(self.asked, len(self.acts) - 1)]
        self.asked += 1
        try:
            for one in act:
                if isinstance(one, ProviderError):
                    raise one
                yield TextPiece(one)
            yield Reply(text="".join(map(str, act)), model=self.spec.name)
        finally:
            self.closed.append("ask")

    async def aclose(self) -> None:
        self.closed.append("model")


def played(name: str, *acts: Sequence[str | ProviderError], retries: int = 2, cooldown: float = 60) -> Played:
    return Played(ModelSpec(name=name, retries=retries, cooldown=cooldown), list(acts))


async def ask(*models: Played, cooldowns: Cooldowns | None = None) -> Heard:
    return await hear(ResilientModel(models, cooldowns or Cooldowns()), asked(user("Hi")))


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long it would have waited."""
    seen: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        seen.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", note)
    return seen


async def test_what_works_is_asked_once(waits: list[float]) -> None:
    model = played("a/one", ["Hello"])
    heard = await ask(model)
    assert (heard.reply.text, heard.pieces, model.asked, waits) == ("Hello", [TextPiece("Hello")], 1, [])


async def test_a_passing_failure_is_tried_again_with_growing_waits(waits: list[float]) -> None:
    model = played("a/one", [failure()], [failure()], ["Hello"])
    heard = await ask(model)
    assert heard.reply.text == "Hello"
    assert [(one.failed, one.model) for one in heard.of(Retry)] == [("a/one", "a/one")] * 2
    assert 0.25 <= waits[0] <= 0.5 <= waits[1] <= 1.0


async def test_retries_come_to_an_end() -> None:
    model = played("a/one", [failure()], retries=2)
    with pytest.raises(ProviderError):
        await ask(model)
    assert model.asked == 3


async def test_retry_after_is_obeyed(waits: list[float]) -> None:
    await ask(played("a/one", [failure("rate_limit", 7.0)], ["Hello"]))
    assert waits == [7.0]


async def test_nobody_waits_an_hour(waits: list[float]) -> None:
    patient, other = played("a/one", [failure("rate_limit", 3600.0)]), played("b/two", ["Hello"])
    assert (await ask(patient, other)).reply.model == "b/two"
    assert (patient.asked, waits) == (1, [])


@pytest.mark.parametrize("fault", ["auth", "bad_request", "not_found", "context", "filtered", "protocol"])
async def test_what_would_fail_again_is_neither_repeated_nor_passed_on(fault: Fault) -> None:
    model, other = played("a/one", [failure(fault, retryable=False)]), played("b/two", ["Hello"])
    with pytest.raises(ProviderError):
        await ask(model, other)
    assert (model.asked, other.asked) == (1, 0)


async def test_fallbacks_are_tried_in_order_and_named() -> None:
    one, two, three = (
        played("a/one", [failure()], retries=0),
        played("b/two", [failure()], retries=0),
        played("c/three", ["Hi"]),
    )
    heard = await ask(one, two, three)
    assert heard.reply.model == "c/three"
    assert [(step.failed, step.model, step.reason) for step in heard.of(Retry)] == [
        ("a/one", "b/two", "no"),
        ("b/two", "c/three", "no"),
    ]


async def test_when_all_fail_the_last_failure_is_told() -> None:
    last = failure("timeout")
    with pytest.raises(ProviderError) as caught:
        await ask(played("a/one", [failure()], retries=0), played("b/two", [last], retries=0))
    assert caught.value is last


async def test_a_used_up_quota_goes_to_the_fallback_at_once() -> None:
    model, other = played("a/one", [failure("rate_limit", retryable=False)]), played("b/two", ["Hello"])
    await ask(model, other)
    assert model.asked == 1


async def test_nothing_is_repeated_after_the_first_piece() -> None:
    model, other = played("a/one", ["Hel", failure("broken_stream")]), played("b/two", ["Hello"])
    stream = ResilientModel([model, other], Cooldowns()).ask(asked(user("Hi")))
    assert await anext(stream) == TextPiece("Hel")
    with pytest.raises(ProviderError):
        await anext(stream)
    assert (model.asked, other.asked) == (1, 0)


async def test_a_failed_model_is_passed_over_for_a_while() -> None:
    cooldowns = Cooldowns()
    model, other = played("a/one", [failure()], ["Back"], retries=0), played("b/two", ["Hello"])
    await ask(model, other, cooldowns=cooldowns)
    assert (await ask(model, other, cooldowns=cooldowns)).reply.text == "Hello"
    assert model.asked == 1


async def test_a_cooldown_is_over_some_time() -> None:
    cooldowns = Cooldowns()
    model, other = played("a/one", [failure()], ["Back"], retries=0, cooldown=0), played("b/two", ["Hello"])
    await ask(model, other, cooldowns=cooldowns)
    assert (await ask(model, other, cooldowns=cooldowns)).reply.text == "Back"


async def test_when_all_are_cooling_down_the_first_is_asked_all_the_same() -> None:
    cooldowns = Cooldowns()
    model = played("a/one", [failure()], ["Back"], retries=0)
    cooldowns.start(model)
    with pytest.raises(ProviderError):
        await ask(model, cooldowns=cooldowns)
    assert (await ask(model, cooldowns=cooldowns)).reply.text == "Back"


async def test_a_model_alone_has_no_cooldown() -> None:
    cooldowns = Cooldowns()
    model = played("a/one", [failure()], ["Back"], retries=0)
    with pytest.raises(ProviderError):
        await ask(model, cooldowns=cooldowns)
    assert cooldowns.is_over(model)


async def test_closing_it_closes_the_call_below() -> None:
    model = played("a/one", ["Hello", "you"])
    stream = ResilientModel([model], Cooldowns()).ask(asked(user("Hi")))
    await anext(stream)
    await stream.aclose()
    assert model.closed == ["ask"]
