// Shows a document: its text with a span highlighted, its chunks, what is known of it.

import { documentPath } from "../api.js";
import { fill, make } from "../dom.js";
import { counted, formatBytes, formatTime } from "../format.js";
import { button, facts } from "./controls.js";
import { empty, loading, notice, ProblemPlace } from "./states.js";
import { Tabs } from "./tabs.js";

const chunksAtOnce = 100;

/**
 * @param {import("../api.js").Api} api
 * @param {{documentId: string, collection: string, start?: number, end?: number, version?: number, tab?: string}} place
 *   offsets in Unicode code points
 */
export function openReader(api, place) {
  return new Reader(api, place).open();
}

class Reader {
  #api;
  #place;
  #document = null;
  #points = null;
  #title = make("h2", { id: "reader-title" });
  #where = make("p", { class: "hint", id: "reader-place" });
  #problem = new ProblemPlace();
  #text = make("div", { class: "document", id: "reader-text", tabIndex: 0, role: "document", "aria-label": "Text of the document" });
  #chunks = make("div", { class: "stack", id: "reader-chunks" });
  #details = make("div", { class: "stack" });
  #hasChunks = false;

  constructor(api, place) {
    this.#api = api;
    this.#place = place;
    this.#title.textContent = place.documentId;
    this.tabs = new Tabs("Views of the document", [["text", "Text"], ["chunks", "Chunks"], ["details", "Details"]], (name) => {
      if (name === "chunks") this.#showChunks();
    });
    this.tabs.fill("text", this.#text);
    this.tabs.fill("chunks", this.#chunks);
    this.tabs.fill("details", this.#details);
    this.dialog = make(
      "dialog",
      { id: "reader", class: "reader", "aria-labelledby": "reader-title" },
      make("header", {}, make("div", { class: "grow" }, this.#title, this.#where), button("", { kind: "bare small", icon: "close", name: "Close", id: "reader-close", onclick: () => this.dialog.close() })),
      this.#problem.element,
      this.tabs.element,
    );
    this.dialog.addEventListener("close", () => this.dialog.remove());
    this.dialog.addEventListener("click", (event) => {
      if (event.target === this.dialog) this.dialog.close(); // beside the panel
    });
  }

  async open() {
    fill(this.#text, loading("Loading the document"));
    document.body.append(this.dialog);
    this.dialog.showModal();
    try {
      const { document: found } = await this.#api.get(documentPath(this.#place.documentId), { collection: this.#place.collection });
      this.#document = found;
      // JavaScript counts UTF-16 units, the API code points: an emoji is two of the one, one of the other.
      this.#points = Array.from(found.text);
      this.#showText();
      this.#showDetails();
      if (this.#place.tab) this.tabs.choose(this.#place.tab);
    } catch (error) {
      fill(this.#text);
      this.#problem.show(error);
    }
  }

  #showText() {
    const { start, end, version } = this.#place;
    const found = this.#document;
    const where = found.uri || found.document_id;
    this.#title.textContent = found.title || found.document_id;
    this.#where.textContent = where;
    const isChanged = version && found.version !== version;
    if (end === undefined || isChanged) {
      fill(this.#text, found.text || make("p", { class: "hint" }, "This document has no text yet."));
      if (isChanged) {
        fill(this.#problem.element, notice("warn", "This document has changed since the answer: the cited place cannot be shown."));
      }
      return;
    }
    this.#where.textContent = `${where} · characters ${start.toLocaleString()}–${end.toLocaleString()}`;
    const mark = make("mark", { id: "span" }, this.#slice(start, end));
    fill(this.#text, this.#slice(0, start), mark, this.#slice(end));
    mark.scrollIntoView({ block: "center" });
  }

  #slice(start, end) {
    return this.#points.slice(start, end).join("");
  }

  #showDetails() {
    const found = this.#document;
    const metadata = Object.entries(found.metadata);
    fill(
      this.#details,
      facts([
        ["Document", make("span", { class: "mono" }, found.document_id)],
        ["Collection", found.collection],
        ["State", found.state === "dead_letter" ? "failed" : found.state],
        ["Version", found.version ? String(found.version) : ""],
        ["Type", found.content_type],
        ["Size", found.size_bytes ? formatBytes(found.size_bytes) : ""],
        ["Chunks", String(found.chunk_count)],
        ["Added", found.created_at ? formatTime(found.created_at) : ""],
        ["Changed", found.updated_at ? formatTime(found.updated_at) : ""],
        ["Failed at", found.failure_stage],
        ["Reason", found.failure_message || found.failure_reason],
      ]),
      ...found.warnings.map((warning) => notice("warn", warning)),
      make("h3", {}, "Metadata"),
      metadata.length
        ? facts(metadata.map(([name, value]) => [name, Array.isArray(value) ? value.join(", ") : String(value)]))
        : make("p", { class: "hint" }, "None."),
    );
  }

  async #showChunks() {
    if (this.#hasChunks || !this.#document) return;
    this.#hasChunks = true;
    const list = make("ol", { class: "chunks" });
    const more = button("Show more", { onclick: () => next() });
    const problem = new ProblemPlace();
    fill(this.#chunks, loading("Loading chunks"));
    let token = "";
    const next = async () => {
      more.disabled = true;
      try {
        const page = await this.#api.get("/v1/chunks", {
          collection: this.#place.collection,
          document_id: this.#document.document_id,
          page_size: chunksAtOnce,
          page_token: token,
        });
        token = page.next_page_token;
        list.append(...page.chunks.map((chunk) => this.#chunkItem(chunk)));
        more.hidden = !token;
        const isEmpty = !list.children.length;
        fill(
          this.#chunks,
          isEmpty ? empty({ icon: "documents", title: "No chunks", text: "What cannot be searched has none." }) : make("p", { class: "hint" }, `${counted(this.#document.chunk_count, "chunk")}: the parts that are searched and cited.`),
          list,
          more,
          problem.element,
        );
      } catch (error) {
        fill(this.#chunks, problem.element);
        problem.show(error);
      }
      more.disabled = false;
    };
    await next();
  }

  #chunkItem(chunk) {
    const isCited = this.#place.end !== undefined && chunk.start <= this.#place.start && this.#place.end <= chunk.end;
    const show = () => {
      this.#place = { ...this.#place, start: chunk.start, end: chunk.end, version: undefined };
      this.tabs.choose("text");
      this.#showText();
    };
    const length = chunk.end - chunk.start;
    return make(
      "li",
      { class: isCited ? "is-cited" : "" },
      make(
        "div",
        { class: "row apart" },
        make("strong", {}, `Chunk ${chunk.ordinal + 1}`, isCited ? " · holds the cited span" : ""),
        make("span", { class: "hint" }, [chunk.page ? `page ${chunk.page}` : "", counted(length, "character")].filter(Boolean).join(" · ")),
      ),
      chunk.heading_path.length ? make("p", { class: "hint" }, chunk.heading_path.join(" › ")) : null,
      make("p", { class: "chunk-text" }, chunk.text),
      button("Show in the text", { kind: "text", onclick: show }),
    );
  }
}
