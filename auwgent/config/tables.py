"""The tables of the config file as frozen pydantic models. Their field descriptions end up in the JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, time
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    SecretStr,
    Strict,
    Tag,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from auwgent.limits import Count, Positive
from auwgent.model_settings import ModelSettings
from auwgent.secrecy import unsendable

Item = TypeVar("Item")
Many = Annotated[tuple[Item, ...], Strict(False)]  # TOML's lists are Python lists; their items stay strict
Name = Annotated[str, Field(min_length=1)]


# Variants of a union, by kind. The brackets tell them from the keys among which they stand in an error's location.
VARIANTS = frozenset(("<text>", "<bool>", "<list>", "<table>", "<file>", "<object>"))

PATH = "`pkg.mod.Name` or `pkg.mod:Name`"


def kind_of(value: Any) -> str:
    """Return which variant of a union a value is."""
    match value:
        case str():
            return "<text>"
        case bool():
            return "<bool>"
        case list() | tuple():
            return "<list>"
        case Mapping():
            return "<table>"
        case int() | float() | date() | time() | None:
            return "<plain>"
        case _:
            return "<object>"


def one_of(expected: str) -> Discriminator:
    """Choose the variant by the kind of the value, so that a wrong one gives one message, not one per variant."""
    return Discriminator(kind_of, "kind", f"should be {expected}")


def refuse(words: str) -> PydanticCustomError:
    """Return an error whose words are shown behind the name of the key."""
    return PydanticCustomError("refused", "{words}", {"words": words})


def _sendable(value: SecretStr | str) -> SecretStr | str:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if wrong := unsendable(text):
        raise PydanticCustomError("unsendable", "{words}", {"words": wrong})
    return value


def _sendable_names(headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
    for name in headers:
        if wrong := unsendable(name, is_name=True):
            raise refuse(f"has the header {name!r}, which {wrong}")
    return headers


def _trimmed(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


# Keys come out of files and variables with a line break behind them.
Secret = Annotated[SecretStr, BeforeValidator(_trimmed), AfterValidator(_sendable)]
Url = Annotated[Name, BeforeValidator(_trimmed), AfterValidator(_sendable)]
Headers = Annotated[dict[str, Secret], AfterValidator(_sendable_names)]


class Table(BaseModel):
    """Base of all tables: no unknown key, no coercion, no change, no value in the text of an error.

    What may hold a secret is out of the repr.
    """

    # Deferred: `Config` builds one validator for the whole, which makes those of the single tables needless.
    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True
    )


class Entry(Table):
    """Names something of the user's: in the file a dotted path, in a dict also the object itself."""

    use: Annotated[Any, WithJsonSchema({"type": "string"})] = Field(description=f"Dotted path: {PATH}.")

    @model_validator(mode="before")
    @classmethod
    def _spell_out(cls, value: Any) -> Any:
        table = dict(value) if isinstance(value, Mapping) else {"use": value}
        if "use" in table and (not table["use"] or kind_of(table["use"]) not in ("<text>", "<object>")):
            raise refuse(f"should be a dotted path, {PATH}, or a table with `use`")
        return table


Target = Annotated[
    Annotated[Name, Tag("<text>")] | Annotated[Many[Name], Tag("<list>")],
    one_of("the name of an agent, or a list of names"),
]


class MiddlewareEntry(Entry):
    """One middleware. Its other keys are the keyword arguments of its constructor."""

    use: Annotated[Any, WithJsonSchema({"type": "string"})] = Field(
        description=f"The class, as dotted path: {PATH}."
    )
    target: Target | None = Field(
        None, description="Name of the agent it is limited to, or a list of them; absent: all."
    )
    on_error: Literal["raise", "warn"] = Field(
        "raise",
        description="What an exception in a hook does: end the run, or be logged while the run goes on.",
    )
    options: dict[str, Any] = Field({}, repr=False, description="Keyword arguments of the constructor.")

    @model_validator(mode="before")
    @classmethod
    def _gather_options(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        own = {key: value[key] for key in ("use", "target", "on_error") if key in value}
        return own | {"options": {key: item for key, item in value.items() if key not in own}}


Approve = Literal["allow", "ask", "deny"]


class ToolOptions(Table):
    """What holds for a tool, whatever it is made of. The live tool holds its entry as its `options`."""

    approve: Approve = Field("allow", description="Whether a call is made, asked about first, or refused.")
    idempotent: bool = Field(False, description="Whether a call that a crash cut off may be made again.")
    timeout: Positive | None = Field(None, description="Seconds one call may take.")
    name: Name | None = Field(None, description="What the model calls it; the function's name when absent.")
    description: str | None = Field(None, description="What the model reads; the docstring when absent.")
    result_chars: Count | None = Field(
        None, description="Characters of its result that a model is sent; `limits.result_chars` when absent."
    )


class ToolEntry(ToolOptions, Entry):
    """A tool: a function, or the tools of an MCP server."""

    use: Annotated[Any, WithJsonSchema({"type": "string"})] = Field(
        description=f"The function, as dotted path: {PATH}; or `mcp:NAME` of an [mcp.NAME] table, or `mcp:NAME:TOOL`."
    )


class WorkflowEntry(Entry):
    """A function the model may call by name, with tools of its own."""

    use: Annotated[Any, WithJsonSchema({"type": "string"})] = Field(
        description=f"The function, as dotted path: {PATH}."
    )
    tools: Many[ToolEntry] = Field(
        (), description="Tools for this workflow alone; the model cannot call them."
    )
    approve: Approve = Field(
        "allow", description="Whether it is begun, asked about first, or refused. Inside it nothing waits."
    )
    name: Name | None = Field(None, description="What the model calls it; the function's name when absent.")
    description: str | None = Field(None, description="What the model reads; the docstring when absent.")


class TextFile(Table):
    """A text kept in a file of its own."""

    file: Name = Field(description="Path of the file, relative to the config file.")


class Example(Table):
    """One exchange shown to the model before the first turn."""

    user: str = Field(description="What the user says.")
    assistant: str = Field(description="What a good answer looks like.")


PromptPart = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[TextFile, Tag("<table>")],
    one_of("a string, or a table { file = … }"),
]
Prompt = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[Many[PromptPart], Tag("<list>")],
    one_of("a string, or a list of strings and { file = … } tables"),
]
OutputPart = Annotated[
    Annotated[Name, Tag("<text>")]
    | Annotated[Annotated[Any, WithJsonSchema({"type": "string"})], Tag("<object>")],
    one_of("the dotted path of a Pydantic model"),
]


def _kind_of_output(value: Any) -> str:
    return "<file>" if isinstance(value, Mapping) and "file" in value else kind_of(value)


Output = Annotated[
    Annotated[Name, Tag("<text>")]
    | Annotated[Many[OutputPart], Tag("<list>")]
    | Annotated[TextFile, Tag("<file>")]
    | Annotated[dict[str, Any], Tag("<table>")]
    | Annotated[Annotated[Any, WithJsonSchema({"type": "string"})], Tag("<object>")],
    Discriminator(
        _kind_of_output,
        "kind",
        "should be the dotted path of a Pydantic model, a list of them, a JSON Schema table, or { file = … }",
    ),
]
InheritedTools = Annotated[
    Annotated[bool, Tag("<bool>")] | Annotated[Many[Name], Tag("<list>")],
    one_of("true, false or a list of tool names"),
]


class AgentTable(Table):
    """The keys that the root agent and its helpers share."""

    model: Name = Field(description="`provider/model`, or the name of a [models.*] table.")
    prompt: Prompt = Field(
        "",
        description="The system prompt, in Jinja2; a list of strings and { file = … } is joined by blank lines.",
    )
    prompt_file: Name | None = Field(
        None, description="File that holds the prompt, relative to the config file; instead of `prompt`."
    )
    tools: Many[ToolEntry] = Field((), description="Functions and MCP servers the model may call.")
    skills: Many[Name] = Field(
        (),
        description="Folders with a SKILL.md, relative to the config file, such as `skills/*`; the model loads them by "
        "one tool.",
    )
    helpers: Many[Name] = Field((), description="Names of [helpers.*] tables: agents this one may call.")
    output: Output | None = Field(None, description="The shape its answer must have.")
    workflows: Many[WorkflowEntry] = Field(
        (), description="Functions with tools of their own the model may call."
    )
    intents: Many[Name] = Field((), description="Names of [intents.*] tables: events the model may emit.")
    examples: Many[Example] = Field((), description="Exchanges the model is shown before the first turn.")

    @model_validator(mode="after")
    def _has_one_prompt(self) -> AgentTable:
        if self.prompt_file is not None and self.prompt:
            raise refuse("takes `prompt` or `prompt_file`, not both")
        return self


class AgentConfig(AgentTable):
    """The root agent."""

    name: Name = Field("Main", description="What the session's stack and the intents call it.")


class HelperConfig(AgentTable):
    """A full agent that another agent may call."""

    description: Name = Field(description="What the caller's model reads about it.")
    inherit_tools: InheritedTools = Field(
        False, description="Tools of the caller it may use too: true for all, or a list of their names."
    )
    handoff: Literal["return", "user", "user_then_continue"] = Field(
        "return",
        description="Who gets its answer: the caller; the user, which ends the run; the user, then the caller goes on.",
    )


class ModelUse(Table):
    """Names a model: one of a provider, or a class of the user's own."""

    use: Annotated[Any, WithJsonSchema({"type": "string"})] = Field(
        description=f"`provider/model`, or the dotted path of a model class of your own: {PATH}."
    )
    api_key: Secret | None = Field(None, description="Its own key; wins over [api_keys].")
    base_url: Url | None = Field(
        None, repr=False, description="Address of the endpoint; a trailing /v1 is optional."
    )
    headers: Headers = Field({}, description="HTTP headers sent along.")

    @field_validator("use")
    @classmethod
    def _names_a_model(cls, value: Any) -> Any:
        if not value or kind_of(value) not in ("<text>", "<object>"):
            raise refuse(f"should be `provider/model`, or the dotted path of a class: {PATH}")
        return value


class ModelConfig(ModelSettings, ModelUse):
    """A model with its endpoint, parameters and resilience."""

    fallbacks: Many[Name] = Field((), description="Models tried in order when this one stays unreachable.")


class McpConfig(Table):
    """A Model Context Protocol server: a program spoken to over stdio, or an HTTP address."""

    command: Name | None = Field(
        None, description="Program to start; it is spoken to over standard input and output."
    )
    args: Many[str] = Field((), description="Arguments of the program.")
    env: dict[str, SecretStr] = Field({}, description="Environment variables for the program.")
    cwd: Name | None = Field(None, description="Folder the program starts in, relative to the config file.")
    url: Url | None = Field(None, repr=False, description="HTTP address of a server that runs already.")
    headers: Headers = Field({}, description="HTTP headers sent along.")
    timeout: Positive = Field(30.0, description="Seconds to connect, and for one call.")

    @model_validator(mode="after")
    def _has_one_transport(self) -> McpConfig:
        if (self.command is None) == (self.url is None):
            raise refuse("needs exactly one of `command` and `url`")
        owner, keys = ("command", ("args", "env", "cwd")) if self.command is None else ("url", ("headers",))
        for key in keys:
            if getattr(self, key):
                raise refuse(f"has `{key}`, which goes with `{owner}` only")
        return self


class IntentConfig(Table):
    """An event of the user's own that the model may emit."""

    description: str = Field("", description="What the model reads about it.")
    fields: dict[str, Any] = Field(
        {}, description="Its fields: a type name such as `string`, or a JSON Schema table."
    )
    terminal: bool = Field(False, description="Whether the run ends with it.")


class EmbeddingConfig(Table):
    """The model behind `ctx.embed`."""

    model: Name = Field(description="`provider/model`, or the name of a [models.*] table.")


EnvFile = Annotated[
    Annotated[Name, Tag("<text>")] | Annotated[Literal[False], Tag("<bool>")],
    one_of("the path of a file, or false"),
]


class Imports(Table):
    """Where dotted paths are looked up."""

    path: Many[Name] = Field(
        (".",), description="Folders added to the end of sys.path, relative to the config file."
    )
    allow: Many[Name] = Field((), description="Standard-library modules that dotted paths may name.")
