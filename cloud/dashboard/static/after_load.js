// What can wait until the page is there whole: before, it would only take from what people look at.
"use strict";

window.afterLoad = (begin) => {
  if (document.readyState === "complete") begin();
  else addEventListener("load", begin, { once: true });
};
