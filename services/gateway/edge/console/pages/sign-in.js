// The page before all others: takes a key.

import { make } from "../dom.js";
import { button, field } from "../parts/controls.js";
import { ProblemPlace } from "../parts/states.js";

export class SignIn {
  #key = make("input", { id: "key", name: "key", type: "password", autocomplete: "off", spellcheck: false, required: true, placeholder: "crn_…" });

  /** @param {(key: string) => Promise<void>} onKey @param {Error|null} error why somebody was signed out */
  constructor(onKey, error) {
    const problem = new ProblemPlace();
    const submit = button("Sign in", { kind: "", type: "submit" });
    const form = make(
      "form",
      {
        id: "sign-in",
        onsubmit: async (event) => {
          event.preventDefault();
          submit.disabled = true;
          await onKey(this.#key.value.trim());
          submit.disabled = false;
        },
      },
      field("API key", this.#key, "It stays in this tab and is forgotten when you close it."),
      submit,
    );
    this.element = make(
      "main",
      { class: "gate", id: "main" },
      make(
        "section",
        { class: "card", id: "page-sign-in", "aria-labelledby": "sign-in-title" },
        make("img", { src: "/assets/icon.svg", alt: "" }),
        make("h1", { id: "sign-in-title" }, "Sign in to Cairn"),
        make(
          "p",
          { class: "hint" },
          "Paste an API key. The first start of the suite wrote one to ",
          make("code", {}, ".cairn/gateway/admin.key"),
          "; ",
          make("code", {}, "cairn keys create"),
          " makes others.",
        ),
        problem.element,
        form,
      ),
    );
    problem.show(error);
  }

  focus() {
    this.#key.focus();
  }
}
