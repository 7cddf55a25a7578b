"use strict";
// The server knows where a rater stands; this page shows it and sends one answer at a time.
const element = (id) => document.getElementById(id);
const videos = [element("left"), element("right")];
let now = { rater: null };
let busy = false;

const ask = async (address, given) => {
  const request = given === undefined ? {} : {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(given),
  };
  const answer = await fetch(address, request);
  const value = await answer.json();
  if (!answer.ok) throw new Error(value.error);
  return value;
};

// One request at a time: a key pressed twice is one answer.
const send = async (address, given) => {
  if (busy) return;
  busy = true;
  element("error").hidden = true;
  for (const button of document.querySelectorAll("button")) button.disabled = true;
  try {
    show(await ask(address, given));
  } catch (error) {
    element("error").textContent = error instanceof TypeError
      ? "The server cannot be reached. Nothing is lost: answer again when it is back." : error.message;
    element("error").hidden = false;
  }
  busy = false;
  for (const button of document.querySelectorAll("button")) button.disabled = false;
  for (const button of document.querySelectorAll("[data-answer]")) button.classList.remove("chosen");
  element("undo").disabled = !now.undo;
};

const show = (state) => {
  const same = state.task !== undefined && state.task === now.task;
  now = state;
  const inside = state.rater !== null;
  element("enter").hidden = inside;
  element("standing").hidden = !inside;
  element("voting").hidden = state.task === undefined;
  element("finished").hidden = !inside || state.task !== undefined;
  if (!inside) {
    element("name").focus();
    return;
  }
  element("progress").value = state.answered / state.total;
  element("count").textContent = `${state.answered} of ${state.total}`;
  element("rater").textContent = state.rater;
  if (state.task === undefined) {
    for (const video of videos) video.removeAttribute("src");
    return;
  }
  element("prompt").textContent = state.prompt;
  element("question").textContent = state.question.endsWith("?") ? state.question : `Which has the better ${state.question}?`;
  if (!same) load(state.task);
};

const load = (task) => {
  for (const video of videos) video.src = `/clip/${task}/${video.id}`;
};
// Both start together, and again together when both have ended.
const both = (ready) => videos.every(ready);
const start = () => {
  for (const video of videos) {
    video.currentTime = 0;
    video.play().catch(() => {});
  }
};
for (const video of videos) {
  video.addEventListener("canplaythrough", () => both((v) => v.readyState >= 4) && both((v) => v.paused) && start());
  video.addEventListener("ended", () => both((v) => v.ended) && start());
}

const answer = (side) => {
  if (now.task === undefined || busy) return;
  document.querySelector(`[data-answer=${side}]`).classList.add("chosen");
  send("/vote", { task: now.task, question: now.question, answer: side });
};
const undo = () => now.undo && send("/undo", now.undo);

for (const button of document.querySelectorAll("[data-answer]")) {
  button.addEventListener("click", () => answer(button.dataset.answer));
}
element("undo").addEventListener("click", undo);
element("leave").addEventListener("click", () => send("/leave", {}));
element("anonymous").addEventListener("click", () => send("/enter", { name: "" }));
element("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  if (element("name").value.trim()) send("/enter", { name: element("name").value });
});
const KEYS = { ArrowLeft: "left", ArrowRight: "right", ArrowDown: "tie" };
document.addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.target instanceof HTMLInputElement) return;
  if (event.key in KEYS) answer(KEYS[event.key]);
  else if (event.key === "u") undo();
  else return;
  event.preventDefault();
});
send("/state");
