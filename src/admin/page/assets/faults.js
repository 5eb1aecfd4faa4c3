// Errors of a document, at the fields that they are about.
import { el } from "./page.js";

let count = 0;

// Takes the errors away that a form shows.
export function clear(form) {
  for (const fault of form.querySelectorAll(".fault")) fault.remove();
  for (const field of form.querySelectorAll("[aria-invalid]")) {
    field.removeAttribute("aria-invalid");
    field.removeAttribute("aria-describedby");
  }
}

// Shows the errors of a problem document in a form: each at its field, or where there is none, above the buttons.
export function place(form, problem) {
  clear(form);
  const errors = problem.errors?.length > 0 ? problem.errors : [{ pointer: "", detail: problem.detail }];
  let first;
  for (const { pointer = "", detail } of errors) {
    const fault = el("p", { class: "fault", role: "alert", id: `fault-${(count += 1)}` }, detail);
    const field = fieldAt(form, pointer);
    if (field) {
      field.setAttribute("aria-invalid", "true");
      field.setAttribute("aria-describedby", fault.id);
      field.after(fault);
      first ??= field;
    } else {
      form.querySelector(".toolbar").before(fault);
    }
  }
  first?.focus();
}

// The field of a place. `*` stands for the entry that the form adds; an error in what a field has is the field's.
function fieldAt(form, pointer) {
  const steps = pointer.replace(/\/\d+/, "/*").split("/");
  for (; steps.length > 1; steps.pop()) {
    const path = steps.join("/");
    for (const field of form.querySelectorAll("[data-pointer]")) {
      if (field.dataset.pointer.replace(/\/\d+/, "/*") === path) return field;
    }
  }
  return undefined;
}
