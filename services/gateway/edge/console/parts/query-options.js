// How to look: what questions and searches share.

import { make } from "../dom.js";
import { check, Choice, field } from "./controls.js";

export const modes = [
  ["hybrid", "Both"],
  ["dense", "Meaning"],
  ["keyword", "Words"],
];

export const degradations = {
  dense_unavailable: "Embedding did not answer in time: found by words only.",
  keyword_unavailable: "The word index did not answer: found by meaning only.",
  rerank_skipped: "The passages were not re-ranked.",
  generation_unavailable: "No engine answered: this is the best passage, word for word.",
  generation_truncated: "The deadline came while the answer was written.",
  generation_fallback: "A fallback engine wrote this answer.",
  cache_unavailable: "The cache did not answer.",
};

/** The controls, and their values as the API takes them. */
export class QueryOptions {
  /** @param {{id: string, passages: number, most: number, isReranked: boolean}} defaults */
  constructor({ id, passages, most, isReranked }) {
    this.mode = new Choice("Search by", modes, "hybrid");
    this.filter = make("input", { id: `${id}-filter`, type: "text", spellcheck: false, autocomplete: "off", placeholder: 'year >= 2026 AND doc_type = "policy"' });
    this.count = make("input", { type: "number", min: 1, max: most, value: passages, inputMode: "numeric" });
    this.rerank = check("Re-rank", isReranked);
    this.explain = check("Explain each stage");
    this.element = make(
      "div",
      { class: "stack" },
      make("div", { class: "field" }, make("span", {}, "Search by"), this.mode.element),
      make("div", { class: "fields" }, field("Only where", this.filter, "A condition on metadata."), field("Passages", this.count)),
      make("div", { class: "row" }, this.rerank.element, this.explain.element),
    );
  }

  get values() {
    return {
      mode: this.mode.value,
      filter: this.filter.value.trim(),
      top_k: Number(this.count.value) || 0,
      rerank: this.rerank.box.checked,
      explain: this.explain.box.checked,
    };
  }
}
