// What was used: bars for each day, stacked by model or by kind, and tables that say the same.

import { call } from "/api.js";
import { h } from "/markdown.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDE = 640, HIGH = 180, FOOT = 20, LEFT = 56;
const DAYS = 30, MOST = 4; // models with a colour of their own

function s(tag, attributes, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

const tokens = (usage) => usage.input_tokens + usage.output_tokens;
const money = (value) => (value === null || value === undefined ? "–" : `$${value.toFixed(value && value < 0.1 ? 4 : 2)}`);

function lastDays(rows) {
  const known = new Map(rows.map((row) => [row.key, row]));
  return Array.from({ length: DAYS }, (_, place) => {
    const day = new Date(Date.now() - (DAYS - 1 - place) * 86_400_000).toISOString().slice(0, 10);
    return known.get(day) ?? { key: day, calls: 0, usage: { input_tokens: 0, output_tokens: 0, cached_tokens: 0, usd: 0 } };
  });
}

const KINDS = [["in", "sent", ({ usage }) => usage.input_tokens - usage.cached_tokens], ["cached", "from the cache", ({ usage }) => usage.cached_tokens], ["out", "received", ({ usage }) => usage.output_tokens]];
const units = { tokens: ({ usage }) => tokens(usage), money: ({ usage }) => usage.usd ?? 0 };

// Of each model its part of a day: [[class, name, row => quantity]], and what the others used.
function ofModels(named, unit) {
  const of = units[unit];
  const parts = named.map(([name, rows], place) => {
    const days = new Map(rows.map((row) => [row.key, of(row)]));
    return [`m${place}`, name, (row) => days.get(row.key) ?? 0];
  });
  const rest = (row) => Math.max(0, of(row) - parts.reduce((all, [, , part]) => all + part(row), 0));
  return [...parts, ["rest", "others", rest]];
}

function chart(rows, unit, stack, named) {
  const by = stack === "kind" ? "tokens" : unit;
  const parts = stack === "kind" ? KINDS : ofModels(named, unit);
  const sum = (row) => parts.reduce((all, [, , of]) => all + of(row), 0);
  const most = Math.max(...rows.map(sum)) || 1;
  const step = (WIDE - LEFT) / rows.length;
  const say = (value) => (by === "money" ? money(value) : Math.round(value).toLocaleString());
  const svg = s("svg", { viewBox: `0 0 ${WIDE} ${HIGH + FOOT}`, role: "img", "aria-label": `Use of the last ${rows.length} days; the table below says the same` });
  for (const share of [0, 0.5, 1]) {
    const y = HIGH - share * (HIGH - 10);
    svg.append(s("text", { x: LEFT - 6, y: y + 4, "text-anchor": "end" }, say(most * share)), s("line", { x1: LEFT, x2: WIDE, y1: y, y2: y, stroke: "currentColor", "stroke-opacity": 0.15 }));
  }
  rows.forEach((row, place) => {
    let y = HIGH;
    const each = parts.filter(([, , of]) => of(row) > 0).map(([, name, of]) => `\n${name}: ${say(of(row))}`).join("");
    const group = s("g", {}, s("title", {}, `${row.key}: ${say(sum(row))}${by === "money" ? "" : " tokens"}, ${row.calls} calls${each}`));
    for (const [name, , of] of parts) {
      const height = (of(row) / most) * (HIGH - 10);
      y -= height;
      if (height > 0) group.append(s("rect", { class: name, x: LEFT + place * step + 1, y, width: Math.max(1, step - 2), height }));
    }
    group.append(s("rect", { x: LEFT + place * step, y: 0, width: step, height: HIGH, fill: "transparent" }));
    svg.append(group);
    if (place % 7 === 0) svg.append(s("text", { x: LEFT + place * step, y: HIGH + 14 }, row.key.slice(5)));
  });
  const shown = parts.filter(([, , of]) => rows.some((row) => of(row) > 0));
  const legend = shown.map(([key, name]) => [s("svg", { class: "key", viewBox: "0 0 10 10", "aria-hidden": "true" }, s("rect", { class: key, width: 10, height: 10 })), ` ${name} `]);
  return [svg, h("p", { class: "quiet" }, ...legend.flat())];
}

function table(what, rows) {
  const number = (value) => h("td", { class: "number" }, value);
  return h("div", { class: "table", tabindex: "0", role: "region", "aria-label": `By ${what}` }, h("table", {},
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, what), ...["Calls", "Sent", "From the cache", "Received", "Money"].map((name) => h("th", { class: "number", scope: "col" }, name)))),
    h("tbody", {}, ...rows.map(({ key, calls, usage }) => h("tr", {}, h("th", { scope: "row" }, key), number(calls.toLocaleString()), number(usage.input_tokens.toLocaleString()),
      number(usage.input_tokens ? `${Math.round((100 * usage.cached_tokens) / usage.input_tokens)} %` : "–"), number(usage.output_tokens.toLocaleString()), number(money(usage.usd)))))));
}

export async function usageView() {
  const [days, models, agents, sessions] = (await Promise.all(["day", "model", "agent", "session"].map((by) => call("GET", `/v1/usage?by=${by}`)))).map((one) => one.data);
  if (!days.length) return [h("h2", {}, "Usage"), h("p", { class: "quiet" }, "Nothing was used yet.")];
  const shown = lastDays(days);
  const most = models.slice(0, MOST).map(({ key }) => key);
  const named = await Promise.all(most.map(async (key) => [key, (await call("GET", `/v1/usage?by=day&model=${encodeURIComponent(key)}`)).data]));
  const box = h("div", {}, ...chart(shown, "tokens", "model", named));
  const draw = () => box.replaceChildren(...chart(shown, ...pick.value.split(" "), named));
  const choices = [["tokens model", "Tokens by model"], ["money model", "Money by model"], ["tokens kind", "Tokens by kind"]];
  const pick = h("select", { "aria-label": "What the bars show", onchange: draw }, ...choices.map(([value, words]) => h("option", { value }, words)));
  const total = days.reduce((all, { usage }) => all + tokens(usage), 0);
  return [h("h2", {}, "Usage"), h("p", {}, `${total.toLocaleString()} tokens in all. `, pick), box,
    h("h3", {}, "By model"), table("Model", models), h("h3", {}, "By agent"), table("Agent", agents),
    h("h3", {}, "By session"), table("Session", sessions.slice(0, 50)), h("h3", {}, "By day"), table("Day", days.slice(-DAYS))];
}
