"""The page, in a real browser: what it shows, that nothing foreign gets in, and that everybody can use it."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.serve.conftest import REPLIES, add
from tests.support.clients import node
from tests.support.served import Served, served

pytestmark = pytest.mark.process

Config = Callable[..., dict[str, Any]]
PAGE = Path(__file__).parents[2] / "auwgent" / "serve" / "page"
PICTURES = os.environ.get("AUWGENT_TEST_PICTURES", "")  # a folder that pictures of the page are put into
HOSTILE = """# Title <script>window.hacked=1</script>

<img src=x onerror="window.hacked=2"> ![pic](https://evil.example/a.png) [click](javascript:window.hacked=3)

| a | b |
|---|---|
| <b>x</b> | `code` |

```html
<script>window.hacked=4</script>
```
"""


def refund(amount: int) -> str:
    """Refund money."""
    return f"refunded {amount}"


@pytest.fixture
def made(config: Config) -> dict[str, Any]:
    replies = [
        {"when": "hostile", "text": HOSTILE},
        {
            "when": "refund",
            "tool_calls": [{"name": "refund", "args": {"amount": 5}}],
            "text": "I will refund.",
        },
        {"result": "refunded 5", "text": "It is {result}."},
        *REPLIES,
    ]
    made = config(agent={"tools": [add, {"use": refund, "approve": "ask"}]})
    made["models"]["main"]["params"]["replies"] = replies
    return made


async def browse(server: Served, scenario: str) -> Any:
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("there is no Chromium")
    [seen] = await node("page.mjs", browser, f"{server.url}/", scenario, *filter(None, [PICTURES]))
    assert seen["foreign"] == []
    assert seen["problems"] == []
    assert seen.get("audit", []) == []
    return seen


async def test_a_conversation_is_shown_as_it_comes_and_as_it_is_stored(made: dict[str, Any]) -> None:
    async with served(made) as server:
        seen = await browse(server, "talk")
    said = ["hello", "You said: hello", "think", "Well, think.", "please add", "I will add them.", "It is 3."]
    assert seen["said"] == seen["again"] == said
    assert seen["calls"][0].startswith('✓ add {"a":1,"b":2}')
    assert [row.splitlines()[0] for row in seen["sessions"]] == ["hello"]


async def test_hostile_text_stays_text(made: dict[str, Any]) -> None:
    async with served(made) as server:
        seen = await browse(server, "hostile")
    assert (seen["alive"], seen["images"], seen["scripts"]) == (None, 0, 0)
    assert seen["links"] == ["https://evil.example/a.png"]
    assert "Title <script>window.hacked=1</script>" in seen["text"]
    assert '<img src=x onerror="window.hacked=2">' in seen["text"]


@pytest.fixture
def helped(config: Config) -> dict[str, Any]:
    """An agent with a helper that calls a tool, and then writes for a while what must stay text."""
    made = config(agent={"helpers": ["Writer"]})
    made["helpers"] = {
        "Writer": {"description": "Writes", "model": "writer", "prompt": "Write.", "tools": [add]},
    }
    call = {"name": "Writer", "args": {"input": "a text"}}
    made["models"]["main"]["params"]["replies"] = [
        {"when": "writer", "tool_calls": [call], "text": "I ask."},
        {"text": "Written."},
    ]
    words = "<img src=x onerror='window.hacked=1'> one two three " + "four " * 60
    made["models"]["writer"] = {
        "use": "scripted/writer",
        "params": {
            "replies": [
                {"tool_calls": [{"name": "add", "args": {"a": 1, "b": 2}}]},
                {"text": words, "pause": 0.5},
            ]
        },
    }
    return made


async def test_what_a_helper_says_is_shown_while_it_is_at_work(helped: dict[str, Any]) -> None:
    async with served(helped) as server:
        seen = await browse(server, "helper")
    assert seen["folded"]
    assert seen["under"] == [["Writer", "<img src=x"]]
    assert seen["tools"] == ["add"]
    assert seen["outside"] == ["ask the writer", "I ask."]
    assert seen["button"] == "Stop"
    assert (seen["images"], seen["hacked"]) == (0, None)
    assert seen["said"] == ["ask the writer", "I ask."]


async def test_what_a_helper_says_to_the_user_is_in_the_open(helped: dict[str, Any]) -> None:
    helped["helpers"]["Writer"]["handoff"] = "user"
    async with served(helped) as server:
        seen = await browse(server, "loud")
    assert (seen["length"], seen["tools"]) == (3, ["add"])


async def test_it_fits_a_telephone_in_the_dark(made: dict[str, Any]) -> None:
    async with served(made) as server:
        seen = await browse(server, "narrow")
    assert seen["wide"] == 360
    assert seen["heights"] == [seen["heights"][0]] * 3  # of four lines, also behind a list
    assert seen["heights"][0] > 100
    assert len(seen["sessions"]) == 1


async def test_a_run_is_stopped(made: dict[str, Any]) -> None:
    async with served(made) as server:
        seen = await browse(server, "stop")
    assert "The run was stopped." in seen["log"]
    assert "ten" not in seen["log"]
    assert seen["state"] == "stopped"


async def test_a_message_is_edited_in_a_fork_and_use_is_drawn(made: dict[str, Any]) -> None:
    async with served(made) as server:
        seen = await browse(server, "fork")
    assert seen["said"] == ["one", "You said: one", "three", "You said: three"]
    assert seen["rows"] == 4
    assert seen["legend"].split() == ["scripted/main"]


async def test_a_token_is_asked_for_once_and_kept_in_the_tab(made: dict[str, Any]) -> None:
    made["serve"]["tokens"] = [{"token": "alice-token-0123456789", "user": "alice"}]
    async with served(made) as server:
        status, _, headers = await server.ask("GET", "/")
        assert status == 200
        assert "default-src 'none'" in headers["content-security-policy"]
        seen = await browse(server, "token")
    assert seen["kept"] == [[], ""]


def test_the_page_is_small() -> None:
    assert sum(len(gzip.compress(file.read_bytes(), 9)) for file in PAGE.iterdir()) < 40_000


async def test_questions_are_answered_also_after_a_reload(made: dict[str, Any]) -> None:
    async with served(made) as server:
        seen = await browse(server, "question")
    assert "Main wants to call refund" in seen["asked"]
    assert "It is refunded 5." in seen["log"]
    assert "⊘ refund" in seen["log"]
    assert seen["waiting"] == "0"


async def test_a_question_is_answered_after_a_restart(made: dict[str, Any]) -> None:
    async with served(made) as server:
        await browse(server, "asked")
    async with served(made) as server:
        seen = await browse(server, "later")
        _, told, _ = await server.ask("GET", "/v1/runs")
    assert "Main wants to call refund" in seen["asked"]
    assert seen["log"].count("It is refunded 5.") == 1
    assert [run["status"] for run in told["data"]] == ["completed"]
