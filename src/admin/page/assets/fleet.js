// Decides about the bucket of a fleet, each time after a dialog that says what it does.

import { announce, busy, call, el } from "./page.js";

let edge = null;
let touched = null;

const changes = {
  restore: async () => {
    const { written, unchanged } = await call("POST", "/v1/fleet/restore");
    return `The bucket is filled: ${written} written, ${unchanged} were there.`;
  },
  accept: async () => {
    const done = await call("POST", `/v1/fleet/accept?confirm=${touched}`);
    return `The fleet follows the bucket: ${done.touched} widgets have changed.`;
  },
  forget: async () => {
    await call("POST", "/v1/fleet/forget", { edge });
    return `${edge} is forgotten.`;
  },
};

document.addEventListener("click", ({ target }) => {
  const button = target.closest?.("button");
  if (!button) return;
  if (button.dataset.opens) open(button);
  if ("closes" in button.dataset) button.closest("dialog").close();
  if (button.dataset.does) change(button.closest("dialog"), button);
});

async function open(button) {
  const dialog = document.getElementById(button.dataset.opens);
  tell(dialog, "");
  edge = button.dataset.edge ?? null;
  dialog.querySelectorAll("[data-edge-name]").forEach((place) => { place.textContent = edge; });
  dialog.showModal();
  if (dialog.id === "accept") await count(dialog);
}

// How many widgets it would touch: a question that confirms nothing changes nothing.
async function count(dialog) {
  const place = dialog.querySelector("[data-touched]"), does = dialog.querySelector("[data-does]");
  place.textContent = "";
  does.disabled = true;
  try {
    await busy(place, call("POST", "/v1/fleet/accept"));
  } catch (error) {
    touched = error.problem?.confirm;
    if (touched === undefined) return tell(dialog, error.message);
    place.textContent = touched === 1 ? "It touches 1 widget here." : `It touches ${touched} widgets here.`;
    does.disabled = false;
  }
}

async function change(dialog, button) {
  tell(dialog, "");
  button.disabled = true;
  try {
    sessionStorage.setItem("done", await busy(dialog, changes[dialog.id]()));
    dialog.close();
    location.reload();
  } catch (error) {
    tell(dialog, error.message);
  } finally {
    button.disabled = false;
  }
}

function tell(dialog, text) {
  dialog.querySelector(".fault").textContent = text;
}

// What a decision has come to is told in the view as it is then.
const done = sessionStorage.getItem("done");
if (done) {
  sessionStorage.removeItem("done");
  document.querySelector("main > h1").after(el("p", { class: "note" }, done));
  announce(done);
}
