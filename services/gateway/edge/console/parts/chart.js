// Stacked bars over days, as SVG: every figure is in a table beside it, too.

import { make, makeSvg } from "../dom.js";

const left = 48;
const bottom = 24;
const top = 8;
const seriesCount = 6;
/** Drawn for the screen it is on, so that letters keep their size. */
const sizes = { wide: { width: 900, height: 260, labels: 10 }, narrow: { width: 340, height: 200, labels: 5 } };
const isNarrow = matchMedia("(max-width: 44rem)");

/**
 * @param {{days: string[], series: Array<{name: string, values: number[]}>, format: (value: number) => string,
 *   label: string}} content one value per day and series; beyond six, series are drawn together as "others"
 */
export function stackedBars({ days, series, format, label }) {
  const { width, height, labels } = isNarrow.matches ? sizes.narrow : sizes.wide;
  const drawn = together(series);
  const totals = days.map((_, day) => drawn.reduce((sum, { values }) => sum + values[day], 0));
  const most = niceCeiling(Math.max(...totals, 0));
  const plot = { width: width - left, height: height - top - bottom };
  const step = plot.width / Math.max(days.length, 1);
  const yOf = (value) => top + plot.height * (1 - value / most);
  const svg = makeSvg("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  for (const share of [0, 0.5, 1]) {
    const y = yOf(most * share);
    svg.append(
      makeSvg("line", { class: share ? "grid" : "axis", x1: left, x2: width, y1: y, y2: y }),
      makeSvg("text", { x: left - 8, y: y + 4, "text-anchor": "end" }, format(most * share)),
    );
  }
  days.forEach((day, place) => {
    const x = left + step * place + step * 0.15;
    let base = 0;
    drawn.forEach(({ name, values }, index) => {
      const value = values[place];
      if (!value) return;
      const bar = makeSvg("rect", { class: `bar series-${index + 1}`, x, width: Math.max(1, step * 0.7), y: yOf(base + value), height: Math.max(0.5, yOf(base) - yOf(base + value)), rx: 2 });
      bar.append(makeSvg("title", {}, `${day} · ${name}: ${format(value)}`));
      svg.append(bar);
      base += value;
    });
    if (isLabelled(place, days.length, labels)) svg.append(makeSvg("text", { x: x + step * 0.35, y: height - 6, "text-anchor": "middle" }, day.slice(5)));
  });
  return make("figure", { class: "stack close" }, svg, legend(drawn));
}

function legend(series) {
  return make("ul", { class: "legend" }, ...series.map(({ name }, index) => make("li", { class: `series-${index + 1}` }, make("i"), name)));
}

function together(series) {
  const sumOf = ({ values }) => values.reduce((sum, value) => sum + value, 0);
  const ordered = series.filter((each) => sumOf(each) > 0).toSorted((a, b) => sumOf(b) - sumOf(a));
  if (ordered.length <= seriesCount) return ordered;
  const others = ordered.slice(seriesCount - 1);
  return [...ordered.slice(0, seriesCount - 1), { name: "others", values: others[0].values.map((_, day) => others.reduce((sum, { values }) => sum + values[day], 0)) }];
}

function niceCeiling(value) {
  if (value <= 0) return 1;
  const unit = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].map((factor) => factor * unit).find((each) => each >= value);
}

/** A label for so many days at most, the last one included. */
function isLabelled(place, count, labels) {
  const every = Math.ceil(count / labels);
  return (count - 1 - place) % every === 0;
}
