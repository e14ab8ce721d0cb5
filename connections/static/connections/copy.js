"use strict";

// Copies the text that is shown. Without HTTPS there is no clipboard, and the button is hidden.
for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    const texts = [...button.closest("section").querySelectorAll("pre")];
    await navigator.clipboard.writeText(texts.find((text) => text.offsetParent).textContent);
    button.querySelector("[aria-live]").textContent = button.dataset.copy;
  });
}
