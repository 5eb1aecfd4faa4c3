// Draws the traffic of the last minutes, and draws it again after each minute.

import { draw } from "./charts.js";
import { call } from "./page.js";

const MINUTE = 60;
// A minute that is over is told a moment later.
const AFTER = 2_000;

const span = document.getElementById("span");
const state = document.getElementById("traffic-state");
const chart = (name) => document.querySelector(`[data-chart="${name}"]`);
let timer;

async function show() {
  clearTimeout(timer);
  timer = setTimeout(follow, MINUTE * 1000 - (Date.now() % (MINUTE * 1000)) + AFTER);
  try {
    const last = span.value;
    const { minutes, under_way } = await call("GET", `/v1/minutes?last=${last}`);
    // Another one was chosen meanwhile.
    if (last !== span.value) return;
    // A minute that has just begun would look like a fall, so it is shown only while there is little else.
    const shown = spread(minutes.length < 2 ? [...minutes, under_way] : minutes);
    const values = (of) => shown.map((minute) => (minute.missing ? null : of(minute)));
    const times = shown.map(({ at }) => at);
    const from = times.at(-1) - (last - 1) * MINUTE;
    draw(chart("verdicts"), {
      times,
      from,
      series: [
        { label: "allowed", values: values(({ allowed }) => allowed), kind: "good" },
        { label: "denied", values: values(({ denied }) => denied), kind: "warn" },
        { label: "monitored only", values: values(({ monitored }) => monitored), kind: "quiet" },
        { label: "errors", values: values(({ errors }) => errors), kind: "bad" },
      ],
    });
    draw(chart("latency"), {
      times,
      from,
      unit: "ms",
      series: [
        { label: "half of them within", values: values(({ p50 }) => milliseconds(p50)), kind: "main" },
        { label: "99 of 100 within", values: values(({ p99 }) => milliseconds(p99)), kind: "blue" },
      ],
    });
    state.className = "note";
    state.textContent = minutes.length < 2 ? "This edge has just begun to count: the charts grow with each minute." : "";
  } catch (error) {
    state.className = "fault";
    state.textContent = `The minutes can't be read: ${error.message} It is tried again in a minute.`;
  } finally {
    state.removeAttribute("aria-busy");
  }
}

// The minutes with those between them in which nothing was counted, because no edge ran.
function spread(minutes) {
  const shown = [];
  for (const minute of minutes) {
    for (let at = shown.at(-1)?.at + MINUTE; at < minute.at; at += MINUTE) shown.push({ at, missing: true });
    shown.push(minute);
  }
  return shown;
}

function milliseconds(seconds) {
  return seconds === null ? null : seconds * 1000;
}

function follow() {
  if (!document.hidden) show();
}

span.addEventListener("change", show);
document.addEventListener("visibilitychange", follow);
show();
