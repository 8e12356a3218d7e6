// Labelled data: `queries.jsonl`, `qrels.tsv` and, where it is to be loaded, `corpus.jsonl`.

/**
 * @typedef {{id: string, text: string, answers: string[], isAnswerable: boolean|null, history: Array<{speaker: string,
 *   text: string}>, grades: Map<string, number>}} Question
 */

/** Reads the files of a data set, told apart by their names. */
export async function readFiles(files) {
  const texts = { corpus: "", queries: "", qrels: "" };
  for (const file of files) {
    const kind = Object.keys(texts).find((name) => file.name.toLowerCase().includes(name));
    if (!kind) throw new Error(`${file.name}: the name must hold “queries”, “qrels” or “corpus”.`);
    texts[kind] = await file.text();
  }
  return texts;
}

/**
 * Returns the questions with their judgements.
 * @param {string} queries JSON lines `{_id, text, answers?, answerable?, history?, relevant?}`; `relevant` names
 *   documents, or grades them, so that one file is enough
 * @param {string} qrels lines of query, document and grade with tabs between; may be empty
 * @returns {Question[]}
 */
export function readQuestions(queries, qrels) {
  const grades = readGrades(qrels);
  const questions = jsonLines(queries, "queries").map(({ number, content }) => readQuestion(number, content, grades));
  if (!questions.length) throw new Error("There are no questions.");
  const ids = new Set(questions.map(({ id }) => id));
  if (ids.size < questions.length) throw new Error("queries: an _id is there twice.");
  const unknown = [...grades.keys()].find((id) => !ids.has(id));
  if (unknown !== undefined) throw new Error(`qrels: judges the unknown query “${unknown}”.`);
  return questions;
}

function readQuestion(number, content, grades) {
  const wrong = (problem) => new Error(`queries, line ${number}: ${problem}.`);
  const id = String(content._id ?? content.id ?? number);
  if (typeof content.text !== "string" || !content.text.trim()) throw wrong("“text” must be a question");
  const answers = content.answers ?? [];
  if (!Array.isArray(answers) || answers.some((each) => typeof each !== "string")) throw wrong("“answers” must be a list of strings");
  const isAnswerable = content.answerable ?? (answers.length ? true : null);
  if (isAnswerable !== null && typeof isAnswerable !== "boolean") throw wrong("“answerable” must be true or false");
  const own = Array.isArray(content.relevant) ? content.relevant.map((each) => [each, 1]) : Object.entries(content.relevant ?? {});
  return {
    id,
    text: content.text,
    answers,
    isAnswerable,
    history: (content.history ?? []).map((turn) => readTurn(turn, wrong)).filter(({ text }) => text.trim()),
    grades: new Map([...(grades.get(id) ?? []), ...own.map(([document, grade]) => [String(document), Number(grade)])]),
  };
}

function readTurn(turn, wrong) {
  const text = typeof turn === "string" ? turn : turn?.text;
  if (typeof text !== "string") throw wrong("each turn of “history” must be a string, or have role and text");
  const speaker = turn.role ?? turn.speaker ?? "user";
  return { speaker: speaker === "user" ? "user" : "assistant", text };
}

function readGrades(text) {
  const grades = new Map();
  for (const [place, line] of text.split("\n").entries()) {
    const parts = line.trimEnd().split("\t");
    if (!line.trim() || (place === 0 && parts.at(-1).toLowerCase() === "score")) continue;
    const grade = Number(parts[2]);
    if (parts.length !== 3 || !Number.isInteger(grade)) {
      throw new Error(`qrels, line ${place + 1}: must be query-id, corpus-id and a whole number, with tabs between.`);
    }
    if (!grades.has(parts[0])) grades.set(parts[0], new Map());
    grades.get(parts[0]).set(parts[1], grade);
  }
  return grades;
}

/** Returns the documents of a corpus as the API takes them; those without text are left out. */
export function readCorpus(corpus) {
  return jsonLines(corpus, "corpus")
    .map(({ number, content }) => {
      if (content._id === undefined) throw new Error(`corpus, line ${number}: “_id” is missing.`);
      return {
        document_id: String(content._id),
        title: content.title ?? "",
        text: content.text?.trim() ? content.text : (content.title ?? ""),
        content_type: "text/plain",
        metadata: content.metadata ?? {},
      };
    })
    .filter(({ text }) => text.trim());
}

function jsonLines(text, name) {
  return text
    .split("\n")
    .map((line, place) => ({ line, number: place + 1 }))
    .filter(({ line }) => line.trim())
    .map(({ line, number }) => {
      let content;
      try {
        content = JSON.parse(line);
      } catch {
        throw new Error(`${name}, line ${number}: not JSON.`);
      }
      if (content === null || typeof content !== "object" || Array.isArray(content)) throw new Error(`${name}, line ${number}: must be an object.`);
      return { number, content };
    });
}

/** Returns at most `limit` questions, spread evenly: neighbours are often about one document. 0 takes all. */
export function sample(questions, limit) {
  if (!limit || limit >= questions.length) return questions;
  return Array.from({ length: limit }, (_, place) => questions[Math.floor((place * questions.length) / limit)]);
}
