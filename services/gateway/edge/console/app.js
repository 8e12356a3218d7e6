// Puts the console together: who is signed in, which page is shown.

import { Api } from "./api.js";
import { fill, make } from "./dom.js";
import { AskPage } from "./pages/ask.js";
import { CollectionsPage } from "./pages/collections.js";
import { DocumentsPage } from "./pages/documents.js";
import { EvaluatePage } from "./pages/evaluate.js";
import { KeysPage } from "./pages/keys.js";
import { OperationsPage } from "./pages/operations.js";
import { PeoplePage } from "./pages/people.js";
import { SearchPage } from "./pages/search.js";
import { SignIn } from "./pages/sign-in.js";
import { UsagePage } from "./pages/usage.js";
import { Session } from "./session.js";
import { Shell } from "./shell.js";

/** A page has a title, an `element` that lasts as long as the sign-in, and may have `show`, `hide`, `permission`. */
const kinds = {
  ask: AskPage,
  search: SearchPage,
  documents: DocumentsPage,
  collections: CollectionsPage,
  evaluate: EvaluatePage,
  usage: UsagePage,
  keys: KeysPage,
  people: PeoplePage,
  operations: OperationsPage,
};
const storageKey = "cairn.key";

class Console {
  #session = new Session();
  #pages = {};
  #shell = null;
  #shown = "";
  #place = make("div", { id: "console" });

  start() {
    const skip = make("a", { class: "skip", href: "#main" }, "Skip to the content");
    skip.addEventListener("click", (event) => {
      event.preventDefault();
      this.#shell?.focusMain();
    });
    document.body.append(skip, this.#place);
    this.#session.addEventListener("collection", () => {
      this.#pages[this.#shown]?.hide?.();
      this.#pages[this.#shown]?.show?.();
    });
    window.addEventListener("hashchange", () => {
      const key = keyFromAddress();
      if (key) this.#signIn(key);
      else this.#route(true);
    });
    document.addEventListener("keydown", (event) => this.#shortcut(event));
    const key = keyFromAddress() ?? sessionStorage.getItem(storageKey);
    if (key) this.#signIn(key);
    else this.#signOut();
  }

  async #signIn(key) {
    const api = new Api(key, (error) => this.#signOut(error));
    sessionStorage.setItem(storageKey, key); // now: the address no longer has it if somebody reloads
    try {
      await this.#session.begin(api);
    } catch (error) {
      if (error.status !== 401) this.#signOut(error);
      return;
    }
    this.#pages = Object.fromEntries(Object.entries(kinds).map(([name, Page]) => [name, new Page(this.#session)]));
    this.#shell = new Shell(this.#session, this.#pages, () => this.#signOut());
    fill(this.#place, this.#shell.element);
    this.#shown = "";
    this.#route(false);
  }

  #signOut(error = null) {
    sessionStorage.removeItem(storageKey);
    this.#pages[this.#shown]?.hide?.();
    this.#session.end();
    this.#pages = {};
    this.#shell = null;
    for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
    const page = new SignIn((key) => this.#signIn(key), error);
    fill(this.#place, page.element);
    document.title = "Sign in – Cairn";
    page.focus();
  }

  #route(isMoved) {
    if (!this.#shell) return;
    const wanted = location.hash.slice(1).split("/")[0];
    const name = wanted in this.#pages ? wanted : this.#shown || "ask";
    if (name === this.#shown) return;
    this.#pages[this.#shown]?.hide?.();
    this.#shown = name;
    const page = this.#pages[name];
    this.#shell.show(name, page);
    if (isMoved) this.#shell.focusTitle();
    window.scrollTo(0, 0);
    page.show?.();
  }

  #shortcut(event) {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, textarea, select, dialog")) return;
    const input = this.#pages[this.#shown]?.input;
    if (!input) return;
    event.preventDefault();
    input.focus();
  }
}

/** Takes a key out of the address (`#key=…`): a link may sign in, and must not stay in the history. */
function keyFromAddress() {
  if (!location.hash.startsWith("#key=")) return null;
  const key = decodeURIComponent(location.hash.slice(5));
  history.replaceState(null, "", location.pathname);
  return key;
}

new Console().start();
