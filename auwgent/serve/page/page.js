// The page of `auwgent serve`: talks to the routes that everybody has, and keeps nothing but a token and drafts in this tab.

import { call, events, setToken, Refused } from "/api.js";
import { h } from "/markdown.js";
import { Answer, conversation } from "/turns.js";
import { usageView } from "/usage.js";

const $ = (id) => document.getElementById(id);
const LARGEST = 7_000_000; // bytes of attached files: as base64 they still fit into 10 MB
const UNDO = 6000; // milliseconds

const page = { agents: [], agent: "", session: null, sessions: [], run: null, files: [], removed: new Map(), stored: true };

// Sessions

function dayOf(text) {
  const date = new Date(text);
  const days = Math.floor((new Date().setHours(0, 0, 0, 0) - new Date(date).setHours(0, 0, 0, 0)) / 86_400_000);
  return days <= 0 ? "Today" : days === 1 ? "Yesterday" : date.toLocaleDateString(undefined, { year: "numeric", month: "long", day: "numeric" });
}

const ENDS = { paused: ["waits for an answer", "wait"], failed: ["failed", "bad"], cancelled: ["stopped", "wait"], interrupted: ["cut off", "wait"], running: ["at work", "good"], queued: ["queued", "wait"], dead: ["given up", "bad"] };

/** One row for each session that was found, as a list of sessions has them. */
function hits(found) {
  const first = new Map();
  for (const hit of found) if (!first.has(hit.session_id)) first.set(hit.session_id, { id: hit.session_id, preview: hit.excerpt, updated_at: hit.created_at, turn: hit.turn_id });
  return [...first.values()];
}

async function listSessions() {
  const words = $("search").value.trim();
  try {
    const found = await call("GET", `/v1/sessions?limit=200${words ? `&search=${encodeURIComponent(words)}` : ""}`);
    page.sessions = words ? hits(found.data) : found.data;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    page.stored = false;
    if (error.code !== "no_store") throw error;
    page.sessions = [];
  }
  let day = "";
  const rows = page.sessions.filter((one) => !page.removed.has(one.id)).flatMap((one) => {
    const [words_, kind] = ENDS[one.status] ?? ["", ""];
    const row = h("button", { type: "button", class: "session", "data-id": one.id, "aria-current": one.id === page.session?.id ? "true" : null, onclick: () => open(one.id, one.turn) },
      one.preview || one.id, h("span", { class: "about" }, ...(words_ ? [h("span", { class: kind }, words_), " · "] : []), one.excerpt || one.id));
    const next = dayOf(one.updated_at);
    if (next === day) return [row];
    day = next;
    return [h("h2", {}, day), row];
  });
  const empty = page.stored ? (words ? "Nothing was found." : "No conversations yet. Write the first message.") : "This server keeps no conversations.";
  $("sessions").replaceChildren(...(rows.length ? rows : [h("p", { class: "quiet" }, empty)]));
  await countWaiting();
}

async function countWaiting() {
  if (!page.stored) return;
  const paused = await call("GET", "/v1/runs?status=paused&limit=100");
  $("waiting-count").textContent = paused.data.length;
  page.waiting = paused.data;
}

async function open(id, turn = "") {
  leave();
  const session = await call("GET", `/v1/sessions/${encodeURIComponent(id)}`);
  const runs = await call("GET", `/v1/runs?session_id=${encodeURIComponent(id)}&limit=50`);
  page.session = session;
  page.runs = runs.data;
  const last = runs.data[0];
  history.replaceState(null, "", `#${encodeURIComponent(id)}`);
  $("words").value = sessionStorage.getItem(`draft:${id}`) ?? "";
  show();
  view("talk");
  if (turn) document.getElementById(turn)?.scrollIntoView();
  showDetails();
  if (last?.status === "paused") ask(last);
  else if (last?.status === "running" || last?.status === "queued") await follow(last.run_id);
  else state(last ? last.status : "");
}

function fresh() {
  leave();
  page.session = null;
  page.runs = [];
  history.replaceState(null, "", location.pathname);
  $("words").value = sessionStorage.getItem("draft:") ?? "";
  show();
  showDetails();
  state("");
  view("talk");
  $("words").focus();
}

function leave() {
  page.reading?.abort();
  page.reading = null;
  running(null);
  $("questions").hidden = true;
  $("questions").replaceChildren();
  notice("");
}

/** Show the conversation; of a run that is followed, what the user said alone. */
function show(followed = "") {
  const session = page.session;
  const log = $("log");
  if (!session || !session.turns?.length) {
    const starters = page.starters ?? [];
    log.replaceChildren(h("div", { class: "starters" }, h("p", {}, `Ask ${page.agent || "the agent"} something.`),
      ...starters.map((words) => h("button", { type: "button", onclick: () => { $("words").value = words; grow(); $("words").focus(); } }, words))));
  } else {
    const turns = session.turns.filter((one) => !followed || one.run_id !== followed || (one.role === "user" && one.agent === session.stack[0]));
    log.replaceChildren(...conversation({ ...session, turns, status: page.runs?.[0]?.status }, page.runs ?? [], { edit, again, forkAt, link }));
    log.scrollTop = log.scrollHeight;
  }
  const current = document.querySelector(".session[aria-current]");
  current?.removeAttribute("aria-current");
  if (session) document.querySelector(`.session[data-id="${CSS.escape(session.id)}"]`)?.setAttribute("aria-current", "true");
  sums(usageOf(session));
}

function usageOf(session) {
  const sum = { input_tokens: 0, cached_tokens: 0, output_tokens: 0, usd: 0 };
  for (const { usage } of session?.turns ?? []) for (const name of Object.keys(usage ? sum : {})) sum[name] += usage[name] ?? 0;
  return sum;
}

function sums(usage) {
  if (!usage) { $("sums").textContent = ""; return; }
  const tokens = (usage.input_tokens ?? 0) + (usage.output_tokens ?? 0);
  const money = usage.usd ? ` · $${usage.usd.toFixed(usage.usd < 0.1 ? 4 : 2)}` : "";
  $("sums").textContent = tokens ? `${tokens.toLocaleString()} tokens${money}` : "";
}

// Forks

async function forkOf(at) {
  const made = await call("POST", `/v1/sessions/${encodeURIComponent(page.session.id)}/fork`, at ? { at } : {});
  return made.id;
}

async function forkAt(turn) {
  const id = await forkOf(turn.id);
  await listSessions();
  await open(id);
}

async function beforeTurn(turn) {
  const place = page.session.turns.findIndex((one) => one.id === turn.id);
  const before = page.session.turns[place - 1];
  if (!before) { fresh(); return; }
  const id = await forkOf(before.id);
  await listSessions();
  await open(id);
}

const textOf = (turn) => typeof turn.content === "string" ? turn.content : turn.content.filter((part) => part.type === "text").map((part) => part.text).join("\n");

async function edit(turn) {
  const words = textOf(turn);
  await beforeTurn(turn);
  $("words").value = words;
  grow();
  $("words").focus();
}

async function again(turn) {
  const place = page.session.turns.findIndex((one) => one.id === turn.id);
  const said = page.session.turns.slice(0, place + 1).findLast((one) => one.role === "user" && (!page.session.stack?.length || one.agent === turn.agent || one.agent === page.session.stack[0]));
  if (!said) return;
  const content = said.content;
  await beforeTurn(said);
  await send(content);
}

function link(turn) {
  const address = new URL(`#${encodeURIComponent(page.session.id)}/${turn.id}`, location.href).href;
  navigator.clipboard?.writeText(address);
  tell("The link is copied.");
}

// Runs

function state(status, words = "") {
  const [text, kind] = ENDS[status] ?? ["", ""];
  $("state").textContent = words || text;
  $("state").className = kind;
}

function running(runId) {
  page.run = runId;
  $("send").textContent = runId ? "Stop" : "Send";
}

function notice(words) {
  $("notice").textContent = words;
  $("notice").hidden = !words;
}

function partsOf(words) {
  if (!page.files.length) return words;
  const kinds = { image: "image", audio: "audio" };
  const media = page.files.map((file) => ({ type: kinds[file.type.split("/")[0]] ?? "document", source: { type: "data", value: file.data, mimeType: file.type || "application/octet-stream" }, metadata: { filename: file.name } }));
  return [...(words ? [{ type: "text", text: words }] : []), ...media];
}

/** Ours, as AG-UI writes it. */
function partsFrom(content) {
  if (typeof content === "string") return content;
  return content.map((part) => part.type === "text" ? { type: "text", text: part.text } :
    { type: part.type === "file" ? "document" : part.type, source: part.url ? { type: "url", value: part.url, mimeType: part.mime_type } : { type: "data", value: part.data, mimeType: part.mime_type ?? "application/octet-stream" }, metadata: { filename: part.name } });
}

async function send(content) {
  await page.ready;
  const runId = crypto.randomUUID();
  const id = page.session?.id ?? crypto.randomUUID();
  const first = !page.session;
  if (first) page.session = { id, turns: [], stack: [] };
  notice("");
  const log = $("log");
  log.querySelector(".starters")?.remove();
  const before = page.stored ? [] : (page.session.said ??= []);
  const message = { id: crypto.randomUUID(), role: "user", content: partsFrom(content) };
  const answer = new Answer(log, content);
  running(runId);
  state("running");
  const reading = page.reading = new AbortController();
  const body = { threadId: id, runId, messages: [...before, message], tools: [], context: [], state: {}, forwardedProps: {} };
  let over = false;
  const steps = []; // helpers at work
  let beside = null; // the run's intents, once a helper is at work: AG-UI tells what agents say to the user alone
  try {
    for await (const { data } of events("POST", `/ag-ui/${encodeURIComponent(page.agent)}`, { body, signal: reading.signal })) {
      if (!beside?.tells || data.type === "RUN_ERROR") answer.take(data);
      if (data.type === "STEP_STARTED") steps.push(data.stepName);
      else if (data.type === "STEP_FINISHED") steps.splice(steps.lastIndexOf(data.stepName), 1);
      else if (data.type === "TEXT_MESSAGE_START" && steps.length) answer.speaks(steps.at(-1));
      if (steps.length && page.stored) beside ??= helpers(runId, answer, reading.signal);
      if (data.type === "RUN_FINISHED" || data.type === "RUN_ERROR") over = true;
    }
  } catch (error) {
    if (reading.signal.aborted) return;
    if (error instanceof Refused) {
      answer.fail(error.message);
      over = true;
      if (error.code === "run_paused") over = "paused";
      if (!$("words").value && typeof content === "string") { $("words").value = content; grow(); }
    }
  }
  beside?.end();
  if (!page.stored) before.push(message, { id: crypto.randomUUID(), role: "assistant", content: answer.text() });
  history.replaceState(null, "", `#${encodeURIComponent(id)}`);
  if (!over && page.stored) await follow(runId, answer);
  else await finished(runId, answer);
}

/** Show a run by its intents from now on, as soon as the first of them is there. */
function helpers(runId, answer, signal) {
  const own = new AbortController();
  const beside = { tells: false, end: () => own.abort() };
  const read = async () => {
    let after = "";
    for (let tries = 0; tries < 10 && !own.signal.aborted && !signal.aborted; tries += 1) {
      try {
        for await (const { id, name, data } of events("GET", `/v1/runs/${encodeURIComponent(runId)}/events`, { signal: AbortSignal.any([signal, own.signal]), after })) {
          if (own.signal.aborted) return;
          if (!beside.tells) answer.clear();
          beside.tells = true;
          after = id || after;
          answer.takeIntent(name, data);
        }
        return;
      } catch { await new Promise((resolve) => setTimeout(resolve, 500)); }
    }
  };
  read();
  return beside;
}

/** Read a run that another request began, or whose stream broke. */
async function follow(runId, answer) {
  if (!answer) {
    show(runId);
    answer = new Answer($("log"));
  }
  running(runId);
  state("running");
  const reading = page.reading = new AbortController();
  let after = "";
  for (let tries = 0; tries < 100 && !reading.signal.aborted; tries += 1) {
    try {
      if (!after) answer.clear();
      for await (const { id, name, data } of events("GET", `/v1/runs/${encodeURIComponent(runId)}/events`, { signal: reading.signal, after })) {
        notice("");
        tries = 0;
        after = id || after;
        answer.takeIntent(name, data);
      }
      break;
    } catch (error) {
      if (reading.signal.aborted) return;
      if (error instanceof Refused) break;
      notice("The connection was lost. It goes on when the server is there again.");
      await new Promise((resolve) => setTimeout(resolve, Math.min(5000, 500 * (tries + 1))));
    }
  }
  if (!reading.signal.aborted) await finished(runId, answer);
}

async function finished(runId, answer) {
  answer.end();
  speak(answer.text());
  notice("");
  try {
    if (page.stored) await readAgain(answer);
    else state("");
  } finally {
    running(null);
  }
  if (page.stored) await listSessions();
  if ($("questions").hidden) $("words").focus();
}

/** Show what was stored in place of what came. */
async function readAgain(answer) {
  const { id } = page.session;
  try {
    const [session, runs] = await Promise.all([call("GET", `/v1/sessions/${encodeURIComponent(id)}`), call("GET", `/v1/runs?session_id=${encodeURIComponent(id)}&limit=50`)]);
    if (page.session?.id !== id) return;
    page.session = session;
    page.runs = runs.data;
    show();
    const last = runs.data[0];
    if (answer.error && !["failed", "cancelled"].includes(last?.status)) $("log").append(h("p", { class: "end bad" }, answer.error));
    showDetails();
    state(last && last.status !== "completed" ? last.status : "");
    if (last?.status === "paused") ask(last);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    state("");
  }
}

async function stop() {
  if (!page.run) return;
  state("running", "stopping");
  if (page.stored) {
    try {
      await call("POST", `/v1/runs/${encodeURIComponent(page.run)}/cancel`);
      return;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
    }
  }
  page.reading?.abort();
  running(null);
  state("cancelled");
}

let spoken = "";
function speak(text) {
  if (text && text !== spoken) $("spoken").textContent = text.slice(0, 2000);
  spoken = text;
}

// Questions

function ask(run) {
  const box = $("questions");
  const open_ = run.calls ?? [];
  box.replaceChildren(...(open_.length > 1 ? [h("p", { class: "quiet" }, `${open_.length} questions: the run goes on when all are answered.`)] : []), ...open_.map((one) => question(run, one)));
  box.hidden = !open_.length;
  state("paused");
  box.querySelector("button")?.focus();
}

function question(run, asked) {
  const why = h("input", { "aria-label": "Reason", placeholder: "because …" });
  const answer = (value) => reply(run, asked, value, box);
  const own = asked.kind === "tool";
  const box = h("div", { class: "question", role: "group", "aria-label": `Question about ${asked.type}` },
    h("p", {}, h("strong", {}, asked.agent), own ? " waits for the result of " : " wants to call ", h("code", {}, asked.type), own ? ", a tool of the one who began this run." : "."),
    h("pre", { class: "args", tabindex: "0", "aria-label": "Arguments" }, JSON.stringify(asked.args, null, 2)),
    asked.expires ? h("p", { class: "quiet" }, `Open until ${new Date(asked.expires).toLocaleString()}.`) : null,
    own ? h("div", { class: "row" }, h("button", { type: "button", onclick: () => answer(false) }, "Do without it")) :
      h("div", { class: "row" }, h("button", { type: "button", class: "primary", onclick: () => answer(true) }, "Allow"),
        h("button", { type: "button", onclick: () => answer(why.value.trim() || false) }, "Deny"), why));
  why.addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); answer(why.value.trim() || false); } });
  return box;
}

async function reply(run, asked, value, box) {
  for (const one of box.querySelectorAll("button, input")) one.disabled = true;
  try {
    await call("POST", `/v1/runs/${encodeURIComponent(run.run_id)}/answers`, { answers: { [asked.id]: value } });
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    notice(error.message);
  }
  box.remove();
  if ($("questions").querySelector(".question")) return;
  $("questions").hidden = true;
  await follow(run.run_id);
}

// What is beside the conversation

function view(name) {
  document.body.dataset.view = name;
  const other = name === "other";
  $("talk").hidden = other;
  $("other").hidden = !other;
  grow(); // it has no height while it is hidden
}

function showDetails() {
  const box = $("details");
  const session = page.session;
  if (!session) { box.replaceChildren(h("p", { class: "quiet" }, "Details of a conversation are shown here.")); return; }
  const name = h("input", { value: session.id, "aria-label": "Name of this session" });
  const rename = async () => {
    if (name.value.trim() && name.value !== session.id) {
      try {
        await call("PATCH", `/v1/sessions/${encodeURIComponent(session.id)}`, { id: name.value.trim() });
        session.id = name.value.trim();
        history.replaceState(null, "", `#${encodeURIComponent(session.id)}`);
        await listSessions();
      } catch (error) { tell(error.message); name.value = session.id; }
    }
  };
  name.addEventListener("change", rename);
  const usage = usageOf(session);
  const facts = { Messages: session.turns?.length ?? 0, Sent: usage.input_tokens, Cached: usage.cached_tokens, Received: usage.output_tokens, Money: usage.usd ? `$${usage.usd.toFixed(4)}` : null, "Copied from": session.forked_from };
  box.replaceChildren(h("h2", {}, "This conversation"), name,
    h("dl", {}, ...Object.entries(facts).filter(([, value]) => value).flatMap(([what, value]) => [h("dt", {}, what), h("dd", {}, String(value))])),
    h("div", { class: "row" }, h("button", { type: "button", onclick: () => forkOf("").then(async (id) => { await listSessions(); await open(id); }) }, "Fork"),
      h("button", { type: "button", onclick: remove }, "Delete")),
    h("div", { class: "row" }, ...["json", "markdown", "html"].map((form) => h("button", { type: "button", onclick: () => save(form) }, { json: "JSON", markdown: "Markdown", html: "Page" }[form]))),
    h("h2", {}, "Runs"),
    ...(page.runs ?? []).map((run) => h("p", {}, h("span", { class: ENDS[run.status]?.[1] ?? "good" }, run.status), ` · ${new Date(run.started_at ?? run.made_at).toLocaleString()}`, run.error ? h("span", { class: "bad" }, ` · ${run.error.message}`) : null)),
    h("button", { type: "button", class: "plain", onclick: () => view("talk") }, "Close"));
}

async function save(form) {
  const answer = await call("GET", `/v1/sessions/${encodeURIComponent(page.session.id)}?format=${form}`, undefined, { raw: true });
  const address = URL.createObjectURL(await answer.blob());
  const ending = { json: "json", markdown: "md", html: "html" }[form];
  h("a", { href: address, download: `${page.session.id}.${ending}` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

function remove() {
  const { id } = page.session;
  const gone = async () => { page.removed.delete(id); await call("DELETE", `/v1/sessions/${encodeURIComponent(id)}`).catch((error) => tell(error.message)); await listSessions(); };
  page.removed.set(id, { timer: setTimeout(gone, UNDO), gone });
  fresh();
  listSessions();
  tell("The conversation is deleted.", ["Undo", () => { clearTimeout(page.removed.get(id)?.timer); page.removed.delete(id); listSessions().then(() => open(id)); }]);
}

addEventListener("pagehide", () => { for (const { gone, timer } of page.removed.values()) { clearTimeout(timer); gone(); } });

let barTimer = 0;
function tell(words, action) {
  clearTimeout(barTimer);
  const bar = $("bar");
  bar.replaceChildren(words, ...(action ? [h("button", { type: "button", onclick: () => { bar.hidden = true; action[1](); } }, action[0])] : []));
  bar.hidden = false;
  barTimer = setTimeout(() => { bar.hidden = true; }, UNDO - 500);
}

async function other(nodes) {
  $("other").replaceChildren(h("button", { type: "button", class: "plain", onclick: () => view("talk") }, "← Conversation"), ...(await nodes));
  view("other");
  $("other").focus();
}

async function waiting() {
  await countWaiting();
  const rows = (page.waiting ?? []).map((run) => h("p", {}, h("button", { type: "button", onclick: () => open(run.session_id) }, run.calls.map((one) => one.type).join(", ") || run.run_id),
    h("span", { class: "quiet" }, ` ${run.agent} · ${run.session_id} · ${new Date(run.made_at).toLocaleString()}`)));
  return [h("h2", {}, "Runs that wait for an answer"), ...(rows.length ? rows : [h("p", { class: "quiet" }, "None waits. A run waits where a tool asks before it is called.")])];
}

const KEYS = { n: "New conversation", "/": "Search", w: "Runs that wait", u: "Usage", d: "Details", "?": "These keys", Esc: "Stop, or back to the conversation" };
const keys = () => [h("h2", {}, "Keys"), h("dl", {}, ...Object.entries(KEYS).flatMap(([key, what]) => [h("dt", {}, h("code", {}, key)), h("dd", {}, what)]))];

// Input

function grow() {
  const box = $("words");
  box.style.height = "auto";
  if (!box.scrollHeight) return; // it is not shown
  box.style.height = `${Math.min(box.scrollHeight + 2, 248)}px`;
}

async function addFiles(list) {
  for (const file of list) {
    const total = page.files.reduce((sum, one) => sum + one.size, file.size);
    if (total > LARGEST) { tell(`${file.name} is too large: files may have ${LARGEST / 1_000_000} MB together.`); continue; }
    const address = await new Promise((resolve, reject) => { const reader = new FileReader(); reader.onload = () => resolve(reader.result); reader.onerror = () => reject(reader.error); reader.readAsDataURL(file); });
    page.files.push({ name: file.name, type: file.type, size: file.size, data: address.slice(address.indexOf(",") + 1) });
  }
  showFiles();
}

function showFiles() {
  $("files").replaceChildren(...page.files.map((file, place) => h("span", {}, `${file.name} (${Math.ceil(file.size / 1000)} kB) `, h("button", { type: "button", "aria-label": `Remove ${file.name}`, onclick: () => { page.files.splice(place, 1); showFiles(); } }, "×"))));
  $("files").hidden = !page.files.length;
}

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (page.run) { stop(); return; }
  const words = $("words").value.trim();
  if (!words && !page.files.length) return;
  if (!$("questions").hidden) { notice("The run waits for an answer: allow or deny first."); return; }
  const content = partsOf(words);
  page.files = [];
  showFiles();
  $("words").value = "";
  sessionStorage.removeItem(`draft:${page.session?.id ?? ""}`);
  grow();
  send(typeof content === "string" ? content : content.map((part) => part.source ? { type: part.type === "document" ? "file" : part.type, data: part.source.value, mime_type: part.source.mimeType, name: part.metadata.filename } : part));
});
$("words").addEventListener("input", () => { grow(); sessionStorage.setItem(`draft:${page.session?.id ?? ""}`, $("words").value); });
$("words").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); $("form").requestSubmit(); }
});
$("words").addEventListener("paste", (event) => { if (event.clipboardData.files.length) { event.preventDefault(); addFiles(event.clipboardData.files); } });
$("file").addEventListener("change", async () => { await addFiles($("file").files); $("file").value = ""; });
for (const [name, on] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
  $("talk").addEventListener(name, (event) => {
    event.preventDefault();
    $("talk").classList.toggle("drop", on);
    if (name === "drop") addFiles(event.dataTransfer.files);
  });
}
document.querySelector(".attach").addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); $("file").click(); } });
$("new").addEventListener("click", fresh);
$("back").addEventListener("click", () => view(document.body.dataset.view === "other" ? "talk" : "sessions"));
$("show-details").addEventListener("click", () => view(document.body.dataset.view === "details" ? "talk" : "details"));
$("show-usage").addEventListener("click", () => other(usageView()));
$("show-waiting").addEventListener("click", () => other(waiting()));
$("show-keys").addEventListener("click", () => other(keys()));
$("agent").addEventListener("change", () => { page.agent = $("agent").value; if (!page.session) show(); });
let typing = 0;
$("search").addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(listSessions, 150); });
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") { if (page.run) stop(); else if (document.body.dataset.view !== "talk") view("talk"); return; }
  if (event.target.closest("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey) return;
  const act = { n: fresh, "/": () => { view("sessions"); $("search").focus(); }, w: () => other(waiting()), u: () => other(usageView()), d: () => view("details"), "?": () => other(keys()) }[event.key];
  if (act) { event.preventDefault(); act(); }
});

// Begin

async function begin() {
  const models = await call("GET", "/v1/models");
  page.agents = models.data.map((one) => one.id);
  page.starters = models.data[0]?.examples ?? [];
  page.agent = page.agents[0] ?? "";
  $("agent").replaceChildren(...page.agents.map((name) => h("option", { value: name }, name)));
  $("agent").disabled = page.agents.length < 2;
  await listSessions();
  const [id, turn] = decodeURIComponent(location.hash.slice(1)).split("/");
  if (id && page.stored) await open(id, turn).catch(fresh);
  else fresh();
}

$("ask-token").addEventListener("submit", async (event) => {
  event.preventDefault();
  setToken($("token").value.trim());
  await start();
});

async function start() {
  try {
    page.ready = begin();
    await page.ready;
    $("ask-token").hidden = true;
  } catch (error) {
    if (!(error instanceof Refused)) { notice("The server does not answer."); throw error; }
    if (error.status !== 401) { notice(error.message); return; }
    $("token-wrong").textContent = $("ask-token").hidden ? "" : "That token is not known here.";
    $("ask-token").hidden = false;
    $("token").focus();
  }
}

addEventListener("unhandledrejection", (event) => { if (event.reason instanceof Refused) { event.preventDefault(); tell(event.reason.message); } });
start();
