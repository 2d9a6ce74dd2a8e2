"""What LiteLLM lists of models, under the names that a config has for them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from auwgent.imports import packaged_file
from auwgent.models.base import ModelSpec
from auwgent.models.listed import LIST, listed, model_names


def list_text() -> str:
    file = packaged_file("litellm", LIST)
    assert file is not None
    return file.read_text()


@pytest.mark.parametrize(
    "name",
    [
        "anthropic/claude-sonnet-4-5",  # which the list has without its provider
        "gemini/gemini-2.5-flash",
        "openai/gpt-5-mini",
        "bedrock/anthropic.claude-sonnet-4-5-20250929-v1:0",  # bedrock_converse there
        "vertex_ai/mistral-large@2407",  # vertex_ai-mistral_models there
    ],
)
def test_models_are_listed_under_the_name_that_a_config_has_for_them(name: str) -> None:
    assert name in model_names(name.partition("/")[0])


def test_an_entry_that_is_looked_up_alone_is_that_of_the_whole_list() -> None:
    whole = json.loads(list_text())
    names = [*whole][::50]
    assert names
    assert [listed(ModelSpec(f"x/{name}")) for name in names] == [
        whole.get(whole[name].get("alias_of"), whole[name]) for name in names
    ]


def test_only_models_to_talk_to_are_listed() -> None:
    assert listed(ModelSpec("openai/text-embedding-3-small"))
    assert "openai/text-embedding-3-small" not in model_names("openai")


@pytest.mark.process
@pytest.mark.parametrize("indent", [None, 4])
def test_another_name_of_a_model_has_what_is_listed_of_it(tmp_path: Path, indent: int | None) -> None:
    (tmp_path / "litellm").mkdir()
    (tmp_path / "litellm" / "__init__.py").touch()
    entries = {"m-1": {"mode": "chat"}, "m-latest": {"alias_of": "m-1"}, "lost": {"alias_of": "m-0"}}
    (tmp_path / "litellm" / LIST).write_text(json.dumps(entries, indent=indent))
    code = (
        "from auwgent.models.base import ModelSpec; from auwgent.models.listed import listed; "
        "print(*(listed(ModelSpec('openai/' + name)).get('mode') for name in ('m-latest', 'lost')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{Path.cwd()}"},
    )
    assert done.stdout == "chat None\n"


def test_nothing_is_listed_of_who_is_not_known() -> None:
    assert model_names("nobody") == model_names("hosted_vllm") == []
