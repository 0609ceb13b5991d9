// Links that are passed on are shown whole, below whatever path we are served, and can be copied.
"use strict";

(() => {
  for (const link of document.querySelectorAll("a[data-whole]")) link.textContent = link.href;
  for (const button of document.querySelectorAll("button[data-copies]")) {
    // Only where the browser lets a page do it: over HTTPS, or on this machine.
    if (!navigator.clipboard) continue;
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.querySelector(button.dataset.copies).textContent);
      button.textContent = "Copied";
    });
  }
})();
