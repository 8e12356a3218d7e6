// The page of collections: what each holds and how, making and deleting them.

import { fill, make } from "../dom.js";
import { counted, formatCount, formatShare, formatTime } from "../format.js";
import { button, check, chip, facts, field, select } from "../parts/controls.js";
import { askForm, askSure, toast } from "../parts/dialog.js";
import { empty, loading, ProblemPlace } from "../parts/states.js";

const fieldTypes = ["keyword", "integer", "float", "bool", "timestamp", "tags"].map((name) => [name, name]);
const languages = [
  "english", "arabic", "danish", "dutch", "finnish", "french", "german", "greek", "hungarian", "italian", "norwegian",
  "portuguese", "romanian", "russian", "spanish", "swedish", "tamil", "turkish", "none",
].map((name) => [name, name]);
const indexKinds = [
  ["auto", "chosen by size"],
  ["flat", "flat: exact scan"],
  ["hnsw", "hnsw: graph over full vectors"],
  ["hnsw_sq8", "hnsw_sq8: graph over 8-bit vectors"],
  ["ivf_flat", "ivf_flat: lists of full vectors"],
  ["ivf_sq8", "ivf_sq8: lists of 8-bit vectors"],
  ["ivf_pq", "ivf_pq: lists of product codes"],
  ["rabitq", "rabitq: lists of bit codes"],
];

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
        ["Kind asked for", kindName(each.index_type)],
        ["Vectors", each.index?.bytes_per_vector ? `${formatCount(Math.round(each.index.bytes_per_vector))} bytes each in memory` : ""],
        ["Recall lost", each.index && each.index.recall_loss !== null ? `${formatShare(each.index.recall_loss, 1)} of the best ten, measured when it was built` : ""],
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
        this.#session.may("update_collection") ? button("Index", { kind: "quiet small", name: `Index of ${each.name}`, onclick: () => this.#changeIndex(each) }) : null,
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

  async #changeIndex(each) {
    const { api } = this.#session;
    const path = `/v1/collections/${encodeURIComponent(each.name)}`;
    const kind = select(indexKinds, each.index_type);
    const build = check("Build it anew now; searches go on meanwhile", true);
    const progress = make("p", { class: "hint", role: "status" });
    const tell = ({ fraction, message }) => {
      progress.textContent = `${formatShare(fraction)}: ${message}`;
    };
    const isDone = await askForm({
      title: `Index of ${each.name}`,
      body: [
        field("Kind", kind, "What is not built anew keeps its kind until its parts are merged."),
        build.element,
        progress,
      ],
      action: "Apply",
      submit: async () => {
        if (kind.value !== each.index_type) await api.patch(path, { index_type: kind.value });
        if (build.box.checked) await api.follow(`${path}/optimize`, {}, { progress: tell });
      },
    });
    if (!isDone) return;
    await this.#refresh();
    toast(`Index of ${each.name}: ${kindName(kind.value)}`);
  }

  async #create() {
    const name = make("input", { required: true, maxLength: 128, autocomplete: "off", spellcheck: false, pattern: "[A-Za-z0-9][A-Za-z0-9_.\\-]*" });
    const description = make("input", { maxLength: 2000, autocomplete: "off" });
    const model = make("input", { placeholder: "the default one", autocomplete: "off", spellcheck: false });
    const language = select(languages, "english");
    const kind = select(indexKinds, "auto");
    const acl = check("Refuse documents that do not say who may read them");
    const schema = new SchemaFields();
    const isDone = await askForm({
      title: "New collection",
      body: [
        field("Name", name, "Letters, digits, “_”, “-” and “.”."),
        field("What it is for", description),
        make("div", { class: "fields" }, field("Language of the texts", language, "For the word index."), field("Embedding model", model)),
        field("Index of the vectors", kind, "By size is right for most; the others trade memory, speed and recall."),
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
          index_type: kind.value,
          is_acl_required: acl.box.checked,
          fields: schema.values,
        }),
    });
    if (!isDone) return;
    await this.#refresh();
    toast(`Collection ${name.value.trim()} created`);
  }
}

/** What a kind of index is called where it is shown. */
function kindName(kind) {
  return indexKinds.find(([name]) => name === kind)?.[1] ?? kind;
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
