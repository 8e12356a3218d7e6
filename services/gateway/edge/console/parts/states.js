// What a page shows instead of its content: loading, nothing there, something wrong.

import { fill, make } from "../dom.js";
import { icon } from "../icons.js";

/** A notice; `kind` is "warn", "bad" or "info". */
export function notice(kind, ...content) {
  const name = { bad: "warning", warn: "warning", info: "info" }[kind];
  return make("div", { class: `notice ${kind}` }, icon(name), make("div", { class: "grow" }, ...content));
}

/** A problem of the API in its own words, with what helps to find it. */
export function problemNotice(error) {
  const trace = error.problem?.trace_id;
  const wait = error.problem?.retry_after_seconds;
  const violations = error.problem?.violations ?? [];
  const further = [
    ...(violations.length > 1 ? violations.map((each) => `${each.field}: ${each.description}`) : []),
    wait ? `Try again in ${Math.ceil(wait)} s.` : "",
    trace ? `Trace ${trace}` : "",
  ].filter(Boolean);
  return notice("bad", error.message, ...further.map((line) => make("span", { class: "hint" }, line)));
}

/** A place where problems are told: empty until `show(error)`; announced at once. */
export class ProblemPlace {
  element = make("div", { role: "alert" });

  /** @param {Error|null} error null clears it; an aborted request is no problem */
  show(error) {
    fill(this.element, error && error.name !== "AbortError" ? problemNotice(error) : null);
  }
}

export function loading(label = "Loading…") {
  return make("div", { class: "loading", role: "status" }, make("span", { class: "unseen" }, label), make("i"), make("i"), make("i"));
}

/** @param {{icon: string, title: string, text?: string, actions?: Node[]}} content */
export function empty({ icon: name, title, text, actions = [] }) {
  return make(
    "div",
    { class: "empty" },
    icon(name, 36),
    make("h2", {}, title),
    text ? make("p", {}, text) : null,
    actions.length ? make("div", { class: "row" }, ...actions) : null,
  );
}
