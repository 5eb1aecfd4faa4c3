// Asks while somebody types: the view itself answers, and its answer takes the place of the one that is shown.
import { localise } from "./page.js";

const PAUSE = 250;

const form = document.getElementById("question");
const answer = document.getElementById("answer");
const heard = document.getElementById("heard");

let timer;
let asking = new AbortController();

function query(leaveOut = []) {
  const given = [...new FormData(form)].filter(([name, value]) => value !== "" && !leaveOut.includes(name));
  return new URLSearchParams(given);
}

function fail(text) {
  const fault = document.createElement("p");
  fault.className = "fault";
  fault.setAttribute("role", "alert");
  fault.textContent = text;
  answer.prepend(fault);
}

async function ask() {
  clearTimeout(timer);
  asking.abort();
  const { signal } = (asking = new AbortController());
  answer.setAttribute("aria-busy", "true");
  // A ticket is good for a while, so it stays out of the address.
  history.replaceState(null, "", `/explain?${query(["ticket"])}`);
  try {
    const reply = await fetch(`/explain?${query()}`, { signal, headers: { accept: "text/html" } });
    // To the sign-in, and back here.
    if (reply.redirected) return location.assign(`/explain?${query(["ticket"])}`);
    const told = new DOMParser().parseFromString(await reply.text(), "text/html").getElementById("answer");
    if (told === null) throw new Error(`the edge answered ${reply.status}`);
    answer.replaceChildren(...document.adoptNode(told).childNodes);
    localise(answer);
    heard.textContent = answer.querySelector(".sentence, .fault, h2")?.textContent ?? "";
    answer.removeAttribute("aria-busy");
  } catch (error) {
    // A later question has taken its place.
    if (signal.aborted) return;
    answer.removeAttribute("aria-busy");
    fail(`There is no answer: ${error.message}. What is below is of an earlier question. Try again.`);
  }
}

form.addEventListener("input", ({ target }) => {
  // Whoever asks something else is not asking about that decision any more.
  if (target.name !== "decision") form.elements.decision.value = "";
  clearTimeout(timer);
  timer = setTimeout(ask, PAUSE);
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  ask();
});
