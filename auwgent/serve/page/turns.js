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
    this.live = h("span", { class: "live" }); // the newest words of a helper at work
    this.inside = h("div", { class: "inside" });
    this.node = h("details", {}, h("summary", {}, this.mark, " ", h("strong", {}, name), " ", this.line, this.live), this.inside);
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

  /** Show the end of what a helper says, in one line. */
  tail(text) {
    const words = text.slice(-200).replace(/\s+/g, " ").trim();
    this.live.textContent = words ? ` · ${words.length > 60 ? `…${words.slice(-60)}` : words}` : "";
  }

  result(content, outcome, seconds) {
    this.status(outcome);
    this.tail("");
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
    const helper = open.findLast((one) => one.name === turn.agent && (!one.isLost || one.run === turn.run_id));
    const isLoud = turn.role === "assistant" && session.stack?.includes(turn.agent); // it goes on talking to the user
    const into = helper && !isLoud ? helper.inside : nodes;
    if (turn.role === "tool") {
      const call = calls.get(turn.tool_call_id);
      if (call) {
        call.result(turn.content, turn.outcome ?? "ok", (Date.parse(turn.created_at) - call.at) / 1000);
        if (turn.outcome === "unknown") call.isLost = true; // what its helper did until it was stopped stands behind it
        else open.splice(open.indexOf(call), 1);
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
        call.run = turn.run_id;
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
  for (const call of open) if (!call.isLost) call.status(session.status === "paused" || session.status === "running" ? "running" : "unknown");
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
    this.loud = new Set(); // helpers that speak to the user
    this.clear();
    this.scroll(true);
  }

  clear() {
    this.box.replaceChildren();
    this.blocks = new Map();
    this.calls = new Map();
    this.thoughts = new Map(); // by the agent that thinks
    this.said = []; // to the user
    this.error = "";
  }

  text() { return this.said.map((one) => one.text).join("\n\n"); }

  /** The call of a helper that is at work: what it says and does stands there. */
  helper(agent) { return agent && [...this.calls.values()].findLast((one) => one.isOpen && one.name === agent); }

  /** A helper turns out to speak to the user: its words stand in the open. */
  speaks(agent) {
    this.loud.add(agent);
    for (const block of this.blocks.values()) {
      if (block.agent !== agent || !block.by) continue;
      block.by.tail("");
      block.by = null;
      this.said.push(block);
      this.box.append(block.words.parentNode);
    }
  }

  /** Put a node where an agent's belong. */
  put(node, agent) { (this.helper(agent)?.inside ?? this.box).append(node); }

  scroll(always = false) {
    const near = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 120;
    if (near || always) this.log.scrollTop = this.log.scrollHeight;
  }

  block(id, agent) {
    let block = this.blocks.get(id);
    if (!block) {
      const words = h("div", { class: "text caret" });
      const by = this.loud.has(agent) ? null : this.helper(agent);
      block = { text: "", words, due: false, agent, by };
      this.blocks.set(id, block);
      if (!by) this.said.push(block);
      (by?.inside ?? this.box).append(h("div", { class: "message" }, by && h("span", { class: "who" }, agent), words));
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
      if (block.by?.isOpen) block.by.tail(block.text);
      this.scroll();
    }), wait);
  }

  add(id, delta, agent) {
    const block = this.block(id, agent);
    block.text += delta;
    this.draw(block);
  }

  whole(id, text, agent) {
    const block = this.block(id, agent);
    block.text = text;
    this.draw(block);
    block.words.classList.remove("caret");
  }

  think(delta, agent = "") {
    let thought = this.thoughts.get(agent);
    if (!thought) {
      thought = { line: h("summary", {}, "thinking …"), pre: h("pre", { tabindex: "0" }), began: performance.now() };
      this.thoughts.set(agent, thought);
      this.put(h("details", {}, thought.line, thought.pre), agent);
    }
    thought.pre.append(delta);
  }

  thought(agent = "") {
    const thought = this.thoughts.get(agent);
    if (!thought) return;
    thought.line.textContent = `thought for ${Math.max(1, Math.round((performance.now() - thought.began) / 1000))} s`;
    this.thoughts.delete(agent);
  }

  call(id, name, args, agent) {
    let call = this.calls.get(id);
    if (!call) {
      call = new Call(name, "");
      call.isOpen = true;
      this.put(call.node, agent);
      this.calls.set(id, call);
    }
    if (args !== undefined) { call.args = args; call.showArgs(); }
    this.scroll();
    return call;
  }

  result(id, content, outcome) {
    const call = this.calls.get(id);
    if (call) {
      call.isOpen = false;
      call.result(content, outcome, (performance.now() - call.began) / 1000);
    }
    this.scroll();
  }

  fail(words) {
    if (this.error === words) return;
    this.error = words;
    this.box.append(h("p", { class: "end bad" }, words));
    this.scroll();
  }

  end() {
    for (const { words } of this.blocks.values()) words.classList.remove("caret");
    for (const agent of [...this.thoughts.keys()]) this.thought(agent);
  }

  take(event) {
    switch (event.type) {
      case "TEXT_MESSAGE_START": this.block(event.messageId); break;
      case "TEXT_MESSAGE_CONTENT": this.add(event.messageId, event.delta); break;
      case "TEXT_MESSAGE_END": this.blocks.get(event.messageId)?.words.classList.remove("caret"); break;
      case "REASONING_MESSAGE_CONTENT": this.think(event.delta); break;
      case "REASONING_END": this.thought(); break;
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
      if (name === "response_text") this.add(`s${value.segment}`, value.delta, agent);
      else if (name === "reasoning") this.think(value.delta, agent);
      return;
    }
    this.thought(agent);
    const kind = /^(tool|workflow|helper)_(call|result|skipped)$/.exec(name);
    if (kind?.[2] === "call") this.call(value.id, value.type, value.args, agent);
    else if (kind?.[2] === "result") this.result(value.id, value.result, "ok");
    else if (kind) this.result(value.id, "", "skipped");
    else if (name === "tool_error") { this.call(value.id, value.tool, undefined, agent); this.result(value.id, value.message, "error"); }
    else if (name === "response_text") this.settle(value.text, agent);
    else if (name === "response_schema") this.settle(`\`\`\`json\n${JSON.stringify(value.response, null, 2)}\n\`\`\``, agent);
    else if (name === "error") this.fail(value.message);
  }

  settle(text, agent) {
    const last = [...this.blocks].findLast(([, block]) => block.agent === agent && block.words.classList.contains("caret"));
    this.whole(last ? last[0] : `whole${this.blocks.size}`, text, agent);
  }

  snapshot({ text = "", calls = [] }) {
    for (const one of calls) {
      this.call(one.id, one.type ?? one.name, one.args);
      if (one.result !== undefined) this.result(one.id, one.result, one.outcome ?? "ok");
    }
    if (text) this.add("snapshot", text);
  }
}
