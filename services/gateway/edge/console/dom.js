// Builds elements. Text always becomes text nodes: documents may hold any markup, and none of it is run.

/**
 * @param {string} tag
 * @param {Object<string, any>} [attributes] properties of the element; `class`, `aria-*` and `data-*` are attributes;
 *   `on*` functions are listeners
 * @param {...(Node|string|null|undefined)} children
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && !name.includes("-")) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** @param {string} id */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`no element #${id}`);
  return element;
}

/** Shows an error in an element with role="alert"; without an error it empties it. */
export function showProblem(element, error) {
  element.replaceChildren();
  if (!error || error.name === "AbortError") return;
  const trace = error.problem?.trace_id;
  element.append(
    make("div", { class: "notice bad" }, error.message, trace ? make("span", { class: "hint" }, ` Trace ${trace}`) : null),
  );
}

/**
 * Returns text with the line breaks of running text as spaces: sources are often wrapped at some column. Lists, tables
 * and indented code keep their lines. For showing only: offsets count in the text as it is.
 */
export function reflowed(text) {
  return text.replace(/(?<=[^\n|])[ \t]*\n[ \t]{0,3}(?=[^\s|#>*+\-`\d])/g, " ");
}

const units = ["bytes", "kB", "MB", "GB"];

/** @param {number} count bytes */
export function formatBytes(count) {
  let unit = 0;
  while (count >= 1000 && unit < units.length - 1) {
    count /= 1000;
    unit += 1;
  }
  return `${count.toLocaleString(undefined, { maximumFractionDigits: unit ? 1 : 0 })} ${units[unit]}`;
}

/** @param {number} value milliseconds */
export function formatMilliseconds(value) {
  return value >= 1000 ? `${(value / 1000).toFixed(2)} s` : `${value.toFixed(value < 10 ? 1 : 0)} ms`;
}
