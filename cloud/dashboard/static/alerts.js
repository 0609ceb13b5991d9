// The page of alerts: its list follows what happens, and a button turns the sound on and off.
"use strict";

(() => {
  const root = new URL(".", document.currentScript.src).pathname.replace(/static\/$/, "");
  const list = document.getElementById("open-alerts");
  const button = document.getElementById("sound");
  const EVERY_MS = 5000;
  let shown = list.innerHTML;

  // Whoever is choosing how long to shelve is not disturbed.
  const busy = () => list.querySelector(":popover-open") || list.contains(document.activeElement);

  const refresh = async () => {
    if (busy()) {
      return;
    }
    try {
      const answer = await fetch(`${root}alerts/open`, { signal: AbortSignal.timeout(4000) });
      const html = answer.ok ? await answer.text() : shown;
      if (html !== shown && !busy()) {
        shown = html;
        list.innerHTML = html;
        window.showTimes?.(list);
      }
    } catch {
      // Tried again soon.
    }
  };

  document.addEventListener("splitsight:alerts", refresh);
  setInterval(refresh, EVERY_MS);

  const told = async () => {
    const sound = window.splitsightSound;
    const on = sound.wanted();
    const blocked = on && !(await sound.ready());
    button.hidden = false;
    button.setAttribute("aria-pressed", String(on));
    button.textContent = blocked
      ? "Sound is on, the browser blocks it: press here"
      : on ? "Sound is on" : "Turn the sound on";
  };

  button.addEventListener("click", async () => {
    const sound = window.splitsightSound;
    const blocked = button.textContent.includes("blocks");
    const on = blocked || !sound.wanted();
    sound.want(on);
    if (on) {
      await sound.play();
    }
    await told();
  });
  // What makes the sound is loaded after this.
  document.addEventListener("DOMContentLoaded", told);
})();
