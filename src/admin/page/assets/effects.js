// What a save would do, in words.
import { el } from "./page.js";

const MOST = 5;

const some = (number, one, many = `${one}s`) => `${number} ${number === 1 ? one : many}`;

// A line with the first of what it is about below it.
function line(text, items = [], all = items.length) {
  const listed = items.slice(0, MOST).map((item) => el("li", {}, item));
  if (all > MOST) listed.push(el("li", {}, `and ${all - MOST} more`));
  return el("li", {}, text, listed.length > 0 && el("ul", {}, listed));
}

function ofSites({ newly_refused, newly_admitted, refused, admitted, untracked, missing }) {
  const site = ({ origin, count }) => `${origin}, ${some(count, "request")}`;
  const lines = [];
  if (newly_refused > 0) {
    const text = `${some(newly_refused, "site")} seen in the last 30 days would be refused`;
    lines.push(line(text, refused.map(site), newly_refused));
  }
  if (newly_admitted > 0) {
    const text = `${some(newly_admitted, "site")} that ${newly_admitted === 1 ? "is" : "are"} refused now would be admitted`;
    lines.push(line(text, admitted.map(site), newly_admitted));
  }
  if (lines.length === 0) lines.push(line("It makes no difference to any site seen in the last 30 days"));
  if (untracked > 0) lines.push(line(`Sites that are not kept may have asked up to ${some(untracked, "time")} each`));
  if (missing.length > 0) lines.push(line(`What these edges have seen is not known: ${missing.join(", ")}`));
  return lines;
}

function ofSessions({ open, cut, cut_embedders, remembered }) {
  const lines = [];
  if (cut > 0) {
    const whose = cut_embedders.map(({ origin, sessions }) => `${origin ?? "an unknown page"}, ${sessions}`);
    lines.push(line(`${cut} of ${some(open, "open session")} would end`, whose));
  } else if (open > 0) {
    lines.push(line(`${some(open, "open session")} would stay open`));
  }
  if (remembered.revoked > 0) {
    lines.push(line(`${some(remembered.revoked, "session")} elsewhere would be reported as revoked`));
  }
  return lines;
}

const accessOf = ({ access, allowed_domains }) => access ?? (allowed_domains.length > 0 ? "enforce" : "open");
const modeOf = ({ limits }) => limits?.mode ?? "enforce";

// Limits that are in force and would be gone, or would only be noted.
function ofLimits(widget, limits, now) {
  const isKept = (was) => limits.some(({ part, kind }) => part === was.part && kind === was.kind);
  const gone = now.limits.filter((was) => !isKept(was));
  const lines = gone.map(({ part, kind, limit }) => line(`The limit of ${limit} (${part}, ${kind.replaceAll("_", " ")}) would be gone`));
  const isOther = limits.length > 0 && now.limits.length > 0 && modeOf(widget) !== modeOf(now.widget);
  const onlyNotes = isOther && modeOf(widget) === "monitor";
  if (isOther) lines.push(line(onlyNotes ? "What is beyond a limit would only be noted" : "What is beyond a limit would be refused"));
  return { lines, harms: gone.length > 0 || onlyNotes };
}

// The effects that a dry run tells, as elements, and whether somebody loses something by it. `now`: the dry run of what is
// in force, if there is anything.
export function effects({ outcome, widget, unrestricted, lints, embedders, sessions, limits }, now) {
  const known = now?.lints ?? [];
  if (outcome === "unchanged") return { lines: [line("Nothing changes: this is what is in force")], harms: false };
  const lines = [];
  if (unrestricted) lines.push(line("Any site may embed the widget"));
  const restricts = now !== undefined && accessOf(widget) === "enforce" && accessOf(now.widget) !== "enforce";
  if (restricts) lines.push(line("The list is enforced: every site that is not on it is refused"));
  lines.push(...ofSites(embedders), ...ofSessions(sessions));
  const ofGone = now === undefined ? { lines: [], harms: false } : ofLimits(widget, limits, now);
  lines.push(...ofGone.lines);
  const limited = limits.filter(({ limit, in_force, above }) => limit !== in_force || above > 0);
  lines.push(...limited.map(({ summary }) => line(summary)));
  const isNew = ({ code, entry }) => !known.some((other) => other.code === code && other.entry === entry);
  const warned = lints.filter((finding) => finding.severity !== "info" && isNew(finding)).map(({ detail }) => detail);
  if (warned.length > 0) lines.push(line("What to look at then", warned));
  const harms = unrestricted || restricts || ofGone.harms || embedders.newly_refused > 0 || sessions.cut > 0;
  return { lines, harms };
}
