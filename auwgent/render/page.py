"""A stored conversation as one page of HTML: for eyes, without scripts, and without anything from elsewhere.

All of a session is foreign text. Three things keep it from being more than text: the template escapes whatever it
is handed, Markdown is rendered without HTML and images, and the page's own policy has a browser load and run
nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auwgent.render.money import dollars
from auwgent.render.run import short
from auwgent.render.terminal import harmless
from auwgent.session import Media, Session, Text, ToolCall, Turn, Usage, encodable

if TYPE_CHECKING:
    from jinja2 import Template
    from markdown_it import MarkdownIt

COLOURS = 6  # of agents; the template has as many
PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")  # what a browser shows and runs nothing of
LONGEST = 100_000  # characters that are read as Markdown
LONGEST_CODE = 20_000  # characters of a code block whose words are marked
LANGUAGES = re.compile(
    r"bash|c|cpp|cs|css|diff|go|html|java|javascript|js|json|kotlin|php|py|python|rb|ruby|rs|rust|sh|sql|swift|toml|ts|"
    r"typescript|xml|ya?ml"
)
NESTED = 16  # levels of helpers that are indented

STEP, TOKENS, MONEY = 44.0, 92.0, 40.0  # of the timeline, in its own units


@dataclass(slots=True)
class Call:
    """A tool or helper that was called in a turn: its result, and what a helper said meanwhile."""

    asked: ToolCall
    turn: Turn
    depth: int = 0
    result: Turn | None = None
    messages: list[Message] = field(default_factory=list)

    @property
    def outcome(self) -> str:
        return "unknown" if self.result is None else self.result.outcome or "ok"

    @property
    def args(self) -> str:
        return self.asked.raw_args or _pretty(self.asked.args)

    @property
    def line(self) -> str:
        """The arguments on one line."""
        if self.asked.raw_args is not None:
            return short(self.asked.raw_args)
        return ", ".join(f"{name}={short(_plain(value))}" for name, value in self.asked.args.items())

    def holds(self, turn: Turn) -> bool:
        """Return whether it was under way when that was said. Calls side by side end before what they said is over."""
        over = self.result is not None and turn.created_at > self.result.created_at
        return turn.run_id == self.turn.run_id and not over


@dataclass(slots=True)
class Message:
    """Something that was said, and the calls it made. `number` is its model call's on the timeline."""

    turn: Turn
    colour: int
    number: int | None = None
    caller: Call | None = None
    calls: list[Call] = field(default_factory=list)
    ending: str | None = None  # how its run ended with it, where that is worth telling

    @property
    def speaker(self) -> str:
        if self.turn.role == "user":
            return "You" if self.caller is None else self.caller.turn.agent or "Assistant"
        return self.turn.agent or "Assistant"

    @property
    def parts(self) -> Sequence[Any]:
        content = self.turn.content
        return content if not isinstance(content, str) else [Text(text=content)] if content else []


@dataclass(slots=True)
class Bar:
    """One model call on the timeline: tokens read and written upwards, money downwards."""

    number: int
    turn: Turn
    colour: int
    x: float
    width: float
    read: float
    written: float
    money: float


@dataclass(slots=True)
class Totals:
    """What a model was asked for in all, and how many of its calls have no known price."""

    calls: int = 0
    unpriced: int = 0
    usage: Usage = field(default_factory=lambda: Usage(usd=0.0))

    def add(self, usage: Usage) -> None:
        priced = usage if usage.usd is not None else usage.model_copy(update={"usd": 0.0})
        self.calls, self.unpriced = self.calls + 1, self.unpriced + (usage.usd is None)
        self.usage = self.usage + priced


def page(session: Session, ends: Mapping[str, str] | None = None) -> str:
    """Return the whole conversation as an HTML document.

    `ends` says how runs ended, by their ids, where that is worth telling: it is told after their last turns.
    """
    untold = dict(ends or {})
    agents = list(dict.fromkeys([*session.stack[:1], *(turn.agent for turn in session.turns if turn.agent)]))
    colours = {agent: index % COLOURS for index, agent in enumerate(agents)}
    asked = [(turn, turn.usage) for turn in session.turns if turn.usage is not None]
    total, models = Totals(), dict[str, Totals]()
    for turn, usage in asked:
        total.add(usage)
        models.setdefault(turn.model or "?", Totals()).add(usage)
    most = max((usage.input_tokens + usage.output_tokens for _, usage in asked), default=0)
    dearest = max((usage.usd or 0.0 for _, usage in asked), default=0.0)
    messages = conversation(session.turns, colours)
    for message in reversed(messages):
        message.ending = untold.pop(message.turn.run_id or "", None)
    return _template().render(
        session=session,
        messages=messages,
        endings=list(untold.values()),
        colours=colours,
        bars=[
            Bar(
                number,
                turn,
                colours.get(turn.agent or "", 0),
                x=(number - 1) * STEP + STEP / 10,
                width=STEP * 8 / 10,
                read=round(TOKENS * usage.input_tokens / (most or 1), 2),
                written=round(TOKENS * usage.output_tokens / (most or 1), 2),
                money=round(MONEY * (usage.usd or 0.0) / (dearest or 1.0), 2),
            )
            for number, (turn, usage) in enumerate(asked, start=1)
        ],
        most=most,
        dearest=dearest,
        total=total,
        models=models,
        step=STEP,
        tokens=TOKENS,
        money=MONEY if dearest else 0,
    )


def notebook(session: Session) -> str:
    """Return the page in a frame of its own, so that its styles and the notebook's leave each other alone."""
    whole = page(session).replace("&", "&amp;").replace('"', "&quot;")
    return f'<iframe sandbox srcdoc="{whole}" style="width: 100%; height: 30em; border: 0"></iframe>'


def speakers(session: Session) -> dict[str, str]:
    """Return who spoke to a helper in place of the user, as `Main to Joker`, by the ids of such turns."""
    found: dict[str, str] = {}
    waiting = conversation(session.turns, {})
    while waiting:
        message = waiting.pop()
        waiting += [inner for call in message.calls for inner in call.messages]
        if message.turn.role == "user" and message.caller is not None:
            found[message.turn.id] = f"{message.speaker} to {message.turn.agent}"
    return found


def conversation(turns: Sequence[Turn], colours: Mapping[str, int]) -> list[Message]:
    """Return the messages of the root, with what helpers said under the calls that they answered."""
    roots: list[Message] = []
    of_helper: dict[str, list[Call]] = {}
    for message in _messages(turns, colours):
        known = reversed(of_helper.get(message.turn.agent or "", ()))
        caller = next((call for call in known if call.holds(message.turn) and call.depth < NESTED), None)
        message.caller = caller
        (roots if caller is None else caller.messages).append(message)
        for call in message.calls:
            call.depth = 0 if caller is None else caller.depth + 1
            of_helper.setdefault(call.asked.name, []).append(call)
    return roots


def _messages(turns: Sequence[Turn], colours: Mapping[str, int]) -> list[Message]:
    """Return every turn but the results of tools, which go to their calls."""
    messages: list[Message] = []
    waiting: dict[str, list[Call]] = {}
    asked = 0
    for turn in turns:
        if turn.role == "tool" and (calls := waiting.get(turn.tool_call_id or "")):
            calls.pop(0).result = turn
            continue
        message = Message(turn, colours.get(turn.agent or "", 0))
        if turn.usage is not None:
            message.number = asked = asked + 1
        for call in turn.tool_calls or ():
            message.calls.append(Call(call, turn))
            waiting.setdefault(call.id, []).append(message.calls[-1])
        messages.append(message)
    return messages


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, finalize=_shown, trim_blocks=True, lstrip_blocks=True
    )
    filters: dict[str, Callable[..., Any]] = {
        "count": lambda number: f"{number:,}",
        "usd": _usd,
        "time": lambda moment: f"{moment:%H:%M:%S}",
        "day": lambda moment: f"{moment:%Y-%m-%d}",
        "iso": datetime.isoformat,
        "markdown": _markdown,
        "pretty": _prettier,
        "short": short,
    }
    environment.filters.update(filters)
    environment.tests["media"] = lambda part: isinstance(part, Media)
    environment.tests["picture"] = lambda part: part.data is not None and part.mime_type in PICTURES
    return environment.from_string(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))


def _shown(value: Any) -> Any:
    """Return what may stand in a page: no control characters, nothing that turns the direction of the text around."""
    return value if hasattr(value, "__html__") else harmless(encodable(str(value)))


def _markdown(text: str) -> Any:
    """Return what a model wrote, as safe HTML. An answer that is JSON is shown as that."""
    from markupsafe import Markup

    text = harmless(encodable(text))
    if text.lstrip()[:1] in ("{", "[") and (pretty := _prettier(text)) != text:
        return Markup('<pre class="json">{}</pre>').format(pretty)
    if len(text) > LONGEST:
        return Markup('<div class="said">{}</div>').format(text)
    return Markup(_reader().render(text))


@cache
def _reader() -> MarkdownIt:
    from markdown_it import MarkdownIt

    options = {"html": False, "highlight": _highlighted}
    return MarkdownIt("commonmark", options).enable("table").disable("image")


def _highlighted(code: str, language: str, _: str) -> str:
    """Return code with its words marked; nothing where it stays as it is. A long one could take long."""
    if not LANGUAGES.fullmatch(language.lower()) or len(code) > LONGEST_CODE:
        return ""
    from pygments import highlight
    from pygments.formatters.html import HtmlFormatter
    from pygments.lexers import get_lexer_by_name

    marked: str = highlight(code, get_lexer_by_name(language), HtmlFormatter(nowrap=True))
    return marked


def _usd(usd: float | None) -> str:
    return "no price" if usd is None else f"${dollars(usd)}"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False, default=str)


def _pretty(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2, default=str)


def _prettier(text: str) -> str:
    """JSON with its lines broken; other text as it is."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return _pretty(value) if isinstance(value, dict | list) else text
