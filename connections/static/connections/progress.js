"use strict";

// Updates the page of a running import or change, and reloads it when the state changes.
const bar = document.querySelector("progress[data-source]");

function show(progress) {
  for (const element of document.querySelectorAll("[data-word]")) {
    element.textContent = progress.words[element.dataset.word];
  }
  if (progress.total) {
    bar.max = progress.total;
    bar.value = progress.done;
  }
  showRefused(progress.refused);
}

// The last row of the table is hidden and empty: a template for the others.
function showRefused(issues) {
  const panel = document.querySelector("[data-refused]");
  if (!panel) return;
  const body = panel.querySelector("tbody");
  const template = body.lastElementChild;
  const rows = issues.map((issue) => {
    const row = template.cloneNode(true);
    row.hidden = false;
    for (const element of row.querySelectorAll("[data-part]")) {
      element.textContent = issue[element.dataset.part];
    }
    return row;
  });
  body.replaceChildren(...rows, template);
  panel.hidden = !issues.length;
}

async function poll() {
  try {
    const response = await fetch(bar.dataset.source);
    if (response.status < 500) {
      // The user is signed out, or the run is gone.
      if (!response.ok || response.redirected) return location.reload();
      const progress = await response.json();
      if (progress.state !== bar.dataset.state) return location.reload();
      show(progress);
    }
  } catch {
    // The server can't be reached: try again.
  }
  setTimeout(poll, 1000);
}

if (bar) setTimeout(poll, 1000);
