// What stands around every page: navigation, the collection, colours, who is signed in.

import { fill, make } from "./dom.js";
import { icon } from "./icons.js";
import { button, Choice } from "./parts/controls.js";

const groups = [
  ["Ask", ["ask", "search"]],
  ["Content", ["documents", "collections"]],
  ["Measure", ["evaluate", "usage"]],
  ["Run", ["keys", "people", "operations"]],
];
const themeKey = "cairn.theme";

export class Shell {
  #root;
  #title = make("h1", { tabIndex: -1 });
  #select = make("select", { id: "collection" });
  #pick;
  #main = make("main", { id: "main", tabIndex: -1 });
  #links = [];
  #session;

  /**
   * @param {import("./session.js").Session} session
   * @param {Object<string, {title: string, permission?: string}>} pages by name
   * @param {() => void} onSignOut
   */
  constructor(session, pages, onSignOut) {
    this.#session = session;
    this.#pick = make("label", { class: "pick" }, make("span", {}, "Collection"), this.#select);
    this.#select.addEventListener("change", () => session.choose(this.#select.value));
    session.addEventListener("collections", () => this.#offerCollections());
    session.addEventListener("collection", () => this.#offerCollections());
    const allowed = (name) => pages[name] && (!pages[name].permission || session.may(pages[name].permission));
    const menu = button("", { kind: "bare icon menu-button", icon: "menu", name: "All pages", "aria-expanded": "false", onclick: () => this.#toggle(true) });
    this.#root = make(
      "div",
      { class: "shell" },
      make(
        "aside",
        { class: "side", id: "side" },
        make("a", { class: "brand", href: "#ask" }, make("img", { src: "/assets/icon.svg", alt: "" }), "Cairn"),
        make(
          "nav",
          { "aria-label": "Pages" },
          ...groups
            .map(([title, names]) => [title, names.filter(allowed)])
            .filter(([, names]) => names.length)
            .map(([title, names]) =>
              make("div", { class: "group" }, make("h2", {}, title), ...names.map((name) => this.#link(name, pages[name].title, "link-page"))),
            ),
        ),
        make("div", { class: "foot" }, who(session.me), themeChoice(), button("Sign out", { icon: "leave", onclick: onSignOut, id: "sign-out" })),
      ),
      make("button", { type: "button", class: "veil", "aria-label": "Close the menu", tabIndex: -1, onclick: () => this.#toggle(false) }),
      make("div", { class: "stage" }, make("header", { class: "top" }, this.#title, this.#pick, menu), this.#main),
      make("nav", { class: "tabbar", "aria-label": "Main pages" }, ...["ask", "search", "documents", "collections"].filter(allowed).map((name) => this.#link(name, pages[name].title, "", 22))),
    );
    this.#root.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.#isOpen) this.#toggle(false);
    });
    this.menu = menu;
    this.#offerCollections();
  }

  get element() {
    return this.#root;
  }

  /** Shows a page: its element, its title, and whether it works with a collection. */
  show(name, page) {
    this.#toggle(false);
    document.title = `${page.title} – Cairn`;
    this.#title.textContent = page.title;
    this.#pick.hidden = page.hasCollection === false;
    fill(this.#main, page.element);
    for (const link of this.#links) {
      if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }

  focusTitle() {
    this.#title.focus({ preventScroll: true });
  }

  focusMain() {
    this.#main.focus();
  }

  get #isOpen() {
    return this.#root.classList.contains("is-open");
  }

  #toggle(isOpen) {
    if (isOpen === this.#isOpen) return;
    this.#root.classList.toggle("is-open", isOpen);
    this.menu.setAttribute("aria-expanded", String(isOpen));
    if (isOpen) this.#root.querySelector(".side a").focus();
    else if (this.#root.querySelector(".side").contains(document.activeElement)) this.menu.focus();
  }

  #link(name, title, kind, size = 18) {
    const link = make("a", { href: `#${name}`, class: kind, onclick: () => this.#toggle(false) }, icon(name, size), make("span", {}, title));
    this.#links.push(link);
    return link;
  }

  #offerCollections() {
    const names = this.#session.collections.map(({ name }) => name);
    if (!names.includes(this.#session.collection)) names.unshift(this.#session.collection);
    fill(this.#select, ...names.map((name) => make("option", { value: name }, name)));
    this.#select.value = this.#session.collection;
  }
}

function who(me) {
  if (!me) return null;
  const role = me.role ? `${me.role} of ${me.tenant}` : me.tenant;
  return make("div", { class: "who" }, make("strong", { class: "cut" }, me.name || me.key_id), make("span", { class: "hint" }, role));
}

function themeChoice() {
  const chosen = document.documentElement.dataset.theme ?? "system";
  const choice = new Choice("Colours", [["system", "Auto"], ["light", "Light"], ["dark", "Dark"]], chosen, (theme) => {
    if (theme === "system") {
      localStorage.removeItem(themeKey);
      delete document.documentElement.dataset.theme;
    } else {
      localStorage.setItem(themeKey, theme);
      document.documentElement.dataset.theme = theme;
    }
  });
  return choice.element;
}
