// Icons as strokes on a grid of 24; decoration only: what they stand beside says the same in words.

import { makeSvg } from "./dom.js";

const shapes = {
  ask: "M20 11.500c0 4.140-3.800 7.500-8.500 7.500-1.200 0-2.300-.200-3.300-.600L4 20l1.300-3.600C3.900 15.100 3 13.400 3 11.500 3 7.360 6.800 4 11.500 4S20 7.360 20 11.500ZM8.500 10h6M8.500 13h4",
  search: "M10.500 17a6.500 6.500 0 1 0 0-13 6.500 6.500 0 0 0 0 13ZM15.300 15.300 20 20",
  documents: "M13 3H7a2 2 0 0 0-2 2v14a2 2 0 0 0 2 2h10a2 2 0 0 0 2-2V9l-6-6ZM13 3v6h6M9 13h6M9 17h4",
  collections: "M12 3 3 7.500l9 4.500 9-4.500L12 3ZM3 12l9 4.500 9-4.500M3 16.500 12 21l9-4.500",
  evaluate: "M4 20V4M4 20h16M8 15l3.500-4 3 2.500L20 7M20 7h-4M20 7v4",
  usage: "M4 20h16M7 16v-5M12 16V6M17 16v-8",
  keys: "M8 18a5 5 0 1 0 0-10 5 5 0 0 0 0 10ZM11.500 9.500 20 3M17 5.500l2.500 3M14 7.800l1.800 2.200M8 13h.01",
  people: "M9 11a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7ZM2.500 20c0-3.600 2.900-6 6.500-6s6.500 2.400 6.500 6M16 4.300a3.500 3.500 0 0 1 0 6.400M18 14.500c2.100.800 3.500 2.800 3.500 5.500",
  operations: "M3 12h4l3-8 4 16 3-8h4",
  menu: "M4 7h16M4 12h16M4 17h16",
  close: "M6 6l12 12M18 6 6 18",
  plus: "M12 5v14M5 12h14",
  upload: "M12 16V4M7 9l5-5 5 5M4 16v3a1 1 0 0 0 1 1h14a1 1 0 0 0 1-1v-3",
  download: "M12 4v12M7 11l5 5 5-5M4 19h16",
  link: "M10 14a4 4 0 0 0 5.700 0l3.300-3.300a4 4 0 0 0-5.700-5.700L12 6.300M14 10a4 4 0 0 0-5.700 0L5 13.300A4 4 0 0 0 10.700 19l1.300-1.300",
  trash: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v5M14 11v5",
  retry: "M4 12a8 8 0 1 1 2.300 5.600M4 12V7M4 12h5",
  copy: "M9 9h10v11H9zM15 9V4H5v11h4",
  check: "M5 12.500 10 17.500 19 7",
  send: "M5 12h14M13 6l6 6-6 6",
  stop: "M7 7h10v10H7z",
  options: "M4 7h10M18 7h2M4 17h2M10 17h10M16 5v4M8 15v4",
  up: "M7 11v9H3v-9h4ZM7 11l4-8c1.500 0 2.500 1 2.500 2.500V9H19a2 2 0 0 1 2 2.300l-1.200 7A2 2 0 0 1 17.800 20H7",
  down: "M17 13V4h4v9h-4ZM17 13l-4 8c-1.500 0-2.500-1-2.500-2.500V15H5a2 2 0 0 1-2-2.300l1.200-7A2 2 0 0 1 6.200 4H17",
  warning: "M12 4 2.500 20h19L12 4ZM12 10v4M12 17h.01",
  info: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18ZM12 11v5M12 8h.01",
  sun: "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8ZM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.400 1.400M17.600 17.600 19 19M5 19l1.400-1.400M17.600 6.400 19 5",
  moon: "M20 14.500A8 8 0 0 1 9.500 4a8 8 0 1 0 10.500 10.500Z",
  system: "M4 5h16v11H4zM9 20h6M12 16v4",
  leave: "M10 4H5v16h5M14 8l4 4-4 4M18 12H9",
  eye: "M2.500 12S6 5.500 12 5.500 21.500 12 21.500 12 18 18.500 12 18.500 2.500 12 2.500 12ZM12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6Z",
  new: "M12 20h8M16.500 4.500a2.100 2.100 0 0 1 3 3L8 19l-4 1 1-4L16.500 4.500Z",
};

/**
 * @param {keyof typeof shapes} name
 * @param {number} [size] pixels
 */
export function icon(name, size = 18) {
  return makeSvg(
    "svg",
    { viewBox: "0 0 24 24", width: size, height: size, fill: "none", stroke: "currentColor", "stroke-width": 1.8, "stroke-linecap": "round", "stroke-linejoin": "round", "aria-hidden": "true" },
    makeSvg("path", { d: shapes[name] }),
  );
}
