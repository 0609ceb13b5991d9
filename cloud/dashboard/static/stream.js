// Keeps a page live: brings what changed into place, keeps focus and what is open, and says so where
// nothing is heard any more.
"use strict";

(() => {
  // Where a reverse proxy serves us, below a path of its own or not.
  const root = new URL(document.currentScript.src).pathname.replace(/\/static\/stream\.js$/, "");
  const address = document.body.dataset.stream;
  const link = document.getElementById("link");
  const clock = document.getElementById("clock");
  if (!address) return;
  // The cloud speaks once a second.
  const QUIET_MS = 2500;
  const AGAIN_MS = 3000;
  const places = Object.fromEntries([...document.querySelectorAll("[sse-swap]")].map((place) => [place.getAttribute("sse-swap"), place]));
  const held = new Set();
  const waiting = {};
  let source = null;
  let heard = performance.now();
  let heardAt = new Date();
  let tried = performance.now();

  // What a person has opened stays open, whatever the cloud thinks of it.
  const callbacks = { beforeAttributeUpdated: (name, element) => !(name === "open" && element.tagName === "DETAILS") };

  function place(name, html) {
    const target = places[name];
    if (held.has(name)) {
      waiting[name] = html;
      return;
    }
    Idiomorph.morph(target, html, { morphStyle: "innerHTML", ignoreActiveValue: true, callbacks });
    window.showTimes(target);
    target.dispatchEvent(new CustomEvent("splitsight:placed", { bubbles: true, detail: { name } }));
  }

  function noticed() {
    heard = performance.now();
    heardAt = new Date();
    show();
  }

  function connect() {
    if (source) source.close();
    tried = performance.now();
    source = new EventSource(root + address);
    source.addEventListener("open", noticed);
    source.addEventListener("tick", noticed);
    source.addEventListener("error", () => {
      source.close();
      // Quiet from now on, not only once the time is over: it is known.
      heard = Math.min(heard, performance.now() - QUIET_MS);
      show();
      leaveIfSignedOut();
    });
    for (const name of Object.keys(places)) {
      source.addEventListener(name, (event) => {
        noticed();
        place(name, event.data);
      });
    }
  }

  // A stream says nothing of why it ended: who is signed in no longer goes to sign in, and comes back.
  async function leaveIfSignedOut() {
    const answer = await fetch(`${root}/api/v1/me`, { cache: "no-store", signal: AbortSignal.timeout(5000) }).catch(() => null);
    if (answer && answer.status === 401) location.assign(`${root}/sign-in?to=${encodeURIComponent(location.pathname.slice(root.length) + location.search)}`);
  }

  const spoken = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

  function show() {
    const quiet = performance.now() - heard >= QUIET_MS;
    if (document.body.classList.contains("quiet") !== quiet) document.body.classList.toggle("quiet", quiet);
    const says = quiet ? `nothing heard since ${spoken.format(heardAt)}, trying again; what you see is from then` : "live";
    if (link.textContent !== says) link.textContent = says;
    link.classList.toggle("lost", quiet);
  }

  function beat() {
    show();
    if (clock) clock.textContent = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", hour12: false }).format(new Date());
    const quiet = performance.now() - heard >= QUIET_MS;
    if (quiet && performance.now() - tried >= AGAIN_MS) connect();
  }

  window.liveStream = {
    // Fragments that a person holds still; what came meanwhile is shown when they are let go.
    hold(name) {
      held.add(name);
    },
    release(name) {
      held.delete(name);
      if (name in waiting) place(name, waiting[name]);
      delete waiting[name];
    },
  };

  // What is on the page is fresh: what comes first says it once more, and can wait for the page.
  function begin() {
    heard = performance.now();
    heardAt = new Date();
    connect();
    beat();
    setInterval(beat, 250);
  }

  afterLoad(begin);
  addEventListener("pagehide", () => source?.close());
  addEventListener("pageshow", (event) => event.persisted && connect());
})();
