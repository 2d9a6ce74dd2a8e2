"""The manifests in the docs are what Kubernetes takes, and start commands that there are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from auwgent.cli import COMMANDS
from auwgent.config import ServeConfig

PAGE = (Path(__file__).parent.parent / "docs" / "many-machines.md").read_text(encoding="utf-8")


def block(name: str) -> str:
    found = re.search(rf"^```text\n# {re.escape(name)}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


MANIFESTS: list[dict[str, Any]] = list(yaml.safe_load_all(block("agent.yaml")))
SERVICES: dict[str, Any] = yaml.safe_load(block("compose.yaml"))["services"]
DRAIN = ServeConfig().drain


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda one: f"{one['kind']}-{one['metadata']['name']}")
def test_a_manifest_fits_the_schema_of_kubernetes(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
    if manifest["kind"] != "Deployment":
        return
    spec = manifest["spec"]["template"]["spec"]
    assert spec["terminationGracePeriodSeconds"] > DRAIN
    (container,) = spec["containers"]
    assert container["args"][:1] == ["auwgent"]
    assert container["args"][1] in {command.name for command in COMMANDS}


def test_a_wrong_manifest_would_be_found() -> None:
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(
            {**MANIFESTS[0], "spec": {"replica": 2}}, kubernetes_validate.latest_version(), strict=True
        )


@pytest.mark.parametrize("name", ["server", "worker"])
def test_compose_gives_runs_their_time(name: str) -> None:
    assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) > DRAIN
    assert SERVICES[name]["command"][1] in {command.name for command in COMMANDS}
