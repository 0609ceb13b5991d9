// One part after the other: a key for each verdict, the next one fetched before it is wanted.
"use strict";

(() => {
  const root = new URL(document.currentScript.src).pathname.replace(/\/static\/review\.js$/, "");
  const place = document.getElementById("place");
  const told = document.getElementById("told");
  const unsent = document.getElementById("unsent");
  const help = document.getElementById("help");
  const filter = place.dataset.filter;
  const NAME = "splitsight-inspector";
  const DRAFT = "splitsight-draft";
  const AHEAD = 4;

  const trail = []; // parts in the order in which they were shown
  let at = -1;
  let ahead = []; // parts that come next
  const pages = new Map(); // part → its page, or the promise of it
  const said = new Map(); // part → what was said of it here, and the numbers of its labels
  const titles = new Map(); // part → what the page calls it
  const order = []; // parts in the order in which they were labelled
  let drawing = null;
  let asking = null;
  let over = false; // nobody is signed in any more

  const item = () => document.getElementById("item");
  const form = () => document.getElementById("verdict");
  const part = () => item().dataset.part;
  const titled = (one) => titles.get(one) ?? one;
  const nameField = () => place.querySelector("input[name=inspector]");
  const who = () => (place.dataset.proven ? place.dataset.who : (nameField()?.value || localStorage.getItem(NAME) || "").trim());

  const pictures = new ReviewPictures({ root, next: following, leave: ended });
  const outbox = new Outbox({ root, who, done, refused, changed });

  function done(label, outcome) {
    const known = said.get(label.part);
    if (known) known.numbers.push(outcome.number);
    pages.delete(label.part);
    if (outcome.met.length) {
      const others = outcome.met.map((one) => `${one.inspector} said ${one.verdict}${one.kind ? `, ${one.kind}` : ""}`).join("; ");
      tell(`${titled(label.part)}: ${others}. Both labels are kept${outcome.split ? "; a third inspector is asked" : ""}.`);
    }
    if (known?.undo) takeBack(label.part);
  }

  function refused(label, text) {
    said.delete(label.part);
    tell(`${titled(label.part)}: your ${label.verdict} was not kept: ${text}`);
  }

  function changed() {
    const all = outbox.all();
    const own = outbox.own().length;
    const others = [...new Set(all.filter((one) => one.who !== who()).map((one) => one.who))];
    const words = [];
    if (own && outbox.trouble) words.push(`${own} not sent yet (${outbox.trouble}); kept here and tried again`);
    if (others.length && who()) words.push(`labels of ${others.join(", ")} wait here until they work at this page again`);
    unsent.textContent = words.join(". ");
    unsent.dataset.waiting = String(own);
  }

  function tell(text) {
    told.textContent = text;
    told.hidden = !text;
  }

  // Noticed by what is fetched ahead. Keys pressed from now on are meant for this part: its label
  // leads to sign-in, and waits here until then.
  function ended() {
    over = true;
    if (form()) tell("Your session has ended. Go on with this part: you sign in with your next label, and nothing is lost.");
    else outbox.leave();
  }

  // Parts that come next, with their pages.
  function fill() {
    if (asking || ahead.length >= AHEAD) return asking;
    const body = new URLSearchParams(filter);
    for (const name of ["view", "item", "said"]) body.delete(name);
    for (const one of [part(), ...ahead, ...said.keys()].filter(Boolean).slice(-60)) body.append("have", one);
    asking = fetch(`${root}/review/take?${body}`, { cache: "no-store" })
      .then((answer) => {
        if (answer.status === 401) ended();
        return answer.ok ? answer.json() : { items: [] };
      })
      .then(({ items }) => {
        const known = new Set([...ahead, ...said.keys(), part()]);
        ahead.push(...items.filter((one) => !known.has(one)));
        ahead.slice(0, AHEAD).forEach(page);
        pictures.ahead();
      })
      .catch(() => {})
      .finally(() => {
        asking = null;
      });
    return asking;
  }

  function page(one) {
    if (!pages.has(one)) {
      const found = fetch(`${root}/review/item?${new URLSearchParams([...new URLSearchParams(filter), ["item", one]])}`).then(async (answer) => {
        if (answer.status === 401) ended();
        if (!answer.ok) throw new Error(`the cloud answers ${answer.status}`);
        const html = await answer.text();
        for (const [, source] of html.matchAll(/<img src="([^"]+)"/g)) new Image().src = source;
        return html;
      });
      found.catch(() => pages.delete(one));
      pages.set(one, found);
    }
    return pages.get(one);
  }

  // What is asked of a box ahead: the picture of the part that comes next.
  async function following() {
    const one = trail[at + 1] ?? ahead[0];
    const html = one ? await page(one).catch(() => null) : null;
    const article = html && new DOMParser().parseFromString(html, "text/html").getElementById("item");
    if (!article) return null;
    const { part: named, device, picture: state, map } = article.dataset;
    return { part: named, device, state, map };
  }

  function address(one) {
    const asked = new URLSearchParams(filter);
    asked.set("item", one);
    return `${root}/review?${asked}`;
  }

  async function show(one) {
    let html;
    try {
      html = await page(one);
    } catch (error) {
      if (over) outbox.leave();
      tell(`${titled(one)} can't be shown: ${error.message}`);
      return false;
    }
    place.innerHTML = html;
    ready();
    return true;
  }

  // Whatever shows a part goes through here.
  function ready() {
    if (!form()) return;
    drawing = new Drawing(document.getElementById("canvas"), place.querySelector(".drawing-tools"));
    titles.set(part(), item().querySelector("h2").textContent);
    pictures.show(item(), drawing);
    window.showTimes?.(place);
    const known = said.get(part());
    if (known) {
      const own = document.getElementById("own");
      own.hidden = false;
      own.textContent = `You said ${known.verdict}${known.kind ? `, ${known.kind}` : ""}. U takes it back; another key says it anew.`;
    }
    const name = nameField();
    if (name) {
      name.value ||= localStorage.getItem(NAME) || "";
      name.addEventListener("change", () => {
        localStorage.setItem(NAME, name.value.trim());
        outbox.send();
        changed();
      });
    }
    const draft = JSON.parse(localStorage.getItem(DRAFT) || "null");
    if (draft && draft.part === part()) form().why.value = draft.why;
    form().why.addEventListener("input", () => localStorage.setItem(DRAFT, JSON.stringify({ part: part(), why: form().why.value })));
    form().addEventListener("submit", (event) => {
      event.preventDefault();
      say(event.submitter?.value || "reject", form().kind.value);
    });
    for (const button of place.querySelectorAll("[data-kind]")) button.addEventListener("click", () => say("reject", button.dataset.kind));
  }

  async function next() {
    if (at < trail.length - 1) {
      history.forward();
      return;
    }
    if (!ahead.length) await fill();
    const one = ahead.shift();
    if (!one) {
      if (over) outbox.leave();
      else end();
      return;
    }
    if (await show(one)) {
      trail.push(one);
      at = trail.length - 1;
      history.pushState({ at }, "", address(one));
      fill();
    }
  }

  function end() {
    const card = document.createElement("div");
    card.id = "item";
    card.className = "card done";
    card.dataset.part = "";
    card.innerHTML = '<p class="empty-note">Nothing more waits for you here.</p><p><a>Look for more</a></p>';
    card.querySelector("a").href = `${root}/review${filter ? `?${filter}` : ""}`;
    place.replaceChildren(card);
    pictures.leaveIt();
  }

  function say(verdict, kind) {
    if (!form()) return;
    if (!who()) {
      tell("Write your name first: labels are signed.");
      nameField().focus();
      return;
    }
    if (nameField()) localStorage.setItem(NAME, who());
    tell("");
    const one = part();
    const label = { part: one, verdict, kind: verdict === "reject" ? kind : "", why: form().why.value.trim(), drawing: verdict === "reject" ? drawing.png() : "" };
    said.set(one, { verdict, kind: label.kind, numbers: [] });
    order.push(one);
    localStorage.removeItem(DRAFT);
    outbox.add(label);
    next();
  }

  async function undo() {
    const one = order.pop();
    if (!one) {
      tell("Nothing was said here that could be taken back.");
      return;
    }
    const known = said.get(one);
    if (outbox.drop(one) || !known) said.delete(one);
    else if (known.numbers.length) await takeBack(one);
    else known.undo = true; // it is on its way: taken back as soon as it has arrived
    pages.delete(one);
    const place_ = trail.lastIndexOf(one);
    if (place_ >= 0 && place_ !== at) history.go(place_ - at);
    else show(one);
  }

  async function takeBack(one) {
    const known = said.get(one);
    said.delete(one);
    const answer = await fetch(`${root}/api/v1/labels/undo`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ numbers: known.numbers.slice(-1), inspector: who() }) }).catch(() => null);
    if (answer?.status === 401) outbox.leave();
    if (answer?.ok) {
      tell("");
      unsent.textContent = `Taken back: ${known.verdict} of ${titled(one)}.`;
      return;
    }
    said.set(one, known);
    order.push(one);
    tell(`${titled(one)}: it could not be taken back; press U again`);
  }

  const keys = {
    p: () => say("pass", ""),
    r: () => say("reject", form()?.kind.value || ""),
    u: undo,
    w: () => form()?.why.focus(),
    b: () => drawing?.take("box"),
    d: () => drawing?.take("brush"),
    e: () => drawing?.take("erase"),
    c: () => drawing?.take("clear"),
    m: () => pictures.toggle(),
    ArrowRight: next,
    ArrowLeft: () => at > 0 && history.back(),
    "?": () => help.showModal(),
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
    const slides = event.target.matches("[type=range]") && event.key.startsWith("Arrow");
    if (slides || event.target.matches("input:not([type=checkbox], [type=range]), select, textarea")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const kind = /^[1-9]$/.test(event.key) ? place.querySelector(`[data-key="${event.key}"]`) : null;
    const key = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!kind && !key) return;
    event.preventDefault();
    if (event.repeat && event.key.length === 1) return;
    if (kind) say("reject", kind.dataset.kind);
    else key();
  });

  addEventListener("popstate", (event) => {
    if (!event.state) return;
    at = event.state.at;
    if (trail[at]) show(trail[at]);
    else location.reload();
  });

  addEventListener("beforeunload", (event) => {
    // They are kept, but another browser would not know of them.
    if (!outbox.idle() && outbox.trouble) event.preventDefault();
  });

  if (part()) {
    trail.push(part());
    at = 0;
    history.replaceState({ at: 0 }, "", address(part()));
  }
  ready();
  changed();
  outbox.send();
  fill();
})();
