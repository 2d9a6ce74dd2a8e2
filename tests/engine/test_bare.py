"""Thoughts that their provider no longer takes back: the conversation goes on without them."""

import json
from pathlib import Path
from typing import Any

import pytest

from auwgent import ProviderError, Runtime
from tests.models.test_six_providers import claude, now, responses
from tests.support.alone import alone as alone
from tests.support.raw_server import Step, raw_server, whole

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("alone")]

OPENAI = "The encrypted content gAAA could not be verified. Reason: organization_id did not match."
ANTHROPIC = "messages.1.content.0: Invalid `signature` in `thinking` block"


def refusal(words: str) -> list[Step]:
    error = {"type": "invalid_request_error", "message": words}
    return [whole(json.dumps({"type": "error", "error": error}), status=400)]


@pytest.mark.parametrize(
    ("name", "speak", "words"),
    [("openai/responses/gpt-5-mini", responses, OPENAI), ("anthropic/claude-sonnet-4-5", claude, ANTHROPIC)],
)
async def test_a_session_whose_thoughts_are_refused_goes_on_without_them(
    tmp_path: Path, name: str, speak: Any, words: str
) -> None:
    store = {"use": "auwgent.middleware.SQLModelSessions", "url": f"sqlite:///{tmp_path}/s.db"}
    answers = speak("", "SECRET"), speak("First.", ""), refusal(words), speak("Second.", "")
    async with raw_server(*answers) as server:
        model = {"use": name, "base_url": server.url, "api_key": "k-test-123456", "retries": 0}
        config = {"agent": {"name": "Main", "model": "m", "tools": [now]}, "models": {"m": model}}
        async with Runtime({**config, "middleware": [store]}) as agent:
            for text, expected in (("One?", "First."), ("Two?", "Second.")):
                stream = agent.stream(text, session_id="s", whole=True)
                async for _ in stream:
                    pass
                assert stream.session is not None
                assert stream.session.text == expected
        sent = [json.dumps(one.body) for one in server.requests]
    assert ["SECRET" in one for one in sent] == [False, True, True, False]
    assert "First." in sent[3]
    assert "Two?" in sent[3]


async def test_a_refusal_of_something_else_is_told_at_once(tmp_path: Path) -> None:
    async with raw_server(responses("", "SECRET"), refusal("tools.0: no such type")) as server:
        model = {
            "use": "openai/responses/gpt-5-mini",
            "base_url": server.url,
            "retries": 0,
            "api_key": "k-test",
        }
        config = {"agent": {"name": "Main", "model": "m", "tools": [now]}, "models": {"m": model}}
        async with Runtime({**config, "middleware": []}) as agent:
            with pytest.raises(ProviderError, match="no such type"):
                await agent.run("One?")
        assert len(server.requests) == 2
