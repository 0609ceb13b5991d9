// Labels that were said and have not reached the cloud yet. They are kept in the browser, so that a
// session that ends, a network that is gone or a closed page loses none.
"use strict";

window.Outbox = class {
  static NAME = "splitsight-labels";
  static AGAIN_MS = 2000;

  // root: of all addresses; who: the account, or what the inspector calls themselves;
  // done(label, outcome), refused(label, text), changed(): what happens then.
  constructor({ root, who, done, refused, changed }) {
    Object.assign(this, { root, who, done, refused, changed });
    this.sending = false;
    this.trouble = "";
    addEventListener("online", () => this.send());
  }

  all() {
    try {
      return JSON.parse(localStorage.getItem(Outbox.NAME)) || [];
    } catch {
      return [];
    }
  }

  keep(labels) {
    localStorage.setItem(Outbox.NAME, JSON.stringify(labels));
    this.changed();
  }

  // What was said by whoever works here now.
  own() {
    return this.all().filter((label) => label.who === this.who());
  }

  add(label) {
    this.keep([...this.all(), { ...label, who: this.who(), id: crypto.getRandomValues(new Uint32Array(2)).join("-") }]);
    this.send();
  }

  // Whether it had not been sent yet, and is not any more.
  drop(part) {
    const waits = this.own().filter((label) => label.part === part && label.id !== this.sending);
    if (waits.length) this.keep(this.all().filter((label) => !waits.includes(label) && !waits.some((one) => one.id === label.id)));
    return waits.length > 0;
  }

  idle() {
    return !this.sending && this.own().length === 0;
  }

  async send() {
    if (this.sending) return;
    const label = this.own()[0];
    if (!label) return;
    this.sending = label.id;
    let again = false;
    try {
      const answer = await fetch(`${this.root}/api/v1/labels`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(this.body(label)) });
      if (answer.status === 401) {
        this.leave();
      } else if (answer.status >= 500 || answer.status === 429) {
        throw new Error(`the cloud answers ${answer.status}`);
      } else {
        const said = await answer.json();
        this.trouble = "";
        this.keep(this.all().filter((one) => one.id !== label.id));
        if (answer.ok) this.done(label, said[0]);
        else this.refused(label, said.error || said.detail || `refused (${answer.status})`);
        again = true;
      }
    } catch (error) {
      // A browser's own word for it ("Failed to fetch") helps nobody.
      this.trouble = error instanceof TypeError ? "the cloud does not answer" : error.message;
      setTimeout(() => this.send(), Outbox.AGAIN_MS);
    }
    this.sending = false;
    this.changed();
    if (again) this.send();
  }

  body({ part, verdict, kind, why, drawing, who }) {
    const [device, boot, sequence] = part.split("/");
    return {
      labels: [{ device, boot, sequence: Number(sequence), verdict, seen: 0, ...(kind ? { kind } : {}), ...(why ? { why } : {}), ...(drawing ? { drawing } : {}) }],
      inspector: who,
    };
  }

  // Once: a second time would break off the first.
  leave() {
    if (this.left) return;
    this.left = true;
    location.assign(`${this.root}/sign-in?to=${encodeURIComponent(location.pathname.slice(this.root.length) + location.search)}`);
  }
};
