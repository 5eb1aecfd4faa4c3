// Rows of the live view: one for each event.
import { el } from "./page.js";

const LAGS = {
  not_kept: "Events are missing here: this page was too slow, or away for too long.",
  not_told: "Decisions are missing here: this page was away for more than 5 minutes.",
  restarted: "The edge was restarted or upgraded here. What is missing is not known.",
  left_out: "There were more decisions than are shown in a second.",
};

const CAUSES = {
  change: "a change of the widget",
  expiry: "an expired entry",
  policy: "another policy of the edge",
  stale: "rules that are too old",
};

const badge = (kind, text) => el("span", { class: `badge ${kind}` }, text);
const code = (text) => el("code", {}, text);
const count = (number, word) => `${number} ${word}${number === 1 ? "" : "s"}`;

function widget(id) {
  return id ? el("a", { href: `/widgets/${encodeURIComponent(id)}` }, id) : "none";
}

// The same question again, by its facts; for a denial by its decision id first, which the edge keeps for a while.
function why(event) {
  const query = new URLSearchParams();
  if (event.verdict === "deny") query.set("decision", event.decision_id);
  query.set("widget", event.widget ?? "");
  query.set("class", event.class);
  if (event.embedder) query.set("origin", event.embedder);
  return el("a", { href: `/explain?${query}` }, "why");
}

const WHAT = {
  decision(event) {
    const monitored = event.would_deny ? badge("warn", "would be denied") : null;
    const verdict = event.verdict === "deny" ? badge("bad", "denied") : badge("good", "allowed");
    return [
      monitored ?? verdict, " ", code(event.would_deny ?? event.reason), ` ${event.class}, ${event.method} `,
      event.entry ? ["by ", code(event.entry), " "] : null,
      event.near_miss ? ["nearest ", code(event.near_miss), " "] : null,
      why(event),
    ];
  },
  swap(event) {
    const named = event.changed.slice(0, 5).flatMap(({ id, before, after, actor }, place) => [
      place > 0 ? "; " : " ", widget(id), after === null ? " is gone" : before === null ? " is new" : ` ${before} → ${after}`,
      actor ? ` by ${actor}` : "",
    ]);
    const more = event.changed.length + event.changed_omitted - Math.min(event.changed.length, 5);
    return [
      badge("quiet", "rules"), ` generation ${event.generation} in force after ${(event.took_us / 1000).toFixed(1)} ms:`,
      ...named, more > 0 ? `; ${count(more, "more widget")}` : null,
      event.changed.length === 0 ? " the same widgets" : null,
    ];
  },
  refused(event) {
    return [badge("bad", "rules refused"), " ", code(event.code), ` ${event.detail}`];
  },
  session_ended(event) {
    const by = event.actor ? ` by ${event.actor}` : "";
    return [badge("warn", "session ended"), ` by ${CAUSES[event.cause] ?? event.cause}${by}: `, code(event.reason)];
  },
  notification(event) {
    return [badge("quiet", "notification"), " ", code(event.type)];
  },
};

function what(event) {
  return WHAT[event.kind]?.(event) ?? [code(event.kind)];
}

// The row of an event.
export function row(event) {
  if (event.kind === "lagged") {
    const most = event.missed === undefined ? "" : ` At most ${count(event.missed, "event")}.`;
    const words = LAGS[event.reason] ?? "Events are missing here.";
    return el("tr", { class: "gap", "data-kind": "lagged" }, el("td", { colspan: "4" }, words + most));
  }
  const changed = event.kind === "swap" && event.changed.length === 1 ? event.changed[0].id : undefined;
  const about = event.widget ?? changed;
  const embedder = event.opened_by ?? event.embedder ?? event.malformed;
  return el(
    "tr",
    { "data-kind": event.kind },
    el("td", {}, el("time", { datetime: event.time, "data-clock": true }, event.time)),
    el("td", {}, about === undefined ? "" : widget(about)),
    el("td", {}, embedder === undefined ? "" : code(embedder)),
    el("td", { class: "what" }, ...what(event).flat()),
  );
}
