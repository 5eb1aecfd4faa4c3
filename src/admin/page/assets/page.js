// What every view uses: times in the reader's zone, calls of the admin API, elements, and words for screen readers.

const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const relative = new Intl.RelativeTimeFormat("en", { numeric: "always", style: "long" });

const MINUTE = 60, HOUR = 3600, DAY = 86400;

// "3 minutes ago", or the date of what is more than a week away.
function told(at, now) {
  const seconds = (at - now) / 1000, away = Math.abs(seconds);
  if (away < MINUTE) return seconds > 5 ? "in a moment" : "just now";
  if (away < HOUR) return relative.format(Math.trunc(seconds / MINUTE), "minute");
  if (away < DAY) return relative.format(Math.trunc(seconds / HOUR), "hour");
  if (away < 7 * DAY) return relative.format(Math.trunc(seconds / DAY), "day");
  return day.format(at);
}

// Shows the instants within `root` as the reader's: how long ago, or with `data-clock` the time of the day. On hover
// there is the exact one.
export function localise(root) {
  const now = Date.now();
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.valueOf())) continue;
    if (!time.title) time.title = `${exact.format(at)} · ${time.dateTime}`;
    const text = "clock" in time.dataset ? clock.format(at) : told(at, now);
    if (time.textContent !== text) time.textContent = text;
  }
}

// Calls the admin API and returns what it answers, such as `call("POST", "/v1/explain", { widget })`. A refusal is thrown
// as an Error with the problem document's `detail` as its message, `code` and `status`, and all of it as `problem`.
export async function call(method, path, body, headers = {}) {
  const fields = body === undefined ? headers : { "content-type": "application/json", ...headers };
  let answer;
  try {
    answer = await fetch(path, { method, headers: fields, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw Object.assign(new Error("The edge did not answer. Is it running, and can you reach it?"), { code: "unreachable" });
  }
  if (answer.status === 401) {
    const here = location.pathname + location.search;
    location.assign(here === "/" ? "/sign-in" : `/sign-in?next=${encodeURIComponent(here)}`);
  }
  const text = await answer.text();
  const value = /json/.test(answer.headers.get("content-type")) ? JSON.parse(text) : text;
  if (answer.ok) return value;
  const { detail = `The edge answered ${answer.status}.`, code = "unknown" } = value ?? {};
  throw Object.assign(new Error(detail), { detail, code, status: answer.status, problem: value });
}

// Marks an element as waiting until the promise is settled, and gives what the promise gives.
export async function busy(element, promise) {
  element.setAttribute("aria-busy", "true");
  try {
    return await promise;
  } finally {
    element.removeAttribute("aria-busy");
  }
}

// An element: `el("button", { class: "primary", onclick: save }, "Save")`. Attributes that are null, undefined or false
// are left out, and so are such children.
export function el(name, props = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(key.replace(/^on/, ""), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// Says something to people who listen to the page.
export function announce(text) {
  const said = document.getElementById("said");
  if (said) said.textContent = text;
}

for (const host of document.querySelectorAll("[data-host]")) host.textContent = location.host;
// On a phone, the views lie in a row that scrolls.
document.querySelector(".bar [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
localise(document);
setInterval(() => localise(document), 30_000);
