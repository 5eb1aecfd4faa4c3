/* Asks the edge for everything that a page can ask it for. Each answer is { works, said }. It runs in workers, too. */
"use strict";

let times = 0;
/* A module runs once for each address. */
const fresh = (address) => `${address}?${(times += 1)}`;

const SCRIPTS = {
  tag: (loader) => tag({ src: loader }),
  crossorigin: (loader) => tag({ src: loader, crossOrigin: "anonymous" }),
  module: (loader) => tag({ src: fresh(loader), type: "module" }),
  import: (loader) => import(fresh(loader)),
};

const CALLS = {
  fetch: (session) => call(session),
  preflight: (session) => call(`${session}/messages`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ text: "hello" }),
  }),
  streamed: (session) => call(`${session}/events`, { headers: { Accept: "text/event-stream", "X-Client": "1" } }),
  stream,
  socket,
};

/* The loader shows that it ran by what it puts on the page. What it or a denial says is read from the browser's console,
   between the lines written here. */
async function scripts(widget) {
  const told = {};
  for (const [name, run] of Object.entries(SCRIPTS)) {
    clear("#embedgate-widget");
    console.info(`way: ${name}`);
    const failed = await run(`${widget}loader.js`).then(() => "", String);
    told[name] = { works: document.getElementById("embedgate-widget") !== null, said: failed };
  }
  console.info("way: over");
  clear("#embedgate-widget");
  return told;
}

async function calls(widget) {
  const told = {};
  await Promise.all(Object.entries(CALLS).map(async ([name, run]) => {
    told[name] = await run(`${widget}session`);
  }));
  return told;
}

function clear(what) {
  for (const old of document.querySelectorAll(what)) old.remove();
}

function tag(fields) {
  return new Promise((resolve, reject) => {
    const element = Object.assign(document.createElement("script"), fields);
    element.addEventListener("load", resolve);
    element.addEventListener("error", () => reject(new Error("not loaded")));
    document.head.append(element);
  });
}

/* An endless answer is read to its first piece. */
async function call(address, request) {
  try {
    const answer = await fetch(address, request);
    const endless = answer.ok && answer.headers.get("Content-Type").startsWith("text/event-stream");
    if (!endless) return { works: answer.ok, said: await answer.text() };
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    const { value } = await reader.read();
    await reader.cancel();
    return { works: true, said: value };
  } catch (error) {
    return { works: false, said: `unreadable: ${error}` };
  }
}

function stream(session) {
  return new Promise((resolve) => {
    const source = new EventSource(`${session}/events`);
    const end = (works, said) => {
      source.close();
      resolve({ works, said });
    };
    source.addEventListener("greeting", (event) => end(true, event.data));
    source.addEventListener("error", () => end(false, source.readyState === EventSource.CLOSED ? "closed" : "cut"));
  });
}

function socket(session) {
  return new Promise((resolve) => {
    const tunnel = new WebSocket(session.replace(/^http/, "ws"));
    tunnel.addEventListener("message", (event) => {
      tunnel.close();
      resolve({ works: true, said: event.data });
    });
    tunnel.addEventListener("close", (event) => resolve({ works: false, said: String(event.code) }));
  });
}

function image(src) {
  return new Promise((resolve) => {
    const element = Object.assign(new Image(), { src });
    element.addEventListener("load", () => resolve({ works: true, said: "" }));
    element.addEventListener("error", () => resolve({ works: false, said: "" }));
  });
}

/* A fresh frame, in place of the one before. */
function frame(widget) {
  return new Promise((resolve) => {
    clear("iframe");
    const element = Object.assign(document.createElement("iframe"), { src: `${widget}frame` });
    element.addEventListener("load", () => resolve(true));
    document.body.append(element);
  });
}
