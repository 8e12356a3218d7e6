// The page that measures: a labelled set through the gateway, its figures, each question.

import { fill, make } from "../dom.js";
import { counted, formatMilliseconds, formatShare } from "../format.js";
import { button, check, chip, Choice, field, figures, scrolled } from "../parts/controls.js";
import { openReader } from "../parts/reader.js";
import { notice, ProblemPlace } from "../parts/states.js";
import { readCorpus, readFiles, readQuestions, sample } from "../evaluation/dataset.js";
import { askAll, load, modes, percentile, summary } from "../evaluation/run.js";

const example = '{"_id": "q1", "text": "How long may a key live?", "answers": ["90 days"], "relevant": ["docs/keys.md"]}';
const shownRows = 200;

export class EvaluatePage {
  title = "Evaluate";
  permission = "query";
  #session;
  #abort = null;
  #texts = { corpus: "", queries: "", qrels: "" };
  #problem = new ProblemPlace();
  #mode = new Choice("Measure", modes, "hybrid");
  #pasted = make("textarea", { rows: 4, spellcheck: false, placeholder: example, class: "mono" });
  #limit = make("input", { type: "number", min: 0, value: 200, inputMode: "numeric" });
  #keep = check("Keep the collection made from corpus.jsonl");
  #chosen = make("p", { class: "hint", role: "status" });
  #progress = make("div", { class: "row", hidden: true });
  #result = make("div", { class: "stack", id: "evaluation" });
  #start = button("Run", { kind: "", type: "submit" });
  #stop = button("Stop", { icon: "stop", hidden: true, onclick: () => this.#abort?.abort() });

  /** @param {import("../session.js").Session} session */
  constructor(session) {
    this.#session = session;
    const files = make("input", { type: "file", multiple: true, id: "evaluate-files", accept: ".jsonl,.tsv,.txt,.json", onchange: (event) => this.#choose(event.target.files) });
    const form = make(
      "form",
      {
        class: "card stack",
        id: "evaluate",
        onsubmit: (event) => {
          event.preventDefault();
          this.#run();
        },
      },
      make("p", { class: "hint" }, "Questions with known answers or judged documents, asked of the chosen collection. The figures are those of ", make("code", {}, "cairn eval"), "."),
      make(
        "div",
        { class: "fields" },
        field("Files", files, "queries.jsonl, qrels.tsv; corpus.jsonl is loaded into a collection of its own."),
        field("… or questions, one JSON object per line", this.#pasted, "_id, text, answers, answerable, relevant, history"),
      ),
      this.#chosen,
      make("div", { class: "row" }, this.#mode.element, make("label", { class: "check" }, "At most", this.#limit, "questions")),
      this.#keep.element,
      this.#problem.element,
      make("div", { class: "row" }, this.#start, this.#stop, this.#progress),
    );
    this.element = make("section", { id: "page-evaluate", class: "stack", "aria-label": "Evaluate" }, form, this.#result);
  }

  async #choose(files) {
    this.#problem.show(null);
    try {
      this.#texts = await readFiles(files);
      this.#chosen.textContent = [...files].map(({ name }) => name).join(", ");
    } catch (error) {
      this.#texts = { corpus: "", queries: "", qrels: "" };
      this.#problem.show(error);
    }
  }

  async #run() {
    const mode = this.#mode.value;
    const abort = new AbortController();
    this.#abort = abort;
    this.#problem.show(null);
    let made = "";
    try {
      const queries = this.#texts.queries || this.#pasted.value;
      const questions = sample(readQuestions(queries, this.#texts.qrels), Number(this.#limit.value));
      this.#begin();
      let { collection } = this.#session;
      if (this.#texts.corpus) {
        collection = made = `eval-${Date.now().toString(36)}`;
        const documents = readCorpus(this.#texts.corpus);
        await load(this.#session.api, collection, documents, (ready) => this.#tell(`${ready} of ${counted(documents.length, "document")} ready`, ready / documents.length), abort.signal);
      }
      const results = await askAll({
        api: this.#session.api,
        collection,
        questions,
        mode,
        signal: abort.signal,
        onResult: (_, done) => this.#tell(`${done} of ${counted(questions.length, "question")}`, done / questions.length),
      });
      const isGone = made && !this.#keep.box.checked;
      if (isGone) {
        await this.#leave(made);
        made = "";
      }
      this.#show(results, mode, isGone ? null : collection);
    } catch (error) {
      this.#problem.show(error);
    } finally {
      abort.abort();
      if (made && !this.#keep.box.checked) await this.#leave(made);
      await this.#session.refreshCollections().catch(() => {});
      this.#end();
    }
  }

  /** Takes away a collection that was made for a run. */
  async #leave(collection) {
    const { api } = this.#session;
    await api.delete(`/v1/collections/${encodeURIComponent(collection)}`).catch((error) => {
      if (error.status !== 404) this.#problem.show(error);
    });
  }

  #begin() {
    this.#start.disabled = true;
    this.#stop.hidden = false;
    this.#progress.hidden = false;
    fill(this.#result);
    this.#tell("Starting…", 0);
  }

  #tell(text, share) {
    fill(this.#progress, make("progress", { max: 1, value: share, "aria-label": "Progress" }), make("span", { class: "hint", role: "status" }, text));
  }

  #end() {
    this.#start.disabled = false;
    this.#stop.hidden = true;
    this.#progress.hidden = true;
  }

  #show(results, mode, collection) {
    const times = results.filter(({ milliseconds }) => milliseconds !== undefined).map(({ milliseconds }) => milliseconds);
    const failed = results.filter(({ problem }) => problem);
    const degraded = results.filter((result) => result.degraded?.length);
    const entries = summary(results, mode).map(([name, value, note]) => [name, value === null ? "–" : value.toFixed(3), note]);
    if (times.length) entries.push(["Time, median", formatMilliseconds(percentile(times, 50)), `p95 ${formatMilliseconds(percentile(times, 95))}`]);
    fill(
      this.#result,
      make("h2", {}, [counted(results.length, "question"), modes.find(([name]) => name === mode)[1], collection ?? "corpus.jsonl"].join(" · ")),
      failed.length ? notice("bad", `${counted(failed.length, "question")} failed; figures are of the others. First: ${failed[0].problem}`) : null,
      degraded.length ? notice("warn", `${counted(degraded.length, "result")} less than asked for: ${[...new Set(degraded.flatMap((each) => each.degraded))].join(", ")}`) : null,
      figures(entries),
      make("div", { class: "card" }, make("header", {}, make("h3", {}, "Each question, worst first"), button("Download", { icon: "download", kind: "quiet small", onclick: () => download(results) })), this.#table(results, mode, collection)),
    );
    this.#result.scrollIntoView({ block: "start", behavior: "smooth" });
  }

  #table(results, mode, collection) {
    const isAnswers = mode === "answer";
    const heads = isAnswers ? ["Question", "Answer", "Verdict"] : ["Question", "First relevant", "nDCG@10", "Recall@10"];
    const ordered = results.toSorted((a, b) => scoreOf(a) - scoreOf(b)).slice(0, shownRows);
    return scrolled("Each question", make(
        "table",
        { class: "blocks" },
        make("caption", { class: "unseen" }, "Questions with their scores"),
        make("thead", {}, make("tr", {}, ...heads.map((name, place) => make("th", { scope: "col", class: place && !isAnswers ? "number" : "" }, name)), make("th", { scope: "col", class: "number" }, "Time"))),
        make("tbody", {}, ...ordered.map((result) => (isAnswers ? answerRow(result) : this.#rankingRow(result, collection)))),
      ),
    );
  }

  #rankingRow(result, collection) {
    const { question, figures: found, ranking = [] } = result;
    const top = ranking[0];
    const open = () => openReader(this.#session.api, { documentId: top, collection });
    return make(
      "tr",
      {},
      make("th", { scope: "row" }, question.text, result.problem ? make("p", { class: "hint bad-text" }, result.problem) : make("p", { class: "hint" }, "first: ", top && collection ? button(top, { kind: "text", onclick: open }) : (top ?? "nothing"))),
      make("td", { class: "number", "data-label": "first relevant" }, result.firstRelevant ? `#${result.firstRelevant}` : "–"),
      make("td", { class: "number", "data-label": "nDCG@10" }, found ? found.ndcg.toFixed(3) : "–"),
      make("td", { class: "number", "data-label": "recall@10" }, found ? formatShare(found.recall10) : "–"),
      timeCell(result),
    );
  }
}

function answerRow(result) {
  const { question } = result;
  return make(
    "tr",
    {},
    make("th", { scope: "row" }, question.text, question.answers.length ? make("p", { class: "hint" }, `expected: ${question.answers.join(" | ")}`) : null),
    make("td", { class: "wide-cell" }, result.problem ? make("span", { class: "bad-text" }, result.problem) : result.answer),
    make("td", {}, ...verdict(result)),
    timeCell(result),
  );
}

function verdict({ question, isRefused, isContained, problem }) {
  if (problem) return [chip("failed", "bad")];
  if (question.isAnswerable === false) return [isRefused ? chip("rightly refused", "good") : chip("should refuse", "bad")];
  if (isContained === null) return [isRefused ? chip("refused", "warn") : chip("answered")];
  if (isRefused) return [chip("refused", "warn")];
  return [isContained ? chip("found", "good") : chip("missed", "bad")];
}

function timeCell({ milliseconds }) {
  return make("td", { class: "number", "data-label": "time" }, milliseconds === undefined ? "–" : formatMilliseconds(milliseconds));
}

function scoreOf(result) {
  if (result.problem) return -1;
  if (result.figures) return result.figures.ndcg;
  if (result.isContained !== undefined && result.isContained !== null) return Number(result.isContained);
  return result.question.isAnswerable === false ? Number(result.isRefused) : 2;
}

function download(results) {
  const lines = results.map(({ question, ...rest }) => JSON.stringify({ query_id: question.id, ...rest }));
  const link = make("a", { href: URL.createObjectURL(new Blob([lines.join("\n")], { type: "application/jsonl" })), download: "evaluation.jsonl" });
  link.click();
  URL.revokeObjectURL(link.href);
}
