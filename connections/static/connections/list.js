"use strict";

// The selection of a list: all rows of the page by the box in the head, and how many are chosen.
const list = document.querySelector("#changelist-form");
const rows = list ? [...list.querySelectorAll("[name=_selected_action]")] : [];
const toggle = document.querySelector("#action-toggle");
const [ticked, all] = list ? list.querySelectorAll("[name=select_across]") : [];
const count = list?.querySelector("[data-selected]");

function tell() {
  const chosen = rows.filter((row) => row.checked).length;
  if (toggle) {
    toggle.checked = chosen === rows.length;
    toggle.indeterminate = chosen > 0 && chosen < rows.length;
  }
  if (count) count.textContent = `${chosen} ${count.dataset.selected}`;
}

list?.addEventListener("change", (event) => {
  if (event.target === toggle) for (const row of rows) row.checked = toggle.checked;
  // Whoever means all sees all ticked; whoever leaves one out does not mean all.
  if (event.target === all) for (const row of rows) row.checked = true;
  else if (all?.checked && !rows.every((row) => row.checked)) ticked.checked = true;
  tell();
});
list?.addEventListener("reset", () => setTimeout(tell));
if (rows.length) tell();
