// Moves the marks on /thresholds and counts at once what they would have meant.
"use strict";

(() => {
  const raw = document.getElementById("known-parts");
  if (!raw) return;
  const root = new URL(document.currentScript.src).pathname.replace(/\/static\/thresholds\.js$/, "");
  const data = JSON.parse(raw.textContent);
  const places = { ...data.places };
  const LAST = 4002, REACH = 20, STEP = 0.01, LOW = -10, HIGH = 10, WIDTH = 1000;
  const pairs = [["pass_below", "reject_from"], ["cloud_pass_below", "cloud_reject_from"]];
  const ASKED = 1, NO_HEAD = 2, NO_CLOUD = 4, NOVEL_EDGE = 8, NOVEL_CLOUD = 16;
  const count = { bad: data.defective.filter((one) => one).length };
  count.all = data.defective.length;
  count.good = count.all - count.bad;

  // The grid of thresholds, as shared/certification/certificate.py makes it.
  function threshold(place) {
    if (place <= 0) return 0;
    if (place >= LAST) return 1 + Number.EPSILON;
    return 1 / (1 + Math.exp(-(-REACH + (place - 1) * STEP)));
  }

  function placeOf(value) {
    if (value <= 0) return 0;
    if (value > 1) return LAST;
    if (value >= threshold(LAST - 1)) return LAST - 1;
    const near = Math.round((Math.log(value / (1 - value)) + REACH) / STEP) + 1;
    let best = Math.min(LAST - 1, Math.max(0, near));
    for (const one of [best - 1, best + 1]) {
      if (one >= 0 && one < LAST && Math.abs(threshold(one) - value) < Math.abs(threshold(best) - value)) best = one;
    }
    return best;
  }

  function written(place) {
    for (let digits = 3; digits < 18; digits += 1) {
      const text = String(Number(threshold(place).toPrecision(digits)));
      if (placeOf(Number(text)) === place) return text;
    }
    return String(threshold(place));
  }

  function xOf(place) {
    if (place <= 0) return 0;
    if (place >= LAST) return WIDTH;
    const odds = -REACH + (place - 1) * STEP;
    return ((Math.min(Math.max(odds, LOW), HIGH) - LOW) / (HIGH - LOW)) * WIDTH;
  }

  // P(at most `most` of `parts`), each with probability `rate`.
  function tail(most, parts, rate) {
    let log = parts * Math.log1p(-rate), sum = Math.exp(log);
    for (let k = 0; k < most; k += 1) {
      log += Math.log((parts - k) / (k + 1)) + Math.log(rate) - Math.log1p(-rate);
      sum += Math.exp(log);
    }
    return sum;
  }

  // The exact upper bound of a rate (Clopper and Pearson 1934).
  function upper(most, parts, delta) {
    if (most >= parts) return 1;
    let low = 0, high = 1;
    for (let step = 0; step < 40; step += 1) {
      const middle = (low + high) / 2;
      if (tail(most, parts, middle) > delta) low = middle; else high = middle;
    }
    return high;
  }

  // What a gate makes of every picture, and of the parts that they show; as in cloud/thresholds.
  function outcome(at) {
    const passed = [new Set(), new Set()], rejected = [new Set(), new Set()], reviewed = [new Set(), new Set()];
    let escalated = 0, unknown = 0;
    const looked = [0, 0];
    for (let i = 0; i < data.part.length; i += 1) {
      const part = data.part[i], known = data.known[i];
      const decides = !(known & NO_HEAD) && !(known & NOVEL_EDGE);
      if (decides && data.edge[i] <= at.pass_below) { passed[0].add(part); passed[1].add(part); continue; }
      if (decides && data.edge[i] > at.reject_from) { rejected[0].add(part); rejected[1].add(part); continue; }
      if (!data.escalates) { for (const end of [0, 1]) { reviewed[end].add(part); looked[end] += 1; } continue; }
      escalated += 1;
      if (!(known & ASKED)) {
        unknown += 1;
        // Where it is novel, the cloud decides nothing, whatever its score.
        if (known & NOVEL_CLOUD) { for (const end of [0, 1]) { reviewed[end].add(part); looked[end] += 1; } continue; }
        passed[1].add(part);
        rejected[1].add(part);
        if (data.review) { reviewed[1].add(part); looked[1] += 1; }
        continue;
      }
      const sure = !(known & NOVEL_CLOUD), none = known & NO_CLOUD;
      const passes = sure && !none && data.cloud[i] <= (data.review ? at.cloud_pass_below : at.cloud_reject_from);
      const rejects = sure && (data.review ? !none && data.cloud[i] > at.cloud_reject_from : none || data.cloud[i] > at.cloud_reject_from);
      for (const end of [0, 1]) {
        if (passes) passed[end].add(part);
        else if (rejects) rejected[end].add(part);
        else { reviewed[end].add(part); looked[end] += 1; }
      }
    }
    const among = (sets, bad) => sets.map((set) => [...set].filter((part) => Boolean(data.defective[part]) === bad).length);
    const [review, ask, byte] = data.prices;
    const bytes = escalated ? (data.each === null ? NaN : escalated * data.each) : 0;
    const pictures = Math.max(1, data.part.length);
    return {
      escapes: [...among(passed, true), count.bad],
      false_rejects: [...among(rejected, false), count.good],
      reviews: [reviewed[0].size, reviewed[1].size, count.all],
      escalated, unknown, bytes,
      cost: looked.map((n) => (n * review + escalated * ask + byte * bytes) / pictures),
    };
  }

  const percent = (share) => `${(share * 100).toFixed(1)} %`;

  function share([least, most, parts]) {
    if (!parts) return ["–", ""];
    const said = `${least}${least === most ? "" : ` to ${most}`} of ${parts}`;
    const low = 1 - upper(parts - least, parts, data.delta / 2);
    return [said, `${percent(low)} to ${percent(upper(most, parts, data.delta / 2))}`];
  }

  function size(bytes) {
    if (Number.isNaN(bytes)) return "–";
    if (bytes < 999.5) return `${bytes.toFixed(0)} B`;
    let left = bytes;
    for (const unit of ["kB", "MB", "GB", "TB"]) {
      left /= 1000;
      if (left < 999.5 || unit === "TB") return left >= 99.95 ? `${left.toFixed(0)} ${unit}` : `${left.toFixed(1)} ${unit}`;
    }
    return "";
  }

  function figure(name) { return document.querySelector(`[data-figure="${name}"]`); }

  function show(name, text, note) {
    const place = figure(name);
    if (!place) return;
    place.textContent = text;
    if (note) {
      const small = document.createElement("span");
      small.className = "note";
      small.textContent = note;
      place.append(" ", small);
    }
  }

  function recount() {
    const found = outcome(places);
    for (const name of ["escapes", "false_rejects", "reviews"]) show(name, ...share(found[name]));
    show("escalated", `${found.escalated.toLocaleString("en")} of ${data.part.length.toLocaleString("en")}`);
    show("bytes", size(found.bytes));
    const [least, most] = found.cost.map((cost) => (Number.isNaN(cost) ? "–" : cost.toFixed(3)));
    show("cost", found.unknown ? `${least} to ${most}` : least);
    show("unknown", found.unknown ? `${found.unknown} picture${found.unknown > 1 ? "s" : ""} would be sent that the edge decided, so nobody knows what the cloud would have said: figures show both ends.` : "");
  }

  const marks = [...document.querySelectorAll("[data-mark]")];

  function draw() {
    for (const mark of marks) {
      const name = mark.dataset.mark, text = written(places[name]);
      mark.setAttribute("transform", `translate(${xOf(places[name]).toFixed(1)} 0)`);
      mark.setAttribute("aria-valuenow", places[name]);
      mark.setAttribute("aria-valuetext", text);
      mark.querySelector(".value").textContent = text;
      for (const input of document.querySelectorAll(`input[name="${name}"]`)) input.value = text;
    }
    for (const drawing of document.querySelectorAll("[data-drawing]")) {
      const [low, high] = pairs[drawing.dataset.drawing === "edge" ? 0 : 1];
      const from = xOf(low in places ? places[low] : places[high]), to = xOf(places[high]);
      const middle = { pass: from / 2, between: (from + to) / 2, reject: (to + WIDTH) / 2 };
      for (const text of drawing.querySelectorAll("[data-region]")) text.setAttribute("x", middle[text.dataset.region].toFixed(1));
    }
  }

  // A mark stops at its fellow.
  function move(name, place) {
    const [low, high] = pairs.find((pair) => pair.includes(name));
    let to = Math.min(LAST, Math.max(0, Math.round(place)));
    if (name === low) to = Math.min(to, places[high]);
    else if (low in places) to = Math.max(to, places[low]);
    if (to === places[name]) return;
    places[name] = to;
    draw();
    recount();
    rest();
  }

  let waiting = 0, asking = null;

  // The address is this view, to be sent to a colleague; the server says whether the promise holds.
  function rest() {
    clearTimeout(waiting);
    waiting = setTimeout(async () => {
      const fields = new URLSearchParams(new FormData(document.getElementById("marks")));
      history.replaceState(null, "", `?${fields}`);
      asking?.abort();
      asking = new AbortController();
      try {
        const answer = await fetch(`${root}/thresholds/outcome?${fields}`, { signal: asking.signal, headers: { accept: "text/html" } });
        if (answer.redirected || answer.status === 401) { location.reload(); return; }
        if (answer.ok) document.getElementById("promise").innerHTML = await answer.text();
      } catch (error) {
        if (error.name !== "AbortError") document.getElementById("promise").textContent = "The cloud does not answer, so it is not known whether the promise holds.";
      }
    }, 150);
  }

  const steps = { ArrowLeft: -10, ArrowDown: -10, ArrowRight: 10, ArrowUp: 10, PageDown: -100, PageUp: 100 };

  for (const mark of marks) {
    const name = mark.dataset.mark, svg = mark.ownerSVGElement;
    mark.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      if (event.key in steps) move(name, places[name] + steps[event.key] / (event.shiftKey ? 10 : 1));
      else if (event.key === "Home") move(name, 0);
      else if (event.key === "End") move(name, LAST);
      else return;
      event.preventDefault();
    });
    mark.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      mark.setPointerCapture(event.pointerId);
      mark.focus();
      event.preventDefault();
    });
    mark.addEventListener("pointermove", (event) => {
      if (!mark.hasPointerCapture(event.pointerId)) return;
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
      if (at.x <= 0) move(name, 0);
      else if (at.x >= WIDTH) move(name, LAST);
      else move(name, (LOW + (at.x / WIDTH) * (HIGH - LOW) + REACH) / STEP + 1);
    });
  }

  for (const input of document.querySelectorAll("#marks input[inputmode]")) {
    input.addEventListener("change", () => {
      const value = Number(input.value);
      if (input.value.trim() && value >= 0 && value <= 1.01) move(input.name, placeOf(value));
      input.value = written(places[input.name]);
    });
  }

  draw();
  recount();
})();
