// Buttons, fields and chips.

import { freshId, make } from "../dom.js";
import { icon } from "../icons.js";

/**
 * @param {string} label
 * @param {{kind?: string, icon?: string, name?: string, onclick?: Function, type?: string, disabled?: boolean}} [options]
 *   `name` is what screen readers say instead of the label; a label of "" makes a button of the icon alone
 */
export function button(label, options = {}) {
  const { kind = "quiet", icon: picture, name, type = "button", ...rest } = options;
  const isBare = !label;
  return make(
    "button",
    { type, class: `${kind}${isBare ? " icon" : ""}`, "aria-label": name, title: isBare ? name : undefined, ...rest },
    picture ? icon(picture) : null,
    label || null,
  );
}

/** A labelled control with an optional hint. */
export function field(label, control, hint) {
  const hintId = hint ? freshId("hint") : null;
  if (hintId) control.setAttribute("aria-describedby", hintId);
  if (!control.id) control.id = freshId("field");
  return make(
    "div",
    { class: "field" },
    make("label", { htmlFor: control.id }, label),
    control,
    hint ? make("span", { class: "hint", id: hintId }, hint) : null,
  );
}

export function check(label, isChecked = false, onchange) {
  const box = make("input", { type: "checkbox", checked: isChecked, onchange });
  return { box, element: make("label", { class: "check" }, box, label) };
}

/** @param {Array<[string, string]>} options value and label */
export function select(options, value, attributes = {}) {
  const element = make("select", attributes, ...options.map(([name, label]) => make("option", { value: name }, label)));
  if (value !== undefined) element.value = value;
  return element;
}

/** One of a few, all in sight. */
export class Choice {
  #inputs;

  /** @param {string} label @param {Array<[string, string]>} options value and label */
  constructor(label, options, value, onchange = () => {}) {
    const name = freshId("choice");
    // Named twice: while a drawer slides away with it, its text is hidden before the input is.
    this.#inputs = options.map(([each, text]) =>
      make("input", { type: "radio", name, value: each, checked: each === value, "aria-label": text, onchange: () => onchange(this.value) }),
    );
    this.element = make(
      "div",
      { class: "choice", role: "radiogroup", "aria-label": label },
      ...options.map(([, text], place) => make("label", {}, this.#inputs[place], make("span", {}, text))),
    );
  }

  get value() {
    return this.#inputs.find((input) => input.checked)?.value;
  }

  set value(wanted) {
    for (const input of this.#inputs) input.checked = input.value === wanted;
  }
}

export function chip(label, kind = "", { dot = false, title } = {}) {
  return make("span", { class: `chip ${kind}`, title }, dot ? make("span", { class: "dot" }) : null, label);
}

/** A small bar for a share of a whole. */
export function meter(share, label, kind = "") {
  const percent = Math.max(0, Math.min(1, share)) * 100;
  return make(
    "div",
    { class: `meter ${kind}`, role: "meter", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.round(percent) },
    make("i", { "--share": `${percent}%` }),
  );
}

/** Figures in a row: [[label, value, note?]…]. */
export function figures(entries) {
  return make(
    "dl",
    { class: "figures" },
    ...entries.map(([label, value, note]) =>
      make("div", { class: "figure" }, make("dt", {}, label), make("dd", {}, value), note ? make("dd", {}, note) : null),
    ),
  );
}

/** Names and values, one below the other. */
export function facts(entries) {
  const given = entries.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return make("dl", { class: "facts" }, ...given.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}

/** A table that may be wider than the screen: it can be scrolled by keyboard, too. */
export function scrolled(label, table) {
  return make("div", { class: "scroll", tabIndex: 0, role: "group", "aria-label": label }, table);
}
