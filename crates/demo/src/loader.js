/* The widget's loader: a launcher on the customer's page, and a panel with the widget's frame, which holds the session. */
(() => {
  "use strict";

  const base = scriptBase();
  if (!base) {
    console.error("embedgate demo: the loader cannot tell where it was loaded from");
    return;
  }
  const HOST_ID = "embedgate-widget";
  if (document.getElementById(HOST_ID)) return;

  /* A classic script knows its address. An imported module has no `currentScript`; its own call stack names it. */
  function scriptBase() {
    const own = document.currentScript && document.currentScript.src;
    const seen = own || (/https?:\/\/[^\s()]+\/loader\.js/.exec(new Error().stack || "") || [])[0];
    return seen ? new URL(".", seen) : null;
  }

  const STYLE = `
    :host { all: initial; }
    * { box-sizing: border-box; }
    .launcher {
      position: fixed; right: 24px; bottom: 24px; z-index: 2147483001; width: 60px; height: 60px; padding: 0;
      border: 0; border-radius: 50%; color: #fff; cursor: pointer;
      background: linear-gradient(145deg, #5b6cf0, #3341b0);
      box-shadow: 0 1px 2px rgb(20 24 60 / .25), 0 10px 28px rgb(35 44 130 / .38);
      transition: transform .18s ease, box-shadow .18s ease; animation: arrive .45s cubic-bezier(.2, 1.3, .4, 1) both;
    }
    .launcher:hover { transform: translateY(-2px); }
    .launcher:active { transform: scale(.95); }
    .launcher:focus-visible { outline: 3px solid #fff; outline-offset: 2px; box-shadow: 0 0 0 6px #3341b0; }
    .launcher svg { position: absolute; inset: 15px; width: 30px; height: 30px; transition: opacity .15s, transform .2s; }
    .launcher .close, :host([data-panel="open"]) .launcher .chat { opacity: 0; transform: rotate(-45deg) scale(.6); }
    :host([data-panel="open"]) .launcher .close { opacity: 1; transform: none; }
    .panel {
      position: fixed; right: 24px; bottom: 100px; z-index: 2147483000; width: 384px;
      height: min(600px, calc(100vh - 124px)); overflow: hidden; border-radius: 18px; background: #fff;
      box-shadow: 0 0 0 1px rgb(20 24 60 / .06), 0 4px 12px rgb(20 24 60 / .08), 0 24px 64px rgb(20 24 60 / .26);
      transform-origin: 100% 100%; transition: opacity .18s ease, transform .22s cubic-bezier(.2, .9, .3, 1);
    }
    :host(:not([data-panel="open"])) .panel { visibility: hidden; opacity: 0; transform: translateY(12px) scale(.97); }
    iframe { display: block; width: 100%; height: 100%; border: 0; }
    @keyframes arrive { from { opacity: 0; transform: scale(.4); } }
    @media (max-width: 480px) {
      .launcher { right: 16px; bottom: 16px; }
      .panel { inset: 12px 12px 88px; width: auto; height: auto; }
    }
    @media (prefers-reduced-motion: reduce) { * { animation: none !important; transition: none !important; } }
  `;

  /* The element's attributes are the widget's state, for its own style and for the page: data-panel (closed, open) and
     data-session (idle, connecting, open, offline, ended). */
  const host = document.createElement("div");
  host.id = HOST_ID;
  host.dataset.panel = "closed";
  host.dataset.session = "idle";
  const root = host.attachShadow({ mode: "open" });
  const sheet = new CSSStyleSheet(); // not a <style>: a page's own CSP may forbid those
  sheet.replaceSync(STYLE);
  root.adoptedStyleSheets = [sheet];

  const launcher = document.createElement("button");
  launcher.className = "launcher";
  launcher.type = "button";
  launcher.setAttribute("aria-label", "Open the chat");
  launcher.setAttribute("aria-expanded", "false");
  launcher.append(
    drawing("chat", "M4.5 13.9C4.5 8.6 9.2 4.9 15 4.9s10.5 3.7 10.5 9-4.7 9-10.5 9c-1.3 0-2.5-.2-3.6-.5l-4.7 2.6.8-4.3a8.5 8.5 0 0 1-3-6.8z"),
    drawing("close", "M8 8l14 14M22 8L8 22"),
  );
  const panel = document.createElement("div");
  panel.className = "panel";
  panel.setAttribute("role", "dialog");
  panel.setAttribute("aria-label", "Chat");
  root.append(panel, launcher);

  function drawing(name, path) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
    const fields = { viewBox: "0 0 30 30", class: name, fill: "none", stroke: "currentColor", "stroke-width": "2.4",
      "stroke-linecap": "round", "stroke-linejoin": "round", "aria-hidden": "true" };
    for (const [field, value] of Object.entries(fields)) svg.setAttribute(field, value);
    line.setAttribute("d", path);
    svg.append(line);
    return svg;
  }

  /* ── The panel ─────────────────────────────────────────────────────────────────────────────────────────────── */

  let frame = null;

  function toggle(open) {
    if (open === (host.dataset.panel === "open")) return;
    host.dataset.panel = open ? "open" : "closed";
    launcher.setAttribute("aria-expanded", String(open));
    launcher.setAttribute("aria-label", open ? "Close the chat" : "Open the chat");
    if (!open) return launcher.focus();
    if (frame) return post({ type: "shown" });
    host.dataset.session = "connecting";
    frame = document.createElement("iframe");
    frame.title = "Chat";
    frame.allow = "microphone; autoplay"; // for voice; the frame's own Permissions-Policy says whether it may
    frame.src = new URL("frame", base).href;
    frame.addEventListener("load", () => post({ type: "hello" }));
    panel.append(frame);
  }

  function post(message) {
    frame.contentWindow.postMessage({ embedgate: "demo", ...message }, base.origin);
  }

  addEventListener("message", (event) => {
    const ours = frame && event.source === frame.contentWindow && event.origin === base.origin;
    if (!ours || !event.data || event.data.embedgate !== "demo") return;
    const act = { state, ticket, close: () => toggle(false) }[event.data.type];
    if (act) act(event.data);
  });
  launcher.addEventListener("click", () => toggle(host.dataset.panel !== "open"));
  root.addEventListener("keydown", (event) => event.key === "Escape" && toggle(false));

  /* ── What the frame says and asks ──────────────────────────────────────────────────────────────────────────── */

  function state({ state, detail }) {
    if (host.dataset.session === "ended") return;
    host.dataset.session = state;
    if (state !== "ended") return;
    host.dataset.reason = detail;
    console.error(`embedgate demo: the session has ended: ${detail}`);
  }

  /* The frame's document comes with a ticket where the browser says which page embeds it. Where the page's
     Referrer-Policy forbids that, the page itself asks for one: a fetch always names its origin. */
  async function ticket() {
    let told;
    try {
      const answer = await fetch(new URL("embed-ticket", base), { method: "POST", credentials: "omit" });
      told = await answer.json();
    } catch (error) {
      told = {}; // no answer: the frame tries again
    }
    post({ ...told, type: "ticket" });
  }

  if (document.body) document.body.append(host);
  else addEventListener("DOMContentLoaded", () => document.body.append(host));
})();
