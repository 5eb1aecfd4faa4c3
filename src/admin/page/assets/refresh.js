// Shows what has changed since a view was opened: fetches it again every few seconds, and swaps the parts that are marked
// with `data-refresh`. What somebody is typing in, has opened or looks at stays. `data-refresh="aloud"` also says that a part
// has changed, for people who listen.

import { announce, el, localise } from "./page.js";

const EVERY = 10_000;

// The parts as they came last, since times in them are written anew for the reader.
const served = new Map();
let timer;

async function refresh() {
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (new URL(answer.url).pathname === "/sign-in") return location.reload();
    if (!answer.ok) throw new Error(`The edge answered ${answer.status}.`);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.querySelectorAll("main [data-refresh]").forEach((part) => swap(part, fresh.getElementById(part.id)));
    tellTrouble(null);
  } catch (error) {
    tellTrouble(error instanceof TypeError ? "The edge does not answer." : error.message);
  }
}

// A part that is not there any more is left empty, so that it has a place when it comes back.
function swap(part, fresh) {
  const now = fresh?.innerHTML ?? "";
  if (served.get(part.id) === now || isInUse(part)) return;
  served.set(part.id, now);
  const opened = new Set([...part.querySelectorAll("details[open] > summary")].map((summary) => summary.textContent));
  const places = () => [...part.querySelectorAll("a, button, summary, [tabindex]")];
  const focused = places().indexOf(document.activeElement);
  const scrolled = [...part.querySelectorAll(".scroll")].map((table) => table.scrollLeft);
  const before = part.textContent;
  part.replaceChildren(...(fresh?.childNodes ?? []));
  if (part.dataset.refresh === "aloud" && part.textContent !== before) announce(part.textContent);
  part.hidden = now === "";
  localise(part);
  for (const details of part.querySelectorAll("details")) {
    details.open ||= opened.has(details.querySelector("summary")?.textContent);
  }
  part.querySelectorAll(".scroll").forEach((table, at) => { table.scrollLeft = scrolled[at] ?? 0; });
  if (focused >= 0) places()[focused]?.focus({ preventScroll: true });
}

function isInUse(part) {
  const active = document.activeElement;
  return part.contains(active) && active.matches("input, select, textarea");
}

function tellTrouble(text) {
  const shown = document.getElementById("trouble");
  // Said once, not with each try.
  if (text && shown?.textContent.startsWith(text)) return;
  shown?.remove();
  if (!text) return;
  const told = el("p", { id: "trouble", class: "fault", role: "alert" }, `${text} What is shown may be old. It is tried again every 10 seconds.`);
  document.querySelector("main > h1").after(told);
}

// The next one comes after this one has, however long that takes.
async function follow() {
  clearTimeout(timer);
  if (document.hidden) return;
  await refresh();
  plan();
}

function plan() {
  clearTimeout(timer);
  timer = setTimeout(follow, EVERY);
}

document.addEventListener("visibilitychange", follow);
plan();
