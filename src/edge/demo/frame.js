/* The chat inside the frame. It shows and asks; the page that embeds it holds the session and speaks first. */
"use strict";

const thread = document.getElementById("thread");
const status = document.getElementById("status");
const composer = document.getElementById("composer");
const text = document.getElementById("text");
const suggestions = document.getElementById("suggestions");
const STATES = { connecting: "Connecting…", open: "Online", offline: "Reconnecting…", ended: "Ended", idle: "Connecting…" };
const THINKING_MS = 500;

/* The only origin that is listened and spoken to. The edge's word for it where there is one; else (the page sends no
   referrer) the origin of the first greeting, which only the embedding window can be the source of. */
let page = document.body.dataset.embedder || null;
let dots = null;

addEventListener("message", (event) => {
  if (event.source !== parent || parent === window || !event.data || event.data.embedgate !== "demo") return;
  if (page === null && event.data.type === "hello") {
    page = event.origin;
    document.getElementById("loaded").textContent = `Loaded on ${page}`;
  }
  if (event.origin !== page) return;
  const act = { hello: () => post({ type: "ready" }), shown, agent, session, lost }[event.data.type];
  if (act) act(event.data);
});

function post(message) {
  if (page !== null) parent.postMessage({ embedgate: "demo", ...message }, page);
}

/* Not where that would bring up a keyboard over the half of the screen. */
function shown() {
  if (!matchMedia("(pointer: coarse)").matches) text.focus({ preventScroll: true });
}

function agent({ text }) {
  think();
  const bubble = dots;
  dots = null;
  setTimeout(() => {
    bubble.classList.remove("thinking");
    bubble.replaceChildren(String(text));
    scroll();
  }, THINKING_MS);
}

function session({ state, detail }) {
  if (!(state in STATES)) return;
  status.dataset.state = state;
  status.textContent = STATES[state];
  if (state !== "ended" || text.disabled) return;
  if (dots) dots.remove();
  note(`This conversation has ended: ${detail}.`, "ended");
  for (const control of composer.elements) control.disabled = true;
  text.placeholder = "This conversation has ended";
  suggestions.hidden = true;
}

function lost({ text }) {
  if (dots) dots.remove();
  dots = null;
  note(`“${text}” was not delivered. Try again in a moment.`, "lost");
}

function say(said) {
  bubble("visitor").textContent = said;
  suggestions.hidden = true;
  think();
  post({ type: "say", text: said });
}

/* Three dots that become the answer. */
function think() {
  if (dots) return;
  dots = bubble("agent");
  dots.classList.add("thinking");
  dots.append(...[0, 1, 2].map(() => document.createElement("i")));
  scroll();
}

function note(said, kind) {
  const line = bubble("note");
  line.classList.add(kind);
  line.textContent = said;
  scroll();
}

function bubble(kind) {
  const element = document.createElement("p");
  element.className = kind;
  thread.append(element);
  return element;
}

function scroll() {
  thread.scrollTop = thread.scrollHeight;
}

composer.addEventListener("submit", (event) => {
  event.preventDefault();
  const said = text.value.trim();
  text.value = "";
  if (said) say(said);
});
suggestions.addEventListener("click", (event) => {
  if (event.target instanceof HTMLButtonElement) say(event.target.textContent);
});
document.getElementById("minimise").addEventListener("click", () => post({ type: "close" }));
addEventListener("keydown", (event) => event.key === "Escape" && post({ type: "close" }));
