// Figures and times as people read them, in the browser's language.

const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const byteUnits = ["bytes", "kB", "MB", "GB", "TB"];
const spans = [
  ["year", 31_536_000],
  ["month", 2_592_000],
  ["week", 604_800],
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];

/** @param {number} value */
export function formatCount(value) {
  return Math.abs(value) >= 100_000 ? compact.format(value) : whole.format(value);
}

/** Returns "1 passage", "2 passages". */
export function counted(value, one, many = `${one}s`) {
  return `${formatCount(value)} ${value === 1 ? one : many}`;
}

/** @param {number} count bytes */
export function formatBytes(count) {
  let unit = 0;
  while (count >= 1000 && unit < byteUnits.length - 1) {
    count /= 1000;
    unit += 1;
  }
  return `${count.toLocaleString(undefined, { maximumFractionDigits: unit ? 1 : 0 })} ${byteUnits[unit]}`;
}

/** @param {number} value milliseconds */
export function formatMilliseconds(value) {
  if (value >= 60_000) return `${(value / 60_000).toFixed(1)} min`;
  return value >= 1000 ? `${(value / 1000).toFixed(2)} s` : `${value.toFixed(value < 10 ? 1 : 0)} ms`;
}

/** @param {number} seconds */
export function formatDuration(seconds) {
  const found = spans.find(([, length]) => seconds >= length);
  if (!found) return `${Math.round(seconds)} s`;
  return new Intl.NumberFormat(undefined, { style: "unit", unit: found[0], unitDisplay: "long", maximumFractionDigits: 1 })
    .format(seconds / found[1]);
}

/** @param {number|null|undefined} share 0..1 */
export function formatShare(share, digits = 0) {
  return share === null || share === undefined ? "–" : `${(share * 100).toFixed(digits)} %`;
}

/** @param {{amount: number, currency: string}} cost */
export function formatCost(cost) {
  const digits = cost.amount !== 0 && Math.abs(cost.amount) < 0.1 ? 4 : 2;
  const style = { style: "currency", currency: cost.currency || "USD", minimumFractionDigits: 2, maximumFractionDigits: digits };
  return cost.amount.toLocaleString(undefined, style);
}

/** Returns "3 minutes ago". */
export function formatAgo(time) {
  const seconds = (new Date(time).getTime() - Date.now()) / 1000;
  const found = spans.find(([, length]) => Math.abs(seconds) >= length);
  return found ? relative.format(Math.round(seconds / found[1]), found[0]) : "just now";
}

export function formatTime(time) {
  return moment.format(new Date(time));
}

/**
 * Returns text with the line breaks of running text as spaces: sources are often wrapped at some column. Lists, tables
 * and indented code keep their lines. For showing only: offsets count in the text as it is.
 */
export function reflowed(text) {
  return text.replace(/(?<=[^\n|])[ \t]*\n[ \t]{0,3}(?=[^\s|#>*+\-`\d])/g, " ");
}
