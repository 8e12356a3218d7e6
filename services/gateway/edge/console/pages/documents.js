// The page of documents: what is there, how far it is, why it failed.

import { documentPath } from "../api.js";
import { fill, make } from "../dom.js";
import { counted, formatAgo, formatBytes, formatTime } from "../format.js";
import { button, chip, Choice, scrolled } from "../parts/controls.js";
import { askSure, toast } from "../parts/dialog.js";
import { openReader } from "../parts/reader.js";
import { empty, loading, ProblemPlace } from "../parts/states.js";
import { Uploads } from "./documents-upload.js";

const pageSize = 50;
const pollMilliseconds = 1200;
const states = {
  queued: ["queued", "warn busy"],
  running: ["running", "warn busy"],
  ready: ["ready", "good"],
  dead_letter: ["failed", "bad"],
  cancelled: ["cancelled", ""],
};
const views = [
  ["all", "All"],
  ["moving", "In progress"],
  ["ready", "Ready"],
  ["failed", "Failed"],
];
const viewStates = { all: [], moving: ["queued", "running"], ready: ["ready"], failed: ["dead_letter", "cancelled"] };

export class DocumentsPage {
  title = "Documents";
  permission = "read_documents";
  #session;
  #timer = 0;
  #pageCount = 1;
  #isShown = false;
  #documents = [];
  #hasMore = false;
  #problem = new ProblemPlace();
  #list = make("div", {});
  #view;
  #name;
  #uploads;
  #retryAll;

  /** @param {import("../session.js").Session} session */
  constructor(session) {
    this.#session = session;
    this.#uploads = new Uploads(session, () => this.#refresh());
    this.#view = new Choice("Which documents", views, "all", () => this.#start());
    this.#name = make("input", { type: "search", placeholder: "Filter by name", "aria-label": "Filter by name", oninput: () => this.#draw() });
    this.#retryAll = button("Retry all failed", { icon: "retry", kind: "quiet small", hidden: true, onclick: () => this.#retryFailed() });
    const mayChange = session.may("ingest");
    this.element = make(
      "section",
      { id: "page-documents", class: "stack", "aria-label": "Documents" },
      mayChange ? this.#uploads.element : null,
      make(
        "div",
        { class: "card" },
        make("header", {}, this.#view.element, make("div", { class: "row" }, this.#retryAll, this.#name)),
        this.#problem.element,
        this.#list,
      ),
    );
    this.input = this.#name;
  }

  show() {
    this.#isShown = true;
    this.#start();
  }

  hide() {
    this.#isShown = false;
    clearTimeout(this.#timer);
  }

  #start() {
    this.#pageCount = 1;
    this.#documents = [];
    fill(this.#list, loading("Loading documents"));
    this.#refresh();
  }

  async #refresh() {
    clearTimeout(this.#timer);
    const { api, collection } = this.#session;
    const view = this.#view.value;
    try {
      const documents = [];
      let token = "";
      for (let page = 0; page < this.#pageCount; page += 1) {
        const found = await api.get("/v1/documents", { collection, state: viewStates[view], page_size: pageSize, page_token: token });
        documents.push(...found.documents);
        token = found.next_page_token;
        if (!token) break;
      }
      if (collection !== this.#session.collection || view !== this.#view.value) return;
      this.#problem.show(null);
      this.#documents = documents;
      this.#hasMore = Boolean(token);
      this.#draw();
    } catch (error) {
      fill(this.#list);
      this.#problem.show(error);
    }
    const isMoving = this.#documents.some(({ state }) => state === "queued" || state === "running");
    if (isMoving && this.#isShown) this.#timer = setTimeout(() => this.#refresh(), pollMilliseconds);
  }

  #draw() {
    const wanted = this.#name.value.trim().toLowerCase();
    const shown = this.#documents.filter((each) => !wanted || `${each.uri} ${each.title} ${each.document_id}`.toLowerCase().includes(wanted));
    const mayChange = this.#session.may("ingest");
    this.#retryAll.hidden = !mayChange || !this.#documents.some(({ state }) => state === "dead_letter");
    if (!shown.length) {
      fill(this.#list, this.#none(wanted));
      return;
    }
    const focused = document.activeElement?.dataset?.key;
    fill(
      this.#list,
      scrolled("Documents", make(
          "table",
          { class: "blocks", id: "documents" },
          make("caption", { class: "unseen" }, "Documents of the collection, newest first"),
          make(
            "thead",
            {},
            make("tr", {}, ...["Document", "State"].map(column), ...["Chunks", "Size"].map((name) => column(name, "number")), column("Changed"), make("th", { scope: "col" }, make("span", { class: "unseen" }, "Actions"))),
          ),
          make("tbody", {}, ...shown.map((each) => this.#row(each, mayChange))),
        ),
      ),
      make("p", { class: "hint more" }, counted(shown.length, "document"), this.#hasMore ? " shown. " : ". ", this.#hasMore ? button("Show more", { kind: "text", onclick: () => this.#more() }) : null),
    );
    if (focused) this.#list.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  }

  #more() {
    this.#pageCount += 1;
    this.#refresh();
  }

  #none(wanted) {
    if (wanted) return empty({ icon: "search", title: "No document of that name", text: "Only what is listed is looked through: show more, or search for its text." });
    const view = this.#view.value;
    if (view === "all") return empty({ icon: "documents", title: "No documents yet", text: "Add files above: text, Markdown, HTML, PDF, office documents, e-books, mail, tables and more." });
    return empty({ icon: "check", title: { moving: "Nothing on its way", ready: "Nothing ready yet", failed: "Nothing failed" }[view] });
  }

  #row(each, mayChange) {
    const { api, collection } = this.#session;
    const open = (tab) => openReader(api, { documentId: each.document_id, collection, tab });
    const name = each.title || each.uri || each.document_id;
    const place = each.uri || each.document_id;
    const isReady = each.version > 0;
    const [label, kind] = states[each.state] ?? [each.state, ""];
    const reason = each.failure_message || each.failure_reason;
    const stage = each.state === "running" ? ` · ${each.stage}` : each.attempt_count > 1 && each.state !== "ready" ? ` · attempt ${each.attempt_count}` : "";
    return make(
      "tr",
      { "data-document": each.document_id },
      make(
        "th",
        { scope: "row" },
        isReady ? button(name, { kind: "text", onclick: () => open("text"), "data-key": `open ${each.document_id}` }) : make("span", {}, name),
        place !== name ? make("p", { class: "hint" }, place) : null,
        reason ? make("p", { class: "hint bad-text" }, reason) : null,
        ...each.warnings.map((warning) => make("p", { class: "hint" }, warning)),
      ),
      make("td", {}, chip(`${label}${stage}`, kind, { dot: true })),
      make("td", { class: "number", "data-label": "chunks" }, isReady ? button(each.chunk_count.toLocaleString(), { kind: "text", "aria-label": `${counted(each.chunk_count, "chunk")} of ${name}`, onclick: () => open("chunks"), "data-key": `chunks ${each.document_id}` }) : "–"),
      make("td", { class: "number", "data-label": "size" }, each.size_bytes ? formatBytes(each.size_bytes) : "–"),
      make("td", { class: "hint" }, each.updated_at ? make("time", { dateTime: each.updated_at, title: formatTime(each.updated_at) }, formatAgo(each.updated_at)) : ""),
      make("td", { class: "actions" }, make("div", {}, ...(mayChange ? this.#actions(each, name) : []))),
    );
  }

  #actions(each, name) {
    const { api, collection } = this.#session;
    const path = documentPath(each.document_id);
    const retry = button("", {
      kind: "bare small",
      icon: "retry",
      name: `Retry ${name}`,
      "data-key": `retry ${each.document_id}`,
      onclick: () => this.#act(() => api.post(`${path}/retry?${new URLSearchParams({ collection })}`, {})),
    });
    const remove = button("", {
      kind: "bare small",
      icon: "trash",
      name: `Delete ${name}`,
      "data-key": `delete ${each.document_id}`,
      onclick: async () => {
        const isDone = await askSure({
          title: "Delete this document?",
          text: `“${name}” leaves the collection with its chunks. Answers can no longer cite it.`,
          action: "Delete",
          submit: () => api.delete(path, { collection }),
        });
        if (!isDone) return;
        toast("Document deleted");
        await this.#refresh();
        this.#session.refreshCollections().catch(() => {});
      },
    });
    return each.state === "dead_letter" ? [retry, remove] : [remove];
  }

  async #act(work) {
    try {
      await work();
      await this.#refresh();
    } catch (error) {
      this.#problem.show(error);
    }
  }

  #retryFailed() {
    const { api, collection } = this.#session;
    const failed = this.#documents.filter(({ state }) => state === "dead_letter");
    return this.#act(async () => {
      for (const { document_id: id } of failed) await api.post(`${documentPath(id)}/retry?${new URLSearchParams({ collection })}`, {});
      toast(`${counted(failed.length, "document")} queued again`);
    });
  }
}

function column(name, kind) {
  return make("th", { scope: "col", class: typeof kind === "string" ? kind : undefined }, name);
}
