// Asks the gateway every question of a data set and scores what comes back.

import { pause } from "../api.js";
import { containsAnswer, mean, ndcg, recall, reciprocalRank, withoutMarkers } from "./measures.js";

export const modes = [
  ["hybrid", "Hybrid"],
  ["dense", "Meaning"],
  ["keyword", "Words"],
  ["rerank", "Re-ranked"],
  ["answer", "Answers"],
];
const depth = 100;
const documentsPerCall = 64;
const charactersPerCall = 500_000;
const pollMilliseconds = 1000;

/** Brings a corpus into a collection and waits until all of it can be searched. */
export async function load(api, collection, documents, onReady, signal) {
  await api.post("/v1/collections", { name: collection, description: "Made by the console to evaluate a data set." });
  for (const batch of batches(documents)) {
    const { submissions } = await api.persist("/v1/documents", { collection, documents: batch }, signal, 10);
    const refused = submissions.find(({ document }) => !document);
    if (refused) throw new Error(`A document was refused: ${refused.error_message}`);
  }
  for (;;) {
    const states = ["queued", "running", "dead_letter", "cancelled"];
    const { documents: left } = await api.get("/v1/documents", { collection, state: states, page_size: 1000 }, signal);
    const failed = left.find(({ state }) => state === "dead_letter" || state === "cancelled");
    if (failed) throw new Error(`Document ${failed.document_id} failed: ${failed.failure_message || failed.failure_reason}`);
    onReady(Math.max(0, documents.length - left.length));
    if (!left.length) return;
    await pause(pollMilliseconds, signal);
  }
}

function* batches(documents) {
  let batch = [];
  let size = 0;
  for (const each of documents) {
    if (batch.length && (batch.length === documentsPerCall || size + each.text.length > charactersPerCall)) {
      yield batch;
      batch = [];
      size = 0;
    }
    batch.push(each);
    size += each.text.length;
  }
  if (batch.length) yield batch;
}

/**
 * Asks every question; a question's failure is its own.
 * @param {{api: import("../api.js").Api, collection: string, questions: import("./dataset.js").Question[], mode: string,
 *   onResult: (result: Object, done: number) => void, signal: AbortSignal}} given
 */
export async function askAll({ api, collection, questions, mode, onResult, signal }) {
  const results = [];
  const waiting = [...questions.entries()];
  const work = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      signal.throwIfAborted();
      const [place, question] = next;
      const result = await askOne(api, collection, question, mode, signal);
      results[place] = result;
      onResult(result, results.filter(Boolean).length);
    }
  };
  // Few at once: a stage that waits too long is skipped, and quality is measured here.
  const atOnce = mode === "answer" || mode === "rerank" ? 2 : 4;
  await Promise.all(Array.from({ length: atOnce }, work));
  return results;
}

async function askOne(api, collection, question, mode, signal) {
  const began = performance.now();
  try {
    const content = await api.persist(...requestOf(question, collection, mode), signal);
    const milliseconds = performance.now() - began;
    return mode === "answer" ? scoreAnswer(question, content, milliseconds) : scoreRanking(question, content, milliseconds);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return { question, problem: error.message };
  }
}

function requestOf({ text, history }, collection, mode) {
  const body = { query: text, collection, history };
  if (mode === "answer") return ["/v1/query", { ...body, bypass_cache: true }];
  const isReranked = mode === "rerank";
  return ["/v1/search", { ...body, mode: isReranked ? "hybrid" : mode, rerank: isReranked, top_k: depth, max_per_document: 1 }];
}

function scoreRanking(question, content, milliseconds) {
  const ranking = [...new Set(content.passages.map(({ passage }) => passage.document_id))];
  const { grades } = question;
  const isJudged = [...grades.values()].some((grade) => grade > 0);
  const found = ranking.findIndex((id) => (grades.get(id) ?? 0) > 0);
  return {
    question,
    milliseconds,
    degraded: content.degraded,
    ranking,
    firstRelevant: found < 0 ? null : found + 1,
    figures: isJudged
      ? {
          ndcg: ndcg(ranking, grades, 10),
          recall5: recall(ranking, grades, 5),
          recall10: recall(ranking, grades, 10),
          recall100: recall(ranking, grades, 100),
          mrr: reciprocalRank(ranking, grades, 10),
        }
      : null,
  };
}

function scoreAnswer(question, content, milliseconds) {
  const text = withoutMarkers(content.answer);
  return {
    question,
    milliseconds,
    degraded: content.degraded,
    answer: content.answer,
    isRefused: content.refused,
    grounded: content.grounded,
    isContained: question.answers.length ? !content.refused && containsAnswer(text, question.answers) : null,
    isInPassages: question.answers.length ? content.passages.some(({ passage }) => containsAnswer(passage.text, question.answers)) : null,
  };
}

/** Returns the figures of a whole run: [[label, share or null, explanation]…]. */
export function summary(results, mode) {
  const answered = results.filter((result) => !result.problem);
  if (mode !== "answer") {
    const figures = answered.map((result) => result.figures).filter(Boolean);
    const over = (name) => mean(figures.map((each) => each[name]));
    return [
      ["nDCG@10", over("ndcg"), "how well the first ten are ordered"],
      ["Recall@5", over("recall5"), "relevant documents within five"],
      ["Recall@10", over("recall10"), "within ten"],
      ["Recall@100", over("recall100"), "within a hundred"],
      ["MRR@10", over("mrr"), "one by the first relevant one's rank"],
    ];
  }
  const answerable = answered.filter(({ question }) => question.isAnswerable);
  const unanswerable = answered.filter(({ question }) => question.isAnswerable === false);
  const labelled = answerable.filter(({ question }) => question.answers.length);
  return [
    ["Answer found", mean(labelled.map(({ isContained }) => isContained)), "the expected answer stands in the text"],
    ["In passages", mean(labelled.map(({ isInPassages }) => isInPassages)), "it stands in what was read"],
    ["Refused, answerable", mean(answerable.map(({ isRefused }) => isRefused)), "lower is better"],
    ["Refused, unanswerable", mean(unanswerable.map(({ isRefused }) => isRefused)), "higher is better"],
    ["Grounded", mean(answered.filter(({ isRefused }) => !isRefused).map(({ grounded }) => grounded)), "support by citations"],
  ];
}

/** The value that `percent` of the values do not exceed; null of none. */
export function percentile(values, percent) {
  const ordered = [...values].sort((a, b) => a - b);
  return ordered.length ? ordered[Math.min(ordered.length - 1, Math.floor((ordered.length * percent) / 100))] : null;
}
