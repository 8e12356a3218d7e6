// Dialogs and short messages. The browser's own <dialog> keeps the focus inside and gives it back.

import { fill, freshId, make } from "../dom.js";
import { button } from "./controls.js";
import { ProblemPlace } from "./states.js";

/**
 * Shows a form; resolves with what `submit` returned, or null when it was closed.
 *
 * @param {{title: string, body: Node[], action: string, kind?: string, submit: () => Promise<any>}} content a problem
 *   that `submit` throws is shown, and the form stays
 */
export function askForm({ title, body, action, kind = "", submit }) {
  return new Promise((resolve) => {
    let result = null;
    const problem = new ProblemPlace();
    const confirm = button(action, { kind, type: "submit" });
    const { dialog, close } = open(title, () => resolve(result));
    const form = make(
      "form",
      {
        onsubmit: async (event) => {
          event.preventDefault();
          confirm.disabled = true;
          problem.show(null);
          try {
            result = (await submit()) ?? true;
            close();
          } catch (error) {
            problem.show(error);
          } finally {
            confirm.disabled = false;
          }
        },
      },
      make("div", { class: "body" }, ...body, problem.element),
      make("footer", {}, button("Cancel", { onclick: close }), confirm),
    );
    dialog.append(form);
    dialog.showModal();
    (form.querySelector("[autofocus], input, select, textarea") ?? confirm).focus();
  });
}

/**
 * Asks before something that cannot be undone.
 *
 * @param {{title: string, text: string, action: string, word?: string, submit: () => Promise<any>}} content with `word`
 *   the person must type it
 */
export function askSure({ title, text, action, word, submit }) {
  const typed = make("input", { autocomplete: "off", spellcheck: false, required: true, id: freshId("sure") });
  const body = [make("p", {}, text)];
  if (word) {
    body.push(
      make("div", { class: "field" }, make("label", { htmlFor: typed.id }, "Type ", make("code", {}, word), " to confirm"), typed),
    );
  }
  const guarded = async () => {
    if (word && typed.value.trim() !== word) throw new Error(`Type ${word} to confirm.`);
    return submit();
  };
  return askForm({ title, body, action, kind: "danger", submit: guarded });
}

/** Shows something to be read and closed. */
export function show(title, ...body) {
  return new Promise((resolve) => {
    const { dialog, close } = open(title, resolve);
    const done = button("Done", { kind: "", onclick: close });
    dialog.append(make("div", { class: "body" }, ...body), make("footer", {}, done));
    dialog.showModal();
    done.focus();
  });
}

function open(title, onclose) {
  const id = freshId("title");
  const close = () => dialog.close();
  const dialog = make(
    "dialog",
    { "aria-labelledby": id },
    make("header", {}, make("h2", { id }, title), button("", { kind: "bare small", icon: "close", name: "Close", onclick: close })),
  );
  dialog.addEventListener("close", () => {
    dialog.remove();
    onclose();
  });
  document.body.append(dialog);
  return { dialog, close };
}

const toasts = make("div", { class: "toasts", role: "status" });
const toastMilliseconds = 4000;

/** Tells in passing that something is done. */
export function toast(text) {
  if (!toasts.isConnected) document.body.append(toasts);
  const shown = make("div", { class: "toast" }, text);
  fill(toasts, shown);
  setTimeout(() => shown.remove(), toastMilliseconds);
}

/** Copies text and says so. */
export async function copyText(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    toast(`${what} copied`);
  } catch {
    toast("The browser does not allow copying here");
  }
}
