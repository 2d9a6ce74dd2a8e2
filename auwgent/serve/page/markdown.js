// Markdown as DOM nodes, made with textContent alone: whatever a model writes stays text.

export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((one) => one !== null && one !== undefined && one !== false));
  return node;
}

const SAFE = /^(https?:|mailto:)/i;
const INLINE = [
  [/^(`+)(.+?)\1(?!`)/s, (m) => h("code", {}, m[2].trim())],
  [/^\*\*(?=\S)(.+?)\*\*/s, (m) => h("strong", {}, ...inline(m[1]))],
  [/^__(?=\S)(.+?)__(?!\w)/s, (m) => h("strong", {}, ...inline(m[1]))],
  [/^~~(?=\S)(.+?)~~/s, (m) => h("del", {}, ...inline(m[1]))],
  [/^\*(?=\S)([^*]+?)\*/s, (m) => h("em", {}, ...inline(m[1]))],
  [/^_(?=\S)([^_]+?)_(?!\w)/s, (m) => h("em", {}, ...inline(m[1]))],
  [/^!?\[([^\[\]]*)\]\(\s*<?([^\s()<>]*(?:\([^\s()<>]*\)[^\s()<>]*)*)>?(?:\s+"[^"]*")?\s*\)/, (m) => link(m[2], inline(m[1] || m[2]), m[0])],
  [/^<(https?:\/\/[^\s<>]+)>/i, (m) => link(m[1], [m[1]], m[0])],
  [/^https?:\/\/[^\s<>()]*[^\s<>().,;:!?'"*_]/i, (m) => link(m[0], [m[0]], m[0])],
];

function link(address, children, source) {
  if (!SAFE.test(address)) return source;
  return h("a", { href: address, target: "_blank", rel: "noopener noreferrer nofollow" }, ...children);
}

export function inline(text) {
  const found = [];
  let plain = "";
  for (let at = 0; at < text.length; ) {
    const char = text[at];
    if (char === "\\" && /[!-/:-@[-`{-~]/.test(text[at + 1] ?? "")) { plain += text[at + 1]; at += 2; continue; }
    if ("`*_~[!<h".includes(char) && !(char === "_" && /\w/.test(text[at - 1] ?? ""))) {
      const rest = text.slice(at, at + 4000);
      const hit = INLINE.map(([pattern, make]) => [pattern.exec(rest), make]).find(([match]) => match);
      if (hit) {
        if (plain) found.push(plain);
        plain = "";
        found.push(hit[1](hit[0]));
        at += hit[0][0].length;
        continue;
      }
    }
    plain += char;
    at += 1;
  }
  if (plain) found.push(plain);
  return found;
}

const WORDS = /("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`)|(#.*|\/\/.*|\/\*[\s\S]*?\*\/|--\s.*)|\b(\d[\d_.]*)\b|\b(and|as|async|await|break|case|class|const|continue|def|do|elif|else|enum|except|export|false|False|finally|fn|for|from|func|function|if|impl|import|in|interface|is|lambda|let|match|new|nil|None|not|null|or|package|pass|pub|raise|return|self|static|struct|switch|this|throw|true|True|try|type|use|var|void|while|with|yield|SELECT|FROM|WHERE|INSERT|UPDATE|DELETE|JOIN|GROUP|ORDER|BY)\b/g;

function coloured(text) {
  if (text.length > 20000) return [text];
  const found = [];
  let at = 0;
  for (const match of text.matchAll(WORDS)) {
    found.push(text.slice(at, match.index), h("span", { class: match[1] ? "s" : match[2] ? "c" : match[3] ? "n" : "k" }, match[0]));
    at = match.index + match[0].length;
  }
  return [...found, text.slice(at)];
}

export function code(text, language = "") {
  const plain = ["", "text", "txt", "plain"].includes(language.toLowerCase());
  const copy = h("button", { type: "button", onclick: () => navigator.clipboard?.writeText(text).then(() => { copy.textContent = "Copied"; }) }, "Copy");
  return h("div", { class: "code" }, h("pre", { tabindex: "0", "aria-label": `Code${language ? `, ${language}` : ""}` }, h("code", {}, ...(plain ? [text] : coloured(text)))), copy);
}

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^\s`]*)/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])(\s+|$)/;
const RULE = /^ {0,3}([-*_])(\s*\1){2,}\s*$/;
const HEAD = /^ {0,3}(#{1,6})\s+(.*?)(\s+#+)?\s*$/;

export function markdown(text) {
  return blocks(text.replace(/\r\n?/g, "\n").split("\n"), 0);
}

function blocks(lines, depth) {
  const nodes = [];
  let at = 0;
  const paragraph = [];
  const flush = () => {
    if (paragraph.length) {
      const parts = paragraph.splice(0).map((line) => inline(line.trim()));
      nodes.push(h("p", {}, ...parts.flatMap((part, number) => (number ? [h("br"), ...part] : part))));
    }
  };
  while (at < lines.length) {
    const line = lines[at];
    const fence = FENCE.exec(line);
    if (fence) {
      flush();
      let end = at + 1;
      while (end < lines.length && !(lines[end].trim().startsWith(fence[1]) && !lines[end].trim().replaceAll(fence[1][0], ""))) end += 1;
      nodes.push(code(lines.slice(at + 1, end).join("\n"), fence[2]));
      at = end + 1;
    } else if (!line.trim()) {
      flush();
      at += 1;
    } else if (HEAD.test(line)) {
      flush();
      const [, marks, words] = HEAD.exec(line);
      nodes.push(h(`h${Math.min(6, marks.length + 2)}`, {}, ...inline(words)));
      at += 1;
    } else if (RULE.test(line)) {
      flush();
      nodes.push(h("hr"));
      at += 1;
    } else if (/^ {0,3}>/.test(line) && depth < 8) {
      flush();
      const end = past(lines, at, (one) => /^ {0,3}>/.test(one));
      nodes.push(h("blockquote", {}, ...blocks(lines.slice(at, end).map((one) => one.replace(/^ {0,3}> ?/, "")), depth + 1)));
      at = end;
    } else if (ITEM.test(line) && depth < 8) {
      flush();
      at = list(lines, at, depth, nodes);
    } else if (line.includes("|") && /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/.test(lines[at + 1] ?? "") && lines[at + 1].includes("-")) {
      flush();
      const end = past(lines, at + 2, (one) => one.includes("|"));
      nodes.push(table([line, ...lines.slice(at + 2, end)]));
      at = end;
    } else {
      paragraph.push(line);
      at += 1;
    }
  }
  flush();
  return nodes;
}

function past(lines, at, holds) {
  while (at < lines.length && holds(lines[at])) at += 1;
  return at;
}

function list(lines, at, depth, nodes) {
  const [, indent, mark] = ITEM.exec(lines[at]);
  const ordered = /\d/.test(mark);
  const items = [];
  while (at < lines.length) {
    const item = ITEM.exec(lines[at]);
    if (!item || item[1].length > indent.length + 1 || /\d/.test(item[2]) !== ordered) break;
    const own = [lines[at].slice(item[0].length)];
    const inside = item[1].length + 1;
    at += 1;
    while (at < lines.length && (/^\s+/.exec(lines[at])?.[0].length >= inside || (!lines[at].trim() && /^\s+\S/.test(lines[at + 1] ?? "")))) {
      own.push(lines[at].replace(new RegExp(`^\\s{0,${item[0].length}}`), ""));
      at += 1;
    }
    const made = blocks(own, depth + 1);
    items.push(h("li", {}, ...(made.length && made[0].tagName === "P" ? [...made[0].childNodes, ...made.slice(1)] : made)));
    if (!lines[at]?.trim() && ITEM.test(lines[at + 1] ?? "")) at += 1;
  }
  nodes.push(h(ordered ? "ol" : "ul", ordered ? { start: parseInt(mark, 10) } : {}, ...items));
  return at;
}

function table(lines) {
  const rows = lines.map((line) => line.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/).map((cell) => inline(cell.trim().replaceAll("\\|", "|"))));
  return h("div", { class: "table", tabindex: "0", role: "region", "aria-label": "Table" },
    h("table", {}, h("thead", {}, h("tr", {}, ...rows[0].map((cell) => h("th", {}, ...cell)))),
      h("tbody", {}, ...rows.slice(1).map((row) => h("tr", {}, ...row.map((cell) => h("td", {}, ...cell)))))));
}
