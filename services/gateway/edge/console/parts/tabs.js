// Tabs: arrow keys move, only the chosen one is in the tab order.

import { fill, freshId, make } from "../dom.js";

export class Tabs {
  #buttons = new Map();
  #panels = new Map();

  /** @param {string} label @param {Array<[string, string]>} tabs name and label */
  constructor(label, tabs, onchange = () => {}) {
    const list = make("div", { class: "tabs", role: "tablist", "aria-label": label });
    const panels = [];
    for (const [name, text] of tabs) {
      const panel = make("div", { role: "tabpanel", id: freshId("panel"), tabIndex: 0, hidden: true });
      const tab = make(
        "button",
        { type: "button", role: "tab", id: freshId("tab"), "aria-controls": panel.id, onclick: () => this.choose(name) },
        text,
      );
      panel.setAttribute("aria-labelledby", tab.id);
      this.#buttons.set(name, tab);
      this.#panels.set(name, panel);
      list.append(tab);
      panels.push(panel);
    }
    list.addEventListener("keydown", (event) => this.#move(event));
    this.onchange = onchange;
    this.element = make("div", {}, list, ...panels);
    this.chosen = "";
    this.choose(tabs[0][0]);
  }

  /** Puts content under a tab. */
  fill(name, ...content) {
    fill(this.#panels.get(name), ...content);
  }

  label(name, text) {
    this.#buttons.get(name).textContent = text;
  }

  choose(name) {
    if (name === this.chosen) return;
    this.chosen = name;
    for (const [each, tab] of this.#buttons) {
      const isChosen = each === name;
      tab.setAttribute("aria-selected", String(isChosen));
      tab.tabIndex = isChosen ? 0 : -1;
      this.#panels.get(each).hidden = !isChosen;
    }
    this.onchange(name);
  }

  #move(event) {
    const names = [...this.#buttons.keys()];
    const steps = { ArrowRight: 1, ArrowLeft: -1, Home: -names.length, End: names.length };
    const step = steps[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const here = names.indexOf(this.chosen);
    const there = Math.abs(step) === 1 ? (here + step + names.length) % names.length : step < 0 ? 0 : names.length - 1;
    this.choose(names[there]);
    this.#buttons.get(names[there]).focus();
  }
}
