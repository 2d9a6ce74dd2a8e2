"""Figures of this process, as OpenMetrics tells them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_BOUNDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_TOKENS = ("input", "output", "cached", "written", "reasoning")


class Histogram:
    """How often a length of time was at most so long."""

    def __init__(self) -> None:
        self.counts, self.sum, self.count = [0] * len(_BOUNDS), 0.0, 0

    def add(self, seconds: float) -> None:
        """Count one length of time."""
        self.sum, self.count = self.sum + seconds, self.count + 1
        for place, bound in enumerate(_BOUNDS):
            self.counts[place] += seconds <= bound

    def lines(self, name: str) -> Iterator[str]:
        """Its lines under that name."""
        for bound, count in zip(_BOUNDS, self.counts, strict=True):
            yield f'{name}_bucket{{le="{float(bound)}"}} {count}'
        yield f'{name}_bucket{{le="+Inf"}} {self.count}'
        yield f"{name}_sum {self.sum:.6f}"
        yield f"{name}_count {self.count}"


class Metrics:
    """What was counted since the process began."""

    def __init__(self) -> None:
        self.runs_active = self.streams_active = 0
        self._runs: dict[tuple[str, str], int] = defaultdict(int)
        self._tokens: dict[tuple[str, str], int] = defaultdict(int)
        self._usd: dict[str, float] = defaultdict(float)
        self._seconds, self._first = Histogram(), Histogram()

    def began(self) -> None:
        """A leg of a run begins."""
        self.runs_active += 1

    def ended(self, agent: str, status: str, seconds: float) -> None:
        """It is over."""
        self.runs_active -= 1
        self._runs[agent, status] += 1
        self._seconds.add(seconds)

    def first_piece(self, seconds: float) -> None:
        """Its first intent came."""
        self._first.add(seconds)

    def model_call(self, value: Mapping[str, Any]) -> None:
        """Count the usage of a `model_call` intent."""
        model, usage = str(value.get("model")), value.get("usage") or {}
        for kind in _TOKENS:
            self._tokens[model, kind] += usage.get(f"{kind}_tokens") or 0
        if usage.get("usd") is not None:
            self._usd[model] += usage["usd"]

    def text(self, depth: int = 0, oldest: float = 0.0) -> str:
        """All of it, as OpenMetrics; with how many runs wait for a worker, and for how long the oldest does."""
        return "\n".join([*self._lines(depth, oldest), "# EOF", ""])

    def _lines(self, depth: int, oldest: float) -> Iterator[str]:
        yield "# TYPE auwgent_runs counter"
        for (agent, status), count in sorted(self._runs.items()):
            yield f"auwgent_runs_total{_labels(agent=agent, status=status)} {count}"
        yield "# TYPE auwgent_runs_active gauge"
        yield f"auwgent_runs_active {self.runs_active}"
        for name, histogram in (("run_seconds", self._seconds), ("first_piece_seconds", self._first)):
            yield f"# TYPE auwgent_{name} histogram"
            yield f"# UNIT auwgent_{name} seconds"
            yield from histogram.lines(f"auwgent_{name}")
        yield "# TYPE auwgent_tokens counter"
        for (model, kind), count in sorted(self._tokens.items()):
            yield f"auwgent_tokens_total{_labels(model=model, kind=kind)} {count}"
        yield "# TYPE auwgent_usd counter"
        for model, usd in sorted(self._usd.items()):
            yield f"auwgent_usd_total{_labels(model=model)} {usd:.8f}"
        yield "# TYPE auwgent_streams_active gauge"
        yield f"auwgent_streams_active {self.streams_active}"
        yield "# TYPE auwgent_queue_depth gauge"
        yield f"auwgent_queue_depth {depth}"
        yield "# TYPE auwgent_queue_oldest_seconds gauge"
        yield "# UNIT auwgent_queue_oldest_seconds seconds"
        yield f"auwgent_queue_oldest_seconds {oldest:.3f}"


def _labels(**labels: str) -> str:
    escapes = {ord("\\"): r"\\", ord('"'): r"\"", ord("\n"): r"\n"}
    return "{" + ",".join(f'{name}="{value.translate(escapes)}"' for name, value in labels.items()) + "}"
