// Shows what happens as it happens: reads the events of the edge, and writes rows once a frame.
import { localise } from "./page.js";
import { row } from "./live-rows.js";

const MOST_ROWS = 200;
// So many decisions in a second are more than anybody reads. The edge says how many it leaves out.
const MOST_A_SECOND = 20;
// Up to so many are counted while the page pauses.
const MOST_COUNTED = 9999;
const AGAIN = 5000;

const form = document.getElementById("filter");
const rows = document.getElementById("rows");
const state = document.getElementById("state-text");
const mark = document.getElementById("state-mark");
const pause = document.getElementById("pause");
const nothing = document.getElementById("nothing");
const since = document.getElementById("missed");

let source;
let retry;
let paused = false;
let missed = 0;
let frame = 0;
// Newest last; no more than there are rows.
let waiting = [];

function say(kind, word, text) {
  mark.className = `badge ${kind}`;
  mark.textContent = word;
  if (state.textContent !== text) state.textContent = text;
}

// Beside what is read aloud: it changes with each event.
function count() {
  const many = missed > MOST_COUNTED ? `More than ${MOST_COUNTED}` : missed;
  since.textContent = paused ? `${many} ${missed === 1 ? "event" : "events"} since` : "";
}

function sayHowItIs() {
  count();
  if (paused) {
    say("warn", "paused", `Going on shows the last ${MOST_ROWS} events.`);
  } else if (source?.readyState === EventSource.OPEN) {
    say("good", "live", "The newest are on top.");
  } else {
    say("warn", "connecting", "Waiting for the edge.");
  }
}

function draw() {
  frame = 0;
  const fresh = document.createDocumentFragment();
  for (const event of waiting.reverse()) fresh.append(row(event));
  waiting = [];
  localise(fresh);
  rows.prepend(fresh);
  while (rows.childElementCount > MOST_ROWS) rows.lastElementChild.remove();
  nothing.hidden = true;
}

function take(event) {
  waiting.push(JSON.parse(event.data));
  if (waiting.length > MOST_ROWS) waiting.shift();
  if (paused) {
    missed += 1;
    if (missed <= MOST_COUNTED + 1) count();
  } else if (frame === 0) {
    frame = requestAnimationFrame(draw);
  }
}

// An origin, of an address too.
function origin(text) {
  if (text === "" || text === "null" || text === "file://") return text;
  try {
    const url = new URL(text.includes("://") ? text : `https://${text}`);
    return url.origin === "null" ? `${url.protocol}//${url.host}` : url.origin;
  } catch {
    return text;
  }
}

function chosen() {
  const fields = new FormData(form);
  const query = new URLSearchParams();
  for (const name of ["widget", "embedder", "verdict"]) {
    const value = fields.get(name).trim();
    if (value !== "") query.set(name, name === "embedder" ? origin(value) : value);
  }
  for (const kind of fields.getAll("kind")) query.append("kind", kind);
  return query;
}

// The browser gives up where the answer is an error: says which, and tries again if that may help.
async function refused(query, opened) {
  clearTimeout(retry);
  let text = "The edge can't be reached. Trying again in a few seconds.";
  try {
    const control = new AbortController();
    const answer = await fetch(`/v1/events?${query}`, { signal: control.signal });
    const problem = answer.ok ? null : await answer.json();
    control.abort();
    if (opened !== source) return;
    if (answer.status === 401) return location.assign(`/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`);
    if (problem !== null) text = problem.detail;
    if (answer.status === 400) return say("bad", "stopped", `${text}. Change the filter.`);
  } catch {
    // It is away.
  }
  if (opened !== source) return;
  say("bad", "away", text);
  retry = setTimeout(listen, AGAIN);
}

function listen() {
  clearTimeout(retry);
  source?.close();
  const query = chosen();
  if (!query.has("kind")) return say("bad", "stopped", "Choose at least one kind of event.");
  history.replaceState(null, "", `/live?${query}`);
  query.set("decisions_per_second", MOST_A_SECOND);
  const opened = (source = new EventSource(`/v1/events?${query}`));
  sayHowItIs();
  opened.addEventListener("listening", sayHowItIs);
  for (const kind of ["decision", "swap", "refused", "session_ended", "notification", "lagged"]) {
    opened.addEventListener(kind, take);
  }
  opened.addEventListener("error", () => {
    if (opened !== source) return;
    if (opened.readyState === EventSource.CLOSED) refused(query, opened);
    else if (!paused) say("warn", "reconnecting", "The connection broke. What happens meanwhile is shown once it is back.");
  });
}

pause.addEventListener("click", () => {
  paused = !paused;
  pause.setAttribute("aria-pressed", String(paused));
  pause.textContent = paused ? "Go on" : "Pause";
  missed = 0;
  if (!paused && waiting.length > 0) draw();
  sayHowItIs();
});

document.getElementById("clear").addEventListener("click", () => {
  rows.replaceChildren();
  nothing.hidden = false;
});

let typed;
form.addEventListener("input", () => {
  clearTimeout(typed);
  typed = setTimeout(() => {
    rows.replaceChildren();
    waiting = [];
    missed = 0;
    nothing.hidden = false;
    listen();
  }, 300);
});
form.addEventListener("submit", (event) => event.preventDefault());

listen();
