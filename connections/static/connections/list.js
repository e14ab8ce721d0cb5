"use strict";

// The selection of a list: all rows of the page by the box in the head, and how many are chosen.
const list = document.querySelector("#changelist-form");
const rows = list ? [...list.querySelectorAll("[name=_selected_action]")] : [];
const toggle = document.querySelector("#action-toggle");
const across = list?.querySelector("[name=select_across]");
const count = list?.querySelector("[data-selected]");

function tell() {
  const chosen = rows.filter((row) => row.checked).length;
  if (toggle) {
    toggle.checked = chosen === rows.length;
    toggle.indeterminate = chosen > 0 && chosen < rows.length;
  }
  if (count) count.textContent = across?.checked ? count.dataset.all : `${chosen} ${count.dataset.selected}`;
}

list?.addEventListener("change", (event) => {
  if (event.target === toggle) for (const row of rows) row.checked = toggle.checked;
  // Whoever leaves a row out does not mean all of them; whoever means all sees all chosen.
  if (across && event.target !== across && !rows.every((row) => row.checked)) across.checked = false;
  if (across?.checked) for (const row of rows) row.checked = true;
  tell();
});
list?.addEventListener("reset", () => setTimeout(tell));
if (rows.length) tell();
