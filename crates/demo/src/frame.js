/* The chat inside the frame: it shows, and talks with the page around it. The session is `session.js`. */
import { open } from "./session.js";

const thread = document.getElementById("thread");
const status = document.getElementById("status");
const composer = document.getElementById("composer");
const text = document.getElementById("text");
const suggestions = document.getElementById("suggestions");
const STATES = { connecting: "Connecting…", open: "Online", offline: "Reconnecting…", ended: "Ended" };
const THINKING_MS = 500;

/* The only origin that is listened and spoken to. The edge's word for it where there is one; else (the page sends no
   referrer) the origin of the first greeting, which only the embedding window can be the source of. */
let page = document.body.dataset.embedder || null;
let dots = null;
let send = null;
let awaited = null;

addEventListener("message", (event) => {
  if (event.source !== parent || parent === window || !event.data || event.data.embedgate !== "demo") return;
  if (page === null && event.data.type === "hello") {
    page = event.origin;
    document.getElementById("loaded").textContent = `Loaded on ${page}`;
  }
  if (event.origin !== page) return;
  const act = { hello: start, shown, ticket: (told) => awaited?.(told) }[event.data.type];
  if (act) act(event.data);
});

function post(message) {
  if (page !== null) parent.postMessage({ embedgate: "demo", ...message }, page);
}

function start() {
  if (send === null) send = open({ state: session, text: agent, lost }, askPage);
  shown();
}

/* The page's own ticket, for a document that came without one. */
function askPage() {
  post({ type: "ticket" });
  return new Promise((resolve) => (awaited = resolve));
}

/* Not where that would bring up a keyboard over the half of the screen. */
function shown() {
  if (!matchMedia("(pointer: coarse)").matches) text.focus({ preventScroll: true });
}

function agent(said) {
  think();
  const bubble = dots;
  dots = null;
  setTimeout(() => {
    bubble.classList.remove("thinking");
    bubble.replaceChildren(String(said));
    scroll();
  }, THINKING_MS);
}

function session(state, detail) {
  status.dataset.state = state;
  status.textContent = STATES[state];
  post({ type: "state", state, detail });
  if (state !== "ended") return;
  if (dots) dots.remove();
  note(`This conversation has ended: ${detail}.`, "ended");
  for (const control of composer.elements) control.disabled = true;
  text.placeholder = "This conversation has ended";
  suggestions.hidden = true;
}

function lost(said) {
  if (dots) dots.remove();
  dots = null;
  note(`“${said}” was not delivered. Try again in a moment.`, "lost");
}

function say(said) {
  bubble("visitor").textContent = said;
  suggestions.hidden = true;
  think();
  if (send) send(said);
  else lost(said);
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
