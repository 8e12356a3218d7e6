// The page of people: users, groups and the roles they have, tenant-wide or on some collections.

import { fill, make } from "../dom.js";
import { counted } from "../format.js";
import { button, check, chip, field, scrolled, select } from "../parts/controls.js";
import { askForm, askSure, toast } from "../parts/dialog.js";
import { empty, loading, ProblemPlace } from "../parts/states.js";
import { Tabs } from "../parts/tabs.js";

export class PeoplePage {
  title = "People";
  permission = "manage_users";
  hasCollection = false;
  #session;
  #roles = [];
  #problem = new ProblemPlace();
  #tabs = new Tabs("People", [["users", "Users"], ["groups", "Groups"], ["roles", "Roles"]]);

  /** @param {import("../session.js").Session} session */
  constructor(session) {
    this.#session = session;
    this.element = make("section", { id: "page-people", class: "stack", "aria-label": "People" }, this.#problem.element, make("div", { class: "card" }, this.#tabs.element));
    for (const name of ["users", "groups", "roles"]) this.#tabs.fill(name, loading("Loading"));
  }

  async show() {
    const { api } = this.#session;
    try {
      const [users, groups, roles] = await Promise.all([api.get("/v1/users", { page_size: 500 }), api.get("/v1/groups", { page_size: 500 }), api.get("/v1/roles")]);
      this.#problem.show(null);
      this.#roles = roles.roles;
      this.#tabs.fill("users", ...this.#users(users.users));
      this.#tabs.fill("groups", ...this.#groups(groups.groups));
      this.#tabs.fill("roles", ...this.#roleList(roles));
    } catch (error) {
      for (const name of ["users", "groups", "roles"]) this.#tabs.fill(name);
      this.#problem.show(error);
    }
  }

  #users(users) {
    const add = button("New user", { icon: "plus", kind: "small", onclick: () => this.#edit("users", null) });
    const intro = make("div", { class: "row apart" }, make("p", { class: "hint" }, "People who sign in by your identity provider, and owners of keys."), add);
    if (!users.length) return [intro, empty({ icon: "people", title: "No users yet", text: "Keys work without; users let you give roles to people and groups." })];
    return [
      intro,
      table(
        ["User", "Groups", "Roles"],
        users.map((user) => [
          [user.name || user.user_id, user.name ? user.user_id : "", user.is_disabled ? chip("disabled", "bad") : null],
          user.groups.join(", ") || "–",
          grants(user.grants),
          [
            button("", { kind: "bare small", icon: "new", name: `Change ${user.user_id}`, onclick: () => this.#edit("users", user) }),
            button("", { kind: "bare small", icon: "trash", name: `Delete ${user.user_id}`, onclick: () => this.#remove("users", user.user_id) }),
          ],
        ]),
      ),
    ];
  }

  #groups(groups) {
    const add = button("New group", { icon: "plus", kind: "small", onclick: () => this.#edit("groups", null) });
    const intro = make("div", { class: "row apart" }, make("p", { class: "hint" }, "A group's roles are its members'; documents can name it as a reader."), add);
    if (!groups.length) return [intro, empty({ icon: "people", title: "No groups yet" })];
    return [
      intro,
      table(
        ["Group", "Members", "Roles"],
        groups.map((group) => [
          [group.group, group.description],
          counted(group.member_count, "member"),
          grants(group.grants),
          [
            button("", { kind: "bare small", icon: "new", name: `Change ${group.group}`, onclick: () => this.#edit("groups", group) }),
            button("", { kind: "bare small", icon: "trash", name: `Delete ${group.group}`, onclick: () => this.#remove("groups", group.group) }),
          ],
        ]),
      ),
    ];
  }

  #roleList({ roles, permissions }) {
    const add = button("New role", { icon: "plus", kind: "small", onclick: () => this.#createRole(permissions) });
    return [
      make("div", { class: "row apart" }, make("p", { class: "hint" }, "What a role may do. Make your own of any permissions."), add),
      table(
        ["Role", "May"],
        roles.map((role) => [
          [role.role, role.description],
          make("div", { class: "row" }, ...role.permissions.map((name) => chip(name.replaceAll("_", " ")))),
          role.is_builtin ? [] : [button("", { kind: "bare small", icon: "trash", name: `Delete ${role.role}`, onclick: () => this.#remove("roles", role.role) })],
        ]),
      ),
    ];
  }

  async #edit(kind, given) {
    const isUser = kind === "users";
    const id = make("input", { required: true, autocomplete: "off", spellcheck: false, value: (isUser ? given?.user_id : given?.group) ?? "", readOnly: given !== null });
    const name = make("input", { autocomplete: "off", value: (isUser ? given?.name : given?.description) ?? "" });
    const groups = make("input", { autocomplete: "off", spellcheck: false, value: given?.groups?.join(", ") ?? "" });
    const disabled = check("Disabled: refused everywhere", given?.is_disabled ?? false);
    const roles = new Grants(this.#roles.map(({ role }) => role), given?.grants ?? []);
    const isDone = await askForm({
      title: given ? "Change" : isUser ? "New user" : "New group",
      body: [
        field(isUser ? "User id" : "Group", id, isUser ? "As the identity provider names the person." : "As documents and tokens name it."),
        field(isUser ? "Name" : "Description", name),
        ...(isUser ? [field("Groups", groups, "With commas.")] : []),
        roles.element,
        ...(isUser ? [disabled.element] : []),
      ],
      action: "Save",
      submit: () => {
        const common = { grants: roles.values };
        const body = isUser ? { ...common, name: name.value.trim(), groups: names(groups.value), is_disabled: disabled.box.checked } : { ...common, description: name.value.trim() };
        return this.#session.api.put(`/v1/${kind}/${encodeURIComponent(id.value.trim())}`, body);
      },
    });
    if (!isDone) return;
    toast("Saved");
    await this.show();
  }

  async #createRole(permissions) {
    const id = make("input", { required: true, autocomplete: "off", spellcheck: false });
    const description = make("input", { autocomplete: "off" });
    const boxes = permissions.map((each) => ({ name: each.name, ...check(each.name.replaceAll("_", " ")) }));
    const isDone = await askForm({
      title: "New role",
      body: [field("Role", id), field("Description", description), make("fieldset", {}, make("legend", {}, "May"), make("div", { class: "fields" }, ...boxes.map(({ element }) => element)))],
      action: "Create",
      submit: () =>
        this.#session.api.put(`/v1/roles/${encodeURIComponent(id.value.trim())}`, {
          description: description.value.trim(),
          permissions: boxes.filter(({ box }) => box.checked).map(({ name }) => name),
        }),
    });
    if (!isDone) return;
    toast("Role made");
    await this.show();
  }

  async #remove(kind, id) {
    const isDone = await askSure({ title: `Delete ${id}?`, text: "What it allowed is refused from then on.", action: "Delete", submit: () => this.#session.api.delete(`/v1/${kind}/${encodeURIComponent(id)}`) });
    if (!isDone) return;
    toast(`${id} deleted`);
    await this.show();
  }
}

/** Rows of role and collections. */
class Grants {
  #roles;
  #rows = make("div", { class: "stack close" });

  constructor(roles, given) {
    this.#roles = roles.map((name) => [name, name]);
    for (const each of given) this.#add(each);
    this.element = make(
      "fieldset",
      { class: "stack close" },
      make("legend", {}, "Roles"),
      this.#rows,
      make("div", {}, button("Add a role", { icon: "plus", kind: "quiet small", onclick: () => this.#add({ role: "viewer", collections: [] }) })),
    );
  }

  get values() {
    return [...this.#rows.children].map((row) => ({ role: row.querySelector("select").value, collections: names(row.querySelector("input").value) }));
  }

  #add({ role, collections }) {
    const row = make(
      "div",
      { class: "row tight" },
      select(this.#roles, role, { "aria-label": "Role" }),
      make("input", { class: "grow", "aria-label": "Collections", placeholder: "all collections", value: collections.join(", "), spellcheck: false }),
      button("", { kind: "bare small", icon: "close", name: "Remove the role", onclick: () => row.remove() }),
    );
    this.#rows.append(row);
  }
}

function names(text) {
  return text.split(",").map((each) => each.trim()).filter(Boolean);
}

function grants(given) {
  if (!given.length) return "–";
  return make("div", { class: "row" }, ...given.map(({ role, collections }) => chip(collections.length ? `${role} of ${collections.join(", ")}` : role, role === "admin" ? "accent" : "")));
}

function table(heads, rows) {
  return scrolled("People", make(
      "table",
      { class: "blocks" },
      make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, head)), make("th", { scope: "col" }, make("span", { class: "unseen" }, "Actions")))),
      make(
        "tbody",
        {},
        ...rows.map((cells) => {
          const [[title, note, mark], ...rest] = cells;
          const actions = rest.length === heads.length ? rest.pop() : [];
          return make(
            "tr",
            {},
            make("th", { scope: "row" }, title, mark ? " " : null, mark ?? null, note ? make("p", { class: "hint" }, note) : null),
            ...rest.map((cell, place) => make("td", { "data-label": heads[place + 1].toLowerCase() }, cell)),
            make("td", { class: "actions" }, make("div", {}, ...actions)),
          );
        }),
      ),
    ),
  );
}
