// Lists passages with their scores.

import { make } from "../dom.js";
import { reflowed } from "../format.js";
import { button, chip } from "./controls.js";
import { openReader } from "./reader.js";

const scoreNames = { dense: "meaning", keyword: "words", fused: "both", rerank: "re-ranked" };

/** What a passage's document is called. */
export function nameOf(passage) {
  return passage.title || passage.uri || passage.document_id;
}

/**
 * Returns list items for passages as the API gives them, best first.
 * @param {import("../api.js").Api} api
 * @param {Array<Object>} passages
 * @param {string} [query] its words are marked
 */
export function passageItems(api, passages, query = "") {
  const best = Math.max(...passages.map(({ scores }) => scores.final), 0);
  const words = wordsOf(query);
  return passages.map((found, place) => passageItem(api, found, place + 1, best, words));
}

function passageItem(api, { passage, scores }, rank, best, words) {
  const open = () =>
    openReader(api, {
      documentId: passage.document_id,
      collection: passage.collection,
      start: passage.start,
      end: passage.end,
      version: passage.document_version,
    });
  const given = Object.entries(scoreNames).filter(([name]) => scores[name] !== null && scores[name] !== undefined);
  const place = [passage.heading_path.join(" › "), passage.page ? `page ${passage.page}` : ""].filter(Boolean).join(" · ");
  const name = nameOf(passage);
  return make(
    "li",
    { class: "passage" },
    make(
      "div",
      { class: "row tight" },
      make("span", { class: "rank", "aria-hidden": "true" }, String(rank)),
      button(name, { kind: "text grow", onclick: open }),
      make("span", { class: "score", title: "The score the order follows" }, scores.final.toFixed(3)),
    ),
    place || (passage.uri && passage.uri !== name) ? make("p", { class: "hint" }, [passage.uri !== name ? passage.uri : "", place].filter(Boolean).join(" · ")) : null,
    make(
      "details",
      { class: "excerpt" },
      make("summary", {}, make("span", {}, ...marked(reflowed(passage.text), words))),
      make("p", { class: "whole" }, passage.text),
    ),
    make(
      "div",
      { class: "scores" },
      best > 0 ? make("span", { class: "strength", "aria-hidden": "true" }, make("i", { "--share": `${Math.max(2, (100 * scores.final) / best)}%` })) : null,
      ...given.map(([each, label]) => chip(`${label} ${scores[each].toFixed(2)}`)),
    ),
  );
}

function wordsOf(query) {
  const words = query.toLowerCase().match(/[\p{L}\p{N}]{4,}/gu) ?? [];
  return new Set(words);
}

/** Returns text with the query's words in marks. */
function marked(text, words) {
  if (!words.size) return [text];
  return text
    .split(/([\p{L}\p{N}]{4,})/u)
    .map((part) => (words.has(part.toLowerCase()) ? make("b", {}, part) : part));
}
