"""What a [models.*] table says of a model's behaviour: the live model holds it as it was read."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from auwgent.limits import Positive

NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Settings(BaseModel):
    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True
    )


class Price(_Settings):
    """What a model costs, in USD per million tokens."""

    input: NotNegative = Field(description="USD per million tokens sent.")
    output: NotNegative = Field(description="USD per million tokens received.")
    cached: NotNegative | None = Field(
        None, description="USD per million tokens read from the provider's cache; default: as `input`."
    )
    written: NotNegative | None = Field(
        None, description="USD per million tokens written to that cache; default: as `input`."
    )


class ModelSettings(_Settings):
    """How a model is asked: patience, retries, caching, parameters and price."""

    timeout: Positive = Field(60.0, description="Seconds to the first byte, and between chunks.")
    retries: int = Field(2, ge=0, description="How often a call that may pass later is tried again.")
    cooldown: NotNegative = Field(60.0, description="Seconds a failed model is passed over.")
    cache: bool | Literal["auto"] = Field(
        "auto",
        description="Whether what will be read again is marked for the provider's cache; auto: not in a "
        "question without tools and history.",
    )
    text_calls: bool = Field(
        False, description="Whether its server leaves calls in the text, such as <tool_call>{…}</tool_call>."
    )
    via: Literal["litellm", "direct", "auto"] = Field(
        "auto",
        description="`auto`: our own client for the wire formats it speaks, LiteLLM for all others; or choose one.",
    )
    params: dict[str, Any] = Field(
        {},
        repr=False,
        description="Parameters passed to the provider as they are; of a class of your own its keyword arguments.",
    )
    price: Price | None = Field(None, description="What it costs, where LiteLLM does not know.")
