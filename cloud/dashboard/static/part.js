// The page of one part: its picture on demand, the map over it, labels and keys.
"use strict";

(() => {
  // Where a reverse proxy serves us, below a path of its own or not.
  const root = new URL(document.currentScript.src).pathname.replace(/\/static\/part\.js$/, "");
  const main = document.querySelector("main[data-part]");
  const { address, dataUrl, image, problemOf, place } = window.PartPicture;
  const api = address(root, main.dataset.part);
  const by = (id) => document.getElementById(id);
  const frame = by("frame");
  const ask = by("ask");
  const controls = by("controls");
  const LOOK_MS = 2000;
  let looking = 0;

  function tell(text) {
    by("told").textContent = text;
  }

  async function reasonOf(answer) {
    if (answer.status === 401) location.assign(`${root}/sign-in?to=${encodeURIComponent(location.pathname.slice(root.length))}`);
    const [what, fix] = await problemOf(answer);
    return fix ? `${what}. What to do: ${fix}.` : `${what}.`;
  }

  async function show(reason) {
    const mine = ++looking;
    tell("Asking the box …");
    const answer = await fetch(`${api}/picture?reason=${encodeURIComponent(reason)}`, { cache: "no-store" }).catch(() => null);
    if (mine !== looking) return;
    if (answer && answer.ok) {
      const part = document.querySelector("h1").firstChild.textContent.trim();
      place(frame, image(await dataUrl(await answer.blob()), "seen", `Picture of ${part}`), answer.headers);
      const region = answer.headers.get("x-picture-what") === "region";
      by("caption").textContent = region ? "Only its most suspicious place leaves the box. It is kept nowhere here." : "As the camera saw it. It comes from the box and is kept nowhere here.";
      tell("");
      if (controls) {
        controls.hidden = false;
        showMap();
      }
      return;
    }
    tell(answer ? await reasonOf(answer) : "The cloud does not answer.");
    // Kept until the box is back: this page gets it then.
    if (!answer || answer.status === 504 || answer.status === 429) waitFor(reason, mine);
  }

  async function waitFor(reason, mine) {
    for (;;) {
      await new Promise((done) => setTimeout(done, LOOK_MS));
      if (mine !== looking) return;
      const answer = await fetch(`${api}/picture/state`, { cache: "no-store" }).catch(() => null);
      if (mine !== looking) return;
      if (answer && answer.ok && (await answer.json()).state === "ready") {
        show(reason);
        return;
      }
    }
  }

  let mapOf = "";
  async function showMap() {
    const chosen = document.querySelector("[name=map-of]:checked").value;
    const there = frame.querySelector(".overlay");
    if (there) there.hidden = !by("map-on").checked;
    if (!by("map-on").checked || (there && mapOf === chosen)) return;
    mapOf = chosen;
    const answer = await fetch(`${api}/heat.png?of=${chosen}`).catch(() => null);
    if (mapOf !== chosen) return;
    if (!answer || !answer.ok) {
      mapOf = "";
      tell(answer ? await reasonOf(answer) : "The cloud does not answer.");
      return;
    }
    tell("");
    if (there) there.remove();
    frame.append(image(await dataUrl(await answer.blob()), "overlay", `Defect map, the ${chosen}'s`));
    fade();
  }

  function fade() {
    const there = frame.querySelector(".overlay");
    if (there) there.style.opacity = by("map-opacity").value / 100;
  }

  if (ask) {
    ask.addEventListener("submit", (event) => {
      event.preventDefault();
      show(ask.elements.reason.value);
    });
    if ("atOnce" in ask.dataset) show("the part's page was opened");
    else if ("asked" in ask.dataset) waitFor("asked for before", ++looking);
  }
  if (controls) {
    by("map-on").addEventListener("change", showMap);
    by("map-opacity").addEventListener("input", fade);
    for (const one of document.querySelectorAll("[name=map-of]")) one.addEventListener("change", showMap);
  }

  const label = document.querySelector(".label-form");
  const copy = by("copy");
  if (navigator.clipboard) copy.hidden = false;
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(location.href);
    copy.firstChild.textContent = "Copied ";
  });

  const keys = {
    ArrowLeft: () => by("before")?.click(),
    ArrowRight: () => by("after")?.click(),
    m: () => controls && !controls.hidden && by("map-on").click(),
    c: () => !copy.hidden && copy.click(),
    p: () => label?.querySelector("[value=pass]").click(),
    r: () => label?.querySelector("[value=reject]").click(),
  };
  document.addEventListener("keydown", (event) => {
    const busy = event.target.closest?.("input:not([type=checkbox]), textarea, select, [contenteditable]");
    if (busy || event.ctrlKey || event.metaKey || event.altKey) return;
    const key = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!key) return;
    event.preventDefault();
    key();
  });
})();
