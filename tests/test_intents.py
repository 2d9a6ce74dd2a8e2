"""Intents, and the handlers that hear of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from auwgent.intents import AuwgentBaseIntentHandler, Handlers, Intent

HEARD: list[tuple[str, Any, str]] = []


@pytest.fixture(autouse=True)
def _silence() -> None:
    HEARD.clear()


def intent(name: str = "tool_result", *, partial: bool = False, **value: Any) -> Intent:
    return Intent(name, value, "Main", "r1", 1, datetime(2026, 1, 1, tzinfo=UTC), partial)


class ByMethod:
    """Any class will do."""

    async def tool_result(self, value: Any, agent_name: str) -> None:
        HEARD.append(("tool_result", value, agent_name))

    def response_text(self, value: Any, agent_name: str) -> None:
        HEARD.append(("response_text", value, agent_name))

    def _private(self, value: Any, agent_name: str) -> None:
        raise AssertionError("this is no intent")


class OnTheBase(AuwgentBaseIntentHandler):
    def tool_result(self, value: Any, agent_name: str) -> None:
        HEARD.append(("base", value, agent_name))


def plain(name: str, value: Any, agent_name: str) -> None:
    HEARD.append((name, value, agent_name))


async def waiting(name: str, value: Any, agent_name: str) -> None:
    HEARD.append((name, value, agent_name))


@pytest.mark.parametrize("handler", [plain, waiting, lambda *heard: plain(*heard)])
async def test_a_function_hears_of_every_intent(handler: Any) -> None:
    handlers = Handlers()
    handlers.add(handler)
    await handlers.emit(intent(result=5))
    await handlers.emit(intent("Loud", reason="x"))
    assert HEARD == [("tool_result", {"result": 5}, "Main"), ("Loud", {"reason": "x"}, "Main")]


@pytest.mark.parametrize("handler", [ByMethod, ByMethod()])
async def test_a_class_or_its_object_hears_by_method(handler: Any) -> None:
    handlers = Handlers()
    handlers.add(handler)
    for name in ("tool_result", "response_text", "tool_call", "_private", "__init__"):
        await handlers.emit(intent(name))
    assert [name for name, _, _ in HEARD] == ["tool_result", "response_text"]


async def test_the_optional_base_needs_no_methods_of_its_own() -> None:
    handlers = Handlers()
    handlers.add(AuwgentBaseIntentHandler)
    handlers.add(OnTheBase)
    await handlers.emit(intent())
    assert HEARD == [("base", {}, "Main")]


async def test_an_object_that_can_be_called_is_a_function() -> None:
    class Callable:
        def __call__(self, name: str, value: Any, agent_name: str) -> None:
            HEARD.append((name, value, agent_name))

    handlers = Handlers()
    handlers.add(Callable())
    await handlers.emit(intent())
    assert HEARD == [("tool_result", {}, "Main")]


async def test_a_method_of_an_object_is_a_function() -> None:
    class Log:
        def note(self, name: str, value: Any, agent_name: str) -> None:
            HEARD.append((name, value, agent_name))

    handlers = Handlers()
    handlers.add(Log().note)
    await handlers.emit(intent("error"))
    assert HEARD == [("error", {}, "Main")]


async def test_handlers_hear_in_the_order_of_their_registration() -> None:
    order: list[int] = []
    handlers = Handlers()
    for number in (1, 2, 3):
        handlers.add(lambda *_, number=number: order.append(number))
    await handlers.emit(intent())
    assert order == [1, 2, 3]


@pytest.mark.parametrize("handler", [3, "response_text", {"tool_result": plain}, object()])
def test_what_cannot_hear_is_refused(handler: Any) -> None:
    with pytest.raises(TypeError, match="a function or has a method per intent"):
        Handlers().add(handler)


def test_handlers_know_whether_there_are_any() -> None:
    handlers = Handlers()
    assert not handlers
    handlers.add(plain)
    assert handlers


def test_an_intent_is_printed_as_one_event() -> None:
    assert intent("response_text", text="Hi").as_json() == {
        "event": "intent",
        "name": "response_text",
        "value": {"text": "Hi"},
        "agent": "Main",
        "run_id": "r1",
        "seq": 1,
        "time": "2026-01-01T00:00:00+00:00",
    }
    assert intent(partial=True).as_json()["event"] == "partial"
