"""An MCP server by hand, without an SDK, that does what its first argument says: JSON of tools, results, questions."""

import json
import sys
from typing import Any

script = json.loads(sys.argv[1])
pages: list[dict[str, Any]] = script.get("pages", [{"tools": script.get("tools", [])}])
asked = 0


def send(message: dict[str, Any]) -> None:
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def answer(line: str) -> dict[str, Any]:
    message = json.loads(line)
    return message if isinstance(message, dict) else {}


for line in sys.stdin:
    message = answer(line)
    method, number = message.get("method"), message.get("id")
    if number is None or method is None:
        continue
    if method == script.get("endless"):
        while True:
            sys.stdout.write("é" * 500_000)
    elif method == "initialize":
        version = message["params"]["protocolVersion"]
        about = {"name": "odd", "version": "1"}
        capabilities = {"tools": {"listChanged": True}}
        result = {"protocolVersion": version, "capabilities": capabilities, "serverInfo": about}
        send({"id": number, "result": result})
    elif method == "tools/list":
        asked += 1
        send({"id": number, "result": pages[min(asked, len(pages)) - 1]})
    elif method == "tools/call":
        if script.get("changes"):
            send({"method": "notifications/tools/list_changed"})
        heard = []
        for index, question in enumerate(script.get("questions", ())):
            send({"id": f"q{index}", "method": question, "params": script.get("params", {})})
            heard.append(answer(sys.stdin.readline()).get("error", {}).get("message", "answered"))
        words = {"content": [{"type": "text", "text": "; ".join(heard) or "ok"}]}
        send({"id": number, "result": script.get("result", words)})
    else:
        send({"id": number, "error": {"code": -32601, "message": "Method not found"}})
