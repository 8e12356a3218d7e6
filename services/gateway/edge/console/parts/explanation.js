// What each stage did: its notes, what it dropped, its candidates in order.

import { make } from "../dom.js";
import { counted } from "../format.js";
import { chip } from "./controls.js";
import { nameOf } from "./passages.js";
import { empty } from "./states.js";

const shownCandidates = 10;

/** @param {Array<{stage: string, candidates: Object[], dropped: Object<string, string>, notes: string[]}>} stages */
export function explanation(stages) {
  if (!stages.length) {
    return empty({ icon: "info", title: "Nothing explained", text: "Switch “Explain” on before you ask: each stage then tells what it did." });
  }
  return make("ol", { class: "stages" }, ...stages.map((stage, place) => stageItem(stage, stages[place - 1])));
}

function stageItem({ stage, candidates, dropped, notes }, former) {
  const before = new Map(former?.candidates.map(({ passage }, place) => [passage.chunk_id, place + 1]));
  const reasons = Object.entries(dropped);
  return make(
    "li",
    {},
    make("h3", {}, stage),
    notes.length ? make("ul", { class: "notes" }, ...notes.map((note) => make("li", {}, note))) : null,
    candidates.length
      ? make(
          "details",
          {},
          make("summary", {}, counted(candidates.length, "candidate")),
          make("ol", { class: "candidates" }, ...candidates.slice(0, shownCandidates).map((each, place) => candidateItem(each, place + 1, before))),
        )
      : null,
    reasons.length
      ? make(
          "details",
          {},
          make("summary", {}, `${counted(reasons.length, "passage")} left out`),
          make("ul", { class: "notes" }, ...reasons.map(([chunk, reason]) => make("li", {}, make("span", { class: "mono" }, chunk), ` ${reason}`))),
        )
      : null,
  );
}

function candidateItem({ passage, scores }, rank, before) {
  const was = before.get(passage.chunk_id);
  const moved = was && was !== rank ? chip(was > rank ? `up from ${was}` : `down from ${was}`, was > rank ? "good" : "") : null;
  return make(
    "li",
    { class: "row tight" },
    make("span", { class: "rank" }, String(rank)),
    make("span", { class: "grow cut", title: passage.text }, nameOf(passage), make("span", { class: "hint" }, ` · ${passage.text.slice(0, 80)}`)),
    moved,
    make("span", { class: "score" }, scores.final.toFixed(3)),
  );
}
