// The page of operations: is it well, what waits, where the time goes, what the last requests did.

import { fill, make } from "../dom.js";
import { counted, formatAgo, formatBytes, formatCost, formatCount, formatDuration, formatMilliseconds, formatShare, formatTime } from "../format.js";
import { button, check, chip, figures, scrolled, select } from "../parts/controls.js";
import { copyText } from "../parts/dialog.js";
import { empty, loading, notice, ProblemPlace } from "../parts/states.js";
import { waterfall } from "../parts/waterfall.js";

const pollMilliseconds = 5000;
const shownRequests = 60;
const statusKinds = { ready: "good", degraded: "warn", not_ready: "bad", draining: "warn" };

export class OperationsPage {
  title = "Operations";
  permission = "read_operations";
  hasCollection = false;
  #session;
  #timer = 0;
  #isShown = false;
  #openTraces = new Set();
  #traces = [];
  #problem = new ProblemPlace();
  #health = make("div", { class: "stack" });
  #latency = make("div", {});
  #requests = make("div", {});
  #updated = make("p", { class: "hint" });
  #isLive = check("Refresh every 5 s", true, () => this.#refresh());
  #kind = select([["", "all requests"], ["slow", "slowest first"], ["failed", "failed or degraded"]], "", { "aria-label": "Which requests", onchange: () => this.#drawRequests() });

  /** @param {import("../session.js").Session} session */
  constructor(session) {
    this.#session = session;
    fill(this.#health, loading("Loading the state"));
    this.element = make(
      "section",
      { id: "page-operations", class: "stack", "aria-label": "Operations" },
      make("div", { class: "row apart" }, this.#updated, make("div", { class: "row" }, this.#isLive.element, button("Refresh", { icon: "retry", kind: "quiet small", onclick: () => this.#refresh() }))),
      this.#problem.element,
      this.#health,
      this.#latency,
      this.#requests,
    );
  }

  show() {
    this.#isShown = true;
    this.#refresh();
  }

  hide() {
    this.#isShown = false;
    clearTimeout(this.#timer);
  }

  async #refresh() {
    clearTimeout(this.#timer);
    const { api } = this.#session;
    try {
      const [state, recent] = await Promise.all([api.get("/v1/operations"), api.get("/v1/operations/traces", { limit: 200 })]);
      this.#problem.show(null);
      this.#updated.textContent = `This gateway, ${formatTime(Date.now())}`;
      fill(this.#health, ...stateParts(state));
      fill(this.#latency, latencyCard(state.latency));
      this.#traces = recent.traces;
      this.#drawRequests();
    } catch (error) {
      if (!this.#traces.length) fill(this.#health);
      this.#problem.show(error);
    }
    if (this.#isShown && this.#isLive.box.checked) this.#timer = setTimeout(() => this.#refresh(), pollMilliseconds);
  }

  #drawRequests() {
    const focused = document.activeElement?.dataset?.trace;
    const chosen = this.#chosen();
    const body = chosen.length
      ? make("ul", { class: "requests", id: "traces" }, ...chosen.map((trace) => this.#item(trace)))
      : empty({ icon: "operations", title: "No requests yet", text: "Questions, searches and changes show up here with their steps. Texts are never kept." });
    fill(this.#requests, make("div", { class: "card" }, make("header", {}, make("h2", {}, "Recent requests"), this.#kind), body));
    if (focused) this.#requests.querySelector(`[data-trace="${CSS.escape(focused)}"]`)?.focus();
  }

  #chosen() {
    const kind = this.#kind.value;
    if (kind === "slow") return this.#traces.toSorted((a, b) => b.duration_ms - a.duration_ms).slice(0, shownRequests);
    if (kind === "failed") return this.#traces.filter((trace) => trace.is_failed || trace.marks.length).slice(0, shownRequests);
    return this.#traces.slice(0, shownRequests);
  }

  #item(trace) {
    const whole = make("div", { class: "trace" });
    const draw = () =>
      fill(
        whole,
        trace.steps.length ? waterfall(stepsOf(trace), trace.duration_ms, "Milliseconds per step") : make("p", { class: "hint" }, "No steps were recorded."),
        make("p", { class: "row" }, make("span", { class: "hint mono cut" }, `Trace ${trace.trace_id}`), button("", { kind: "bare small", icon: "copy", name: "Copy the trace id", onclick: () => copyText(trace.trace_id, "Trace id") })),
      );
    const summary = make(
      "summary",
      { "data-trace": trace.trace_id },
      make("span", { class: "grow cut" }, shortName(trace.name)),
      ...trace.marks.map((mark) => chip(mark.replaceAll("_", " "), "warn")),
      chip(trace.status || "ended", statusKind(trace)),
      make("span", { class: "number" }, formatMilliseconds(trace.duration_ms)),
      make("time", { class: "hint", dateTime: trace.began_at, title: formatTime(trace.began_at) }, formatAgo(trace.began_at)),
    );
    const details = make("details", {}, summary, whole);
    details.open = this.#openTraces.has(trace.trace_id);
    if (details.open) draw();
    details.addEventListener("toggle", () => {
      if (details.open) {
        this.#openTraces.add(trace.trace_id);
        draw();
      } else this.#openTraces.delete(trace.trace_id);
    });
    return make("li", {}, details);
  }
}

/** A request that was refused is no fault of the suite's, and did not go well either. */
function statusKind(trace) {
  if (trace.is_failed) return "bad";
  return /^([123]..|OK|)$/.test(trace.status) ? "good" : "";
}

/** "cairn.embedding.v1.EmbeddingService/Embed" as "embedding Embed". */
function shortName(name) {
  const call = /^cairn\.(\w+)\.v\d+\.\w+\/(\w+)$/.exec(name);
  return call ? `${call[1]} ${call[2]}` : name;
}

function stepsOf(trace) {
  return trace.steps.map((step) => ({ name: shortName(step.name), begin: step.begin_ms, length: step.duration_ms, depth: step.depth, isFailed: step.is_failed, series: step.kind === "call" ? 3 : 1 }));
}

function stateParts(state) {
  const { health, queue, caches, cost, load } = state;
  return [
    make(
      "div",
      { class: "card" },
      make("header", {}, make("h2", {}, "Health"), chip(health.status.replaceAll("_", " "), statusKinds[health.status] ?? "", { dot: true })),
      make(
        "ul",
        { class: "row" },
        ...Object.entries(health.components).map(([name, status]) => make("li", {}, chip(`${name}: ${status.replaceAll("_", " ")}`, statusKinds[status] ?? "bad", { dot: true }))),
      ),
      health.not_ready.length ? notice("warn", `Not answering: ${health.not_ready.join(", ")}. Answers are less than they could be, and say so.`) : null,
    ),
    figures([
      ["Running for", formatDuration(load.uptime_seconds), `version ${load.version}`],
      ["In flight", formatCount(load.requests_in_flight), "requests here, now"],
      queue ? ["Waiting", formatCount(queue.queued_count), `${counted(queue.running_count, "job")} running`] : ["Waiting", "–", "ingestion does not answer"],
      queue ? ["Oldest job", queue.oldest_job_age_seconds ? formatDuration(queue.oldest_job_age_seconds) : "–", "that has not ended"] : null,
      queue ? ["Failed", formatCount(queue.dead_letter_count), "documents, see Documents"] : null,
      ["Cost today", formatCost(cost.today), `${counted(cost.request_count, "request")}`],
    ].filter(Boolean)),
    make("div", { class: "card" }, make("header", {}, make("h2", {}, "Caches")), cacheTable(caches)),
  ];
}

function cacheTable(caches) {
  if (!caches.length) return make("p", { class: "hint" }, "No cache is in use.");
  return scrolled("Caches", make(
      "table",
      {},
      make("caption", { class: "unseen" }, "Caches of this gateway"),
      make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "Cache"), ...["Hit ratio", "Hits", "Misses", "Entries", "Size"].map((name) => make("th", { scope: "col", class: "number" }, name)))),
      make(
        "tbody",
        {},
        ...caches.map((cache) =>
          make(
            "tr",
            {},
            make("th", { scope: "row" }, cache.name),
            make("td", { class: "number" }, formatShare(cache.hit_count + cache.miss_count ? cache.hit_count / (cache.hit_count + cache.miss_count) : null)),
            ...[cache.hit_count, cache.miss_count, cache.entry_count].map((value) => make("td", { class: "number" }, formatCount(value))),
            make("td", { class: "number" }, formatBytes(cache.size_bytes)),
          ),
        ),
      ),
    ),
  );
}

function latencyCard(rows) {
  const totals = rows.filter(({ stage }) => stage === "total").toSorted((a, b) => b.count - a.count);
  const operations = totals.map(({ operation }) => operation);
  if (!operations.length) return null;
  return make(
    "div",
    { class: "card" },
    make("header", {}, make("h2", {}, "Latency by stage"), make("span", { class: "hint" }, "over the last requests")),
    scrolled("Latency by stage", make(
        "table",
        { id: "latency" },
        make("caption", { class: "unseen" }, "Milliseconds per stage, over the last requests"),
        make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "Stage"), make("th", { scope: "col" }, make("span", { class: "unseen" }, "Median drawn as a bar")), ...["p50", "p95", "p99", "Requests"].map((name) => make("th", { scope: "col", class: "number" }, name)))),
        ...operations.map((operation) => latencyRows(operation, rows.filter((row) => row.operation === operation))),
      ),
    ),
  );
}

function latencyRows(operation, rows) {
  const longest = Math.max(...rows.map(({ p50_ms: value }) => value), 0.001);
  const total = rows.find(({ stage }) => stage === "total");
  return make(
    "tbody",
    {},
    make("tr", { class: "head" }, make("th", { scope: "rowgroup", colSpan: 2 }, operation), ...numbers(total)),
    ...rows
      .filter((row) => row !== total)
      .map((row) => make("tr", {}, make("td", { class: "stage-name" }, row.stage), make("td", { class: "bar-cell" }, make("i", { "--share": `${(100 * row.p50_ms) / longest}%` })), ...numbers(row))),
  );
}

function numbers(row) {
  if (!row) return [make("td", { colSpan: 4 })];
  return [...[row.p50_ms, row.p95_ms, row.p99_ms].map((value) => make("td", { class: "number" }, formatMilliseconds(value))), make("td", { class: "number" }, formatCount(row.count))];
}
