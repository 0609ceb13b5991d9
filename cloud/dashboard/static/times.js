// Shows every <time> in the reader's own time zone; the server writes UTC. Lets toasts go.
"use strict";

(() => {
  if (window.showTimes) return; // A page of an older package loads it once more.
  const two = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  const forms = {
    minute: (at) => at.toLocaleTimeString([], two),
    time: (at) => at.toLocaleTimeString([], { ...two, second: "2-digit" }),
    full: (at) => at.toLocaleString([], { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" }),
    ago: (at) => ago(Math.max(0, Math.round((Date.now() - at.getTime()) / 1000))),
    since: (at) => at.toLocaleString([], sameDay(at) ? two : { ...two, month: "short", day: "numeric" }),
  };

  function sameDay(at) {
    return at.toDateString() === new Date().toDateString();
  }

  function ago(seconds) {
    if (seconds < 60) return `${seconds} s ago`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
    if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
    return `${Math.floor(seconds / 86400)} days ago`;
  }

  function showTimes(root) {
    for (const element of root.querySelectorAll("time[data-form]")) {
      const at = new Date(element.dateTime);
      if (Number.isNaN(at.getTime())) continue;
      const text = forms[element.dataset.form](at);
      if (element.textContent !== text) element.textContent = text;
      const title = at.toLocaleString();
      if (element.title !== title) element.title = title;
    }
  }

  window.showTimes = showTimes;
  showTimes(document);
  document.addEventListener("htmx:afterSwap", (event) => showTimes(event.target));
  setInterval(() => showTimes(document), 1000);

  const toasts = document.getElementById("toasts");
  if (toasts) {
    const leave = (toast) => setTimeout(() => toast.remove(), 8000);
    new MutationObserver((changes) => {
      for (const change of changes) for (const added of change.addedNodes) if (added.nodeType === 1) leave(added);
    }).observe(toasts, { childList: true });
    toasts.addEventListener("click", (event) => {
      if (!event.target.closest("a, button")) event.target.closest(".toast")?.remove();
    });
  }
})();
