// The control charts of /quality, drawn from the tables below them.
"use strict";

(() => {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const number = (text) => (text === "" ? null : Number(text));
  const drawn = [];

  // The table is the one source: people who can't see the chart read the same numbers.
  function read(name) {
    const rows = [...document.querySelectorAll(`[data-rows="${name}"] tr`)].map((row) => row.dataset);
    return {
      names: rows.map((row) => row.name),
      signals: rows.map((row) => row.signal),
      data: [
        rows.map((_, index) => index),
        ...["high", "low", "mean", "rate"].map((key) => rows.map((row) => number(row[key]))),
        rows.map((row) => (row.signal ? number(row.rate) : null)),
      ],
    };
  }

  function options(place, table) {
    const axis = { stroke: colour("soft"), grid: { stroke: colour("rule"), width: 1 }, ticks: { show: false } };
    const value = (_, one) => (one == null ? "–" : `${one.toFixed(2)} %`);
    const line = (label, name, more) => ({ label, stroke: colour(name), width: 1, points: { show: false }, value, ...more });
    // Which year it is is said above, and takes the room of two labels on a phone.
    const narrow = place.clientWidth < 600;
    const label = (at) => table.names[at] ?? "";
    return {
      width: place.clientWidth,
      height: 190,
      padding: [null, 40, null, null],
      cursor: { y: false, points: { show: false } },
      scales: { x: { time: false, range: [-0.5, table.names.length - 0.5] }, y: { range: (_, low, high) => [0, Math.max(1, (high ?? 1) * 1.15)] } },
      axes: [
        { ...axis, size: 30, space: narrow ? 70 : 110, grid: { show: false }, incrs: [1, 2, 3, 6, 9, 12, 21, 30], values: (_, ticks) => ticks.map((at) => (Number.isInteger(at) ? label(at).slice(narrow ? 5 : 0) : "")) },
        { ...axis, size: 52, values: (_, ticks) => ticks.map((tick) => `${tick} %`) },
      ],
      bands: [{ series: [1, 2], fill: `color-mix(in srgb, ${colour("soft")} 14%, transparent)` }],
      series: [
        { label: "", value: (_, at) => (at == null ? "–" : label(at)) },
        line("upper limit", "soft", { dash: [4, 4] }),
        line("lower limit", "soft", { dash: [4, 4] }),
        line("mean", "soft", {}),
        line("share", "text", { width: 2, points: { show: true, size: 5, fill: colour("text") } }),
        line("out of control", "bad", { width: 0, points: { show: true, size: 12, width: 3, stroke: colour("bad"), fill: "transparent" } }),
      ],
    };
  }

  function draw() {
    for (const one of drawn.splice(0)) one.destroy();
    for (const place of document.querySelectorAll("[data-chart]")) {
      const table = read(place.dataset.chart);
      if (table.names.length) drawn.push(new uPlot(options(place, table), table.data, place));
    }
  }

  draw();
  let waiting = 0;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(draw, 100);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  new MutationObserver(draw).observe(document.documentElement, { attributes: true, attributeFilter: ["class", "data-theme"] });
})();
