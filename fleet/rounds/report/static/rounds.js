// Curves of a run. The table is the one source: who can't see a chart reads the same numbers.
"use strict";

(() => {
  const rows = [...document.querySelectorAll("tr[data-round]")];
  const read = (name) => rows.map((row) => (row.dataset[name] === "" ? null : Number(row.dataset[name])));
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const charts = [];

  function options(place, label, colourName) {
    const axis = { stroke: colour("soft"), grid: { stroke: colour("rule"), width: 1 }, ticks: { show: false } };
    return {
      width: place.clientWidth,
      height: 190,
      scales: { x: { time: false } },
      axes: [{ ...axis, size: 30, incrs: [1, 2, 5, 10, 20, 50, 100] }, { ...axis, size: 56 }],
      series: [{ label: "round" }, { label, stroke: colour(colourName), width: 2, points: { show: true, size: 7 }, spanGaps: true }],
    };
  }

  function draw() {
    for (const chart of charts.splice(0)) chart.destroy();
    for (const place of document.querySelectorAll("[data-curve]")) {
      const values = read(place.dataset.curve);
      if (!values.some((value) => value !== null)) continue;
      const data = [read("round"), values];
      charts.push(new uPlot(options(place, place.dataset.label, "text"), data, place));
    }
  }

  draw();
  new ResizeObserver(() => {
    for (const chart of charts) chart.setSize({ width: chart.root.parentElement.clientWidth, height: 190 });
  }).observe(document.querySelector("main"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  new MutationObserver(draw).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
})();
