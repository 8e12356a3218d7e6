// One question and its answer: text as it comes, citations, sources, where the time went, what somebody thinks of it.

import { fill, make } from "../dom.js";
import { counted, formatCost, formatDuration, formatMilliseconds, reflowed } from "../format.js";
import { button, chip } from "../parts/controls.js";
import { copyText } from "../parts/dialog.js";
import { explanation } from "../parts/explanation.js";
import { nameOf, passageItems } from "../parts/passages.js";
import { degradations } from "../parts/query-options.js";
import { openReader } from "../parts/reader.js";
import { notice, ProblemPlace } from "../parts/states.js";
import { Tabs } from "../parts/tabs.js";
import { stepsInTurn, waterfall } from "../parts/waterfall.js";
import { Feedback } from "./ask-feedback.js";

export class Turn {
  question;
  answer = "";
  isAnswered = false;
  isFailed = false;
  #api;
  #collection;
  #onAgain;
  #problem = new ProblemPlace();
  #status = make("p", { class: "status", role: "status" });
  #text = make("div", { class: "answer", "aria-live": "polite" });
  #notices = make("div", { class: "stack close" });
  #citations = make("ol", { class: "citations" });
  #footer = make("footer", { class: "answer-footer" });
  #tabs = new Tabs("About the answer", [["sources", "Sources"], ["time", "Time"], ["explain", "Explain"]]);
  #card;
  #side;

  /** @param {{api: import("../api.js").Api, collection: string, question: string, onAgain: () => void}} given */
  constructor({ api, collection, question, onAgain }) {
    this.#api = api;
    this.#collection = collection;
    this.#onAgain = onAgain;
    this.question = question;
    this.#card = make("article", { class: "card answer-card", "aria-label": "Answer" }, this.#status, this.#text, this.#notices, this.#citations, this.#footer);
    this.#side = make("aside", { class: "card about", "aria-label": "About the answer" }, this.#tabs.element);
    this.element = make("section", { class: "turn" }, make("h2", { class: "asked" }, question), this.#problem.element, make("div", { class: "halves" }, this.#card, this.#side));
  }

  /** Asks, and shows what comes until it ends; never throws. */
  async run(body, signal) {
    this.#status.textContent = "Looking through your documents…";
    this.#text.setAttribute("aria-busy", "true");
    this.#side.hidden = true;
    try {
      const on = {
        passages: ({ passages }) => this.#showPassages(passages),
        delta: ({ text }) => this.#append(text),
        response: (response) => this.#finish(response),
      };
      await this.#api.stream("/v1/query", body, on, signal);
      if (!this.isAnswered) throw new Error("The answer broke off.");
    } catch (error) {
      this.#fail(error);
    }
    this.#text.removeAttribute("aria-busy");
  }

  #showPassages(passages) {
    this.#status.textContent = passages.length ? `Reading ${counted(passages.length, "passage")}…` : "";
    this.#side.hidden = false;
    this.#tabs.label("sources", `Sources ${passages.length}`);
    this.#tabs.fill("sources", make("ol", { class: "passages" }, ...passageItems(this.#api, passages, this.question)));
  }

  #append(text) {
    this.#status.textContent = "";
    this.answer += text;
    this.#text.textContent = reflowed(this.answer);
  }

  #fail(error) {
    this.#status.textContent = "";
    if (error.name === "AbortError") {
      if (this.answer) {
        this.isFailed = true;
        fill(this.#notices, notice("warn", "Stopped."));
      }
      return;
    }
    this.isFailed = true;
    this.#problem.show(error);
    this.#card.hidden = !this.answer;
    this.#problem.element.append(button("Ask again", { icon: "retry", kind: "quiet small", onclick: this.#onAgain }));
  }

  #finish(response) {
    this.isAnswered = true;
    this.answer = response.answer;
    this.#status.textContent = "";
    const open = (citation) =>
      openReader(this.#api, {
        documentId: citation.document_id,
        collection: this.#collection,
        start: citation.start,
        end: citation.end,
        version: citation.document_version,
      });
    fill(this.#text, ...withMarkers(response, open));
    fill(this.#notices, ...notices(response));
    fill(this.#citations, ...response.citations.map((citation) => citationItem(citation, open)));
    this.#showPassages(response.passages);
    this.#status.textContent = "";
    this.#tabs.fill("time", timing(response));
    this.#tabs.fill("explain", explanation(response.explanation));
    const feedback = new Feedback(this.#api, response);
    fill(
      this.#footer,
      make("div", { class: "row" }, ...facts(response)),
      make(
        "div",
        { class: "row apart" },
        feedback.element,
        make("div", { class: "row" }, button("Copy", { icon: "copy", kind: "bare small", onclick: () => copyText(response.answer, "Answer") })),
      ),
      feedback.form,
    );
  }
}

function withMarkers(response, open) {
  const citations = new Map(response.citations.map((citation) => [citation.marker, citation]));
  return reflowed(response.answer).split(/(\[\d+\])/).map((part) => {
    const citation = /^\[\d+\]$/.test(part) ? citations.get(Number(part.slice(1, -1))) : undefined;
    if (!citation) return part;
    const label = `Citation ${citation.marker}: ${nameOf(citation)}`;
    return make(
      "button",
      { type: "button", class: "marker", title: citation.text, "aria-label": label, onclick: () => open(citation) },
      String(citation.marker),
    );
  });
}

function citationItem(citation, open) {
  return make(
    "li",
    {},
    make("span", { class: "marker", "aria-hidden": "true" }, String(citation.marker)),
    make(
      "div",
      { class: "grow" },
      button(nameOf(citation), { kind: "text", onclick: () => open(citation) }),
      make("blockquote", {}, reflowed(citation.text)),
    ),
  );
}

function notices(response) {
  const found = response.degraded.map((name) => notice("warn", degradations[name] || name));
  if (response.refused) found.unshift(notice("info", "Your documents do not support an answer to this."));
  return found;
}

function facts(response) {
  const chips = [];
  if (response.cached) {
    const age = response.cached_age_seconds ? `, ${formatDuration(response.cached_age_seconds)} old` : "";
    const like = response.cached_similarity ? `, ${(response.cached_similarity * 100).toFixed(0)} % alike` : "";
    chips.push(chip(`from the cache (${response.cached}${age}${like})`, "accent"));
  }
  if (!response.refused) {
    const kind = response.grounded >= 0.8 ? "good" : response.grounded >= 0.5 ? "warn" : "bad";
    chips.push(chip(`grounded ${Math.round(response.grounded * 100)} %`, kind, { title: "How well the citations support the answer" }));
  }
  chips.push(chip(formatMilliseconds(response.timings_ms.total)));
  if (response.engine) chips.push(chip(response.model && response.model !== response.engine ? `${response.engine}: ${response.model}` : response.engine));
  if (response.cost.amount) chips.push(chip(formatCost(response.cost)));
  return chips;
}

function timing(response) {
  const usage = Object.entries(response.usage).filter(([, value]) => value);
  return make(
    "div",
    { class: "stack" },
    waterfall(stepsInTurn(response.timings_ms), response.timings_ms.total, "Milliseconds per stage"),
    usage.length ? make("p", { class: "hint" }, usage.map(([name, value]) => `${name.replaceAll("_", " ")} ${value.toLocaleString()}`).join(" · ")) : null,
    make(
      "p",
      { class: "row" },
      make("span", { class: "hint mono grow cut" }, `Trace ${response.trace_id}`),
      button("", { kind: "bare small", icon: "copy", name: "Copy the trace id", onclick: () => copyText(response.trace_id, "Trace id") }),
    ),
  );
}
