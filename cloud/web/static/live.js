// The chart, local times and the sign of life of the live page.
"use strict";

(() => {
  // Where a reverse proxy serves us, below a path of its own or not.
  const root = new URL(document.currentScript.src).pathname.replace(/\/static\/live\.js$/, "");
  const place = document.getElementById("chart");
  const data = document.getElementById("chart-data");
  const link = document.getElementById("link");
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

  function options(table) {
    const names = [...deciders].reverse();
    const axis = { stroke: colour("soft"), grid: { stroke: colour("rule"), width: 1 }, ticks: { show: false } };
    const time = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", hour12: false });
    return {
      width: place.clientWidth,
      height: 220,
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
          fill: colour(name),
          stroke: colour(name),
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

  function alive(on) {
    link.textContent = on ? "live" : "connection lost, trying again";
    link.classList.toggle("lost", !on);
  }

  // A stream says nothing of why it ended: who is signed in no longer goes to sign in, and comes back.
  async function leaveIfSignedOut() {
    const answer = await fetch(`${root}/api/me`, { cache: "no-store" }).catch(() => null);
    if (answer && answer.status === 401) location.assign(`${root}/sign-in?to=${encodeURIComponent(location.pathname.slice(root.length) + location.search)}`);
  }

  draw();
  new ResizeObserver(() => chart.setSize({ width: place.clientWidth, height: 220 })).observe(place);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  document.body.addEventListener("htmx:sseMessage", (event) => {
    if (event.target === data) refresh();
    window.showTimes(event.target);
  });
  document.body.addEventListener("htmx:sseOpen", () => alive(true));
  document.body.addEventListener("htmx:sseError", () => {
    alive(false);
    leaveIfSignedOut();
  });
  setInterval(() => window.showTimes(document), 1000);
})();
