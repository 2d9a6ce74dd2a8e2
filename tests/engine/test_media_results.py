from __future__ import annotations

from typing import Any

from auwgent.session import Media, Text
from tests.support.bench import Hook, bench, calls

DOT = Media(type="image", data="iVBORw0KGgo=", mime_type="image/png")


def shoot() -> list[Text | Media]:
    """Take a picture."""
    return [Text(text="a shot of Ada"), DOT]


async def test_media_of_a_result_are_parts_of_the_turn_and_plain_data_in_the_intent() -> None:
    seen: list[Any] = []
    hook = Hook(
        onIntent=lambda name, value, ctx: seen.append(value["result"]) if name == "tool_result" else None
    )
    agent = bench([calls(("shoot", {})), "Nice."], tools=[shoot], middleware=[hook])
    session = await agent.ask("Go")
    assert session.turns[2].content == [Text(text="a shot of Ada"), DOT]
    assert seen == [[{"type": "text", "text": "a shot of Ada"}, DOT.model_dump(mode="json")]]


async def test_a_hook_may_change_the_words_beside_media_but_bring_no_media_of_its_own() -> None:
    def change(name: str, value: Any, ctx: Any) -> Any:
        if name != "tool_result":
            return None
        first, second = value["result"]
        other = {**second, "data": "AAAA"} if ctx.input == "Forge" else second
        return {"result": [{**first, "text": "a shot of ***"}, other]}

    for said, expected in (("Go", [Text(text="a shot of ***"), DOT]), ("Forge", str)):
        agent = bench([calls(("shoot", {})), "Nice."], tools=[shoot], middleware=[Hook(onIntent=change)])
        content = (await agent.ask(said)).turns[2].content
        assert content == expected if isinstance(expected, list) else isinstance(content, str)
