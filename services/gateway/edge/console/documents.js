// The page of documents: upload, states, reasons of failures.

import { documentPath } from "./api.js";
import { byId, formatBytes, make, showProblem } from "./dom.js";
import { openReader } from "./reader.js";

const pageSize = 50;
const pollMilliseconds = 1000;
const stateNames = { queued: "queued", running: "running", ready: "ready", dead_letter: "failed", cancelled: "cancelled" };

export class DocumentsPage {
  #session;
  #timer = 0;
  #pageCount = 1;
  #isShown = false;

  /** @param {{api: import("./api.js").Api, collection: string}} session */
  constructor(session) {
    this.#session = session;
    byId("documents-more").addEventListener("click", () => {
      this.#pageCount += 1;
      this.#refresh();
    });
    byId("upload-files").addEventListener("change", (event) => {
      this.#upload([...event.target.files]);
      event.target.value = "";
    });
    const drop = byId("upload");
    for (const name of ["dragover", "dragleave", "drop"]) {
      drop.addEventListener(name, (event) => {
        event.preventDefault();
        drop.classList.toggle("over", name === "dragover");
      });
    }
    drop.addEventListener("drop", (event) => this.#upload([...event.dataTransfer.files]));
  }

  show() {
    this.#isShown = true;
    this.#pageCount = 1;
    this.#refresh();
  }

  hide() {
    this.#isShown = false;
    clearTimeout(this.#timer);
  }

  async #refresh() {
    clearTimeout(this.#timer);
    const { api, collection } = this.#session;
    try {
      const documents = [];
      let token = "";
      for (let page = 0; page < this.#pageCount; page += 1) {
        const parameters = { collection, page_size: pageSize, page_token: token };
        const found = await api.get("/v1/documents", parameters);
        documents.push(...found.documents);
        token = found.next_page_token;
        if (!token) break;
      }
      showProblem(byId("documents-problem"), null);
      byId("documents").replaceChildren(...documents.map((document) => this.#row(document)));
      byId("documents-empty").hidden = documents.length > 0;
      byId("documents-more").hidden = !token;
      const isMoving = documents.some(({ state }) => state === "queued" || state === "running");
      if (isMoving && this.#isShown) this.#timer = setTimeout(() => this.#refresh(), pollMilliseconds);
    } catch (error) {
      showProblem(byId("documents-problem"), error);
    }
  }

  #row(document) {
    const { api, collection } = this.#session;
    const open = () => openReader(api, { documentId: document.document_id, collection });
    const name = document.uri || document.document_id;
    const isReady = document.version > 0;
    const problems = [document.failure_message || document.failure_reason, ...document.warnings].filter(Boolean);
    return make(
      "tr",
      {},
      make(
        "td",
        {},
        isReady ? make("button", { type: "button", class: "link", onclick: open }, name) : name,
        document.title && document.title !== name ? make("div", { class: "hint" }, document.title) : null,
        ...problems.map((problem) => make("div", { class: "hint bad" }, problem)),
      ),
      make("td", {}, make("span", { class: `state ${document.state}` }, stateNames[document.state] || document.state)),
      make("td", { class: "number" }, document.chunk_count.toLocaleString()),
      make("td", { class: "number" }, formatBytes(document.size_bytes)),
      make("td", { class: "hint" }, new Date(document.updated_at).toLocaleString()),
      make("td", { class: "actions" }, ...this.#actions(document, name)),
    );
  }

  #actions(document, name) {
    const { api, collection } = this.#session;
    const path = documentPath(document.document_id);
    const act = (work) => async () => {
      try {
        await work();
        await this.#refresh();
      } catch (error) {
        showProblem(byId("documents-problem"), error);
      }
    };
    const button = (label, work) =>
      make("button", { type: "button", class: "quiet", "aria-label": `${label} ${name}`, onclick: work }, label);
    const remove = button("Delete", (event) => {
      // Asked in place: the same button again within three seconds.
      const asked = event.currentTarget;
      if (asked.dataset.sure) return act(() => api.delete(path, { collection }))();
      asked.dataset.sure = "yes";
      asked.textContent = "Sure?";
      setTimeout(() => {
        delete asked.dataset.sure;
        asked.textContent = "Delete";
      }, 3000);
    });
    const retry = button(
      "Retry",
      act(() => api.post(`${path}/retry?${new URLSearchParams({ collection })}`, {})),
    );
    return document.state === "dead_letter" ? [retry, remove] : [remove];
  }

  async #upload(files) {
    for (const file of files) await this.#uploadOne(file);
    this.#refresh();
  }

  async #uploadOne(file) {
    const { api, collection } = this.#session;
    const bar = make("progress", { max: 1, value: 0, "aria-label": `Upload of ${file.name}` });
    const note = make("span", { class: "hint" });
    const item = make("li", { class: "row" }, make("span", { class: "grow" }, file.name), bar, note);
    byId("uploads").append(item);
    try {
      const fields = { collection, uri: file.name, idempotency_key: crypto.randomUUID?.() ?? String(Math.random()) };
      const submission = await api.upload(file, fields, (share) => (bar.value = share));
      if (submission.error_message) throw new Error(submission.error_message);
      note.textContent = submission.is_unchanged ? "unchanged" : "accepted";
      setTimeout(() => item.remove(), 4000);
    } catch (error) {
      note.textContent = error.message;
      note.classList.add("bad");
    }
    bar.remove();
  }
}
