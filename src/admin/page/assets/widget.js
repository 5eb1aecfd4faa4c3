// What can be changed on the views of widgets.
import { announce, call } from "./page.js";
import { change, make, shownRevision } from "./change.js";

const ACCESS = { enforce: "Enforce the list", monitor: "Only monitor", open: "Open to every site" };

const patternOf = (entry) => (typeof entry === "string" ? entry : entry.pattern);

// A document with an entry, in place of what it has for the same pattern.
function listing(document, entry) {
  const list = [...document.allowed_domains];
  const at = list.findIndex((listed) => patternOf(listed) === patternOf(entry));
  list.splice(at < 0 ? list.length : at, at < 0 ? 0 : 1, entry);
  return { ...document, allowed_domains: list };
}

// A document without an entry. One whose list becomes empty stays restricted.
function unlisting(document, pattern) {
  const list = document.allowed_domains.filter((entry) => patternOf(entry) !== pattern);
  const stays = list.length === 0 && document.access === undefined ? { access: "enforce" } : {};
  return { ...document, ...stays, allowed_domains: list };
}

// The entry that a form has.
function entryOf(data) {
  const pattern = data.get("pattern").trim(), note = data.get("note")?.trim(), until = data.get("expires_at");
  if (!note && !until) return pattern;
  const entry = { pattern };
  if (until) entry.expires_at = new Date(until).toISOString();
  if (note) entry.note = note;
  return entry;
}

// The limits that a form has; undefined if they are those of a document that says nothing of limits.
function limitsOf(data) {
  const limits = data.get("mode") === "monitor" ? { mode: "monitor" } : {};
  for (const [name, value] of data) {
    const [part, kind] = name.split(".");
    if (kind && value !== "") (limits[part] ??= {})[kind] = Number(value);
  }
  return Object.keys(limits).length > 0 ? limits : undefined;
}

// What each button and each form wants, by its `data-change`.
const WISHES = {
  access: ({ dataset: { access } }) => ({ title: ACCESS[access], edit: (document) => ({ ...document, access }) }),
  enable: () => ({ title: "Enable the widget", edit: (document) => ({ ...document, enabled: true }) }),
  disable: (_, id) => ({
    title: "Disable the widget",
    urgent: true,
    edit: (document) => ({ ...document, enabled: false }),
    save: (_document, _fields, query) => call("POST", `/v1/widgets/${id}/disable${query}`),
  }),
  add(from) {
    const entry = from.dataset.entry ?? entryOf(new FormData(from));
    return { title: `Add ${patternOf(entry)}`, edit: (document) => listing(document, entry) };
  },
  remove: ({ dataset: { entry } }) => ({ title: `Remove ${entry}`, edit: (document) => unlisting(document, entry) }),
  enforce(form) {
    const entries = new FormData(form).getAll("entry");
    return { title: ACCESS.enforce, edit: (document) => ({ ...entries.reduce(listing, document), access: "enforce" }) };
  },
  limits(form) {
    const limits = limitsOf(new FormData(form));
    return { title: "Set limits", edit: (document) => ({ ...document, limits }) };
  },
  revert({ dataset: { to } }, id) {
    const revision = Number(to);
    const earlier = async (document) => {
      const { history } = await call("GET", `/v1/widgets/${id}/history`);
      const { widget } = history.find((past) => past.revision === revision);
      // What saving it again means, so that it can be tried.
      const opens = widget.allowed_domains.length === 0 && widget.access === undefined ? { access: "open" } : {};
      return { ...widget, ...opens, revision: document?.revision };
    };
    const save = (_, fields, query) => call("POST", `/v1/widgets/${id}/revert${query}`, { revision }, fields);
    return { title: `Go back to revision ${to}`, edit: earlier, save };
  },
  create(form) {
    const data = new FormData(form), id = data.get("id").trim(), pattern = data.get("pattern").trim();
    const document = { id, environment: data.get("environment"), allowed_domains: pattern ? [pattern] : [] };
    return { id, title: `Add ${id}`, edit: () => document, then: () => location.assign(`/widgets/${id}`) };
  },
};

function want(from) {
  const { change: kind } = from.dataset;
  const place = from.closest("section[id]")?.id;
  if (kind === "file") {
    const save = (query) => call("POST", `/v1/rules/apply${query}`);
    return make({ title: "Read the rules file again", save, place });
  }
  const shown = document.querySelector("[data-widget]");
  const id = shown?.dataset.widget;
  const revision = shownRevision(document) || undefined;
  const form = from.localName === "form" ? from : undefined;
  return change({ id, revision, place, form, ...WISHES[kind](from, id) });
}

async function copy(button) {
  const tag = document.getElementById(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(tag.textContent);
    announce("Copied.");
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(tag);
    announce("The tag is selected: copy it with the keyboard.");
  }
}

document.addEventListener("click", ({ target }) => {
  const button = target.closest("button[data-change], button[data-copy]");
  if (button?.dataset.copy) copy(button);
  else if (button) want(button);
});

document.addEventListener("submit", (event) => {
  const form = event.target.closest("form[data-change]");
  if (!form) return;
  event.preventDefault();
  want(form);
});

// An entry that another view proposes.
const proposed = new URLSearchParams(location.search).get("add");
const site = document.querySelector('form[data-change="add"] [name="pattern"]');
if (proposed && site) {
  history.replaceState(null, "", location.pathname);
  site.value = proposed;
  site.focus();
}
