// Shows a document's text with a span highlighted.

import { documentPath } from "./api.js";
import { byId, make, showProblem } from "./dom.js";

/**
 * @param {import("./api.js").Api} api
 * @param {{documentId: string, collection: string, start?: number, end?: number, version?: number}} place offsets in
 *   Unicode code points
 */
export async function openReader(api, place) {
  const dialog = byId("reader");
  const text = byId("reader-text");
  byId("reader-title").textContent = place.documentId;
  byId("reader-place").textContent = "";
  showProblem(byId("reader-notice"), null);
  text.replaceChildren(make("p", { class: "hint" }, "Loading…"));
  if (!dialog.open) dialog.showModal();
  try {
    const { document: found } = await api.get(documentPath(place.documentId), { collection: place.collection });
    show(found, place, text);
  } catch (error) {
    text.replaceChildren();
    showProblem(byId("reader-notice"), error);
  }
}

function show(found, place, text) {
  byId("reader-title").textContent = found.title || found.document_id;
  const where = found.uri || found.document_id;
  const isChanged = place.version && found.version !== place.version;
  if (place.end === undefined || isChanged) {
    byId("reader-place").textContent = where;
    text.replaceChildren(found.text);
    text.scrollTop = 0;
    if (isChanged) {
      const message = "This document has changed since the answer: the cited place cannot be shown.";
      byId("reader-notice").append(make("div", { class: "notice" }, message));
    }
    return;
  }
  byId("reader-place").textContent = `${where} · characters ${place.start}–${place.end}`;
  // JavaScript counts UTF-16 units, the API code points: an emoji is two of the one, one of the other.
  const points = Array.from(found.text);
  const mark = make("mark", { id: "span" }, points.slice(place.start, place.end).join(""));
  text.replaceChildren(points.slice(0, place.start).join(""), mark, points.slice(place.end).join(""));
  mark.scrollIntoView({ block: "center" });
}

byId("reader-close").addEventListener("click", () => byId("reader").close());
byId("reader").addEventListener("click", (event) => {
  if (event.target === event.currentTarget) event.currentTarget.close(); // beside the dialog
});
