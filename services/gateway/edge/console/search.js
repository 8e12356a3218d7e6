// The page that searches: passages without an answer.

import { byId, formatMilliseconds, showProblem } from "./dom.js";
import { passageItems } from "./passages.js";

export class SearchPage {
  #session;

  /** @param {{api: import("./api.js").Api, collection: string}} session */
  constructor(session) {
    this.#session = session;
    byId("search").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#search();
    });
  }

  show() {
    byId("search-text").focus();
  }

  async #search() {
    const { api, collection } = this.#session;
    const search = { query: byId("search-text").value, mode: byId("search-mode").value, collection, top_k: 20 };
    showProblem(byId("search-problem"), null);
    byId("search-summary").textContent = "Searching…";
    try {
      const { passages, timings_ms: timings, degraded } = await api.post("/v1/search", search);
      const count = passages.length === 1 ? "1 passage" : `${passages.length} passages`;
      const notes = [`${count} in ${formatMilliseconds(timings.total)}`, ...degraded];
      byId("search-summary").textContent = notes.join(" · ");
      byId("found").replaceChildren(...passageItems(api, passages));
      byId("found").hidden = passages.length === 0;
    } catch (error) {
      byId("search-summary").textContent = "";
      byId("found").hidden = true;
      showProblem(byId("search-problem"), error);
    }
  }
}
