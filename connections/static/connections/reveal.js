"use strict";

// Takes a revealed value out of the page when its time is over, and copies it until then.
const panel = document.querySelector("[data-seconds]");
const value = panel.querySelector("pre");
const left = panel.querySelector("b");
const state = panel.querySelector("[role=status]");
const copy = panel.querySelector("[data-done]");
const end = Date.now() + panel.dataset.seconds * 1000;

function seal() {
  clearInterval(clock);
  value.remove();
  copy.remove();
  left.parentElement.remove();
  state.textContent = state.dataset.text;
}

function tick() {
  const seconds = Math.ceil((end - Date.now()) / 1000);
  if (seconds > 0) left.textContent = seconds;
  else seal();
}

const clock = setInterval(tick, 1000);
// Timers are slow in a tab that nobody looks at.
document.addEventListener("visibilitychange", tick);
// A browser may keep the page as it is, to go back to.
addEventListener("pagehide", seal);

copy.hidden = false;
copy.addEventListener("click", async () => {
  getSelection().selectAllChildren(value);
  try {
    await navigator.clipboard.writeText(value.textContent);
  } catch {
    document.execCommand("copy"); // plain HTTP, where there is no clipboard
  }
  copy.lastElementChild.textContent = copy.dataset.done;
});
