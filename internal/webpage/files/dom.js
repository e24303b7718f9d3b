// Elements are made here and nowhere else. Text goes in as text: nothing that a document,
// a model or a server says is ever read as HTML, and the page's policy would not let it.

/**
 * h makes an element. Properties that begin with "on" are listeners; class, and what
 * has a dash, are attributes; others are properties of the element. Children that are
 * null or false are left out, strings become text.
 */
export function h(tag, props = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) e.addEventListener(name.slice(2), value);
    else if (name === "class" || name === "role" || name === "for" || name.includes("-")) e.setAttribute(name, value === true ? "" : value);
    else e[name] = value;
  }
  e.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
  return e;
}

/** fill replaces what an element holds. */
export function fill(e, ...children) {
  e.replaceChildren(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
  return e;
}

let ids = 0;

/** newID returns an id for an element that another one points to. */
export const newID = (prefix) => `${prefix}-${++ids}`;

/** count writes a number with its unit: 1 passage, 1,115 passages. */
export const count = (n, unit) => `${n.toLocaleString("en")} ${unit}${n === 1 ? "" : "s"}`;

/** bytes writes a size for people. */
export function bytes(n) {
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (n < 1000 || unit === "GB") return `${unit === "B" ? n : n.toFixed(n < 10 ? 1 : 0)} ${unit}`;
    n /= 1000;
  }
}
