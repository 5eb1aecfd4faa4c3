// Charts over time, drawn by uPlot, with the same figures as text and as a table. A view with a chart loads uplot.css.

import uPlot from "./uplot.js";
import { el } from "./page.js";

// What a series stands for: its colour, by the name of a property in page.css.
const COLOURS = { main: "--brand", good: "--good", warn: "--warn", bad: "--bad", quiet: "--edge", blue: "--blue" };
const HEIGHT = 208;

const number = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const instant = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

const shown = new WeakMap();

// Draws into an element what happened at `times`, in seconds of Unix time, ascending. Each of `series` has a `label`, its
// `values` (null: not known) and a `kind`: main, good, warn, bad, quiet or blue. `unit` follows each number. `from`: where the
// time begins, also if nothing is known of it. Drawing into the same element again replaces what is there.
export function draw(element, { times, series, from, unit = "" }) {
  const before = shown.get(element);
  before?.end();
  const figure = (value) => (value === null || value === undefined ? "–" : `${number.format(value)}${unit && ` ${unit}`}`);

  const canvas = el("div", { role: "img", "aria-label": inWords(times, series, figure) });
  const legend = el("ul", { class: "legend" }, ...series.map(({ label, kind }) => el("li", { class: kind }, `${label} `, el("b"))));
  const figures = el("details", { open: before?.isOpen() }, el("summary", {}, "As a table"));
  const fill = () => {
    if (figures.open && figures.children.length === 1) figures.append(table(times, series, figure));
  };
  figures.addEventListener("toggle", fill);
  fill();
  element.replaceChildren(canvas, legend, figures);

  const under = (index) => legend.querySelectorAll("b").forEach((place, at) => {
    place.textContent = figure(series[at].values[index ?? times.length - 1]);
  });
  under(null);

  const plot = (width) => new uPlot(options(element, { times, series, from }, width, under), [times, ...series.map(({ values }) => values)], canvas);
  let drawn = plot(element.clientWidth);
  const sized = new ResizeObserver(() => {
    if (element.clientWidth !== drawn.width) drawn.setSize({ width: element.clientWidth, height: HEIGHT });
  });
  sized.observe(element);
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  const again = () => {
    drawn.destroy();
    drawn = plot(element.clientWidth);
  };
  scheme.addEventListener("change", again);

  shown.set(element, {
    isOpen: () => figures.open,
    end() {
      sized.disconnect();
      scheme.removeEventListener("change", again);
      drawn.destroy();
    },
  });
}

function options(element, { times, series, from }, width, under) {
  const style = getComputedStyle(element);
  const colour = (name) => style.getPropertyValue(name).trim();
  const begin = Math.min(from ?? Infinity, times[0] ?? Infinity);
  const isLong = times.at(-1) - begin > 36 * 3600;
  const at = (seconds) => (isLong ? day : clock).format(seconds * 1000);
  const axis = {
    stroke: colour("--soft"),
    font: `12px ${style.fontFamily}`,
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { show: false },
  };
  return {
    width,
    height: HEIGHT,
    padding: [8, 24, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
    scales: { x: { range: () => [begin, Math.max(times.at(-1), begin + 60)] }, y: { range: (_, __, most) => [0, most > 0 ? most * 1.1 : 1] } },
    axes: [
      { ...axis, size: 32, space: 64, values: (_, ticks) => ticks.map(at) },
      { ...axis, size: 48, space: 36, values: (_, ticks) => ticks.map((tick) => compact.format(tick)) },
    ],
    series: [{}, ...series.map(({ kind }, index) => line(colour(COLOURS[kind] ?? COLOURS.main), index === 0, times.length))],
    hooks: { setCursor: [({ cursor }) => under(cursor.idx)] },
  };
}

// The first series lies on the ground, the others are lines over it.
function line(stroke, isGround, count) {
  return { stroke, width: 2, fill: isGround ? `${stroke}26` : undefined, points: { show: count < 2, size: 6 } };
}

function inWords(times, series, figure) {
  if (times.length === 0) return "Nothing yet.";
  const span = `From ${instant.format(times[0] * 1000)} to ${instant.format(times.at(-1) * 1000)}`;
  const each = series.map(({ label, values }) => {
    const known = values.filter((value) => value !== null && value !== undefined);
    return known.length === 0 ? `${label}: not known` : `${label}: ${figure(values.at(-1))} last, ${figure(Math.max(...known))} at most`;
  });
  return `${span}. ${each.join("; ")}.`;
}

// The newest first.
function table(times, series, figure) {
  const heads = ["Time", ...series.map(({ label }) => label)];
  const head = el("tr", {}, ...heads.map((text, at) => el("th", { scope: "col", class: at > 0 && "number" }, text)));
  const rows = times.map((seconds, index) => el("tr", {},
    el("th", { scope: "row" }, instant.format(seconds * 1000)),
    ...series.map(({ values }) => el("td", { class: "number" }, figure(values[index])))));
  const data = el("table", { class: "data" }, el("thead", {}, head), el("tbody", {}, ...rows.reverse()));
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Figures of the chart" }, data);
}
