"""What one run may use: the table [limits], which the engine enforces."""

from __future__ import annotations

from typing import Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
)

from auwgent.spans import Span

Count = Annotated[int, Field(gt=0)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Limits(BaseModel):
    """What one run may use. A limit that is absent and has no default is off."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True
    )

    llm_calls: Count = Field(25, description="Model calls in one run, helpers included.")
    repeats: Count = Field(3, description="Identical tool calls in a row before the run is stopped.")
    helper_depth: Count = Field(4, description="How deep helpers may call helpers.")
    seconds: Positive | None = Field(None, description="Seconds a run may take.")
    tokens: Count | None = Field(None, description="Tokens a run may use, sent and received.")
    usd: Positive | None = Field(
        None, description="Money a run may cost; every model must then have a known price."
    )
    result_chars: Count = Field(
        50_000, description="Characters of one tool result that a model is sent; the store keeps all of it."
    )
    approval: Span = Field(
        Span.parse("7d"),
        description="How long an open question waits, such as 12h or 7d; then the run is over.",
    )
