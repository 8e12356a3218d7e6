// Who is signed in, which collections there are, which one is being worked with.

const everything = null;
const defaultCollection = "default";

export class Session extends EventTarget {
  /** @type {import("./api.js").Api} */
  api = null;
  /** @type {{tenant: string, name: string, role: string, key_id: string, permissions: string[]}|null} */
  me = null;
  /** @type {Array<{name: string, document_count: number}>} */
  collections = [];
  collection = defaultCollection;
  #permissions = everything;

  /** @param {import("./api.js").Api} api */
  async begin(api) {
    const [me, collections] = await Promise.all([whoIs(api), allCollections(api)]);
    this.api = api;
    this.me = me;
    this.#permissions = me ? new Set(me.permissions) : everything;
    this.#takeCollections(collections);
  }

  end() {
    this.api = null;
    this.me = null;
    this.collections = [];
    this.collection = defaultCollection;
  }

  /** Whether the credential may do something; operations are named as in the usage figures. */
  may(operation) {
    return this.#permissions === everything || this.#permissions.has(operation);
  }

  /** Chooses the collection that every page works with. */
  choose(name) {
    if (name === this.collection) return;
    this.collection = name;
    this.dispatchEvent(new Event("collection"));
  }

  /** Asks for the collections again, after one came or went. */
  async refreshCollections() {
    const before = this.collection;
    this.#takeCollections(await allCollections(this.api));
    this.dispatchEvent(new Event("collections"));
    if (this.collection !== before) this.dispatchEvent(new Event("collection"));
  }

  /** The chosen collection's figures; undefined where it is not there yet. */
  get chosen() {
    return this.collections.find(({ name }) => name === this.collection);
  }

  #takeCollections(collections) {
    this.collections = collections;
    const names = collections.map(({ name }) => name);
    if (names.includes(this.collection)) return;
    this.collection = names.includes(defaultCollection) || !names.length ? defaultCollection : names[0];
  }
}

/** Returns what the credential is and may do; null for one that may not even read that of itself. */
async function whoIs(api) {
  try {
    return await api.get("/v1/me");
  } catch (error) {
    if (error.status !== 403) throw error;
    return null; // the gateway refuses what is not allowed, in words
  }
}

/** Returns every collection of the tenant. */
export async function allCollections(api) {
  const found = [];
  let token = "";
  do {
    const page = await api.get("/v1/collections", { page_size: 200, page_token: token });
    found.push(...page.collections);
    token = page.next_page_token;
  } while (token && found.length < 2000);
  return found;
}
