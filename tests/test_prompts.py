from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from auwgent.errors import ConfigError
from auwgent.prompts import MissingValues, Prompt, PromptError, read_prompt


def missing(prompt: str, **values: Any) -> tuple[str, ...]:
    with pytest.raises(MissingValues) as caught:
        Prompt(prompt).render(values)
    return caught.value.names


@dataclass
class Account:
    owner: str


def test_ctx_stands_for_the_runs_values() -> None:
    prompt = Prompt("{{ ctx.name }}, {{ ctx['name'] }}, {{ ctx.account.owner }}, {{ ctx.order.items[0] }}")
    values = {"name": "Ada", "account": Account("Bob"), "order": {"items": ["tea"]}}
    assert prompt.render(values) == "Ada, Ada, Bob, tea"


def test_parts_are_joined_by_blank_lines_and_empty_ones_left_out() -> None:
    prompt = Prompt(
        [
            "\nBe kind.\n",
            "{% if ctx.loud %}SHOUT.{% endif %}",
            "  - indented\n\n",
            "You are {{ ctx.name }}.\n",
        ]
    )
    assert prompt.render({"loud": False, "name": "Ada"}) == "Be kind.\n\n  - indented\n\nYou are Ada."


def test_text_without_templates_is_sent_as_it_is() -> None:
    text = 'Answer as {"a": {"b": 1}} & "quote" <b>\n\nAlways.'
    assert Prompt(text).render({}) == text
    assert Prompt([text, "{{ ctx.x }}"]).render({"x": "<&>"}) == f"{text}\n\n<&>"


def test_a_value_is_never_a_template() -> None:
    assert Prompt("{{ ctx.x }}").render({"x": "{{ ctx.secret }}", "secret": "s"}) == "{{ ctx.secret }}"


def test_the_schema_of_the_output_can_be_shown() -> None:
    prompt = Prompt("Answer as {{ schema(output) }}")
    assert prompt.render({}, output={"type": "object"}) == 'Answer as {\n  "type": "object"\n}'
    with pytest.raises(ConfigError, match=r"schema\(output\) needs an agent that has an `output`"):
        prompt.render({}, output=None)


def test_a_value_comes_before_a_method_of_the_same_name() -> None:
    prompt = Prompt("{{ ctx.items }}{% for k, v in ctx.order.items() %}{{ k }}{{ v }}{% endfor %}")
    assert prompt.render({"items": "i", "order": {"a": 1}}) == "ia1"
    with pytest.raises(ConfigError, match="line 1: TypeError: 'items' is a function here, not a value"):
        prompt.render({"order": {}})


def test_tojson_knows_more_than_json_and_escapes_nothing_for_html() -> None:
    assert Prompt("{{ ctx.x | tojson }}").render({"x": {"at": date(2024, 1, 1), "q": "<'>"}}) == (
        '{"at":"2024-01-01","q":"<\'>"}'
    )


def test_all_missing_values_are_named_at_once() -> None:
    with pytest.raises(MissingValues) as caught:
        Prompt(["Hi {{ ctx.user_name }}", "{{ ctx.plan | upper }} {{ ctx.user_name }}"]).render(
            {"usr_name": 1}
        )
    assert caught.value.names == ("ctx.user_name", "ctx.plan")
    (problem,) = caught.value.problems
    assert problem.message == "no value for ctx.user_name, ctx.plan, which the prompt needs"
    assert problem.hint.startswith("did you mean `ctx.usr_name`?; values come from [context]")


@pytest.mark.parametrize(
    "use",
    [
        "{{ X }}",
        "{{ X.owner.name }}",
        "{{ X['owner'] }}",
        "{{ X() }}",
        "{{ X.strip() }}",
        "{{ X + 1 }}",
        "{{ [1] + X }}",
        "{{ '%s' % X }}",
        "{{ -X }}",
        "{{ 'a' ~ X }}",
        "{{ X[1:] }}",
        "{{ X == 1 }}",
        "{{ X > 1 }}",
        "{{ 1 in X }}",
        "{% if X %}{% endif %}",
        "{% for x in X %}{% endfor %}",
        "{{ X | round(1) }}",
        "{{ X | int }}",
        "{{ X | float }}",
        "{{ X | length }}",
        "{{ X | join(', ') }}",
        "{{ X | sort }}",
        "{{ X | tojson }}",
        "{{ range(X) | list }}",
    ],
)
def test_no_use_of_a_missing_value_hides_the_next_one(use: str) -> None:
    assert missing(use.replace("X", "ctx.one") + "{{ ctx.two }}") == ("ctx.one", "ctx.two")


def test_what_is_missing_deep_inside_is_named_by_its_place() -> None:
    prompt = "{{ ctx.order.total }} {{ ctx.items[0].price }} {{ ctx.account.email }}"
    values = {"order": {}, "items": [{}], "account": Account("Ada")}
    assert missing(prompt, **values) == ("ctx.order.total", "ctx.items[0].price", "ctx.account.email")


def test_a_forgotten_ctx_is_recognised() -> None:
    with pytest.raises(MissingValues, match=r"no value for user_name, .*\n.*did you mean `ctx.user_name`\?"):
        Prompt("{{ user_name }}").render({"user_name": "Ada"})


def test_a_failure_caused_by_a_missing_value_names_the_value() -> None:
    assert missing("{{ 1 / (ctx.count | int) }}") == ("ctx.count",)


def test_default_and_is_defined_make_a_value_optional() -> None:
    prompt = Prompt(
        "{{ ctx.a | default('A') }}{{ ctx.b.c.d | default('D') }}{% if ctx.e is defined %}{{ ctx.e }}{% endif %}"
    )
    assert prompt.render({}) == "AD"
    assert prompt.render({"a": 1, "b": {"c": {"d": 2}}, "e": 3}) == "123"


def test_values_of_a_branch_that_is_not_taken_are_not_needed() -> None:
    assert Prompt("{% if ctx.vip %}{{ ctx.perk }}{% endif %}ok").render({"vip": False}) == "ok"


def test_the_names_a_prompt_mentions_are_known_before_it_is_rendered() -> None:
    prompt = Prompt(
        ["{{ ctx.a.b }}", "{% if ctx['c'] %}{{ ctx.d | default(1) }}{% endif %}", "static", "{{ other.e }}"]
    )
    assert prompt.names == {"a", "c", "d"}


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a\n\n{% if %}", 3, "Expected an expression"),
        ("a\n{{ ctx.x", 2, "unexpected end of template|end of print statement"),
        ("{{ ctx.x | nosuch }}", 1, "No filter named 'nosuch'"),
        ("a\n{% include 'b' %}", 2, "cannot load other templates; list its files instead"),
        ("a\n{{ ''.__class__.__mro__ }}", 2, "'__(class|mro)__' is refused"),
        ("{{ ctx['__init__'] }}", 1, "'__init__' is refused"),
    ],
)
def test_a_prompt_that_cannot_work_is_refused_when_it_is_built(text: str, line: int, words: str) -> None:
    with pytest.raises(PromptError, match=words) as caught:
        Prompt(["{# fine #}", text])
    assert (caught.value.line, caught.value.part) == (line, 1)


@pytest.mark.parametrize(
    "text",
    [
        "{{ ctx.x | attr('__class__') }}",
        "{{ ctx.x['__cla' ~ 'ss__'] }}",
        "{{ '{0.__class__}'.format(ctx.x) }}",
        "{{ ctx.list.append(1) }}",
        "{{ ctx.update({'x': 1}) }}",
        "{{ ctx.run['__glob' ~ 'als__'] }}",
    ],
)
def test_a_hostile_template_is_refused(text: str) -> None:
    with pytest.raises(
        ConfigError, match=r"the prompt, line 1: access to attribute '\w+' of '\w+' object is unsafe"
    ):
        Prompt(text).render(
            {"x": "a", "list": [], "run": test_ctx_stands_for_the_runs_values, "func_globals": 1}
        )


def test_a_template_that_fails_says_where() -> None:
    with pytest.raises(ConfigError, match="the prompt, line 3: ZeroDivisionError: division by zero"):
        Prompt("a\n\n{{ 1 / ctx.n }}").render({"n": 0})


def test_one_prompt_serves_many_runs_at_once() -> None:
    prompt = Prompt("{{ ctx.n }}{{ ctx.x }}")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda n: _names_of(prompt, {"n": n} if n % 2 else {"x": n}), range(200)))
    assert found == [("ctx.x",) if n % 2 else ("ctx.n",) for n in range(200)]


def _names_of(prompt: Prompt, values: dict[str, Any]) -> tuple[str, ...]:
    with pytest.raises(MissingValues) as caught:
        prompt.render(values)
    return caught.value.names


@pytest.mark.process
def test_prompts_without_templates_do_without_jinja() -> None:
    code = (
        "import sys; from auwgent.prompts import Prompt; Prompt(['a { b }', 'c']).render({}); "
        "assert 'jinja2' not in sys.modules; Prompt('{{ ctx.a }}'); assert 'jinja2' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_prompt_files_are_utf8(tmp_path: Path) -> None:
    file = tmp_path / "prompt.md"
    file.write_bytes(b"\xef\xbb\xbfGr\xc3\xbc\xc3\x9fe\r\n")
    assert read_prompt(file) == "Grüße\n"
    file.write_bytes(b"Gr\xfc\xdfe")
    with pytest.raises(PromptError, match=r"prompt\.md' is not UTF-8 text \(byte 2\)"):
        read_prompt(file)
    with pytest.raises(PromptError, match=r"there is no file '.*none\.md'"):
        read_prompt(tmp_path / "none.md")
    with pytest.raises(PromptError, match=r"cannot read '.*': Is a directory"):
        read_prompt(tmp_path)
