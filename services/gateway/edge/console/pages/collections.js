// The page of collections: what each holds and how, making and deleting them.

import { fill, make } from "../dom.js";
import { counted, formatCount, formatTime } from "../format.js";
import { button, check, chip, facts, field, select } from "../parts/controls.js";
import { askForm, askSure, toast } from "../parts/dialog.js";
import { empty, loading, ProblemPlace } from "../parts/states.js";

const fieldTypes = ["keyword", "integer", "float", "bool", "timestamp", "tags"].map((name) => [name, name]);
const languages = [
  "english", "arabic", "danish", "dutch", "finnish", "french", "german", "greek", "hungarian", "italian", "norwegian",
  "portuguese", "romanian", "russian", "spanish", "swedish", "tamil", "turkish", "none",
].map((name) => [name, name]);

export class CollectionsPage {
  title = "Collections";
  permission = "read_collections";
  hasCollection = false;
  #session;
  #problem = new ProblemPlace();
  #list = make("div", { class: "tiles", id: "collections" });

  /** @param {import("../session.js").Session} session */
  constructor(session) {
    this.#session = session;
    const create = session.may("create_collection") ? button("New collection", { kind: "", icon: "plus", onclick: () => this.#create() }) : null;
    this.element = make(
      "section",
      { id: "page-collections", class: "stack", "aria-label": "Collections" },
      make("div", { class: "row apart" }, make("p", { class: "hint" }, "A collection holds documents, their chunks and one kind of vectors."), create),
      this.#problem.element,
      this.#list,
    );
  }

  async show() {
    if (!this.#list.children.length) fill(this.#list, loading("Loading collections"));
    await this.#refresh();
  }

  async #refresh() {
    try {
      await this.#session.refreshCollections();
      this.#problem.show(null);
      const { collections } = this.#session;
      fill(
        this.#list,
        ...(collections.length
          ? collections.map((each) => this.#tile(each))
          : [empty({ icon: "collections", title: "No collections yet", text: "The first document makes the collection “default”; or make one with a schema of your own." })]),
      );
    } catch (error) {
      fill(this.#list);
      this.#problem.show(error);
    }
  }

  #tile(each) {
    const isChosen = each.name === this.#session.collection;
    const schema = Object.entries(each.fields);
    const use = () => {
      this.#session.choose(each.name);
      this.#refresh();
    };
    return make(
      "article",
      { class: `card tile ${isChosen ? "is-chosen" : ""}`, "data-collection": each.name, "aria-label": each.name },
      make("header", {}, make("h2", {}, each.name), isChosen ? chip("in use", "accent") : null),
      each.description ? make("p", {}, each.description) : null,
      make(
        "dl",
        { class: "counts" },
        ...[["documents", each.document_count], ["chunks", each.chunk_count], ["dimensions", each.dimensions]].map(([name, value]) =>
          make("div", {}, make("dd", {}, formatCount(value)), make("dt", {}, name)),
        ),
      ),
      facts([
        ["Model", each.embedding_model],
        ["Index", each.index_description || "none yet"],
        ["Language", each.language || "english"],
        ["Access", each.is_acl_required ? "every document names its readers" : "everyone reads what names no readers"],
        ["Created", each.created_at ? formatTime(each.created_at) : ""],
      ]),
      make(
        "details",
        {},
        make("summary", {}, schema.length ? counted(schema.length, "declared field") : "No declared fields"),
        schema.length
          ? make("ul", { class: "row schema" }, ...schema.map(([name, kind]) => make("li", {}, chip(`${name}: ${kind}`))))
          : make("p", { class: "hint" }, "Types of metadata are taken from their first values."),
      ),
      make(
        "footer",
        { class: "row" },
        isChosen ? null : button("Use", { kind: "quiet small", name: `Use ${each.name}`, onclick: use }),
        make("a", { class: "hint", href: "#documents", onclick: () => this.#session.choose(each.name) }, "Documents"),
        make("span", { class: "grow" }),
        this.#session.may("delete_collection") ? button("", { kind: "bare small", icon: "trash", name: `Delete ${each.name}`, onclick: () => this.#delete(each) }) : null,
      ),
    );
  }

  async #delete(each) {
    const { api } = this.#session;
    const isDone = await askSure({
      title: `Delete ${each.name}?`,
      text: `Its ${counted(each.document_count, "document")} and ${counted(each.chunk_count, "chunk")} go with it. This cannot be undone.`,
      action: "Delete the collection",
      word: each.name,
      submit: () => api.delete(`/v1/collections/${encodeURIComponent(each.name)}`),
    });
    if (!isDone) return;
    toast(`Collection ${each.name} deleted`);
    await this.#refresh();
  }

  async #create() {
    const name = make("input", { required: true, maxLength: 128, autocomplete: "off", spellcheck: false, pattern: "[A-Za-z0-9][A-Za-z0-9_.\\-]*" });
    const description = make("input", { maxLength: 2000, autocomplete: "off" });
    const model = make("input", { placeholder: "the default one", autocomplete: "off", spellcheck: false });
    const language = select(languages, "english");
    const acl = check("Refuse documents that do not say who may read them");
    const schema = new SchemaFields();
    const isDone = await askForm({
      title: "New collection",
      body: [
        field("Name", name, "Letters, digits, “_”, “-” and “.”."),
        field("What it is for", description),
        make("div", { class: "fields" }, field("Language of the texts", language, "For the word index."), field("Embedding model", model)),
        schema.element,
        acl.element,
      ],
      action: "Create",
      submit: () =>
        this.#session.api.post("/v1/collections", {
          name: name.value.trim(),
          description: description.value.trim(),
          embedding_model: model.value.trim(),
          language: language.value,
          is_acl_required: acl.box.checked,
          fields: schema.values,
        }),
    });
    if (!isDone) return;
    await this.#refresh();
    toast(`Collection ${name.value.trim()} created`);
  }
}

/** Rows of name and type. */
class SchemaFields {
  #rows = make("div", { class: "stack close" });

  constructor() {
    this.element = make(
      "fieldset",
      { class: "stack close" },
      make("legend", {}, "Metadata fields"),
      make("p", { class: "hint" }, "Declared ones keep their type; others are taken as they come."),
      this.#rows,
      make("div", {}, button("Add a field", { icon: "plus", kind: "quiet small", onclick: () => this.#add() })),
    );
  }

  get values() {
    const rows = [...this.#rows.children].map((row) => [row.querySelector("input").value.trim(), row.querySelector("select").value]);
    return Object.fromEntries(rows.filter(([name]) => name));
  }

  #add() {
    const name = make("input", { class: "grow", "aria-label": "Name of the field", autocomplete: "off", spellcheck: false });
    const row = make(
      "div",
      { class: "row tight" },
      name,
      select(fieldTypes, "keyword", { "aria-label": "Type of the field" }),
      button("", { kind: "bare small", icon: "close", name: "Remove the field", onclick: () => row.remove() }),
    );
    this.#rows.append(row);
    name.focus();
  }
}
