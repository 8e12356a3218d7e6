// Bringing documents in: files by choice or by dropping them, and web addresses.

import { fill, make } from "../dom.js";
import { counted, formatBytes } from "../format.js";
import { icon } from "../icons.js";
import { button, chip, field } from "../parts/controls.js";
import { askForm, toast } from "../parts/dialog.js";

const atOnce = 3;
const keptMilliseconds = 4000;

export class Uploads {
  #session;
  #onAccepted;
  #items = make("ul", { class: "uploads", id: "uploads", "aria-live": "polite" });
  #metadata = make("textarea", { rows: 2, spellcheck: false, placeholder: '{"doc_type": "policy", "year": 2026}' });
  #acl = make("input", { type: "text", placeholder: "group:legal, user:anna", spellcheck: false });

  /** @param {import("../session.js").Session} session @param {() => void} onAccepted */
  constructor(session, onAccepted) {
    this.#session = session;
    this.#onAccepted = onAccepted;
    const files = make("input", {
      id: "upload-files",
      class: "unseen",
      type: "file",
      multiple: true,
      onchange: (event) => {
        this.#take([...event.target.files]);
        event.target.value = "";
      },
    });
    const drop = make(
      "div",
      { class: "drop", id: "upload" },
      files,
      make("label", { htmlFor: "upload-files" }, icon("upload", 26), make("span", {}, make("strong", {}, "Choose files"), " or drop them here")),
      make("p", { class: "hint" }, "Text, Markdown, HTML, PDF, office documents, e-books, mail, tables · up to 64 MB each"),
      make(
        "div",
        { class: "row" },
        button("From web addresses", { kind: "bare small", icon: "link", onclick: () => this.#fetch() }),
      ),
      make(
        "details",
        { class: "options" },
        make("summary", {}, "Options for what is added"),
        make("div", { class: "fields" }, field("Metadata", this.#metadata, "A JSON object; filters can use it."), field("Who may read", this.#acl, "Principals, with commas; empty: as the collection says.")),
      ),
    );
    for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
      drop.addEventListener(name, (event) => {
        event.preventDefault();
        drop.classList.toggle("is-over", name === "dragenter" || name === "dragover");
      });
    }
    drop.addEventListener("drop", (event) => this.#take([...event.dataTransfer.files]));
    this.element = make("div", { class: "stack close" }, drop, this.#items);
  }

  async #take(files) {
    let options;
    try {
      options = this.#options();
    } catch (error) {
      toast(error.message);
      return;
    }
    const waiting = files.map((file) => ({ file, row: new UploadRow(file) }));
    this.#items.append(...waiting.map(({ row }) => row.element));
    const work = async () => {
      for (let next = waiting.shift(); next; next = waiting.shift()) await this.#send(next.file, next.row, options);
    };
    await Promise.all(Array.from({ length: Math.min(atOnce, waiting.length) }, work));
    this.#onAccepted();
    this.#session.refreshCollections().catch(() => {});
  }

  async #send(file, row, options) {
    const { api, collection } = this.#session;
    const fields = [["collection", collection], ["uri", file.name], ...options];
    try {
      const submission = await api.upload(file, fields, (share) => row.advance(share));
      if (submission.error_message) throw new Error(submission.error_message);
      row.accept(submission.is_unchanged ? "unchanged" : "accepted");
      this.#onAccepted();
    } catch (error) {
      row.fail(error, () => this.#again(file, row));
    }
  }

  #again(file, row) {
    row.element.remove();
    this.#take([file]);
  }

  #options() {
    const options = this.#principals().map((each) => ["acl", each]);
    const metadata = this.#metadata.value.trim();
    if (metadata) options.push(["metadata", JSON.stringify(readObject(metadata))]);
    return options;
  }

  #principals() {
    return this.#acl.value.split(",").map((each) => each.trim()).filter(Boolean);
  }

  #fetch() {
    const { api, collection } = this.#session;
    const urls = make("textarea", { rows: 4, required: true, placeholder: "https://…", spellcheck: false });
    return askForm({
      title: "Add from web addresses",
      body: [field("Addresses, one per line", urls)],
      action: "Fetch",
      submit: async () => {
        const wanted = urls.value.split(/\s+/).filter(Boolean);
        const metadata = this.#metadata.value.trim() ? readObject(this.#metadata.value) : {};
        const { submissions } = await api.post("/v1/documents/fetch", { urls: wanted, collection, metadata, acl: this.#principals() });
        const refused = submissions.filter(({ error_message: message }) => message);
        if (refused.length) throw new Error(refused.map(({ error_message: message }) => message).join("\n"));
        toast(`${counted(submissions.length, "document")} accepted`);
        this.#onAccepted();
      },
    });
  }
}

class UploadRow {
  #bar;
  #note = make("span", { class: "hint" }, "waiting");
  #end = make("span", {});

  constructor(file) {
    this.#bar = make("progress", { max: 1, value: 0, "aria-label": `Upload of ${file.name}` });
    this.element = make("li", {}, icon("documents"), make("span", { class: "grow cut" }, file.name), make("span", { class: "hint" }, formatBytes(file.size)), this.#bar, this.#note, this.#end);
  }

  advance(share) {
    this.#bar.value = share;
    this.#note.textContent = share < 1 ? `${Math.round(share * 100)} %` : "storing";
  }

  accept(text) {
    this.#bar.remove();
    this.#note.remove();
    fill(this.#end, chip(text, "good"));
    setTimeout(() => this.element.remove(), keptMilliseconds);
  }

  fail(error, onAgain) {
    this.#bar.remove();
    this.#note.textContent = error.message;
    this.#note.classList.add("bad-text");
    fill(
      this.#end,
      button("", { kind: "bare small", icon: "retry", name: "Upload again", onclick: onAgain }),
      button("", { kind: "bare small", icon: "close", name: "Dismiss", onclick: () => this.element.remove() }),
    );
  }
}

function readObject(text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error("Metadata is not JSON.");
  }
  if (value === null || typeof value !== "object" || Array.isArray(value)) throw new Error("Metadata must be a JSON object.");
  return value;
}
