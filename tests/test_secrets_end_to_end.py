"""Keys stand in every place there is for them, and come out of none: whatever fails, whoever looks."""

from __future__ import annotations

import asyncio
import base64
import logging
import sys
import tomllib
import traceback
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from auwgent import Runtime
from auwgent.errors import ProviderError
from tests.support.alone import alone as alone
from tests.support.command import Command
from tests.support.raw_server import (
    STREAM_END,
    Received,
    Step,
    piece,
    read_request,
    stream_head,
    unused_port,
    whole,
)
from tests.support.serving import serving
from tests.support.wires import WIRES, Anthropic, OpenAI, Wire

pytestmark = [
    pytest.mark.process,
    pytest.mark.usefixtures("alone"),
    pytest.mark.asyncio(loop_scope="module"),  # with the HTTP clients, which take long to make
]

CANARY = "cAnArY"  # is in every secret; few have a form that gives them away
HIDDEN = (CANARY.encode(), base64.b64encode(f"team:{CANARY}".encode())[:12])  # the latter as HTTP sends it
MCP_SERVER = Path(__file__).parent / "support" / "mcp_server.py"

STORE = "auwgent.middleware.SQLModelSessions"

MODELS = """
[api_keys]
openai = "{c}-openai-0123456789"
anthropic = "${{FROM_ENVIRONMENT}}"
mistral = "{c}-of-no-model"

[models.main]
use = "{model}"
via = "{via}"
base_url = "{main}"
headers = {{ X-Team = "{c}-header", Cookie = "session={c}-cookie" }}
timeout = {timeout}
retries = 1
fallbacks = ["spare"]

[models.spare]
use = "{model}"
via = "{via}"
api_key = "{c}-spare-0123456789"
base_url = "{spare}"
headers = {{ X-Team = "{c}-spare-header" }}
timeout = {timeout}
retries = 0
"""
Answer = Callable[[Wire, str], list[Step]]


def refused(status: int) -> Answer:
    return lambda wire, sent: wire.refusal(status, sent)


# What a server answers that gives away all it was sent, as some gateways do.
FAULTS: Mapping[str, Answer] = {
    "400": refused(400),
    "401": lambda wire, sent: wire.refusal(401, f"Incorrect API key provided: {sent}"),
    "403": refused(403),
    "404": refused(404),
    "context overflow": lambda wire, sent: wire.refusal(
        400, f"prompt is too long: 9 tokens > 8 maximum {sent}"
    ),
    "429": lambda wire, sent: wire.refusal(429, sent, Retry_After="0"),
    **{str(status): refused(status) for status in (500, 502, 503, 529)},
    "a web page": lambda wire, sent: [whole(f"<html>{sent}</html>", content_type="text/html")],
    "other JSON": lambda wire, sent: [whole(f'{{"hello": "{sent}"}}')],
    "reset": lambda wire, sent: ["reset"],
    "silence": lambda wire, sent: [stream_head(), 60.0],
    "clean end": lambda wire, sent: [*wire.begun("Half a"), STREAM_END],
    "half an event": lambda wire, sent: [*wire.begun("Half a"), piece(f'data: {{"id": "{sent}'), STREAM_END],
}


def sent(request: Received) -> str:
    """All the secrets of a request, shortened to what an error shows of a provider's words."""
    names = ("authorization", "x-api-key", "x-team", "cookie")
    return " ".join([request.path, *(request.headers[name] for name in names if name in request.headers)])[
        :280
    ]


@asynccontextmanager
async def telltale(wire: Wire, fault: str) -> AsyncIterator[str]:
    """A server that answers everybody so; its URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for step in FAULTS[fault](wire, sent(await read_request(reader))):
            if isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
            elif isinstance(step, float):
                await asyncio.wait([asyncio.ensure_future(reader.read())], timeout=step)

    async with serving(serve) as url:
        yield url


def models(wire: Wire, url: str, timeout: float = 60) -> str:
    main, spare = f"{url}/v1", f"{url}/v1"
    if wire.via == "direct":  # LiteLLM cannot ask such URLs, and they are refused
        host = url.removeprefix("http://")
        main = f"http://team:{CANARY}-url@{host}/v1?key={CANARY}-query"
        spare = f"http://{CANARY}-user@{host}/v1?sig={CANARY}-query"
    return MODELS.format(c=CANARY, model=wire.model, via=wire.via, main=main, spare=spare, timeout=timeout)


def assert_clean(*places: str | bytes) -> None:
    for place in places:
        data = place.encode() if isinstance(place, str) else place
        for secret in HIDDEN:
            at = data.find(secret)
            assert at < 0, data[max(0, at - 300) : at + 60]


def all_of(error: BaseException | None) -> str:
    """Everything that hangs on an error, the variables of our own functions on the way included."""
    told = []
    while error is not None:
        told += [repr(error), repr(vars(error)), *traceback.format_exception(error)]
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        ours = [frame for frame in frames if str(frame.f_globals["__name__"]).startswith("auwgent.")]
        told += [repr(list(frame.f_locals.values())) for frame in ours]
        error = error.__cause__ or error.__context__
    return "\n".join(told)


class Witness:
    """Looks at all that a middleware is shown, and at the database while it is written to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen: list[str | bytes] = []
        self.files: set[str] = set()

    def onIntent(self, name: str, value: Any, ctx: Any) -> None:
        self.seen += [repr(value), ctx.session.model_dump_json(), repr(ctx.error)]
        for file in self.folder.glob(".auwgent/*"):
            self.files.add(file.name)
            self.seen.append(file.read_bytes())

    def onError(self, error: Exception, session: Any, ctx: Any) -> None:
        self.seen.append(all_of(error))


@pytest.mark.parametrize("fault", [*FAULTS, "refused"])
@pytest.mark.parametrize("wire", WIRES, ids=str)
async def test_no_fault_brings_a_secret_to_light(
    tmp_path: Path,
    wire: Wire,
    fault: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FROM_ENVIRONMENT", f"{CANARY}-environment")
    witness = Witness(tmp_path)
    async with telltale(wire, fault if fault in FAULTS else "500") as url:
        if fault == "refused":
            url = f"http://127.0.0.1:{unused_port()}"
        timeout = 0.3 if fault == "silence" else 60
        config = tomllib.loads(f'[agent]\nmodel = "main"\n{models(wire, url, timeout)}')
        agent = Runtime({"middleware": [STORE, witness], **config})
        async with agent:
            stream = agent.stream("Hi", session_id="s")
            with pytest.raises(ProviderError) as caught:
                async for _ in stream:
                    pass
    assert stream.session is not None
    assert_clean(all_of(caught.value), caplog.text, *capfd.readouterr(), stream.session.model_dump_json())
    assert_clean(repr(agent), repr(agent.config), *witness.seen)
    assert {"sessions.db", "sessions.db-wal", "sessions.db-shm"} <= witness.files


# What a middleware of the user's can do to a command: log everything, and look at errors.
WITNESS = """
import logging
from pathlib import Path

logging.basicConfig(filename=Path(__file__).with_name("debug.log"), level=logging.DEBUG, force=True)


class Witness:
    def onError(self, error, session, ctx):
        logging.exception("seen: %r %r", error, vars(error), exc_info=error)
"""
SERVERS = """
[mcp.demo]
command = "{python}"
args = ["{program}"]
env = {{ DEMO_TOKEN = "{c}-mcp-env" }}

[mcp.remote]
url = "http://team:{c}-um@127.0.0.1:{port}/mcp?api_key={c}-mcp-query"
headers = {{ Authorization = "Bearer {c}-mcp-header", X-Team = "{c}-mcp-team" }}
timeout = 2
"""


LOOKS = (
    "check",
    "check --json",
    "check --online",
    "config show",
    "config show --origin",
    "providers",
    "providers --json",
    "sessions show s",
    "sessions export s",
    "usage",
)


@pytest.mark.parametrize(
    ("wire", "fault", "looks"),
    [(Anthropic(), "401", LOOKS), (OpenAI("direct"), "half an event", LOOKS[:1])],
    ids=["anthropic", "openai direct"],
)
async def test_no_command_tells_a_secret(
    tmp_path: Path, wire: Wire, fault: str, looks: Sequence[str]
) -> None:
    servers = SERVERS.format(c=CANARY, python=sys.executable, program=MCP_SERVER, port=unused_port())
    (tmp_path / "witness.py").write_text(WITNESS)
    env = {"FROM_ENVIRONMENT": f"{CANARY}-environment", "MISTRAL_API_KEY": f"{CANARY}-mistral"}
    env |= {"GEMINI_API_KEY": f"{CANARY}-gemini", "AUWGENT_DEBUG": "1"}
    run = Command(tmp_path, litellm=True)
    async with telltale(wire, fault) as url:
        head = f'middleware = ["{STORE}", "witness.Witness"]\n[agent]\nmodel = "main"\n'
        tools = 'tools = ["mcp:demo", "mcp:remote"]\n'
        (tmp_path / "auwgent.toml").write_text(head + tools + models(wire, url) + servers)
        failed = [
            await asyncio.to_thread(run, "run", "-s", "s", "Hi", env=env),
            await asyncio.to_thread(run, "run", "-s", "s", "--json", "Hi", env=env),
        ]
        looked = await asyncio.gather(
            *(asyncio.to_thread(run, *line.split(), env=env) for line in looks),
        )
    assert [done.returncode for done in failed] == [1, 1]
    assert "Traceback" in failed[0].stderr
    for line, done in zip(["run", "run", *looks], [*failed, *looked], strict=True):
        assert done.stdout + done.stderr, line
        assert_clean(done.stdout, done.stderr)
    kept = left_in(tmp_path)
    assert {"debug.log", ".auwgent/sessions.db"} <= kept.keys()
    assert_clean(*kept.values())


def left_in(folder: Path) -> dict[str, bytes]:
    """All files but the config."""
    files = [file for file in folder.rglob("*") if file.is_file() and file.name != "auwgent.toml"]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


async def test_a_broken_config_tells_no_secret(tmp_path: Path) -> None:
    text = models(OpenAI(), "http://127.0.0.1:1")
    (tmp_path / "auwgent.toml").write_text(
        '[agent]\nmodel = "main"\n' + text.replace("retries = 1", "retrys = 1")
    )
    for line in ("run Hi", "check", "config show", "providers"):
        env = {"FROM_ENVIRONMENT": f"{CANARY}-environment", "AUWGENT_DEBUG": "1"}
        done = await asyncio.to_thread(Command(tmp_path, litellm=True), *line.split(), env=env)
        assert "retrys" in done.stdout + done.stderr
        assert_clean(done.stdout, done.stderr)
