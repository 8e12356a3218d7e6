// The page of usage and cost: per day, by what was done, in which collection, by whom; limits and alerts.

import { fill, make } from "../dom.js";
import { formatBytes, formatCost, formatCount, formatDuration, formatTime } from "../format.js";
import { button, chip, Choice, field, figures, meter, scrolled, select } from "../parts/controls.js";
import { empty, loading, notice, ProblemPlace } from "../parts/states.js";
import { stackedBars } from "../parts/chart.js";

const spans = [["7", "7 days"], ["30", "30 days"], ["90", "90 days"]];
const groupings = [["operation", "Operation"], ["collection", "Collection"], ["user", "User"]];
const tokenKinds = ["embedding_tokens", "rerank_tokens", "prompt_tokens", "completion_tokens"];

/** What can be drawn: how a row counts, and how the figure reads. */
const measures = {
  request_count: ["Requests", (row) => row.request_count, formatCount],
  tokens: ["Tokens", (row) => tokensOf(row.usage), formatCount],
  cost: ["Cost", (row) => row.cost.amount, null],
};

export class UsagePage {
  title = "Usage and cost";
  permission = "read_usage";
  hasCollection = false;
  #session;
  #rows = [];
  #total = null;
  #problem = new ProblemPlace();
  #body = make("div", { class: "stack" });
  #limits = make("div", { class: "stack" });
  #span;
  #grouping;
  #measure;

  /** @param {import("../session.js").Session} session */
  constructor(session) {
    this.#session = session;
    this.#span = new Choice("Span", spans, "30", () => this.show());
    this.#grouping = select(groupings, "operation", { onchange: () => this.show() });
    this.#measure = new Choice("Figure", Object.entries(measures).map(([name, [label]]) => [name, label]), "request_count", () => this.#draw());
    this.element = make(
      "section",
      { id: "page-usage", class: "stack", "aria-label": "Usage and cost" },
      make("div", { class: "row apart end" }, this.#span.element, make("div", { class: "row end" }, field("Split by", this.#grouping), button("CSV", { icon: "download", name: "Download as CSV", onclick: () => this.#download() }))),
      this.#problem.element,
      this.#body,
      this.#limits,
    );
  }

  async show() {
    if (!this.#rows.length) fill(this.#body, loading("Loading usage"));
    try {
      const { rows, total } = await this.#session.api.get("/v1/usage", this.#parameters());
      this.#rows = rows;
      this.#total = total ?? null;
      this.#problem.show(null);
      this.#draw();
    } catch (error) {
      fill(this.#body);
      this.#problem.show(error);
    }
    await this.#showLimits();
  }

  #parameters() {
    const days = this.#days();
    return { from_day: days[0], to_day: days.at(-1), group_by: `day,${this.#grouping.value}` };
  }

  #days() {
    const count = Number(this.#span.value);
    const today = Date.now();
    return Array.from({ length: count }, (_, place) => new Date(today - (count - 1 - place) * 86_400_000).toISOString().slice(0, 10));
  }

  #draw() {
    const rows = this.#rows;
    if (!rows.length) {
      fill(this.#body, empty({ icon: "usage", title: "Nothing used in this span", text: "Questions, searches and documents show up here within seconds." }));
      return;
    }
    const currency = rows[0].cost.currency;
    const cost = (amount) => formatCost({ amount, currency });
    const [label, valueOf, format] = measures[this.#measure.value];
    const days = this.#days();
    const names = [...new Set(rows.map((row) => this.#nameOf(row)))];
    const series = names.map((name) => ({
      name,
      values: days.map((day) => sum(rows.filter((row) => row.day === day && this.#nameOf(row) === name).map(valueOf))),
    }));
    const today = days.at(-1);
    fill(
      this.#body,
      figures([
        ["Requests", formatCount(sum(rows.map((row) => row.request_count))), `${formatCount(sum(rows.filter(({ day }) => day === today).map((row) => row.request_count)))} today`],
        ["Tokens", formatCount(sum(rows.map((row) => tokensOf(row.usage)))), `${formatCount(sum(rows.map((row) => row.usage.cached_prompt_tokens)))} of them cached`],
        ["Cost", cost(sum(rows.map((row) => row.cost.amount))), `${cost(sum(rows.filter(({ day }) => day === today).map((row) => row.cost.amount)))} today`],
        ["Failed", formatCount(sum(rows.map((row) => row.failed_count ?? 0))), "requests"],
      ]),
      make(
        "div",
        { class: "card" },
        make("header", {}, make("h2", {}, `${label} per day`), this.#measure.element),
        stackedBars({ days, series, format: format ?? cost, label: `${label} per day, by ${this.#grouping.value}` }),
      ),
      make("div", { class: "card" }, make("header", {}, make("h2", {}, `By ${this.#grouping.value}`)), this.#table(names, cost)),
    );
  }

  #nameOf(row) {
    return row[this.#grouping.value] || "(none)";
  }

  #table(names, cost) {
    const heads = ["Requests", "Failed", "Embedded", "Read", "Written", "Documents", "Cost"];
    const ordered = names
      .map((name) => [name, this.#rows.filter((row) => this.#nameOf(row) === name)])
      .toSorted(([, a], [, b]) => sum(b.map((row) => row.request_count)) - sum(a.map((row) => row.request_count)));
    const cells = (rows) => [
      formatCount(sum(rows.map((row) => row.request_count))),
      formatCount(sum(rows.map((row) => row.failed_count ?? 0))),
      formatCount(sum(rows.map(({ usage }) => usage.embedding_tokens + usage.rerank_tokens))),
      formatCount(sum(rows.map(({ usage }) => usage.prompt_tokens))),
      formatCount(sum(rows.map(({ usage }) => usage.completion_tokens))),
      formatCount(sum(rows.map((row) => row.document_count ?? 0))),
      cost(sum(rows.map((row) => row.cost.amount))),
    ];
    const numbers = (rows) => cells(rows).map((text, place) => make("td", { class: "number", "data-label": heads[place].toLowerCase() }, text));
    return scrolled("Usage", make(
        "table",
        { class: "blocks", id: "usage" },
        make("caption", { class: "unseen" }, "Usage; embedded, read and written are tokens"),
        make("thead", {}, make("tr", {}, make("th", { scope: "col" }, this.#grouping.selectedOptions[0].text), ...heads.map((head) => make("th", { scope: "col", class: "number" }, head)))),
        make("tbody", {}, ...ordered.map(([name, rows]) => make("tr", {}, make("th", { scope: "row" }, name), ...numbers(rows)))),
        make("tfoot", {}, make("tr", {}, make("th", { scope: "row" }, "Total"), ...numbers(this.#rows))),
      ),
    );
  }

  async #showLimits() {
    const { api } = this.#session;
    const [limits, alerts] = await Promise.all([optional(api.get("/v1/limits")), optional(api.get("/v1/usage/alerts"))]);
    fill(this.#limits, alerts?.alerts.length ? alertList(alerts.alerts) : null, limits?.limits.length ? limitTable(limits) : null);
  }

  async #download() {
    try {
      const blob = await this.#session.api.blob("/v1/usage", { ...this.#parameters(), format: "csv" });
      const link = make("a", { href: URL.createObjectURL(blob), download: `usage-${this.#parameters().to_day}.csv` });
      link.click();
      URL.revokeObjectURL(link.href);
    } catch (error) {
      this.#problem.show(error);
    }
  }
}

function limitTable({ tier, limits }) {
  const rows = limits.map((limit) => {
    const isUnlimited = limit.amount === null;
    const share = isUnlimited || !limit.amount ? 0 : limit.used / limit.amount;
    const kind = share >= 1 ? "bad" : share >= 0.8 ? "warn" : "";
    const format = limit.resource === "bytes" ? formatBytes : formatCount;
    const name = `${limit.resource} per ${limit.subject}, ${limit.period.replaceAll("_", " ")}`;
    return make(
      "tr",
      {},
      make("th", { scope: "row" }, name),
      make("td", { class: "meter-cell" }, isUnlimited ? make("span", { class: "hint" }, "no limit") : meter(share, name, kind)),
      make("td", { class: "number" }, isUnlimited ? format(limit.used) : `${format(limit.used)} of ${format(limit.amount)}`),
      make("td", {}, limit.mode === "hard" ? null : chip(limit.mode, "accent")),
      make("td", { class: "hint number" }, limit.reset_seconds >= 1 ? `resets in ${formatDuration(limit.reset_seconds)}` : ""),
    );
  });
  return make(
    "div",
    { class: "card" },
    make("header", {}, make("h2", {}, "Limits of this key"), chip(`${tier} tier`, "accent")),
    scrolled("Limits", make("table", { class: "blocks" }, make("caption", { class: "unseen" }, "Limits and what is used of them"), make("tbody", {}, ...rows))),
  );
}

function alertList(alerts) {
  return make(
    "div",
    { class: "stack close" },
    ...alerts.slice(0, 5).map((alert) => {
      const text = alert.kind === "spike" ? `${alert.resource} of ${alert.subject} ${alert.subject_id} rose ${alert.threshold}-fold` : `${alert.subject} ${alert.subject_id} has used ${Math.round(alert.threshold * 100)} % of its ${alert.resource} per ${alert.period}`;
      return notice("warn", text, make("span", { class: "hint" }, `${alert.window} · ${formatTime(alert.at)}`));
    }),
  );
}

function tokensOf(usage) {
  return sum(tokenKinds.map((kind) => usage[kind]));
}

function sum(values) {
  return values.reduce((all, value) => all + value, 0);
}

/** What a deployment may not have, or a key may not see, is left out. */
async function optional(promise) {
  try {
    return await promise;
  } catch (error) {
    if ([403, 404, 501, 503].includes(error.status)) return null;
    throw error;
  }
}
