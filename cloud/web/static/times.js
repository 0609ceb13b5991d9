// Shows every <time> in the reader's own time zone; the server writes UTC.
"use strict";

(() => {
  const two = { hour: "2-digit", minute: "2-digit", hour12: false };
  const forms = {
    minute: (at) => at.toLocaleTimeString([], two),
    time: (at) => at.toLocaleTimeString([], { ...two, second: "2-digit" }),
    full: (at) => at.toLocaleString([], { dateStyle: "medium", timeStyle: "medium" }),
    ago: (at) => ago(Math.max(0, Math.round((Date.now() - at.getTime()) / 1000))),
  };

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
      element.title = at.toLocaleString();
    }
  }

  window.showTimes = showTimes;
  showTimes(document);
})();
