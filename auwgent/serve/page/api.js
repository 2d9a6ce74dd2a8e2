// The routes under /v1 and /ag-ui: plain requests, and streams of events.

let token = sessionStorage.getItem("token") ?? "";

export function setToken(value) {
  token = value;
  sessionStorage.setItem("token", value);
}

/** What the server answered in place of what was asked for. */
export class Refused extends Error {
  constructor(status, error) {
    super(error?.message ?? `The server answered ${status}.`);
    this.status = status;
    this.code = error?.code ?? "";
  }
}

async function ask(method, path, { body, signal, headers = {} } = {}) {
  const answer = await fetch(path, {
    method,
    signal,
    headers: { ...(token ? { Authorization: `Bearer ${token}` } : {}), ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
    keepalive: method === "DELETE",
    cache: "no-store",
    referrerPolicy: "no-referrer",
  });
  if (!answer.ok) {
    const told = await answer.json().catch(() => null);
    throw new Refused(answer.status, told?.error);
  }
  return answer;
}

export async function call(method, path, body, { raw = false } = {}) {
  const answer = await ask(method, path, { body });
  if (raw) return answer;
  return answer.status === 204 ? null : answer.json();
}

/** Yields `{id, name, data}` of server-sent events. Fails where the line breaks before the stream is over. */
export async function* events(method, path, { body, signal, after } = {}) {
  const headers = { Accept: "text/event-stream", ...(after ? { "Last-Event-ID": after } : {}) };
  const answer = await ask(method, path, { body, signal, headers });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      text += value;
      const whole = text.split("\n\n");
      text = whole.pop();
      for (const one of whole) {
        const event = { id: "", name: "", data: "" };
        for (const line of one.split("\n")) {
          const at = line.indexOf(":");
          const [field, content] = [line.slice(0, at), line.slice(at + 1).replace(/^ /, "")];
          if (field === "data") event.data += content;
          else if (field === "event") event.name = content;
          else if (field === "id") event.id = content;
        }
        if (event.data) yield { ...event, data: JSON.parse(event.data) };
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
