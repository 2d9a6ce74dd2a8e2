"""Reads a config into one frozen object, strictly, and tells everything that is wrong with it at once."""

from auwgent.config.load import examine, in_file_order, load
from auwgent.config.queue import QueueConfig, ScheduleConfig
from auwgent.config.serve import PROTOCOLS, ServeConfig, TokenConfig
from auwgent.config.settings import DEFAULT_MIDDLEWARE, Config
from auwgent.config.tables import (
    AgentConfig,
    EmbeddingConfig,
    Example,
    HelperConfig,
    Imports,
    IntentConfig,
    McpConfig,
    MiddlewareEntry,
    ModelConfig,
    TextFile,
    ToolEntry,
    WorkflowEntry,
)
from auwgent.limits import Limits
from auwgent.model_settings import Price

__all__ = [
    "DEFAULT_MIDDLEWARE",
    "PROTOCOLS",
    "AgentConfig",
    "Config",
    "EmbeddingConfig",
    "Example",
    "HelperConfig",
    "Imports",
    "IntentConfig",
    "Limits",
    "McpConfig",
    "MiddlewareEntry",
    "ModelConfig",
    "Price",
    "QueueConfig",
    "ScheduleConfig",
    "ServeConfig",
    "TextFile",
    "TokenConfig",
    "ToolEntry",
    "WorkflowEntry",
    "examine",
    "in_file_order",
    "load",
]
