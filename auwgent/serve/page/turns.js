// A conversation: turns as they are stored, and an answer as it comes.

import { h, markdown } from "/markdown.js";

const MARKS = { running: "○", ok: "✓", error: "✗", denied: "⊘", skipped: "–", unknown: "?" };
const SAID = { running: "running", ok: "done", error: "failed", denied: "denied", skipped: "skipped", unknown: "unknown: it may have run" };
const HEAD = 2000; // characters of a long result that are shown at once
const PICTURES = /^image\/(png|jpeg|gif|webp)$/;

function pretty(value) {
  if (typeof value !== "string") return JSON.stringify(value, null, 2);
  try { return JSON.stringify(JSON.parse(value), null, 2); } catch { return value; }
}

function long(text) {
  const pre = h("pre", { tabindex: "0" }, text.slice(0, HEAD));
  if (text.length <= HEAD) return [pre];
  const all = h("button", { type: "button", onclick: () => { pre.textContent = text; all.remove(); } }, `Show all ${text.length.toLocaleString()} characters`);
  return [pre, all];
}

function part(one) {
  if (one.type === "text") return h("div", { class: "text" }, ...markdown(one.text));
  if (one.type === "image" && one.data && PICTURES.test(one.mime_type ?? "")) return h("img", { src: `data:${one.mime_type};base64,${one.data}`, alt: one.name ?? "An image" });
  return h("p", { class: "quiet" }, `${one.type}: ${one.name ?? one.url ?? one.mime_type ?? ""}`);
}

/** A tool call: one line that opens. */
class Call {
  constructor(name, args = "") {
    this.name = name;
    this.began = performance.now();
    this.mark = h("span", { role: "img" });
    this.line = h("span");
    this.inside = h("div", { class: "inside" });
    this.node = h("details", {}, h("summary", {}, this.mark, " ", h("strong", {}, name), " ", this.line), this.inside);
    this.args = args;
    this.status("running");
    this.showArgs();
  }

  status(outcome) {
    this.mark.textContent = MARKS[outcome] ?? "✓";
    this.mark.setAttribute("aria-label", SAID[outcome] ?? outcome);
    this.mark.className = outcome === "error" ? "bad" : outcome === "ok" ? "good" : "wait";
  }

  showArgs() {
    const text = typeof this.args === "string" ? this.args : JSON.stringify(this.args);
    this.line.textContent = text.length > 80 ? `${text.slice(0, 79)}…` : text;
    const made = h("pre", { tabindex: "0", "aria-label": "Arguments" }, pretty(this.args));
    if (this.argsNode) this.argsNode.replaceWith(made);
    else this.inside.append(made);
    this.argsNode = made;
  }

  result(content, outcome, seconds) {
    this.status(outcome);
    if (seconds !== undefined) this.line.textContent += ` · ${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
    const parts = typeof content === "string" || !Array.isArray(content) ? long(pretty(content)) : content.map(part);
    this.inside.append(h("p", { class: "quiet" }, SAID[outcome] ?? outcome), ...parts);
  }
}

function acts(turn, does) {
  const text = typeof turn.content === "string" ? turn.content : (turn.content ?? []).filter((one) => one.type === "text").map((one) => one.text).join("\n");
  const made = [["Copy", () => navigator.clipboard?.writeText(text)]];
  if (turn.role === "user") made.push(["Edit and run again", () => does.edit(turn)]);
  else made.push(["Regenerate", () => does.again(turn)]);
  made.push(["Fork from here", () => does.forkAt(turn)], ["Link", () => does.link(turn)]);
  return h("div", { class: "acts" }, ...made.map(([words, act]) => h("button", { type: "button", class: "plain", onclick: act }, words)));
}

const ENDS = { length: "The answer was cut off at the limit (max_tokens).", filtered: "The provider filtered the rest of the answer." };

/** The nodes of a stored session. Helpers stand under the calls that made them. */
export function conversation(session, runs, does) {
  const root = [];
  const open = []; // calls without a result yet, the newest last
  const calls = new Map();
  const nodes = { append: (...made) => root.push(...made) };
  const runOf = new Map(runs.map((run) => [run.run_id, run]));
  const lastOf = new Map(session.turns.map((turn) => [turn.run_id, turn.id]));
  for (const turn of session.turns) {
    const helper = open.findLast((one) => one.name === turn.agent);
    const into = helper ? helper.inside : nodes;
    if (turn.role === "tool") {
      const call = calls.get(turn.tool_call_id);
      if (call) {
        call.result(turn.content, turn.outcome ?? "ok", (Date.parse(turn.created_at) - call.at) / 1000);
        open.splice(open.indexOf(call), 1);
      }
    } else if (turn.role === "user") {
      const parts = typeof turn.content === "string" ? [h("div", { class: "text" }, turn.content)] : turn.content.map(part);
      if (helper) into.append(h("div", { class: "message", id: turn.id }, h("span", { class: "who" }, `asked of ${turn.agent}`), ...parts));
      else into.append(h("div", { class: "message user", id: turn.id }, ...parts, acts(turn, does)));
    } else {
      const said = typeof turn.content === "string" ? (turn.content ? [h("div", { class: "text" }, ...markdown(turn.content))] : []) : turn.content.map(part);
      const box = h("div", { class: "message", id: turn.id }, h("span", { class: "who" }, turn.agent ?? ""), ...said);
      for (const asked of turn.tool_calls ?? []) {
        const call = new Call(asked.name, asked.raw_args ?? asked.args);
        call.at = Date.parse(turn.created_at);
        calls.set(asked.id, call);
        open.push(call);
        box.append(call.node);
      }
      if (said.length && !helper) box.append(acts(turn, does));
      into.append(box);
      if (ENDS[turn.finish_reason]) into.append(h("p", { class: "end" }, ENDS[turn.finish_reason]));
    }
    const run = lastOf.get(turn.run_id) === turn.id ? runOf.get(turn.run_id) : null;
    if (run?.status === "failed" || run?.status === "dead") root.push(h("p", { class: "end bad" }, `The run failed: ${run.error?.message ?? "nobody knows why"}`));
    if (run?.status === "cancelled") root.push(h("p", { class: "end" }, "The run was stopped."));
    if (run?.status === "interrupted") root.push(h("p", { class: "end" }, "The run was cut off: its process died."));
  }
  for (const call of open) call.status(session.status === "paused" || session.status === "running" ? "running" : "unknown");
  return root;
}

/** An answer under way. Takes AG-UI's events, or the run's intents. */
export class Answer {
  constructor(log, said) {
    this.log = log;
    this.box = h("div");
    if (said !== undefined) {
      const parts = typeof said === "string" ? [h("div", { class: "text" }, said)] : said.map((one) => (one.type === "text" ? h("div", { class: "text" }, one.text) : part(one)));
      log.append(h("div", { class: "message user" }, ...parts));
    }
    log.append(this.box);
    this.clear();
    this.scroll(true);
  }

  clear() {
    this.box.replaceChildren();
    this.blocks = new Map();
    this.calls = new Map();
    this.said = [];
    this.error = "";
  }

  text() { return this.said.map((one) => one.text).join("\n\n"); }

  scroll(always = false) {
    const near = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 120;
    if (near || always) this.log.scrollTop = this.log.scrollHeight;
  }

  block(id) {
    let block = this.blocks.get(id);
    if (!block) {
      const words = h("div", { class: "text caret" });
      block = { text: "", words, due: false };
      this.blocks.set(id, block);
      this.said.push(block);
      this.box.append(h("div", { class: "message" }, words));
    }
    return block;
  }

  draw(block) {
    if (block.due) return;
    block.due = true;
    const wait = Math.min(500, block.text.length / 100); // a long answer is drawn less often
    setTimeout(() => requestAnimationFrame(() => {
      block.due = false;
      block.words.replaceChildren(...markdown(block.text));
      this.scroll();
    }), wait);
  }

  add(id, delta) {
    const block = this.block(id);
    block.text += delta;
    this.draw(block);
  }

  whole(id, text) {
    const block = this.block(id);
    block.text = text;
    this.draw(block);
    block.words.classList.remove("caret");
  }

  think(delta, isOver = false) {
    if (!this.thought) {
      const line = h("summary", {}, "thinking …");
      const pre = h("pre", { tabindex: "0" });
      this.thought = { line, pre, began: performance.now() };
      this.box.append(h("details", {}, line, pre));
    }
    this.thought.pre.append(delta);
    if (isOver) {
      this.thought.line.textContent = `thought for ${Math.max(1, Math.round((performance.now() - this.thought.began) / 1000))} s`;
      this.thought = null;
    }
  }

  call(id, name, args) {
    let call = this.calls.get(id);
    if (!call) {
      call = new Call(name, "");
      this.calls.set(id, call);
      this.box.append(call.node);
    }
    if (args !== undefined) { call.args = args; call.showArgs(); }
    this.scroll();
    return call;
  }

  result(id, content, outcome) {
    const call = this.calls.get(id);
    call?.result(content, outcome, (performance.now() - call.began) / 1000);
    this.scroll();
  }

  fail(words) {
    this.error = words;
    this.box.append(h("p", { class: "end bad" }, words));
    this.scroll();
  }

  end() {
    for (const { words } of this.said) words.classList.remove("caret");
    if (this.thought) this.think("", true);
  }

  take(event) {
    switch (event.type) {
      case "TEXT_MESSAGE_START": this.block(event.messageId); break;
      case "TEXT_MESSAGE_CONTENT": this.add(event.messageId, event.delta); break;
      case "TEXT_MESSAGE_END": this.blocks.get(event.messageId)?.words.classList.remove("caret"); break;
      case "REASONING_MESSAGE_CONTENT": this.think(event.delta); break;
      case "REASONING_END": if (this.thought) this.think("", true); break;
      case "TOOL_CALL_START": this.call(event.toolCallId, event.toolCallName, ""); break;
      case "TOOL_CALL_ARGS": { const call = this.calls.get(event.toolCallId); if (call) { call.args += event.delta; call.showArgs(); } break; }
      case "TOOL_CALL_RESULT": this.result(event.toolCallId, event.content, event.metadata?.outcome ?? "ok"); break;
      case "RUN_ERROR": this.fail(event.message); break;
    }
  }

  takeIntent(name, data) {
    const { value, agent, event } = data;
    if (name === "restarted") { this.clear(); return; }
    if (name === "snapshot") { this.clear(); this.snapshot(data); return; }
    if (event === "run" || !value) return;
    if (event === "partial") {
      if (name === "response_text") this.add(`s${value.segment}`, value.delta);
      else if (name === "reasoning") this.think(value.delta);
      return;
    }
    if (this.thought) this.think("", true);
    const kind = /^(tool|workflow|helper)_(call|result|skipped)$/.exec(name);
    if (kind?.[2] === "call") this.call(value.id, value.type, value.args);
    else if (kind?.[2] === "result") this.result(value.id, value.result, "ok");
    else if (kind) this.result(value.id, "", "skipped");
    else if (name === "tool_error") { this.call(value.id, value.tool); this.result(value.id, value.message, "error"); }
    else if (name === "response_text") this.settle(value.text, agent);
    else if (name === "response_schema") this.settle(`\`\`\`json\n${JSON.stringify(value.response, null, 2)}\n\`\`\``);
    else if (name === "error") this.fail(value.message);
  }

  settle(text) {
    const last = [...this.blocks].findLast(([, block]) => block.words.classList.contains("caret"));
    this.whole(last ? last[0] : `whole${this.blocks.size}`, text);
  }

  snapshot({ text = "", calls = [] }) {
    for (const one of calls) {
      this.call(one.id, one.type ?? one.name, one.args);
      if (one.result !== undefined) this.result(one.id, one.result, one.outcome ?? "ok");
    }
    if (text) this.add("snapshot", text);
  }
}
