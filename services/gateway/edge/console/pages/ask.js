// The page that asks: a conversation of cited answers.

import { fill, make } from "../dom.js";
import { icon } from "../icons.js";
import { button, check, field, select } from "../parts/controls.js";
import { QueryOptions } from "../parts/query-options.js";
import { Turn } from "./ask-turn.js";

const historyTurns = 6;

export class AskPage {
  title = "Ask";
  permission = "query";
  #session;
  #turns = [];
  #abort = null;
  #thread = make("div", { class: "thread" });
  #hero = make("div", { class: "hero" });
  #options = new QueryOptions({ id: "ask", passages: 5, most: 50, isReranked: true });
  #verification = select([["drop", "remove the citation"], ["annotate", "keep it, and say so"], ["refuse", "refuse the answer"]], "drop");
  #fresh = check("Pass caches by");
  #stop = button("", { kind: "quiet icon", icon: "stop", name: "Stop", id: "ask-stop", hidden: true, onclick: () => this.#abort?.abort() });
  #submit = button("", { kind: "icon", icon: "send", name: "Ask", type: "submit", id: "ask-submit" });
  #new = button("New conversation", { icon: "new", kind: "quiet small", hidden: true, onclick: () => this.#clear() });

  /** @param {import("../session.js").Session} session */
  constructor(session) {
    this.#session = session;
    this.input = make("textarea", {
      id: "ask-text",
      rows: 1,
      maxLength: 8000,
      required: true,
      placeholder: "What would you like to know?",
      "aria-label": "Question",
      oninput: () => this.#grow(),
      onkeydown: (event) => this.#onKey(event),
    });
    const form = make(
      "form",
      { id: "ask", class: "composer", onsubmit: (event) => this.#onSubmit(event) },
      make("div", { class: "row tight end" }, this.input, this.#stop, this.#submit),
      make(
        "div",
        { class: "row apart" },
        make(
          "details",
          { class: "options", id: "ask-options" },
          make("summary", {}, "Options"),
          make("div", { class: "stack" }, this.#options.element, make("div", { class: "fields" }, field("When a passage does not support its sentence", this.#verification)), this.#fresh.element),
        ),
        this.#new,
      ),
    );
    this.element = make("section", { id: "page-ask", class: "ask", "aria-label": "Ask" }, this.#hero, this.#thread, form);
    session.addEventListener("collection", () => this.#clear());
    session.addEventListener("collections", () => this.#welcome());
    this.#welcome();
  }

  show() {
    this.#welcome();
    if (matchMedia("(hover: hover)").matches) this.input.focus({ preventScroll: true });
  }

  #welcome() {
    this.#hero.hidden = this.#turns.length > 0;
    const chosen = this.#session.chosen;
    const isEmpty = !chosen?.document_count;
    fill(
      this.#hero,
      make("img", { src: "/assets/icon.svg", alt: "", width: 64, height: 64 }),
      make("h2", {}, isEmpty ? "Bring in documents, then ask" : "Ask your documents"),
      make(
        "p",
        {},
        isEmpty
          ? "This collection has no documents yet. Drop some in, and answers will quote them word for word."
          : "Answers quote your documents word for word. Each number opens the place it was taken from.",
      ),
      isEmpty && this.#session.may("ingest") ? make("a", { class: "go", href: "#documents" }, icon("upload"), "Add documents") : null,
    );
  }

  #onKey(event) {
    if (event.key === "Escape") this.#abort?.abort();
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.element.querySelector("form").requestSubmit();
  }

  #onSubmit(event) {
    event.preventDefault();
    const question = this.input.value.trim();
    if (!question) return;
    this.input.value = "";
    this.#grow();
    this.#ask(question);
  }

  async #ask(question) {
    this.#abort?.abort();
    const abort = new AbortController();
    this.#abort = abort;
    const { api, collection } = this.#session;
    const body = {
      query: question,
      collection,
      history: this.#history(),
      verification: this.#verification.value,
      bypass_cache: this.#fresh.box.checked,
      ...this.#options.values,
    };
    const turn = new Turn({ api, collection, question, onAgain: () => this.#ask(question) });
    this.#turns.push(turn);
    this.#thread.append(turn.element);
    this.#hero.hidden = true;
    this.#new.hidden = false;
    this.#stop.hidden = false;
    turn.element.scrollIntoView({ block: "start", behavior: "smooth" });
    await turn.run(body, abort.signal);
    if (!turn.isAnswered && !turn.isFailed) this.#drop(turn);
    if (this.#abort !== abort) return;
    this.#abort = null;
    this.#stop.hidden = true;
  }

  /** What was said before, as the API takes it: a follow-up may leave things unsaid. */
  #history() {
    return this.#turns
      .filter((turn) => turn.isAnswered)
      .slice(-historyTurns)
      .flatMap((turn) => [
        { speaker: "user", text: turn.question },
        { speaker: "assistant", text: turn.answer },
      ]);
  }

  #drop(turn) {
    // Stopped before anything came: the question goes back to where it can be changed.
    turn.element.remove();
    this.#turns = this.#turns.filter((each) => each !== turn);
    if (!this.input.value) this.input.value = turn.question;
    this.#grow();
    this.#welcome();
  }

  #clear() {
    this.#abort?.abort();
    this.#turns = [];
    fill(this.#thread);
    this.#new.hidden = true;
    this.#welcome();
    this.input.focus({ preventScroll: true });
  }

  #grow() {
    this.input.style.setProperty("height", "auto");
    this.input.style.setProperty("height", `${Math.min(this.input.scrollHeight + 2, 220)}px`);
  }
}
