// Day or night: as the system says, or as a person has chosen here. Runs before the first paint.
"use strict";

(() => {
  const kept = "splitsight-theme";
  const choices = ["system", "light", "dark"];
  const said = { system: "◐ As system", light: "○ Light", dark: "● Dark" };
  const page = document.documentElement;

  function chosen() {
    try {
      const value = localStorage.getItem(kept);
      return choices.includes(value) ? value : "system";
    } catch {
      return "system"; // No storage: private browsing, or a policy of the panel.
    }
  }

  function show(choice) {
    if (choice === "system") delete page.dataset.theme;
    else page.dataset.theme = choice;
    // Canvases do not follow a style sheet by themselves.
    document.dispatchEvent(new CustomEvent("splitsight:theme"));
  }

  show(chosen());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => show(chosen()));
  addEventListener("storage", (event) => event.key === kept && show(chosen()));
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    if (!button) return;
    button.hidden = false;
    button.textContent = said[chosen()];
    button.addEventListener("click", () => {
      const next = choices[(choices.indexOf(chosen()) + 1) % choices.length];
      try {
        localStorage.setItem(kept, next);
      } catch {
        // It lasts as long as this page.
      }
      button.textContent = said[next];
      show(next);
    });
  });
})();
