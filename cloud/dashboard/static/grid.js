// Many at once: choose by mouse, finger or space bar, then one key for all that are chosen.
"use strict";

(() => {
  const form = document.getElementById("many");
  const NAME = "splitsight-inspector";
  const undo = document.querySelector(".said button");
  const signed = form?.querySelector("input[name=inspector]");
  const whoSaid = document.querySelector(".who-said");
  if (whoSaid) whoSaid.value = localStorage.getItem(NAME) || "";
  if (signed) {
    signed.value = localStorage.getItem(NAME) || "";
    signed.addEventListener("change", () => localStorage.setItem(NAME, signed.value.trim()));
  }
  const boxes = form ? [...form.querySelectorAll("input[name=part]")] : [];
  const chosen = document.getElementById("chosen");
  const all = document.getElementById("all");
  const buttons = form ? [...form.querySelectorAll("button[name=verdict]")] : [];
  let last = null;

  function count() {
    const number = boxes.filter((box) => box.checked).length;
    chosen.textContent = number ? `${number} of ${boxes.length} chosen` : "Choose parts";
    for (const button of buttons) button.disabled = number === 0;
  }

  function choose(box, event) {
    // Shift takes all from the last one to this one.
    if (event.shiftKey && last && last !== box) {
      const [from, to] = [boxes.indexOf(last), boxes.indexOf(box)].sort((one, other) => one - other);
      for (const one of boxes.slice(from, to + 1)) one.checked = box.checked;
    }
    last = box;
    count();
  }

  function everyone() {
    const some = boxes.some((box) => !box.checked);
    for (const box of boxes) box.checked = some;
    count();
  }

  function say(verdict, place) {
    const kinds = form.kind;
    if (place !== undefined) {
      if (place >= kinds.options.length) return;
      kinds.selectedIndex = place;
    }
    const button = buttons.find((one) => one.value === verdict);
    if (!button.disabled) form.requestSubmit(button);
  }

  function move(step) {
    const here = boxes.indexOf(document.activeElement);
    boxes[Math.min(boxes.length - 1, Math.max(0, here + step))]?.focus();
  }

  function columns() {
    const tops = boxes.map((box) => box.closest("li").offsetTop);
    return Math.max(1, tops.filter((top) => top === tops[0]).length);
  }

  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("select, textarea, input:not([type=checkbox])");
    if (event.ctrlKey || event.metaKey || event.altKey || typing) return;
    const keys = { u: () => undo?.click() };
    if (form) {
      Object.assign(keys, { p: () => say("pass"), r: () => say("reject"), a: everyone, ArrowRight: () => move(1), ArrowLeft: () => move(-1), ArrowDown: () => move(columns()), ArrowUp: () => move(-columns()) });
    }
    const key = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (form && /^[1-9]$/.test(event.key)) say("reject", Number(event.key));
    else if (key) key();
    else return;
    event.preventDefault();
  });

  if (form) {
    for (const box of boxes) box.addEventListener("click", (event) => choose(box, event));
    all.hidden = false;
    all.addEventListener("click", everyone);
    count();
    boxes[0]?.focus();
  }
})();
