/* The session, opened from inside the frame. A browser names the frame's own host as its origin here, so every call
   carries a ticket, which says which page opened the widget. */

const base = new URL("..", import.meta.url);
const STALE_MS = 10_000;
const MOST_FAILURES = 6;

/* ── The ticket ──────────────────────────────────────────────────────────────────────────────────────────────── */

/* A browser may keep this from documents that are no secure context (MDN says so; Chromium shows it there, too). */
const [navigation] = performance.getEntriesByType("navigation");
const timing = navigation?.serverTiming?.find((entry) => entry.name === "embed-ticket");
let ticket = timing ? timing.description : null;
let got = 0; // when the document came; it may be an hour ago by now
keep();

/* In the frame's address a reload brings it along: the browser names the frame's own host then, not the page around it. */
function keep() {
  if (ticket === null) return;
  const address = new URL(location.href);
  address.searchParams.set("ticket", ticket);
  history.replaceState(history.state, "", address);
}

/* A ticket for the next call. A stale one is exchanged for a fresh one, which the rules of the moment may refuse. The
   page around the frame may have another: it is asked last. `null`: none is needed. */
async function fresh(askPage) {
  if (ticket !== null && performance.now() - got < STALE_MS) return ticket;
  const told = (ticket !== null && (await renewed())) || (await askPage());
  if (told.ticket === undefined) throw told.status === 403 ? new Denied(told.detail) : new Error("no ticket");
  got = performance.now();
  ticket = told.ticket;
  keep();
  return ticket;
}

/* In exchange for the one at hand; nothing where the edge refuses. */
async function renewed() {
  try {
    return await ask("embed-ticket", { method: "POST" }, ticket);
  } catch (error) {
    if (error instanceof Denied) return null;
    throw error;
  }
}

/* A 403 is the edge's verdict: the session is over, and the answer says why. */
class Denied extends Error {}

async function ask(path, request, ticket) {
  const headers = ticket === null ? request.headers : { ...request.headers, Authorization: `Embed ${ticket}` };
  const response = await fetch(new URL(path, base), { ...request, headers, credentials: "omit" });
  const answer = await response.json();
  if (response.status === 403) throw new Denied(answer.detail || answer.title);
  if (!response.ok) throw new Error(`${response.status}`);
  return answer;
}

/* A call of the session. A denial may be the ticket's and not the page's: clocks stand still while a computer sleeps. So
   it is asked once more, with a fresh one. */
async function call(path, request, askPage) {
  try {
    return await ask(path, request, await fresh(askPage));
  } catch (error) {
    if (!(error instanceof Denied)) throw error;
    got = -Infinity;
    return ask(path, request, await fresh(askPage));
  }
}

/* ── The session ─────────────────────────────────────────────────────────────────────────────────────────────── */

/* `on.state(name, detail)`: connecting, open, offline, ended. `on.text(text)`: the agent says. `on.lost(text)`: what the
   visitor said was not delivered. `askPage()`: the page's own ticket, `{ ticket }`, or the edge's denial. Gives `say`. */
export function open(on, askPage) {
  let socket = null;
  let failures = 0;
  let greeted = false;
  let ended = false;

  function end(reason) {
    if (ended) return;
    ended = true;
    on.state("ended", reason || "this page may no longer show this widget");
  }

  function greet(text) {
    if (!greeted) on.text(text);
    greeted = true;
  }

  function failed(error) {
    if (error instanceof Denied) return end(error.message);
    on.state("offline");
    again();
  }

  function again() {
    failures += 1;
    if (!ended && failures <= MOST_FAILURES) {
      setTimeout(connect, Math.min(8000, 400 * 2 ** failures) * (0.5 + Math.random() / 2));
    }
  }

  async function connect() {
    if (socket || ended) return;
    try {
      const address = new URL("session", base);
      address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
      /* A script can set no field on a WebSocket's handshake, but it can offer a subprotocol. */
      const ticket = await fresh(askPage);
      socket = new WebSocket(address, ticket === null ? [] : [`embed-ticket.${ticket}`]);
    } catch (error) {
      return failed(error);
    }
    let opened = false;
    socket.addEventListener("open", () => {
      opened = true;
      failures = 0;
      on.state("open");
    });
    socket.addEventListener("message", (event) => {
      const message = JSON.parse(event.data);
      if (message.type === "greeting") greet(message.text);
      else on.text(message.text);
    });
    socket.addEventListener("close", (event) => {
      socket = null;
      if (event.code === 1008) return end(event.reason);
      if (opened) {
        on.state("offline");
        again();
      } else fallBack();
    });
  }

  /* A handshake that fails carries no reason that scripts can read. The same question over HTTP does; where only
     WebSockets are in the way, the session goes on over HTTP while they are tried again. */
  async function fallBack() {
    try {
      const description = await call("session", { method: "GET" }, askPage);
      on.state("open");
      greet(description.greeting);
      again();
    } catch (error) {
      failed(error);
    }
  }

  async function say(text) {
    if (socket && socket.readyState === WebSocket.OPEN) return socket.send(JSON.stringify({ text }));
    const headers = { "Content-Type": "application/json" };
    const request = { method: "POST", headers, body: JSON.stringify({ text }) };
    try {
      on.text((await call("session/messages", request, askPage)).reply);
    } catch (error) {
      if (error instanceof Denied) end(error.message);
      else if (!ended) on.lost(text);
    }
  }

  on.state("connecting");
  connect();
  return say;
}
