"""Asking before a tool runs: on a terminal `auwgent run` asks by itself; a program answers for its user."""

import sys

from auwgent import ApprovalRequest, auwgent


def may_run(request: ApprovalRequest) -> bool:
    """Small refunds are fine. The answer holds for this call with these arguments, once."""
    allowed = bool(request.args["euros"] <= 20)
    print(f"{request.agent} wants {request.tool}({dict(request.args)}): {'yes' if allowed else 'no'}")
    return allowed


overrides = [f"agent.model={model}"] if (model := "".join(sys.argv[1:])) else []
agent = auwgent("auwgent.toml", overrides=overrides, on_approval=may_run)
print(agent.run_sync("Refund 5 euros, and 500.").text)
