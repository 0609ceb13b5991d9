// The chart of the live page, and its strip of parts that can be held still.
"use strict";

(() => {
  const place = document.getElementById("chart");
  const data = document.getElementById("chart-data");
  const deciders = ["edge", "cloud", "deadline", "inspector"];
  let chart = null;

  // The table is the one source: people who can't see the chart read the same numbers.
  function readTable() {
    const rows = [...data.querySelectorAll("tr[data-at]")];
    const raw = rows.map((row) => [...row.querySelectorAll("td")].map((cell) => Number(cell.textContent)));
    return { at: rows.map((row) => Number(row.dataset.at)), raw };
  }

  // Bars are drawn over one another, the whole stack first: edge ends up at the bottom.
  function stacked({ at, raw }) {
    const upTo = (last) => raw.map((counts) => counts.slice(0, last + 1).reduce((sum, n) => sum + n, 0));
    return [at, ...deciders.map((_, index) => upTo(index)).reverse()];
  }

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  }

  // The same patterns as in every bar: nobody is told apart by colour alone.
  function pattern(name) {
    const tile = document.createElement("canvas");
    tile.width = tile.height = 6;
    const pen = tile.getContext("2d");
    pen.fillStyle = name === "edge" ? colour("edge") : colour("mark");
    pen.fillRect(0, 0, 6, 6);
    pen.strokeStyle = pen.fillStyle = colour(name);
    pen.lineWidth = 2.2;
    pen.beginPath();
    if (name === "cloud") for (const shift of [-6, 0, 6]) pen.moveTo(shift, 6), pen.lineTo(shift + 6, 0);
    if (name === "deadline") pen.moveTo(0, 1), pen.lineTo(6, 1), pen.moveTo(1, 0), pen.lineTo(1, 6);
    pen.stroke();
    if (name === "inspector") pen.arc(3, 3, 1.7, 0, 7), pen.fill();
    return pen.createPattern(tile, "repeat");
  }

  function options(table) {
    const names = [...deciders].reverse();
    const axis = { stroke: colour("soft"), grid: { stroke: colour("rule"), width: 1 }, ticks: { show: false } };
    const time = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", hour12: false });
    return {
      width: place.clientWidth,
      height: 220,
      legend: { markers: { show: false } },
      cursor: { y: false, points: { show: false } },
      scales: { x: { time: true, range: (_, low, high) => [low - 40, high + 40] }, y: { range: (_, low, high) => [0, Math.max(5, high * 1.1)] } },
      axes: [
        { ...axis, size: 30, grid: { show: false }, values: (_, ticks) => ticks.map((tick) => time.format(tick * 1000)) },
        { ...axis, size: 44, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000] },
      ],
      series: [
        { label: "minute", value: (_, at) => (at ? time.format(at * 1000) : "–") },
        ...names.map((name, index) => ({
          label: name,
          fill: () => pattern(name),
          stroke: colour("soft"),
          width: 0,
          points: { show: false },
          paths: uPlot.paths.bars({ size: [0.8, 40] }),
          value: (_u, _v, _s, at) => (at == null ? "–" : table.current.raw[at][names.length - 1 - index]),
        })),
      ],
    };
  }

  const table = { current: readTable() };

  function draw() {
    if (chart) chart.destroy();
    chart = new uPlot(options(table), stacked(table.current), place);
  }

  function refresh() {
    table.current = readTable();
    chart.setData(stacked(table.current));
  }

  // Its place is kept, and the lines above it are what people look at first.
  function begin() {
    draw();
    new ResizeObserver(() => chart.setSize({ width: place.clientWidth, height: 220 })).observe(place);
    document.addEventListener("splitsight:theme", draw);
    document.addEventListener("splitsight:placed", (event) => {
      if (event.target === data) refresh();
    });
  }

  afterLoad(begin);

  const freeze = document.getElementById("freeze");
  if (freeze) {
    freeze.hidden = false;
    freeze.addEventListener("click", () => {
      const still = freeze.getAttribute("aria-pressed") !== "true";
      freeze.setAttribute("aria-pressed", String(still));
      freeze.textContent = still ? "Let it move on" : "Hold still";
      window.liveStream[still ? "hold" : "release"]("strip");
    });
  }
})();
