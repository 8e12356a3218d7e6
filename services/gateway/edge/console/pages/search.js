// The page that searches: passages without an answer.

import { fill, make } from "../dom.js";
import { counted, formatMilliseconds } from "../format.js";
import { button, check } from "../parts/controls.js";
import { explanation } from "../parts/explanation.js";
import { passageItems } from "../parts/passages.js";
import { degradations, QueryOptions } from "../parts/query-options.js";
import { empty, loading, notice, ProblemPlace } from "../parts/states.js";
import { Tabs } from "../parts/tabs.js";
import { stepsInTurn, waterfall } from "../parts/waterfall.js";

export class SearchPage {
  title = "Search";
  permission = "search";
  #session;
  #abort = null;
  #problem = new ProblemPlace();
  #summary = make("p", { class: "hint", id: "search-summary", role: "status" });
  #results = make("div", {});
  #options = new QueryOptions({ id: "search", passages: 20, most: 200, isReranked: false });
  #single = check("One passage per document");

  /** @param {import("../session.js").Session} session */
  constructor(session) {
    this.#session = session;
    this.input = make("input", { id: "search-text", type: "search", maxLength: 8000, required: true, placeholder: "Search for…", "aria-label": "Search for", class: "grow" });
    const form = make(
      "form",
      {
        id: "search",
        class: "card stack",
        onsubmit: (event) => {
          event.preventDefault();
          this.#search();
        },
      },
      make("div", { class: "row tight" }, this.input, button("Search", { kind: "", icon: "search", type: "submit" })),
      make("details", { class: "options", id: "search-options" }, make("summary", {}, "Options"), make("div", { class: "stack" }, this.#options.element, this.#single.element)),
    );
    this.element = make("section", { id: "page-search", class: "stack", "aria-label": "Search" }, form, this.#problem.element, this.#summary, this.#results);
    this.#invite();
    session.addEventListener("collection", () => {
      this.#summary.textContent = "";
      this.#invite();
    });
  }

  show() {
    if (matchMedia("(hover: hover)").matches) this.input.focus({ preventScroll: true });
  }

  #invite() {
    fill(this.#results, empty({ icon: "search", title: "Find passages", text: "By their meaning, by their words, or both. Scores tell how each came to its place." }));
  }

  async #search() {
    this.#abort?.abort();
    const abort = new AbortController();
    this.#abort = abort;
    const { api, collection } = this.#session;
    const query = this.input.value.trim();
    const body = { query, collection, max_per_document: this.#single.box.checked ? 1 : 0, ...this.#options.values };
    this.#problem.show(null);
    this.#summary.textContent = "Searching…";
    fill(this.#results, loading("Searching"));
    try {
      this.#show(await api.post("/v1/search", body, abort.signal), query);
    } catch (error) {
      if (this.#abort !== abort) return;
      this.#summary.textContent = "";
      fill(this.#results);
      this.#problem.show(error);
    }
  }

  #show(found, query) {
    const { passages, timings_ms: timings, degraded } = found;
    const cached = found.cached ? " · from the cache" : "";
    this.#summary.textContent = `${counted(passages.length, "passage")} in ${formatMilliseconds(timings.total)}${cached}`;
    const tabs = new Tabs("Results", [["passages", "Passages"], ["time", "Time"], ["explain", "Explain"]]);
    tabs.fill(
      "passages",
      passages.length
        ? make("ol", { class: "passages", id: "found" }, ...passageItems(this.#session.api, passages, query))
        : empty({ icon: "search", title: "Nothing found", text: "Try other words, another way of searching, or a wider condition." }),
    );
    tabs.fill("time", waterfall(stepsInTurn(timings), timings.total, "Milliseconds per stage"));
    tabs.fill("explain", explanation(found.explanation));
    fill(this.#results, make("div", { class: "card stack" }, ...degraded.map((name) => notice("warn", degradations[name] || name)), tabs.element));
  }
}
