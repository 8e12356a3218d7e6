// Measures of rankings and answers, as trec_eval and SQuAD's own script define them, and as `cairn eval` computes them.

/** Normalised discounted cumulative gain, 0..1; the gain is the grade itself. `grades` maps documents to grades. */
export function ndcg(ranking, grades, depth) {
  const gains = ranking.slice(0, depth).map((id) => Math.max(0, grades.get(id) ?? 0));
  const best = discounted([...grades.values()].filter((grade) => grade > 0).sort((a, b) => b - a).slice(0, depth));
  return best ? discounted(gains) / best : 0;
}

function discounted(gains) {
  return gains.reduce((sum, gain, place) => sum + gain / Math.log2(place + 2), 0);
}

/** Share of the relevant documents within the first `depth`. */
export function recall(ranking, grades, depth) {
  const relevant = [...grades].filter(([, grade]) => grade > 0).map(([id]) => id);
  const top = new Set(ranking.slice(0, depth));
  return relevant.length ? relevant.filter((id) => top.has(id)).length / relevant.length : 0;
}

/** 1 / rank of the first relevant document, 0 when none is within `depth`. */
export function reciprocalRank(ranking, grades, depth) {
  const place = ranking.slice(0, depth).findIndex((id) => (grades.get(id) ?? 0) > 0);
  return place < 0 ? 0 : 1 / (place + 1);
}

/** The mean, or null where there is nothing to take it of. */
export function mean(values) {
  return values.length ? values.reduce((sum, value) => sum + Number(value), 0) / values.length : null;
}

/** Returns text in one case, without punctuation, English articles and runs of spaces. */
export function normalized(text) {
  const folded = text.normalize("NFKC").toLowerCase().replace(/\p{Pd}/gu, " ").replace(/\p{P}/gu, "");
  return folded.replace(/\b(?:a|an|the)\b/g, " ").split(/\s+/).filter(Boolean).join(" ");
}

/** Whether one of the answers stands in the text, both normalised. */
export function containsAnswer(text, answers) {
  const inside = normalized(text);
  return answers.some((answer) => {
    const wanted = normalized(answer);
    return wanted && inside.includes(wanted);
  });
}

export function withoutMarkers(answer) {
  return answer.replace(/\s?\[\d+\]/g, "").trim();
}
