"""Reading a config: what comes out, which layer wins, what a dict may say."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from auwgent.config import Price, TextFile, load
from auwgent.errors import ConfigError

AGENT = '[agent]\nmodel = "scripted/echo"\n'
File = Callable[[str], Path]

CONTRACT = """
middleware = [
  "auwgent.middleware.SQLModelSessions",
  { use = "my_app.audit.Audit", path = "audit.jsonl", target = "Researcher", on_error = "warn" },
]

[agent]
name = "Main"
model = "openai/gpt-5-mini"
prompt = "You help {{ ctx.user_name }}."
tools = ["my_app.tools.get_weather", { use = "my_app.tools.refund", approve = "ask" }, "mcp:time"]
helpers = ["Researcher"]
output = "my_app.schemas.Report"
workflows = [{ use = "my_app.flows.delete_user", tools = ["my_app.tools.remove_user"] }]
intents = ["Loud"]
examples = [{ user = "Hi", assistant = "Hello!" }]

[api_keys]
openai = "${OPENAI_API_KEY}"
anthropic = "${ANTHROPIC_API_KEY}"

[models.main]
use = "anthropic/claude-sonnet-4-5"
api_key = "${TEAM_KEY}"
base_url = "https://llm.example"
headers = { X-Team = "blue" }
timeout = 60
retries = 2
fallbacks = ["openai/gpt-5-mini"]
cooldown = 60
cache = false
via = "litellm"
params = { temperature = 0.2, max_tokens = 800 }
price = { input = 3.0, output = 15.0 }

[helpers.Researcher]
description = "Finds sources"
model = "main"
prompt = "…"
tools = []
inherit_tools = ["get_weather"]
handoff = "return"

[mcp.time]
command = "uvx"
args = ["mcp-server-time"]
env = { TZ = "UTC" }
timeout = 30

[intents.Loud]
description = "Think out loud"
fields = { actions = "string", reason = "string" }
terminal = false

[context]
user_name = "friend"

[embedding]
model = "openai/text-embedding-3-small"

[limits]
llm_calls = 25
repeats = 3
helper_depth = 4
seconds = 600
tokens = 200_000
usd = 1.0

[profiles.strict]
agent.prompt = "Return only data."

[imports]
path = ["."]
allow = []
"""
KEYS = {"OPENAI_API_KEY": "o-key", "TEAM_KEY": "t-key"}


def test_a_file_with_every_table_says_what_it_says(file: File) -> None:
    config = load(file(CONTRACT), environ=KEYS)
    sessions, audit = config.middleware
    assert (sessions.use, sessions.options, sessions.on_error) == (
        "auwgent.middleware.SQLModelSessions",
        {},
        "raise",
    )
    assert (audit.use, audit.options) == ("my_app.audit.Audit", {"path": "audit.jsonl"})
    assert (audit.target, audit.on_error) == ("Researcher", "warn")
    assert [tool.use for tool in config.agent.tools] == [
        "my_app.tools.get_weather",
        "my_app.tools.refund",
        "mcp:time",
    ]
    assert [tool.approve for tool in config.agent.tools] == ["allow", "ask", "allow"]
    assert config.agent.workflows[0].tools[0].use == "my_app.tools.remove_user"
    assert config.agent.examples[0].assistant == "Hello!"
    main = config.models["main"]
    assert main.api_key == SecretStr("t-key")
    assert main.headers == {"X-Team": SecretStr("blue")}
    assert main.fallbacks == ("openai/gpt-5-mini",)
    assert main.params == {"temperature": 0.2, "max_tokens": 800}
    assert main.price == Price(input=3.0, output=15.0)
    assert config.helpers["Researcher"].inherit_tools == ("get_weather",)
    assert config.mcp["time"].args == ("mcp-server-time",)
    assert config.intents["Loud"].fields == {"actions": "string", "reason": "string"}
    assert config.embedding is not None
    assert config.limits.tokens == 200_000


def test_what_is_absent_has_the_documented_default(file: File) -> None:
    config = load(
        file(
            AGENT
            + '[models.m]\nuse = "openai/x"\n[helpers.H]\ndescription = "d"\nmodel = "m"\n[mcp.t]\ncommand = "c"'
        ),
        environ={},
    )
    assert [entry.use for entry in config.middleware] == ["auwgent.middleware.SQLModelSessions"]
    assert (config.agent.name, config.agent.prompt) == ("Main", "")
    model, helper, limits = config.models["m"], config.helpers["H"], config.limits
    assert (model.timeout, model.retries, model.cooldown, model.cache, model.via) == (
        60,
        2,
        60,
        "auto",
        "auto",
    )
    assert (helper.inherit_tools, helper.handoff) == (False, "return")
    assert (limits.llm_calls, limits.repeats, limits.helper_depth) == (25, 3, 4)
    assert (limits.seconds, limits.tokens, limits.usd) == (None, None, None)
    assert (config.imports.path, config.imports.allow) == ((".",), ())
    assert config.mcp["t"].timeout == 30


def test_an_empty_list_of_middleware_is_not_the_default(file: File) -> None:
    assert load(file("middleware = []\n" + AGENT), environ={}).middleware == ()


def test_prompts_and_outputs_have_several_forms(file: File) -> None:
    config = load(
        file("""
        [agent]
        model = "scripted/echo"
        prompt = ["First.", { file = "second.md" }]
        output = ["my_app.A", "my_app.B"]
        helpers = ["H", "J"]
        [helpers.H]
        description = "d"
        model = "scripted/echo"
        prompt_file = "h.md"
        output = { file = "schema.json" }
        inherit_tools = true
        [helpers.J]
        description = "d"
        model = "scripted/echo"
        output = { type = "object", properties = { name = { type = "string" } } }
        """),
        environ={},
    )
    assert config.agent.prompt == ("First.", TextFile(file="second.md"))
    assert config.agent.output == ("my_app.A", "my_app.B")
    assert config.helpers["H"].output == TextFile(file="schema.json")
    assert config.helpers["H"].inherit_tools is True
    assert config.helpers["J"].output == {"type": "object", "properties": {"name": {"type": "string"}}}


def test_options_of_a_middleware_stay_plain_lists_and_tables(file: File) -> None:
    entry = '{ use = "a.B", words = ["x"], deep = { on = [1] }, options = 3 }'
    options = load(file(f"middleware = [{entry}]\n" + AGENT), environ={}).middleware[0].options
    assert options == {"words": ["x"], "deep": {"on": [1]}, "options": 3}
    assert type(options["words"]) is list


def test_a_config_cannot_be_changed(file: File) -> None:
    config = load(file(AGENT), environ={})
    with pytest.raises(ValidationError):
        config.limits.llm_calls = 3  # type: ignore[misc]
    with pytest.raises(ValidationError):
        config.context = {}  # type: ignore[misc]


def test_it_knows_its_file_and_folder(file: File, tmp_path: Path) -> None:
    config = load(file(AGENT), environ={})
    assert (config.source, config.folder) == ("auwgent.toml", tmp_path)
    (tmp_path / "sub").mkdir()
    elsewhere = load({"agent": {"model": "scripted/echo"}}, environ={})
    assert (elsewhere.source, elsewhere.folder) == ("dict", Path.cwd())


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(b"\xef\xbb\xbf" + AGENT.replace("\n", "\r\n").encode())
    assert load(path, environ={}).agent.model == "scripted/echo"


# Layers


def test_a_layer_wins_over_those_below_it_key_by_key(file: File) -> None:
    path = file("""
    [agent]
    model = "scripted/file"
    prompt = "file"
    name = "File"
    [limits]
    tokens = 1
    [profiles.p]
    agent.model = "scripted/profile"
    agent.prompt = "profile"
    limits.tokens = 2
    """)
    environ = {"AUWGENT_AGENT__MODEL": "scripted/variable", "AUWGENT_LIMITS__TOKENS": "3"}
    config = load(path, profile="p", environ=environ, overrides=["limits.tokens=4"])
    assert (config.agent.model, config.agent.prompt, config.agent.name) == (
        "scripted/variable",
        "profile",
        "File",
    )
    assert config.limits.tokens == 4
    assert config.origin(("limits", "tokens")) == "--set limits.tokens"
    assert config.origin(("agent", "model")) == "AUWGENT_AGENT__MODEL"
    assert config.origin(("agent", "prompt")) == "auwgent.toml:9 (profile p)"
    assert config.origin(("agent", "name")) == "auwgent.toml:4"
    assert config.origin(("limits", "repeats")) == "default"


def test_a_profile_adds_tables_and_replaces_lists(file: File) -> None:
    path = file("""
    middleware = ["a.B", "c.D"]
    [agent]
    model = "scripted/echo"
    [profiles.p]
    middleware = ["e.F"]
    [profiles.p.helpers.Critic]
    description = "d"
    model = "scripted/echo"
    """)
    config = load(path, profile="p", environ={})
    assert [entry.use for entry in config.middleware] == ["e.F"]
    assert list(config.helpers) == ["Critic"]
    assert load(path, environ={}).helpers == {}


def test_the_process_environment_is_used_when_no_other_is_given(
    file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUWGENT_AGENT__NAME", "FromEnvironment")
    assert load(file(AGENT)).agent.name == "FromEnvironment"


def test_a_problem_of_the_runtime_points_to_where_the_value_was_set(file: File) -> None:
    config = load(
        file('middleware = ["a.B", { use = "c.D", size = 3 }]\n' + AGENT),
        environ={"AUWGENT_AGENT__PROMPT": "{{"},
    )
    problem = config.problem(("middleware", 1), "it takes no `size`", "its options: path")
    assert str(problem) == (
        "auwgent.toml:1:22: it takes no `size`\n"
        ' 1 | middleware = ["a.B", { use = "c.D", size = 3 }]\n'
        "   |                      ^^^^^^^^^^^^^^^^^^^^^^^^^\n"
        "   = its options: path"
    )
    assert config.problem(("agent", "prompt"), "broken").source == "AUWGENT_AGENT__PROMPT"
    assert config.problem(("limits", "tokens"), "off").line is not None


def test_models_in_use_are_those_that_a_run_may_ask(file: File) -> None:
    config = load(
        file("""
        [agent]
        model = "main"
        helpers = ["H"]
        [models.main]
        use = "openai/a"
        fallbacks = ["spare", "mistral/b"]
        [models.spare]
        use = "groq/c"
        [models.idle]
        use = "xai/d"
        [helpers.H]
        description = "d"
        model = "gemini/e"
        [embedding]
        model = "openai/f"
        """),
        environ={},
    )
    assert dict(config.models_in_use()) == {
        "main": ("agent", "model"),
        "spare": ("models", "main", "fallbacks", 0),
        "mistral/b": ("models", "main", "fallbacks", 1),
        "gemini/e": ("helpers", "H", "model"),
        "openai/f": ("embedding", "model"),
    }


# Dicts


class Audit:
    """Stands for a user's middleware."""


def get_weather(city: str) -> str:
    """Stands for a user's tool."""
    return city


def test_a_dict_may_hold_the_objects_themselves() -> None:
    audit = Audit()
    client = object()
    config = load(
        {
            "middleware": [Audit, audit, {"use": Audit, "client": client}],
            "agent": {
                "model": "scripted/echo",
                "tools": [get_weather, {"use": get_weather, "approve": "ask"}],
                "output": Price,
            },
        },
        environ={},
    )
    assert [entry.use for entry in config.middleware] == [Audit, audit, Audit]
    assert config.middleware[2].options["client"] is client
    assert [tool.use for tool in config.agent.tools] == [get_weather, get_weather]
    assert config.agent.output is Price


def test_a_dict_may_write_keys_as_other_languages_do() -> None:
    keys = {"geminiApiKey": "g", "openai": "o", "anthropic_api_key": "a"}
    config = load({"apiKeys": keys, "agent": {"model": "gemini/x"}}, environ={})
    assert {name: key.get_secret_value() for name, key in config.api_keys.items()} == {
        "gemini": "g",
        "openai": "o",
        "anthropic": "a",
    }


def test_variables_work_in_a_dict_too_and_it_stays_as_it_was() -> None:
    source = {"agent": {"model": "scripted/${NAME:-echo}", "tools": ["a.b"]}}
    assert load(source, environ={}).agent.model == "scripted/echo"
    assert source == {"agent": {"model": "scripted/${NAME:-echo}", "tools": ["a.b"]}}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            {"apiKeys": {}, "api_keys": {}, "agent": {"model": "a/b"}},
            "the config has `api_keys` twice, under two names",
        ),
        (
            {"api_keys": {"gemini": "a", "geminiApiKey": "b"}, "agent": {"model": "a/b"}},
            "`api_keys` has `gemini` twice, under two names",
        ),
        (
            {"agent": {"model": "a/b", "modle": 1}},
            "`agent.modle`: unknown key `modle` in [agent]\n   = did you mean `model`?",
        ),
        ({1: 2, "agent": {"model": "a/b"}}, "the config: keys should be strings, not 1"),
        ({"agent": {"model": "a/b", "tools": [3]}}, "`agent.tools[0]` should be a dotted path"),
        ({"agent": {"model": "a/b", "output": 3}}, "`agent.output` should be the dotted path"),
        ({"agent": {"model": "a/b"}, "modle": 3}, "unknown key `modle`"),
        ({"agent": object()}, "`agent` should be a table, not an object of object"),
    ],
)
def test_a_wrong_dict_is_told_in_the_same_words(source: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(source, environ={})
    assert str(caught.value).startswith(message)


def test_a_dict_that_holds_itself_is_refused() -> None:
    context: dict[str, object] = {}
    context["again"] = context
    with pytest.raises(ConfigError, match="nested too deeply"):
        load({"agent": {"model": "a/b"}, "context": context}, environ={})


@pytest.mark.process
def test_a_good_config_needs_no_parser_with_positions(file: File) -> None:
    file(CONTRACT)
    code = (
        "import sys; from auwgent.config import load; load('auwgent.toml', profile='strict')\n"
        "heavy = {'tree_sitter', 'litellm', 'sqlalchemy', 'jsonschema', 'tomli_w', 'click'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=KEYS, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
