// Changes: each is tried first, the dialog says what it would do, and only then it is saved.
//
// A wish says what somebody wants to change:
//   title            what the dialog is called
//   id, revision     the widget, and the revision that was looked at; undefined for a new one
//   edit(document)   the document to save
//   save(document, fields, query)   the call that saves it; by default the document is put
//   form             the form whose fields errors are shown at, if there is one
//   urgent           it can be saved whatever has happened meanwhile, and though it could not be tried
//   place            the id of the section to go on in
import { announce, busy, call, el, localise } from "./page.js";
import { effects } from "./effects.js";
import { clear, place } from "./faults.js";

// Refusals that can be confirmed, with what the button says and what the query is.
const CONFIRMED = {
  would_open_widget: () => ["Open it to every site", "?confirm=open"],
  would_restrict_widget: () => ["Restrict it", "?confirm=restrict"],
  wide_change: ({ wide_change, confirm = wide_change?.confirm }) => [`Change ${confirm} widgets`, `?confirm=${confirm}`],
};

// Tries a change of a widget, and asks whether to save it.
export async function change(wish) {
  if (wish.form) clear(wish.form);
  const dialog = opened(wish.title);
  const path = `/v1/widgets/${encodeURIComponent(wish.id)}`;
  let fields = { "if-none-match": "*" };
  let draft;
  const save = (query) =>
    wish.save ? wish.save(draft, fields, query) : call("PUT", path + query, draft, fields);
  try {
    let stored;
    if (wish.revision !== undefined) {
      stored = await call("GET", path);
      if (!wish.urgent && stored.revision !== wish.revision) return await outrun(dialog, wish);
      fields = { "if-match": `"${stored.revision}"` };
    }
    draft = await wish.edit(stored);
    const dryRun = (document) => call("POST", `${path}/dry-run`, document, fields);
    const [trial, now] = await Promise.all([dryRun(draft), stored && dryRun(stored).catch(() => undefined)]);
    const { lines, harms } = effects(trial, now);
    ask(dialog, wish, save, lines, harms);
  } catch (problem) {
    if (!wish.urgent) return refused(dialog, wish, save, problem);
    ask(dialog, wish, save, [el("li", {}, `What it would do is not known: ${problem.message}`)], true);
  }
}

// Makes a change that can't be tried, and asks where its refusal can be confirmed.
export async function make(wish) {
  await saved(opened(wish.title), wish, wish.save, "");
}

function opened(title) {
  const heading = el("h2", { id: "change-title" }, title);
  const dialog = el("dialog", { class: "change", "aria-labelledby": "change-title", "aria-busy": true }, heading,
    el("p", {}, "Trying what it would do…"));
  dialog.addEventListener("close", () => dialog.open || dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

// Shows something in place of what the dialog has, and its buttons, the one that leaves everything as it is first.
function show(dialog, content, leave, ...buttons) {
  dialog.removeAttribute("aria-busy");
  const cancel = el("button", { type: "button", class: "quiet", onclick: () => dialog.close() }, leave);
  dialog.replaceChildren(dialog.firstElementChild, ...content, el("menu", {}, el("li", {}, cancel),
    buttons.map((button) => el("li", {}, button))));
  const first = buttons[0] ?? cancel;
  content.forEach((part, at) => { part.id = `change-part-${at}`; });
  first.setAttribute("aria-describedby", content.map(({ id }) => id).join(" "));
  first.focus();
}

function ask(dialog, wish, save, lines, harms) {
  const kind = harms ? "danger" : "primary";
  const button = el("button", { type: "button", class: kind, onclick: () => saved(dialog, wish, save, "") }, "Save");
  show(dialog, [el("p", {}, "Saving it would do this:"), el("ul", {}, lines)], "Cancel", button);
}

async function saved(dialog, wish, save, query) {
  let answer;
  // A save that is on its way is not sent again.
  for (const button of dialog.querySelectorAll("button")) button.disabled = true;
  try {
    answer = await busy(dialog, save(query ? `${query}&wait=fleet` : "?wait=fleet"));
  } catch (problem) {
    // Whoever has closed it meanwhile has to know.
    if (!dialog.open) {
      document.body.append(dialog);
      dialog.showModal();
    }
    return refused(dialog, wish, save, problem);
  }
  dialog.close();
  const told = inForce(answer);
  if (wish.then) return wish.then(answer);
  try {
    await refresh();
  } catch {
    return location.reload();
  }
  document.querySelector("#main h1").after(el("p", { class: "note", id: "saved" }, told));
  announce(told);
  goOn(wish.place);
}

// What a save has come to.
function inForce({ widget, behind, durable, generation }) {
  const what = widget?.revision ? `Revision ${widget.revision} is in force.` : `It is in force, as generation ${generation}.`;
  const late = behind?.length > 0 ? ` These edges do not enforce it yet: ${behind.join(", ")}.` : "";
  const lost = durable === false ? " It could not be kept yet, and a restart would lose it: see the state of the edge." : "";
  return what + late + lost;
}

async function refused(dialog, wish, save, problem) {
  const { code, status, problem: told = {} } = problem;
  if ((status === 412 || code === "stale_revision") && wish.revision !== undefined) {
    try {
      return await outrun(dialog, wish);
    } catch {
      // What has changed can't be shown, so the refusal is.
    }
  }
  if (CONFIRMED[code] && (wish.save || code === "wide_change")) {
    const [words, query] = CONFIRMED[code](told);
    const confirm = el("button", { type: "button", class: "danger", onclick: ({ detail }) => detail < 2 && saved(dialog, wish, save, query) }, words);
    show(dialog, [el("p", { class: "fault", role: "alert" }, problem.message)], "Cancel", confirm);
    // It stands where the button to save was: whoever presses that twice has confirmed nothing.
    return dialog.querySelector("menu button").focus();
  }
  if (wish.form && status !== undefined && status < 500) {
    dialog.close();
    return place(wish.form, { detail: problem.message, ...told });
  }
  const errors = (told.errors ?? []).slice(0, 20).map(({ pointer, detail }) => el("li", {}, `${pointer} ${detail}`));
  show(dialog, [el("p", { class: "fault", role: "alert" }, problem.message), errors.length > 1 && el("ul", {}, errors)]
    .filter(Boolean), "Close");
}

// Somebody else has saved meanwhile: shows what, and lets the change be tried on that.
async function outrun(dialog, wish) {
  const main = await fresh();
  const revision = shownRevision(main);
  const newer = [...main.querySelectorAll("[data-past]")].filter((past) => Number(past.dataset.past) > wish.revision);
  for (const button of newer.flatMap((past) => [...past.querySelectorAll("button")])) button.remove();
  const list = el("ol", { class: "timeline" }, newer);
  localise(list);
  const again = () => {
    dialog.close();
    change({ ...wish, revision });
  };
  const content = [
    el("p", { class: "fault", role: "alert" }, "Somebody else has saved this widget meanwhile. Nothing of yours was saved."),
    list,
  ];
  const look = el("button", { type: "button", onclick: () => { dialog.close(); replace(main); } }, "Show it as it is now");
  const retry = el("button", { type: "button", class: "primary", onclick: again }, "Try my change on it");
  show(dialog, content, "Cancel", retry, look);
}

// The revision that a view shows.
export function shownRevision(root) {
  return Number(root.querySelector("[data-revision]")?.dataset.revision);
}

// Shows the view as it is now.
async function refresh() {
  replace(await fresh());
}

async function fresh() {
  const answer = await fetch(location.href, { headers: { accept: "text/html" } });
  if (answer.redirected) location.assign(answer.url);
  return new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("main");
}

function replace(main) {
  const shown = document.getElementById("main");
  shown.replaceChildren(...main.childNodes);
  localise(shown);
}

// Goes on where the change was made.
function goOn(id) {
  const heading = document.querySelector(id ? `#${id} h2` : "#main h1");
  heading?.setAttribute("tabindex", "-1");
  heading?.focus();
}
