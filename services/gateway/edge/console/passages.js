// Lists passages with their scores.

import { make } from "./dom.js";
import { openReader } from "./reader.js";

const scoreNames = { dense: "meaning", keyword: "words", fused: "both", rerank: "re-ranked" };

/** Returns list items for passages as the API gives them, best first. */
export function passageItems(api, passages) {
  return passages.map((found) => passageItem(api, found));
}

function passageItem(api, { passage, scores }) {
  const open = () =>
    openReader(api, {
      documentId: passage.document_id,
      collection: passage.collection,
      start: passage.start,
      end: passage.end,
      version: passage.document_version,
    });
  const shown = Object.entries(scoreNames).filter(([name]) => scores[name] !== null && scores[name] !== undefined);
  return make(
    "li",
    {},
    make(
      "div",
      { class: "row" },
      make("button", { type: "button", class: "link grow", onclick: open }, passage.uri || passage.document_id),
      make("span", { class: "score", title: "The score the order follows" }, scores.final.toFixed(3)),
    ),
    passage.heading_path.length ? make("div", { class: "hint" }, passage.heading_path.join(" › ")) : null,
    make(
      "details",
      {},
      make("summary", {}, make("span", { class: "excerpt" }, passage.text)),
      make("div", { class: "text" }, passage.text),
    ),
    make("div", { class: "chips" }, ...shown.map(([name, label]) => make("span", {}, `${label} ${scores[name].toFixed(2)}`))),
  );
}
