"use strict";
// The browser of clips, the sorting of labels, and the audit. Text from data is only ever set as text, never as markup.

const data = JSON.parse(document.getElementById("data").textContent);
const PAGE_CLIPS = 12;
const byId = (id) => document.getElementById(id);
const inWords = (name) => name.replaceAll("_", " ");

/** An element with a class, a text and children: make("p", "why", "text", child). */
function make(tag, className = "", text = "", ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  element.append(...children);
  return element;
}

// --- clips ---------------------------------------------------------------------------------------------------------------------

function stripOf(strip, label) {
  if (!strip.picture) return make("p", "gone", `No frames: ${strip.missing}`);
  const picture = make("img", "strip");
  Object.assign(picture, { src: `data:image/jpeg;base64,${strip.picture}`, width: strip.width, height: strip.height });
  picture.alt = `${strip.caption}; label: ${label}`;
  picture.title = strip.caption;
  picture.loading = "lazy";
  return picture;
}

/** Paragraph of an answer; every second segment is what decided. */
function answerOf(attempt) {
  const text = make("p", "answer");
  text.append(...attempt.segments.map((part, place) => (place % 2 ? make("mark", "", part) : part)), attempt.cut ? " [...]" : "");
  return text;
}

function attemptOf(attempt) {
  const sample = attempt.sample ? `, sample ${attempt.sample}` : "";
  const hinted = attempt.mode === "rationalized" ? "rationalized (shown the label)" : "direct";
  const why = make("p", "why", "", make("b", "", `${attempt.outcome}: ${inWords(attempt.reason)}`), ` ${data.words[attempt.reason] || ""}`);
  const notes = [];
  if (attempt.support !== undefined) {
    const other = attempt.other === undefined ? "" : `; mismatched pairs up to ${attempt.other}`;
    notes.push(`grounding ${attempt.support}${other}`);
  }
  if (attempt.outcome === "rejected" && attempt.score) notes.push(`score ${attempt.score}`);
  if (attempt.use) notes.push(attempt.use);
  if (attempt.people) notes.push(`people: ${attempt.people}`);
  notes.push(...(attempt.judge || []));
  const parts = [make("p", "meta", hinted + sample), attempt.outcome === "failed" ? make("p", "", attempt.detail || "") : answerOf(attempt), why];
  if (notes.length) parts.push(make("p", "meta", notes.join(" · ")));
  return make("div", `attempt ${attempt.outcome}`, "", ...parts);
}

function clipOf(story) {
  const about = make("div", "", "", make("h3", "", story.text), make("p", "", story.question));
  about.append(make("p", "soft", `${story.id} · ${story.split}${story.window ? ` · ${story.window}` : ""} · ${story.video}`));
  if (story.description) about.append(make("p", "soft", `described as: ${story.description}`));
  if (story.copy) about.append(make("p", "soft", `near-copy of ${story.copy}`));
  const steps = story.steps.map((step) => make("div", "step", "", make("h4", "", step.name), ...step.attempts.map(attemptOf)));
  return make("article", "clip", "", make("header", "", "", stripOf(story.strip, story.text), about), make("div", "steps", "", ...steps));
}

const filters = byId("filters");
let shown = data.stories, first = 0;

function searchedText(story) {
  const answers = story.steps.flatMap((step) => step.attempts.map((attempt) => attempt.segments.join("")));
  return [story.id, story.text, story.question, story.video, story.description, ...answers].join("\n").toLowerCase();
}

function has(story, wanted) {
  return story.steps.some((step) => (!wanted.step || step.name === wanted.step) && step.attempts.some((attempt) =>
    ["mode", "outcome", "reason"].every((name) => !wanted[name] || attempt[name] === wanted[name])));
}

function matches(story, wanted) {
  if (["split", "label", "fate"].some((name) => wanted[name] && story[name] !== wanted[name])) return false;
  if ((wanted.step || wanted.mode || wanted.outcome || wanted.reason) && !has(story, wanted)) return false;
  if (!wanted.text) return true;
  story.searched ??= searchedText(story);
  return wanted.text.toLowerCase().split(/\s+/).every((word) => story.searched.includes(word));
}

function leastSupport(story) {
  const supports = story.steps.flatMap((step) => step.attempts.flatMap((attempt) => attempt.support ?? []));
  return supports.length ? Math.min(...supports) : Infinity;
}

const ORDERS = {
  id: (a, b) => a.id.localeCompare(b.id),
  label: (a, b) => a.label.localeCompare(b.label) || a.id.localeCompare(b.id),
  support: (a, b) => leastSupport(a) - leastSupport(b),
};

function filter() {
  const wanted = Object.fromEntries(new FormData(filters));
  shown = data.stories.filter((story) => matches(story, wanted));
  if (ORDERS[wanted.sort]) shown.sort(ORDERS[wanted.sort]);
  first = 0;
  draw();
}

function draw() {
  const last = Math.min(first + PAGE_CLIPS, shown.length);
  byId("clip-list").replaceChildren(...shown.slice(first, last).map(clipOf));
  const all = `${data.stories.length.toLocaleString("en")} clips`;
  byId("clip-count").textContent = shown.length ? `${shown.length.toLocaleString("en")} of ${all}` : `0 of ${all} on this page`;
  byId("page-number").textContent = shown.length ? `${first + 1} to ${last}` : "none";
  byId("previous").disabled = first === 0;
  byId("next").disabled = last >= shown.length;
}

function turn(step) {
  first += step;
  draw();
  byId("clip-count").scrollIntoView();
}

function fill(name, values, text = inWords) {
  filters.elements[name].append(...[...new Set(values)].filter(Boolean).sort().map((value) => Object.assign(make("option", "", text(value)), { value })));
}

function show(name, value) {
  filters.reset();
  filters.elements[name].value = value;
  filter();
  byId("clips").scrollIntoView();
  filters.elements[name].focus({ preventScroll: true });
}

/** What buttons of the tables lead to: a large run shows a part of its clips, of which a label or a reason may have none. */
const named = (name) => [...document.querySelectorAll(`[data-${name}]`)].map((button) => button.dataset[name]);

function startClips() {
  const attempts = data.stories.flatMap((story) => story.steps.flatMap((step) => step.attempts));
  fill("split", data.stories.map((story) => story.split));
  fill("label", [...data.stories.map((story) => story.label), ...named("label")], String);
  fill("step", data.stories.flatMap((story) => story.steps.map((step) => step.name)), String);
  fill("reason", [...attempts.map((attempt) => attempt.reason), ...named("reason")]);
  fill("fate", data.stories.map((story) => story.fate));
  filters.addEventListener("input", filter);
  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.addEventListener("reset", () => setTimeout(filter));
  byId("previous").addEventListener("click", () => turn(-PAGE_CLIPS));
  byId("next").addEventListener("click", () => turn(PAGE_CLIPS));
  for (const button of document.querySelectorAll("[data-reason]")) button.addEventListener("click", () => show("reason", button.dataset.reason));
  for (const button of document.querySelectorAll("[data-label]")) button.addEventListener("click", () => show("label", button.dataset.label));
  draw();
}

// --- labels --------------------------------------------------------------------------------------------------------------------

function startLabels() {
  const table = byId("label-table"), body = table.tBodies[0], rows = [...body.rows];
  const headers = [...table.tHead.rows[0].cells].filter((cell) => cell.querySelector("button"));
  const number = (cell) => { const value = parseFloat(cell.textContent.replaceAll(",", "")); return Number.isNaN(value) ? -Infinity : value; };
  headers.forEach((header, column) => header.querySelector("button").addEventListener("click", () => {
    const down = header.getAttribute("aria-sort") === "ascending" || (header.getAttribute("aria-sort") === "none" && column > 0);
    for (const other of headers) other.setAttribute("aria-sort", "none");
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
    const compare = column ? (a, b) => number(a.cells[column]) - number(b.cells[column]) : (a, b) => a.cells[0].textContent.localeCompare(b.cells[0].textContent);
    body.append(...[...rows].sort((a, b) => (down ? -1 : 1) * compare(a, b)));
  }));
  const count = () => {
    const text = byId("label-search").value.toLowerCase();
    for (const row of rows) row.hidden = !row.cells[0].textContent.toLowerCase().includes(text);
    byId("label-count").textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} labels`;
  };
  byId("label-search").addEventListener("input", count);
  count();
}

// --- audit ---------------------------------------------------------------------------------------------------------------------

const KEYS = { k: "keep", d: "drop", u: "unsure" };

/** One file as `starloop audit` writes it: a byte order mark, a header, and each cell in quotes where it needs them. */
function toCsv(rows) {
  const quoted = (value) => { const text = String(value ?? ""); return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text; };
  const columns = Object.keys(rows[0]);
  return "\ufeff" + [columns, ...rows.map((row) => columns.map((column) => row[column]))].map((cells) => cells.map(quoted).join(",") + "\n").join("");
}

/** What a person types must not become a formula of a spreadsheet, or a second line. */
function safe(text) {
  const line = text.split(/\s+/).filter(Boolean).join(" ");
  return /^[=+\-@]/.test(line) ? `'${line}` : line;
}

function startAudit() {
  const audit = data.audit;
  if (!audit) return;
  const key = `starloop audit ${data.run} ${audit.step} ${audit.seed}`;
  const kept = read(key);
  const count = () => { byId("audit-count").textContent = `${audit.rows.filter((row) => row.people).length} of ${audit.rows.length} marked`; };
  const changed = () => { save(key, audit.rows); count(); };
  for (const row of audit.rows) Object.assign(row, kept[row.answer] || {}); // all of them first: to show a mark saves the rows
  byId("audit-list").append(...audit.rows.map((row, place) => questionOf(row, place, audit.strips[place], changed)));
  byId("export").addEventListener("click", () => {
    const rows = audit.rows.map((row) => ({ ...row, note: safe(row.note || "") }));
    const link = make("a");
    link.href = URL.createObjectURL(new Blob([toCsv(rows)], { type: "text/csv" }));
    link.download = "audit.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  });
  count();
}

function questionOf(row, place, strip, changed) {
  const words = make("fieldset", "", "", make("legend", "", "Train on it?"));
  const box = make("div", "question", "", stripOf(strip, row.label));
  const mark = (word) => {
    row.people = word;
    for (const input of words.querySelectorAll("input[type=radio]")) input.checked = input.value === word;
    box.classList.toggle("marked", Boolean(word));
    changed();
  };
  for (const word of Object.values(KEYS)) {
    const input = Object.assign(make("input"), { type: "radio", name: `people-${place}`, value: word });
    input.addEventListener("change", () => mark(word));
    words.append(make("label", "", "", input, ` ${word}`));
  }
  const note = Object.assign(make("input"), { type: "text", value: row.note || "" });
  note.addEventListener("input", () => { row.note = note.value; changed(); });
  words.append(make("label", "remark-label", "Note", note));
  box.addEventListener("keydown", (event) => {
    if (event.target === note || event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
    mark(KEYS[event.key]);
  });
  const verdict = make("p", "soft", `${row.verdict}: ${inWords(row.reason)}, ${row.mode}; clip ${row.clip_id}`);
  box.append(make("div", "", "", make("p", "", row.text), make("p", "soft", `label: ${row.label} · ${row.question}`), verdict), words);
  if (row.people) mark(row.people);
  return box;
}

/** Marks survive a reload where the browser lets a file keep something. */
function read(key) {
  try { return JSON.parse(localStorage.getItem(key)) || {}; } catch { return {}; }
}

function save(key, rows) {
  const marked = rows.filter((row) => row.people || row.note).map(({ answer, people, note }) => [answer, { people, note }]);
  try { localStorage.setItem(key, JSON.stringify(Object.fromEntries(marked))); } catch { /* a private window keeps nothing */ }
}

startClips();
startLabels();
startAudit();
