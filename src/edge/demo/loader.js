/* The widget's loader: a launcher on the customer's page, a panel with the widget's frame, and the session between them. */
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
  let frameReady = false;
  const waiting = [];

  function toggle(open) {
    if (open === (host.dataset.panel === "open")) return;
    host.dataset.panel = open ? "open" : "closed";
    launcher.setAttribute("aria-expanded", String(open));
    launcher.setAttribute("aria-label", open ? "Close the chat" : "Open the chat");
    if (!open) return launcher.focus();
    if (!frame) {
      frame = document.createElement("iframe");
      frame.title = "Chat";
      frame.src = new URL("frame", base).href;
      frame.addEventListener("load", () => post({ type: "hello" }));
      panel.append(frame);
    }
    if (frameReady) post({ type: "shown" });
    connect();
  }

  function post(message) {
    frame.contentWindow.postMessage({ embedgate: "demo", ...message }, base.origin);
  }

  /* What happens before the frame listens is kept for it. */
  function tell(message) {
    if (frameReady) post(message);
    else waiting.push(message);
  }

  addEventListener("message", (event) => {
    const ours = frame && event.source === frame.contentWindow && event.origin === base.origin;
    if (!ours || !event.data || event.data.embedgate !== "demo") return;
    if (event.data.type === "ready") {
      frameReady = true;
      post({ type: "session", state: host.dataset.session, detail: host.dataset.reason });
      waiting.splice(0).forEach(post);
      post({ type: "shown" });
    } else if (event.data.type === "say") say(String(event.data.text));
    else if (event.data.type === "close") toggle(false);
  });
  launcher.addEventListener("click", () => toggle(host.dataset.panel !== "open"));
  root.addEventListener("keydown", (event) => event.key === "Escape" && toggle(false));

  /* ── The session, opened from this page ────────────────────────────────────────────────────────────────────── */

  const session = new URL("session", base);
  let socket = null;
  let failures = 0;
  let greeted = false;

  function state(name) {
    if (host.dataset.session === "ended") return;
    host.dataset.session = name;
    if (frameReady) post({ type: "session", state: name, detail: host.dataset.reason });
  }

  function greet(text) {
    if (!greeted) tell({ type: "agent", text });
    greeted = true;
  }

  function connect() {
    if (socket || host.dataset.session === "ended") return;
    if (host.dataset.session === "idle") state("connecting");
    const address = new URL(session);
    address.protocol = session.protocol === "https:" ? "wss:" : "ws:";
    const attempt = new WebSocket(address);
    let opened = false;
    socket = attempt;
    attempt.addEventListener("open", () => {
      opened = true;
      failures = 0;
      state("open");
    });
    attempt.addEventListener("message", (event) => {
      const message = JSON.parse(event.data);
      if (message.type === "greeting") greet(message.text);
      else tell({ type: "agent", text: message.text });
    });
    attempt.addEventListener("close", (event) => {
      socket = null;
      if (event.code === 1008) return end(event.reason);
      if (opened) state("offline");
      else fallBack();
      failures += 1;
      if (failures <= 6) setTimeout(connect, Math.min(8000, 400 * 2 ** failures) * (0.5 + Math.random() / 2));
    });
  }

  /* A handshake that fails carries no reason that scripts can read. The same question over HTTP does; where only
     WebSockets are in the way, the session goes on over HTTP while they are tried again. */
  function fallBack() {
    ask(session, { method: "GET" }).then(
      (description) => {
        state("open");
        greet(description.greeting);
      },
      () => state("offline"),
    );
  }

  function say(text) {
    if (socket && socket.readyState === WebSocket.OPEN) return socket.send(JSON.stringify({ text }));
    const request = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ text }) };
    ask(new URL("session/messages", base), request)
      .then((answer) => tell({ type: "agent", text: answer.reply }))
      .catch(() => host.dataset.session !== "ended" && tell({ type: "lost", text }));
  }

  /* A 403 is the edge's verdict: the session is over, and the answer says why. */
  async function ask(address, request) {
    const response = await fetch(address, { ...request, credentials: "omit" });
    const answer = await response.json();
    if (response.status === 403) end(answer.detail || answer.title);
    if (!response.ok) throw new Error(`${response.status}`);
    return answer;
  }

  function end(reason) {
    if (host.dataset.session === "ended") return;
    const detail = reason || "this page may no longer show this widget";
    host.dataset.reason = detail;
    state("ended");
    console.error(`embedgate demo: the session has ended: ${detail}`);
  }

  if (document.body) document.body.append(host);
  else addEventListener("DOMContentLoaded", () => document.body.append(host));
})();
