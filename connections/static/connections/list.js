"use strict";

// The selection of a list: the box in the head selects all rows, and the selected are counted.
const list = document.querySelector("#changelist-form");
const rows = list ? [...list.querySelectorAll("[name=_selected_action]")] : [];
const toggle = document.querySelector("#action-toggle");
const [ticked, all] = list ? list.querySelectorAll("[name=select_across]") : [];
const count = list?.querySelector("[data-selected]");

function updateSelection() {
  const selected = rows.filter((row) => row.checked).length;
  if (toggle) {
    toggle.checked = selected === rows.length;
    toggle.indeterminate = selected > 0 && selected < rows.length;
  }
  if (count) count.textContent = `${selected} ${count.dataset.selected}`;
}

list?.addEventListener("change", (event) => {
  if (event.target === toggle) for (const row of rows) row.checked = toggle.checked;
  // "All that match" ticks every row; clearing one row ends it.
  if (event.target === all) for (const row of rows) row.checked = true;
  else if (all?.checked && !rows.every((row) => row.checked)) ticked.checked = true;
  updateSelection();
});
list?.addEventListener("reset", () => setTimeout(updateSelection));
if (rows.length) updateSelection();
