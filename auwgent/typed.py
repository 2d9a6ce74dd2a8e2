"""The config as a program writes it: the tables of the file as TypedDicts, for type checkers.

Made from the tables by scripts/config_types.py; do not edit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Required, TypedDict

from auwgent.models.base import Model


class FileDict(TypedDict, total=False):
    """A text kept in a file of its own."""

    # Path of the file, relative to the config file.
    file: Required[str]


class ToolDict(TypedDict, total=False):
    """A tool: a function, or the tools of an MCP server."""

    # The function, as dotted path: `pkg.mod.Name` or `pkg.mod:Name`; or `mcp:NAME` of an [mcp.NAME]
    # table, or `mcp:NAME:TOOL`.
    use: Required[str | Callable[..., Any]]
    # Whether a call is made, asked about first, or refused.
    approve: Literal["allow", "ask", "deny"]
    # Whether a call that a crash cut off may be made again.
    idempotent: bool
    # Seconds one call may take.
    timeout: float
    # What the model calls it; the function's name when absent.
    name: str
    # What the model reads; the docstring when absent.
    description: str
    # Characters of its result that a model is sent; `limits.result_chars` when absent.
    result_chars: int


class WorkflowDict(TypedDict, total=False):
    """A function the model may call by name, with tools of its own."""

    # The function, as dotted path: `pkg.mod.Name` or `pkg.mod:Name`.
    use: Required[str | Callable[..., Any]]
    # Tools for this workflow alone; the model cannot call them.
    tools: Sequence[str | Callable[..., Any] | ToolDict]
    # Whether it is begun, asked about first, or refused. Inside it nothing waits.
    approve: Literal["allow", "ask", "deny"]
    # What the model calls it; the function's name when absent.
    name: str
    # What the model reads; the docstring when absent.
    description: str


class ExampleDict(TypedDict, total=False):
    """One exchange shown to the model before the first turn."""

    # What the user says.
    user: Required[str]
    # What a good answer looks like.
    assistant: Required[str]


class AgentKeys(TypedDict, total=False):
    """The keys that the root agent and its helpers share."""

    # `provider/model`, or the name of a [models.*] table.
    model: Required[str | Model | type[Model]]
    # The system prompt, in Jinja2; a list of strings and { file = … } is joined by blank lines.
    prompt: str | Sequence[str | FileDict]
    # File that holds the prompt, relative to the config file; instead of `prompt`.
    prompt_file: str
    # Functions and MCP servers the model may call.
    tools: Sequence[str | Callable[..., Any] | ToolDict]
    # Folders with a SKILL.md, relative to the config file, such as `skills/*`; the model loads them
    # by one tool.
    skills: Sequence[str]
    # Names of [helpers.*] tables: agents this one may call.
    helpers: Sequence[str]
    # Functions with tools of their own the model may call.
    workflows: Sequence[str | Callable[..., Any] | WorkflowDict]
    # Names of [intents.*] tables: events the model may emit.
    intents: Sequence[str]
    # Exchanges the model is shown before the first turn.
    examples: Sequence[ExampleDict]


class AgentDict(AgentKeys, total=False):
    """The root agent."""

    # The shape its answer must have.
    output: str | Mapping[str, Any] | type[Any] | Sequence[str | type[Any]]
    # What the session's stack and the intents call it.
    name: str


class PriceDict(TypedDict, total=False):
    """What a model costs, in USD per million tokens."""

    # USD per million tokens sent.
    input: Required[float]
    # USD per million tokens received.
    output: Required[float]
    # USD per million tokens read from the provider's cache; default: as `input`.
    cached: float
    # USD per million tokens written to that cache; default: as `input`.
    written: float


class ModelDict(TypedDict, total=False):
    """A model with its endpoint, parameters and resilience."""

    # `provider/model`, or the dotted path of a model class of your own: `pkg.mod.Name` or
    # `pkg.mod:Name`.
    use: Required[str | Model | type[Model]]
    # Its own key; wins over [api_keys].
    api_key: str
    # Address of the endpoint; a trailing /v1 is optional.
    base_url: str
    # HTTP headers sent along.
    headers: Mapping[str, str]
    # Seconds to the first byte, and between chunks.
    timeout: float
    # How often a call that may pass later is tried again.
    retries: int
    # Seconds a failed model is passed over.
    cooldown: float
    # Whether what will be read again is marked for the provider's cache; auto: not in a question
    # without tools and history.
    cache: bool | Literal["auto"]
    # Whether its server leaves calls in the text, such as <tool_call>{…}</tool_call>.
    text_calls: bool
    # `auto`: our own client for the wire formats it speaks, LiteLLM for all others; or choose one.
    via: Literal["litellm", "direct", "auto"]
    # Parameters passed to the provider as they are; of a class of your own its keyword arguments.
    params: Mapping[str, Any]
    # What it costs, where LiteLLM does not know.
    price: PriceDict
    # Models tried in order when this one stays unreachable.
    fallbacks: Sequence[str]


class HelperDict(AgentKeys, total=False):
    """A full agent that another agent may call."""

    # The shape its answer must have.
    output: str | Mapping[str, Any] | type[Any] | Sequence[str | type[Any]]
    # What the caller's model reads about it.
    description: Required[str]
    # Tools of the caller it may use too: true for all, or a list of their names.
    inherit_tools: bool | Sequence[str]
    # Who gets its answer: the caller; the user, which ends the run; the user, then the caller goes
    # on.
    handoff: Literal["return", "user", "user_then_continue"]


class McpDict(TypedDict, total=False):
    """A Model Context Protocol server: a program spoken to over stdio, or an HTTP address."""

    # Program to start; it is spoken to over standard input and output.
    command: str
    # Arguments of the program.
    args: Sequence[str]
    # Environment variables for the program.
    env: Mapping[str, str]
    # Folder the program starts in, relative to the config file.
    cwd: str
    # HTTP address of a server that runs already.
    url: str
    # HTTP headers sent along.
    headers: Mapping[str, str]
    # Seconds to connect, and for one call.
    timeout: float


class IntentDict(TypedDict, total=False):
    """An event of the user's own that the model may emit."""

    # What the model reads about it.
    description: str
    # Its fields: a type name such as `string`, or a JSON Schema table.
    fields: Mapping[str, Any]
    # Whether the run ends with it.
    terminal: bool


class EmbeddingDict(TypedDict, total=False):
    """The model behind `ctx.embed`."""

    # `provider/model`, or the name of a [models.*] table.
    model: Required[str]


class LimitsDict(TypedDict, total=False):
    """What one run may use. A limit that is absent and has no default is off."""

    # Model calls in one run, helpers included.
    llm_calls: int
    # Identical tool calls in a row before the run is stopped.
    repeats: int
    # How deep helpers may call helpers.
    helper_depth: int
    # Seconds a run may take.
    seconds: float
    # Tokens a run may use, sent and received.
    tokens: int
    # Money a run may cost; every model must then have a known price.
    usd: float
    # Characters of one tool result that a model is sent; the store keeps all of it.
    result_chars: int
    # How long an open question waits, such as 12h or 7d; then the run is over.
    approval: str


class TokenDict(TypedDict, total=False):
    """A token that clients of the server show, and whose it is."""

    # What stands behind `Authorization: Bearer`.
    token: str
    # The SHA-256 of the token, in hexadecimal, instead of the token.
    sha256: str
    # The user of its runs and sessions; nothing in a request can change it.
    user: Required[str]
    # Whether it may name any user by X-User-Id, and sees the runs of all.
    admin: bool
    # Requests in a time, such as 60/min; in each process.
    rate: str


class ServeDict(TypedDict, total=False):
    """How the agent is served over HTTP."""

    # Address to listen on; any other than the loopback needs tokens, `auth`, or `open = true`.
    host: str
    # Port to listen on; 0: any that is free.
    port: int
    # What is spoken: chat, responses, ag-ui, mcp, web, a2a, or the dotted path of one of your own:
    # `pkg.mod.Name` or `pkg.mod:Name`.
    protocols: Sequence[Any]
    # Agents that a request may name: the root, or helpers; when absent, the root.
    agents: Sequence[str]
    # Further Host names that are answered; loopback names always are.
    hosts: Sequence[str]
    # Origins of web pages elsewhere that may call, or `*`.
    origins: Sequence[str]
    # Largest body of a request: bytes, or a size such as 10MB.
    max_body: int
    # Runs under way in this process; more are told to come back.
    max_runs: int
    # Seconds that SIGTERM gives runs before they are cancelled.
    drain: float
    # What becomes of a run whose reader leaves; background runs always go on.
    disconnect: Literal["cancel", "continue"]
    # What becomes of system messages in requests.
    instructions: Literal["ignore", "append", "refuse"]
    # Whether requests may bring tools that the caller runs itself.
    caller_tools: bool
    # Whether no token is asked for, on any host.
    open: bool
    # Function that tells the user from a request's headers, as dotted path: `pkg.mod.Name` or
    # `pkg.mod:Name`.
    auth: Any
    # Tokens of clients, and whose they are.
    tokens: Sequence[TokenDict]


class QueueDict(TypedDict, total=False):
    """Where runs are queued for workers."""

    # The engine that carries the runs' ids to workers.
    use: Literal["dbos"]
    # Address of the PostgreSQL database that keeps the sessions, as the engine is to reach it; when
    # absent, that of the session store.
    url: str
    # Runs at once in one worker process.
    concurrency: int
    # Starts of one run after crashes without a new turn between them; then it is dead.
    retries: int
    # A worker silent for so long is dead; its runs go on elsewhere.
    lease: str
    # Runs of one user at once over all machines; more wait without holding a worker.
    per_user: int
    # Runs that may wait; more are refused, over HTTP with 503 and Retry-After.
    max_waiting: int


class ScheduleDict(TypedDict, total=False):
    """A run that begins at times of its own; each firing is one run, however many machines there are."""

    # What it is called; a firing's run id is `name@time`.
    name: Required[str]
    # Minute, hour, day, month and weekday, as cron has them.
    cron: Required[str]
    # Whose clock that is, such as Europe/Berlin; an hour that comes twice fires once.
    timezone: str
    # The user of its runs.
    user: str
    # The session of its runs; {date} and {time} in it are those of the firing.
    session: Required[str]
    # What is said; {date} and {time} in it are those of the firing.
    input: Required[str]
    # What becomes of firings at which no worker was there.
    missed: Literal["skip", "once", "all"]
    # What becomes of a firing while the last run of the schedule is not over.
    overlap: Literal["skip", "queue"]


class ImportsDict(TypedDict, total=False):
    """Where dotted paths are looked up."""

    # Folders added to the end of sys.path, relative to the config file.
    path: Sequence[str]
    # Standard-library modules that dotted paths may name.
    allow: Sequence[str]


class ExpectationDict(TypedDict, total=False):
    """What must be so after the last input of a test. All that is given must hold."""

    # How the last run ended; `completed` when absent.
    status: Literal["completed", "failed", "cancelled", "paused"]
    # Tools, workflows and helpers that must be called in this order, others between them.
    calls: Sequence[str]
    # Those that must never be called.
    not_calls: Sequence[str]
    # What the last answer must contain.
    text: str
    # A regular expression that must be found in the last answer.
    matches: str
    # What the structured answer must have; it may have more.
    output: Any
    # US dollars that all of it may cost.
    max_usd: float
    # Model calls that all of it may take.
    max_llm_calls: int
    # A function `(session)` that raises or returns what is wrong, as dotted path: `pkg.mod.Name` or
    # `pkg.mod:Name`.
    check: Any


class TestTableDict(TypedDict, total=False):
    """One test: what is said to the agent, and what must come of it."""

    # What it is called; no other test of the file has this name.
    name: Required[str]
    # What the user says.
    input: Required[str]
    # What the user says after that, one after the other.
    then: Sequence[str]
    # An exported session to begin with, relative to the file of the test.
    session: str
    # Values for `{{ ctx.… }}`, over those of [context].
    context: Mapping[str, Any]
    # Models to test, by name or as `provider/model`; the agent's own when absent.
    models: Sequence[str]
    # How often it is run with each model.
    repeat: int
    # A tape, relative to the file of the test: written by `--record`, played otherwise.
    tape: str
    # Answers to the questions whether a tool may be called, by its name.
    answers: Mapping[str, bool | str]
    # What must come of it.
    expect: Required[ExpectationDict]


class ConfigDict(TypedDict, total=False):
    """Everything one config says: the file with its profile, the environment and `--set` laid over it."""

    # The root agent.
    agent: Required[AgentDict]
    # What hooks into every run, in this order; when absent, `auwgent.middleware.SQLModelSessions`.
    middleware: Sequence[Any]
    # API keys, one per provider.
    api_keys: Mapping[str, str]
    # Named models: endpoint, parameters, resilience.
    models: Mapping[str, ModelDict]
    # Agents that other agents may call.
    helpers: Mapping[str, HelperDict]
    # Model Context Protocol servers.
    mcp: Mapping[str, McpDict]
    # Events of your own that a model may emit.
    intents: Mapping[str, IntentDict]
    # Values for `{{ ctx.… }}` in prompts; a run may override them.
    context: Mapping[str, Any]
    # The model behind `ctx.embed`.
    embedding: EmbeddingDict
    # What one run may use.
    limits: LimitsDict
    # How the agent is served over HTTP.
    serve: ServeDict
    # Where runs are queued for workers; when absent, a run happens where it is asked for.
    queue: QueueDict
    # Runs that begin at times of their own.
    schedules: Sequence[ScheduleDict]
    # Where dotted paths are looked up.
    imports: ImportsDict
    # Tests of the agent, for `auwgent test`.
    test: Sequence[TestTableDict]
    # File of variables for `${…}` and of providers' keys, relative to the config file; false: none.
    env_file: str | Literal[False]
    # Parts of this file, laid over it by `--profile NAME`.
    profiles: Mapping[str, Mapping[str, Any]]
    apiKeys: Mapping[str, str]
