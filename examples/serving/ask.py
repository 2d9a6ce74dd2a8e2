"""Starts `auwgent serve` on a scripted model and asks it twice, as a client of OpenAI's API would."""

import json
import re
import subprocess
import sys
import urllib.request

serve = [sys.executable, "-m", "auwgent", "serve", "--port", "0", "-q"]
dry = ["--set", "agent.model=scripted/script.toml"]  # leave it out to ask the model of the config


def ask(address: str, words: str) -> str:
    """What the agent answers in the session `visit`."""
    body = {"model": "Shop", "messages": [{"role": "user", "content": words}]}
    headers = {
        "Authorization": "Bearer a-token-for-trying",
        "Content-Type": "application/json",
        "X-Session-Id": "visit",
    }
    request = urllib.request.Request(f"{address}/v1/chat/completions", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        text: str = json.load(answer)["choices"][0]["message"]["content"]
        return text


with subprocess.Popen([*serve, *dry], stderr=subprocess.PIPE, text=True) as server:
    assert server.stderr is not None
    told = next(line for line in server.stderr if "http://" in line)
    found = re.search(r"http://\S+", told)
    assert found is not None
    for words in ("Do you have tea?", "And cups?"):
        print(ask(found[0], words))
    server.terminate()
