// What htmx brings gets the reader's own time, as what was there before.
"use strict";

document.body.addEventListener("htmx:afterSwap", (event) => window.showTimes(event.target));
setInterval(() => window.showTimes(document), 1000);
