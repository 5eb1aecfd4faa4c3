// Runs the checklist, and shows the result, which the view renders.

import { call } from "./page.js";

const form = document.getElementById("run");

if (form) {
  const progress = document.getElementById("progress");
  const fault = document.getElementById("fault");
  const button = form.querySelector("button");

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const site = new FormData(form).get("site");
    const widget = form.dataset.widget;
    button.disabled = true;
    fault.hidden = true;
    form.setAttribute("aria-busy", "true");
    progress.textContent = "Asking the edge and the site. This takes a few seconds.";
    try {
      await call("POST", `/v1/widgets/${encodeURIComponent(widget)}/checklist`, { site });
      const query = new URLSearchParams({ widget, site });
      location.assign(`/checklist?${query}#result`);
      // The same address with a fragment is not loaded again.
      if (location.search === `?${query}`) location.reload();
    } catch (error) {
      tell(error.message);
    }
  });

  function tell(text) {
    form.removeAttribute("aria-busy");
    button.disabled = false;
    progress.textContent = "";
    fault.textContent = text;
    fault.hidden = false;
  }
}
