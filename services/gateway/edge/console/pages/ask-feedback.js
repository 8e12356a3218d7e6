// Thumbs, a comment, and which citations were wrong.

import { fill, make } from "../dom.js";
import { button, check, field } from "../parts/controls.js";
import { ProblemPlace } from "../parts/states.js";

export class Feedback {
  form = make("div", {});
  #api;
  #response;
  #buttons;

  /** @param {import("../api.js").Api} api @param {{trace_id: string, citations: Array<{marker: number}>}} response */
  constructor(api, response) {
    this.#api = api;
    this.#response = response;
    this.#buttons = {
      up: this.#thumb("up", "Good answer"),
      down: this.#thumb("down", "Bad answer"),
    };
    this.element = make("div", { class: "row", role: "group", "aria-label": "Was this answer good?" }, this.#buttons.up, this.#buttons.down);
  }

  #thumb(rating, name) {
    return button("", { kind: "quiet small", icon: rating, name, "aria-pressed": "false", onclick: () => this.#choose(rating) });
  }

  #choose(rating) {
    for (const [name, each] of Object.entries(this.#buttons)) each.setAttribute("aria-pressed", String(name === rating));
    const comment = make("textarea", { rows: 2, maxLength: 4000, placeholder: rating === "up" ? "What was good about it?" : "What should it have said?" });
    const problem = new ProblemPlace();
    const wrong = rating === "down" ? this.#response.citations.map(({ marker }) => ({ marker, ...check(`[${marker}]`) })) : [];
    const submit = button("Send", { kind: "small", type: "submit" });
    const form = make(
      "form",
      {
        class: "stack close feedback",
        onsubmit: async (event) => {
          event.preventDefault();
          submit.disabled = true;
          try {
            await this.#send(rating, comment.value.trim(), wrong.filter(({ box }) => box.checked).map(({ marker }) => marker));
          } catch (error) {
            problem.show(error);
            submit.disabled = false;
          }
        },
      },
      wrong.length ? make("fieldset", { class: "row" }, make("legend", {}, "Wrong citations"), ...wrong.map(({ element }) => element)) : null,
      field("Comment (optional)", comment),
      problem.element,
      make("div", { class: "row" }, submit),
    );
    fill(this.form, form);
    comment.focus();
  }

  async #send(rating, comment, markers) {
    await this.#api.post("/v1/feedback", { trace_id: this.#response.trace_id, rating, comment, markers });
    for (const each of Object.values(this.#buttons)) each.disabled = true;
    const thanks = make("p", { class: "hint", role: "status", tabIndex: -1 }, "Thank you.");
    fill(this.form, thanks);
    thanks.focus();
  }
}
