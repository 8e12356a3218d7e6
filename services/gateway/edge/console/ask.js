// The page that asks: a streamed answer, its citations, its sources, where the time went.

import { byId, formatMilliseconds, make, reflowed, showProblem } from "./dom.js";
import { passageItems } from "./passages.js";
import { openReader } from "./reader.js";

const degradations = {
  dense_unavailable: "Embedding did not answer in time: found by words only.",
  keyword_unavailable: "The word index did not answer: found by meaning only.",
  rerank_skipped: "The passages were not re-ranked.",
  generation_unavailable: "No engine answered: this is the best passage, word for word.",
  generation_truncated: "The deadline came while the answer was written.",
  generation_fallback: "A fallback engine wrote this answer.",
};

export class AskPage {
  #session;
  #abort = null;
  #text = "";

  /** @param {{api: import("./api.js").Api, collection: string}} session */
  constructor(session) {
    this.#session = session;
    byId("ask").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#ask();
    });
    byId("ask-text").addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      byId("ask").requestSubmit();
    });
    byId("ask-stop").addEventListener("click", () => this.#abort?.abort());
  }

  show() {
    byId("ask-text").focus();
  }

  async #ask() {
    this.#abort?.abort();
    const abort = new AbortController();
    this.#abort = abort;
    const { api, collection } = this.#session;
    const question = {
      query: byId("ask-text").value,
      collection,
      mode: byId("ask-mode").value,
      filter: byId("ask-filter").value,
    };
    this.#begin();
    try {
      let isWhole = false;
      await api.stream(
        "/v1/query",
        question,
        {
          passages: ({ passages }) => byId("sources").replaceChildren(...passageItems(api, passages)),
          delta: ({ text }) => this.#append(text),
          response: (response) => {
            isWhole = true;
            this.#finish(response, collection);
          },
        },
        abort.signal,
      );
      if (!isWhole) throw new Error("The answer broke off.");
    } catch (error) {
      if (this.#abort === abort) showProblem(byId("ask-problem"), error);
    } finally {
      if (this.#abort === abort) this.#end();
    }
  }

  #begin() {
    this.#text = "";
    showProblem(byId("ask-problem"), null);
    byId("ask-empty").hidden = true;
    byId("ask-result").hidden = false;
    byId("ask-stop").hidden = false;
    byId("citations-card").hidden = true;
    byId("stages-card").hidden = true;
    byId("answer").setAttribute("aria-busy", "true");
    byId("answer").replaceChildren(make("span", { class: "hint" }, "Looking through your documents…"));
    for (const id of ["answer-notices", "answer-footer", "citations", "sources", "stages"]) byId(id).replaceChildren();
  }

  #append(text) {
    this.#text += text;
    byId("answer").textContent = reflowed(this.#text);
  }

  #end() {
    byId("ask-stop").hidden = true;
    byId("answer").removeAttribute("aria-busy");
    if (!byId("answer").querySelector(".hint")) return;
    byId("ask-result").hidden = true; // nothing came
  }

  #finish(response, collection) {
    const open = (citation) =>
      openReader(this.#session.api, {
        documentId: citation.document_id,
        collection,
        start: citation.start,
        end: citation.end,
        version: citation.document_version,
      });
    byId("answer").replaceChildren(...withMarkers(response, open));
    byId("sources").replaceChildren(...passageItems(this.#session.api, response.passages));
    byId("citations").replaceChildren(...response.citations.map((citation) => citationItem(citation, open)));
    byId("citations-card").hidden = response.citations.length === 0;
    byId("stages").replaceChildren(waterfall(response.timings_ms));
    byId("stages-card").hidden = false;
    byId("answer-notices").replaceChildren(...notices(response));
    byId("answer-footer").replaceChildren(...facts(response), feedback(this.#session.api, response.trace_id));
  }
}

function withMarkers(response, open) {
  const citations = new Map(response.citations.map((citation) => [citation.marker, citation]));
  return reflowed(response.answer).split(/(\[\d+\])/).map((part) => {
    const citation = /^\[\d+\]$/.test(part) ? citations.get(Number(part.slice(1, -1))) : undefined;
    if (!citation) return part;
    const label = `Citation ${citation.marker}: ${citation.uri || citation.document_id}`;
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
    { value: citation.marker },
    make("button", { type: "button", class: "link", onclick: () => open(citation) }, citation.uri || citation.document_id),
    make("span", { class: "hint" }, ` characters ${citation.start}–${citation.end}`),
    make("blockquote", {}, reflowed(citation.text)),
  );
}

function notices(response) {
  const found = response.degraded.map((name) => make("div", { class: "notice" }, degradations[name] || name));
  if (response.refused) {
    found.unshift(make("div", { class: "notice" }, "Your documents do not support an answer to this."));
  }
  return found;
}

function facts(response) {
  const grounded = `grounded ${Math.round(response.grounded * 100)} %`;
  const entries = [response.engine, response.refused ? "" : grounded, response.cached && `cached (${response.cached})`];
  return [
    ...entries.filter(Boolean).map((entry) => make("span", { class: "chip" }, entry)),
    make("span", { class: "hint grow trace" }, `Trace ${response.trace_id}`),
  ];
}

function feedback(api, traceId) {
  const group = make("span", { class: "thumbs", role: "group", "aria-label": "Was this answer good?" });
  const rate = async (rating) => {
    for (const button of group.querySelectorAll("button")) button.disabled = true;
    try {
      await api.post("/v1/feedback", { trace_id: traceId, rating });
      group.replaceChildren(make("span", { role: "status" }, "Thank you."));
    } catch (error) {
      group.replaceChildren(make("span", { role: "alert" }, error.message));
    }
  };
  group.append(
    make("button", { type: "button", class: "quiet thumb", "aria-label": "Good answer", onclick: () => rate("up") }),
    make("button", { type: "button", class: "quiet thumb down", "aria-label": "Bad answer", onclick: () => rate("down") }),
  );
  return group;
}

/** A bar per stage, each beginning where the one before ended. */
function waterfall(timings) {
  const stages = Object.entries(timings).filter(([name]) => name !== "total");
  const sum = stages.reduce((all, [, value]) => all + value, 0);
  const total = Math.max(timings.total ?? sum, sum, 0.001);
  let begun = 0;
  const rows = stages.map(([name, value]) => {
    const bar = make("span", { class: "length" });
    bar.style.setProperty("--begin", `${(100 * begun) / total}%`);
    bar.style.setProperty("--length", `${(100 * value) / total}%`);
    begun += value;
    return make("tr", {}, make("th", { scope: "row" }, name), make("td", { class: "track" }, bar), time(value));
  });
  rows.push(make("tr", { class: "sum" }, make("th", { scope: "row" }, "total"), make("td"), time(total)));
  const caption = make("caption", { class: "unseen" }, "Milliseconds per stage");
  return make("table", { class: "waterfall" }, caption, make("tbody", {}, ...rows));
}

function time(value) {
  return make("td", { class: "number" }, formatMilliseconds(value));
}
