"use strict";

// Removes a revealed value from the page when its time is over. copy.js copies it until then.
const panel = document.querySelector("[data-seconds]");
const value = panel.querySelector("pre");
const left = panel.querySelector("b");
const state = panel.querySelector("[role=status]");
const copy = panel.querySelector("[data-copy]");
const end = Date.now() + panel.dataset.seconds * 1000;

function hideValue() {
  clearInterval(clock);
  value.remove();
  copy.remove();
  left.parentElement.remove();
  state.textContent = state.dataset.text;
}

function tick() {
  const seconds = Math.ceil((end - Date.now()) / 1000);
  if (seconds > 0) left.textContent = seconds;
  else hideValue();
}

const clock = setInterval(tick, 1000);
// Browsers slow down the timers of hidden tabs.
document.addEventListener("visibilitychange", tick);
// A browser may keep the page in memory, for its back button.
addEventListener("pagehide", hideValue);
