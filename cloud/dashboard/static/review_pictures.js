// The picture of the part before an inspector, from the box that has it, with the map over it; and
// the next one's ahead, so that it is there when it is wanted. No key ever waits for one.
"use strict";

window.ReviewPictures = class {
  // A part that is passed by at once is not asked for.
  static STAYS_MS = 150;
  static LOOK_MS = 2000;
  static LOOKS = "splitsight-map";

  // next: what comes next, {part, device, state, map}, or null; leave: nobody is signed in any more
  constructor({ root, next, leave }) {
    this.root = root;
    this.next = next;
    this.leave = leave;
    this.looks = { on: true, opacity: 60, ...JSON.parse(localStorage.getItem(ReviewPictures.LOOKS) || "{}") };
    this.fetched = new Map(); // part → {source, headers}: of this part and the next one alone
    this.kept = new Map(); // box → why it gives no pictures
    this.asking = null;
    this.here = null;
  }

  // A part is before the inspector now.
  show(article, drawing) {
    const { part, device, picture: state, map, instead } = article.dataset;
    this.here = { part, device, map, instead, article, drawing, done: false };
    for (const one of this.fetched.keys()) if (one !== part) this.fetched.delete(one);
    if (this.asking && this.asking.part !== part) {
      this.asking.stop.abort();
      this.asking = null;
    }
    this.controls();
    const here = this.here;
    if (this.fetched.has(part)) this.place();
    else if (state === "kept" || state === "none") this.settle();
    else if (this.kept.has(device)) this.settle(`${this.kept.get(device)}: ${instead}.`);
    else if (state === "away") this.wait(here, 0);
    else {
      this.tell(`Asking ${device} for the picture …`);
      if (!this.asking) setTimeout(() => here === this.here && this.ask(here.part), ReviewPictures.STAYS_MS);
    }
  }

  // Nothing is before the inspector any more.
  leaveIt() {
    this.here = null;
    this.fetched.clear();
  }

  tell(text) {
    this.here.article.querySelector("#picture-note").textContent = text;
  }

  // All that can be shown of this part is shown: the next one's turn.
  settle(text) {
    if (text !== undefined) this.tell(text);
    this.here.done = true;
    this.ahead();
  }

  async ahead() {
    const next = await this.next();
    if (!next || this.asking || !this.here?.done || this.fetched.has(next.part)) return;
    if (next.state !== "ready" || this.kept.has(next.device)) return;
    if (next.map === "tail" && this.looks.on) fetch(this.heat(next.part, "tail")).catch(() => {});
    this.ask(next.part, true);
  }

  async ask(part, ahead = false) {
    if (this.asking) return;
    const mine = (this.asking = { part, stop: new AbortController() });
    const asked = `${PartPicture.address(this.root, part)}/picture?reason=review${ahead ? "&ahead=true" : ""}`;
    let answer = null;
    let source = null;
    try {
      answer = await fetch(asked, { cache: "no-store", signal: mine.stop.signal });
      if (answer.ok) source = await PartPicture.dataUrl(await answer.blob());
    } catch {
      // The cloud does not answer, or nobody waits for it any more.
    }
    if (mine !== this.asking) return;
    this.asking = null;
    if (source) this.fetched.set(part, { source, headers: answer.headers });
    const here = this.here;
    if (!here || part !== here.part) return;
    if (source) this.place();
    else if (!answer) this.wait(here, ReviewPictures.LOOK_MS, "The cloud does not answer");
    else await this.refused(here, answer);
  }

  async refused(here, answer) {
    if (answer.status === 401) this.leave();
    const [what] = await PartPicture.problemOf(answer);
    if (here !== this.here) return;
    if (answer.status === 403) this.kept.set(here.device, what);
    if (answer.status === 504 || answer.status === 429) this.wait(here, ReviewPictures.LOOK_MS, what);
    else this.settle(`${what}: ${here.instead}.`);
  }

  // Its box is away: the picture comes when it is back, if the part is still looked at then.
  async wait(here, pause, why) {
    if (why) this.tell(`${why}: ${here.instead} until it is back.`);
    await new Promise((done) => setTimeout(done, pause));
    if (here !== this.here) return;
    const answer = await fetch(`${PartPicture.address(this.root, here.part)}/picture/state`, { cache: "no-store" }).catch(() => null);
    const state = answer?.ok ? (await answer.json()).state : "away";
    if (here !== this.here) return;
    if (state === "away") this.wait(here, ReviewPictures.LOOK_MS);
    else if (state === "ready") this.ask(here.part);
    else this.settle();
  }

  place() {
    const { article, drawing, part, device } = this.here;
    const { source, headers } = this.fetched.get(part);
    const title = article.querySelector("h2").textContent;
    const picture = PartPicture.image(source, "seen", `Picture of ${title}`);
    PartPicture.place(article.querySelector("#canvas"), picture, headers);
    drawing.over(picture, ...PartPicture.frameOf(headers));
    const region = headers.get("x-picture-what") === "region";
    const bar = article.querySelector(".overlay-controls");
    if (bar) bar.hidden = false;
    this.settle(`${region ? "The most suspicious place of it" : "As the camera saw it"}, from ${device}. Who looks is in the audit log.`);
    this.lay();
  }

  heat(part, of) {
    return `${PartPicture.address(this.root, part)}/heat.png?of=${of}`;
  }

  // The map over the picture, as the inspector wants it.
  async lay() {
    const here = this.here;
    const picture = here?.article.querySelector("#canvas .seen");
    if (!picture || !here.map) return;
    let over = here.article.querySelector("#canvas .overlay");
    if (!over && this.looks.on && !here.laid) {
      here.laid = true;
      const answer = await fetch(this.heat(here.part, here.map)).catch(() => null);
      if (here !== this.here) return;
      if (!answer?.ok) {
        const [what] = answer ? await PartPicture.problemOf(answer) : ["The cloud does not answer"];
        if (here === this.here) this.tell(`${what}: the picture without a map.`);
        return;
      }
      over = PartPicture.image(await PartPicture.dataUrl(await answer.blob()), "overlay", `Defect map, the ${here.map}'s`);
      picture.after(over);
    }
    if (!over) return;
    over.hidden = !this.looks.on;
    over.style.opacity = this.looks.opacity / 100;
  }

  toggle() {
    this.here?.article.querySelector(".overlay-controls:not([hidden]) [name=map-on]")?.click();
  }

  controls() {
    const bar = this.here.article.querySelector(".overlay-controls");
    if (!bar) return;
    const [on, opacity] = [bar.querySelector("[name=map-on]"), bar.querySelector("[name=map-opacity]")];
    on.checked = this.looks.on;
    opacity.value = this.looks.opacity;
    const changed = () => {
      this.looks = { on: on.checked, opacity: Number(opacity.value) };
      localStorage.setItem(ReviewPictures.LOOKS, JSON.stringify(this.looks));
      this.lay();
    };
    on.addEventListener("change", changed);
    opacity.addEventListener("input", changed);
  }
};
