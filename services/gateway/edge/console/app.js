// Puts the console together: who is signed in, which page is shown.

import { Api } from "./api.js";
import { AskPage } from "./ask.js";
import { DocumentsPage } from "./documents.js";
import { byId, make, showProblem } from "./dom.js";
import { SearchPage } from "./search.js";

const storageKey = "cairn.key";
const session = { api: null, collection: "default" };
const pages = {
  ask: new AskPage(session),
  search: new SearchPage(session),
  documents: new DocumentsPage(session),
};

/** Takes a key out of the address (`#key=…`): a link may sign in, and must not stay in the history. */
function keyFromAddress() {
  if (!location.hash.startsWith("#key=")) return null;
  const key = decodeURIComponent(location.hash.slice(5));
  history.replaceState(null, "", location.pathname);
  return key;
}

async function signIn(key) {
  const api = new Api(key, (error) => signOut(error));
  showProblem(byId("sign-in-problem"), null);
  try {
    const { collections } = await api.get("/v1/collections");
    sessionStorage.setItem(storageKey, key);
    session.api = api;
    offerCollections(collections.map(({ name }) => name));
    byId("key").value = "";
    route();
  } catch (error) {
    if (error.status !== 401) signOut(error);
  }
}

function signOut(error) {
  sessionStorage.removeItem(storageKey);
  session.api = null;
  route();
  showProblem(byId("sign-in-problem"), error ?? null);
  byId("key").focus();
}

function offerCollections(names) {
  const all = [...new Set(["default", ...names])];
  byId("collection").replaceChildren(...all.map((name) => make("option", { value: name }, name)));
  session.collection = all.includes(session.collection) ? session.collection : "default";
  byId("collection").value = session.collection;
}

function route() {
  const isSignedIn = session.api !== null;
  const wanted = location.hash.slice(1);
  const current = isSignedIn ? (wanted in pages ? wanted : "ask") : "sign-in";
  byId("pages").hidden = byId("session").hidden = !isSignedIn;
  byId("page-sign-in").hidden = current !== "sign-in";
  for (const [name, page] of Object.entries(pages)) {
    byId(`page-${name}`).hidden = name !== current;
    const link = document.querySelector(`nav a[href="#${name}"]`);
    if (name === current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
    if (name !== current) page.hide?.();
  }
  pages[current]?.show();
}

byId("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  signIn(byId("key").value.trim());
});
byId("sign-out").addEventListener("click", () => signOut());
byId("collection").addEventListener("change", (event) => {
  session.collection = event.target.value;
  route();
});
window.addEventListener("hashchange", () => {
  const key = keyFromAddress();
  if (key) signIn(key);
  else if (location.hash !== "#main") route();
});

const key = keyFromAddress() ?? sessionStorage.getItem(storageKey);
if (key) signIn(key);
else route();
