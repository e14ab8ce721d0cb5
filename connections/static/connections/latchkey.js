"use strict";

// Times are shown in the browser's zone: a cookie tells it to the server, and a page that was
// rendered in another zone is reloaded, unless it is the response to a form.
const root = document.documentElement;
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const cookie = `time_zone=${zone}`;
if (zone && !("posted" in root.dataset) && !document.cookie.split("; ").includes(cookie)) {
  const secure = location.protocol === "https:" ? "; secure" : "";
  document.cookie = `${cookie}; path=/admin/; max-age=31536000; samesite=lax${secure}`;
  if (document.cookie.includes(cookie) && (root.dataset.zone || zone) !== zone) location.reload();
}

// "/" goes to the search box: the list's own where there is one.
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const box = document.querySelector("#searchbar") || document.querySelector("#search-all");
  if (box) {
    event.preventDefault();
    box.focus();
    box.select();
  }
});

// Tables that become cards on a phone stay tables for a screen reader, whatever their `display`.
const ROLES = [
  ["thead, tbody, tfoot", "rowgroup"], ["tr", "row"], ["td", "cell"],
  ["th", "columnheader"], ["tbody th", "rowheader"],
];
for (const table of document.querySelectorAll("table.cards")) {
  table.setAttribute("role", "table");
  for (const [selector, role] of ROLES) {
    for (const element of table.querySelectorAll(selector)) element.setAttribute("role", role);
  }
  if (!table.classList.contains("labelled")) continue;
  const labels = [...table.tHead.rows[0].cells].map(
    (cell) => !cell.querySelector("input") && cell.textContent.trim());
  for (const cell of table.querySelectorAll("tbody td")) {
    // An empty cell takes no line of the card.
    if (cell.textContent.trim() === "–") cell.classList.add("none");
    else if (labels[cell.cellIndex]) cell.dataset.label = labels[cell.cellIndex];
  }
}

// An open filter or menu closes at a click elsewhere and at Escape.
const closeFilters = (except) => {
  for (const open of document.querySelectorAll(".filter[open]")) if (open !== except) open.open = false;
};
document.addEventListener("click", (event) => closeFilters(event.target.closest(".filter")));
document.addEventListener("keydown", (event) => {
  const open = event.key === "Escape" && document.querySelector(".filter[open]");
  if (open) {
    open.open = false;
    open.querySelector("summary").focus();
  }
});
