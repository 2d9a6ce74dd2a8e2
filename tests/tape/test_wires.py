"""What any provider answered plays without a network: the same turns and intents, and no tool is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.models.peers import PEERS, before
from tests.support.aimock import Aimock, aimock
from tests.support.alone import alone
from tests.tape.apart import LEFT, config, played_apart, talk

__all__ = ["aimock", "alone"]


@pytest.mark.usefixtures("alone")
async def test_each_row_of_the_matrix_plays_where_there_is_no_network(
    aimock: Aimock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    monkeypatch.chdir(here)
    tapes = [tmp_path / f"{number}.jsonl" for number in range(len(PEERS))]
    recorded = []
    for peer, tape in zip(PEERS, tapes, strict=True):
        async with before(aimock, peer) as proxy:
            spec = peer.spec(proxy.url)
            model = {
                "use": spec.name,
                "base_url": spec.base_url,
                "params": dict(spec.params),
                "via": spec.via,
            }
            key = {"api_key": spec.api_key} if spec.api_key else {}
            recorded.append(await talk(config(**model, **key), record=tape))
    assert all(one[0][0][-1]["content"] == "Rome is warmer than Paris." for one in recorded)
    assert sorted((here / LEFT).read_text().split()) == ["Paris"] * len(PEERS) + ["Rome"] * len(PEERS)

    played = played_apart(tapes, there)
    differ = {
        peer.name: (before, after)
        for peer, before, after in zip(PEERS, recorded, played, strict=True)
        if before != after
    }
    assert differ == {}
    assert list(there.iterdir()) == []
