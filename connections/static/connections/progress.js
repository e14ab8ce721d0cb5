"use strict";

// Moves the page of an import that is under way, and loads it anew once that has ended or stopped.
const bar = document.querySelector("progress[data-source]");

function show(news) {
  for (const element of document.querySelectorAll("[data-word]")) {
    element.textContent = news.words[element.dataset.word];
  }
  if (news.total) {
    bar.max = news.total;
    bar.value = news.done;
  }
  showRefused(news.refused);
}

// The last row of the table is hidden and empty: a pattern for the others.
function showRefused(issues) {
  const panel = document.querySelector("[data-refused]");
  if (!panel) return;
  const body = panel.querySelector("tbody");
  const pattern = body.lastElementChild;
  const rows = issues.map((issue) => {
    const row = pattern.cloneNode(true);
    row.hidden = false;
    for (const element of row.querySelectorAll("[data-part]")) {
      element.textContent = issue[element.dataset.part];
    }
    return row;
  });
  body.replaceChildren(...rows, pattern);
  panel.hidden = !issues.length;
}

async function ask() {
  try {
    const answer = await fetch(bar.dataset.source);
    if (answer.status < 500) {
      // Elsewhere by now: signed out, or the run is gone.
      if (!answer.ok || answer.redirected) return location.reload();
      const news = await answer.json();
      if (news.state !== bar.dataset.state) return location.reload();
      show(news);
    }
  } catch {
    // The server can't be reached at the moment: ask again.
  }
  setTimeout(ask, 1000);
}

if (bar) setTimeout(ask, 1000);
