"""The card of A2A: who is here, what for, where, and what has to be shown to be let in."""

from __future__ import annotations

from a2a.types import (
    AgentCapabilities,
    AgentCard,
    AgentInterface,
    AgentSkill,
    HTTPAuthSecurityScheme,
    SecurityRequirement,
    SecurityScheme,
    StringList,
)

import auwgent
from auwgent.serve.a2a_tasks import JSON
from auwgent.serve.desk import Desk

VERSION = "1.0"  # of the protocol


def card_of(desk: Desk, url: str) -> AgentCard:
    """Return the card of a desk's agents, which are asked at that address."""
    agents, config = desk.agent.agents, desk.config
    default, *others = desk.agents
    told = {name: agents[name].description or f"The agent {name}." for name in desk.agents}
    modes = ["text/plain", JSON]
    card = AgentCard(
        name=default,
        description=told[default],
        version=auwgent.__version__,
        supported_interfaces=[
            AgentInterface(url=url, protocol_binding="JSONRPC", protocol_version=VERSION, tenant=tenant)
            for tenant in ("", *others)
        ],
        capabilities=AgentCapabilities(streaming=True, push_notifications=False, extended_agent_card=False),
        default_input_modes=[*modes, "image/*", "audio/*", "application/pdf"],
        default_output_modes=modes,
        skills=[
            AgentSkill(id=name, name=name, description=words, tags=["agent"]) for name, words in told.items()
        ],
    )
    if config.tokens or config.auth is not None:
        bearer = HTTPAuthSecurityScheme(scheme="Bearer")
        card.security_schemes["token"].CopyFrom(SecurityScheme(http_auth_security_scheme=bearer))
        card.security_requirements.append(SecurityRequirement(schemes={"token": StringList()}))
    return card
