// Where the time went: a bar per step, in its place.

import { make } from "../dom.js";
import { formatMilliseconds } from "../format.js";

/**
 * @param {Array<{name: string, begin: number, length: number, depth?: number, isFailed?: boolean, series?: number}>} steps
 *   milliseconds
 * @param {number} total milliseconds
 */
export function waterfall(steps, total, caption = "Milliseconds per step") {
  const whole = Math.max(total, ...steps.map(({ begin, length }) => begin + length), 0.001);
  const rows = steps.map(({ name, begin, length, depth = 0, isFailed = false, series = 1 }) =>
    make(
      "tr",
      { class: [`series-${series}`, depth ? "is-call" : "", isFailed ? "is-failed" : ""].join(" "), "--depth": String(depth) },
      make("th", { scope: "row", title: name }, isFailed ? `${name} (failed)` : name),
      make("td", { class: "track" }, make("i", { "--begin": `${(100 * begin) / whole}%`, "--length": `${(100 * length) / whole}%` })),
      make("td", { class: "number" }, formatMilliseconds(length)),
    ),
  );
  return make(
    "table",
    { class: "waterfall" },
    make("caption", { class: "unseen" }, caption),
    make("tbody", {}, ...rows),
    make("tfoot", {}, make("tr", {}, make("th", { scope: "row" }, "total"), make("td"), make("td", { class: "number" }, formatMilliseconds(total)))),
  );
}

/** Returns steps that follow one another, from milliseconds by name as answers have them. */
export function stepsInTurn(timings) {
  let begun = 0;
  return Object.entries(timings)
    .filter(([name]) => name !== "total")
    .map(([name, length]) => {
      const step = { name, begin: begun, length };
      begun += length;
      return step;
    });
}
