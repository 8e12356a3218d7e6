// The page of keys: make, rotate, revoke; when each was last used.

import { fill, make } from "../dom.js";
import { formatAgo, formatTime } from "../format.js";
import { button, check, chip, field, scrolled, select } from "../parts/controls.js";
import { askForm, askSure, copyText, show, toast } from "../parts/dialog.js";
import { empty, loading, notice, ProblemPlace } from "../parts/states.js";

const lifetimes = [["", "never"], ["7", "in 7 days"], ["30", "in 30 days"], ["90", "in 90 days"], ["365", "in a year"]];
const overlaps = [["0", "at once"], ["3600", "in an hour"], ["86400", "in a day"], ["604800", "in a week"]];
const roleTexts = {
  viewer: "viewer: reads and asks",
  editor: "editor: also brings documents in",
  operator: "operator: also deletes collections, sees usage",
  admin: "admin: also manages keys",
};

export class KeysPage {
  title = "Keys";
  permission = "manage_keys";
  hasCollection = false;
  #session;
  #keys = [];
  #problem = new ProblemPlace();
  #list = make("div", {});
  #ended = check("Show ended keys", false, () => this.#draw());

  /** @param {import("../session.js").Session} session */
  constructor(session) {
    this.#session = session;
    this.element = make(
      "section",
      { id: "page-keys", class: "stack", "aria-label": "Keys" },
      make("div", { class: "row apart" }, make("p", { class: "hint" }, "Tenant and permissions of a request come from its key alone."), button("New key", { kind: "", icon: "plus", onclick: () => this.#create() })),
      make("div", { class: "card" }, make("header", {}, make("h2", {}, "Keys of this tenant"), this.#ended.element), this.#problem.element, this.#list),
    );
  }

  async show() {
    if (!this.#list.children.length) fill(this.#list, loading("Loading keys"));
    try {
      const { keys } = await this.#session.api.get("/v1/keys");
      this.#keys = keys;
      this.#problem.show(null);
      this.#draw();
    } catch (error) {
      fill(this.#list);
      this.#problem.show(error);
    }
  }

  #draw() {
    const shown = this.#keys.filter((key) => this.#ended.box.checked || isLive(key));
    if (!shown.length) {
      fill(this.#list, empty({ icon: "keys", title: "No keys" }));
      return;
    }
    fill(
      this.#list,
      scrolled("Keys", make(
          "table",
          { class: "blocks", id: "keys" },
          make("caption", { class: "unseen" }, "Keys, newest first"),
          make("thead", {}, make("tr", {}, ...["Name", "Role", "Reads as", "Last used", "Ends"].map((name) => make("th", { scope: "col" }, name)), make("th", { scope: "col" }, make("span", { class: "unseen" }, "Actions")))),
          make("tbody", {}, ...shown.map((key) => this.#row(key))),
        ),
      ),
    );
  }

  #row(key) {
    const isOwn = key.key_id === this.#session.me?.key_id;
    const isUsable = isLive(key);
    const secrets = key.secrets.filter((secret) => !secret.revoked_at && !isPast(secret.expires_at));
    return make(
      "tr",
      { "data-key-id": key.key_id },
      make("th", { scope: "row" }, key.name, isOwn ? " (this one)" : "", make("p", { class: "hint mono" }, `crn_${key.key_id}_…`), secrets.length > 1 ? make("p", { class: "hint" }, `${secrets.length} secrets live`) : null),
      make("td", {}, chip(key.role, key.role === "admin" ? "accent" : ""), ...grantChips(key.grants)),
      make("td", { class: "hint", "data-label": "reads as" }, key.principals.join(", ")),
      make("td", { class: "hint", "data-label": "last used" }, key.last_used_at ? make("time", { dateTime: key.last_used_at, title: formatTime(key.last_used_at) }, formatAgo(key.last_used_at)) : "never"),
      make("td", { class: "hint", "data-label": "ends" }, ending(key)),
      make(
        "td",
        { class: "actions" },
        isUsable
          ? make(
              "div",
              {},
              button("", { kind: "bare small", icon: "retry", name: `Rotate ${key.name}`, onclick: () => this.#rotate(key) }),
              button("", { kind: "bare small", icon: "trash", name: `Revoke ${key.name}`, disabled: isOwn, onclick: () => this.#revoke(key) }),
            )
          : null,
      ),
    );
  }

  async #create() {
    const name = make("input", { required: true, maxLength: 128, autocomplete: "off" });
    const role = select(Object.entries(roleTexts), "viewer");
    const principals = make("input", { placeholder: "everyone, group:legal", autocomplete: "off", spellcheck: false });
    const lifetime = select(lifetimes, "90");
    const made = await askForm({
      title: "New key",
      body: [
        field("Name", name, "What it is for: “website”, “Anna's laptop”."),
        field("Role", role),
        field("Reads as", principals, "Principals, with commas; empty: everyone and the key itself."),
        field("Ends", lifetime),
      ],
      action: "Create",
      submit: () => {
        const given = principals.value.split(",").map((each) => each.trim()).filter(Boolean);
        return this.#session.api.post("/v1/keys", {
          name: name.value.trim(),
          role: role.value,
          principals: given.length ? given : null,
          expires_in_days: lifetime.value ? Number(lifetime.value) : null,
        });
      },
    });
    if (!made) return;
    await showSecret("The new key", made.secret);
    await this.show();
  }

  async #rotate(key) {
    const overlap = select(overlaps, "86400");
    const made = await askForm({
      title: `Rotate ${key.name}?`,
      body: [make("p", {}, "The key gets a new secret and keeps its id, name and permissions. The old secret goes on working for a while, so that nothing breaks."), field("The old secret ends", overlap)],
      action: "Rotate",
      submit: () => this.#session.api.post(`/v1/keys/${key.key_id}/rotate`, { overlap_seconds: Number(overlap.value) }),
    });
    if (!made) return;
    await showSecret("The new secret", made.secret);
    await this.show();
  }

  async #revoke(key) {
    const isDone = await askSure({
      title: `Revoke ${key.name}?`,
      text: "Whoever uses it is refused everywhere within five seconds. This cannot be undone.",
      action: "Revoke",
      submit: () => this.#session.api.delete(`/v1/keys/${key.key_id}`),
    });
    if (!isDone) return;
    toast(`${key.name} revoked`);
    await this.show();
  }
}

function showSecret(title, secret) {
  const shown = make("input", { readOnly: true, value: secret, class: "mono", id: "new-secret", "aria-label": "Secret", onfocus: (event) => event.target.select() });
  return show(
    title,
    notice("warn", "Copy it now: it is not shown again."),
    make("div", { class: "row tight" }, make("div", { class: "grow field" }, shown), button("Copy", { icon: "copy", onclick: () => copyText(secret, "Key") })),
  );
}

function grantChips(grants) {
  return grants.filter(({ collections }) => collections?.length).map(({ role, collections }) => chip(`${role} of ${collections.join(", ")}`));
}

function ending(key) {
  if (key.revoked_at) return `revoked ${formatAgo(key.revoked_at)}`;
  if (!key.expires_at) return "never";
  return make("time", { dateTime: key.expires_at, title: formatTime(key.expires_at) }, isPast(key.expires_at) ? `ended ${formatAgo(key.expires_at)}` : formatAgo(key.expires_at));
}

function isLive(key) {
  return !key.revoked_at && !isPast(key.expires_at);
}

function isPast(time) {
  return Boolean(time) && new Date(time) <= new Date();
}
