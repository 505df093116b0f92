/** Elements made of text and attributes. Nothing here, nor anywhere else on these pages, reads HTML. */

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Makes an element; `onclick` and the like are listeners, children are nodes or text. */
export const el = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);

/** Makes an element of a drawing. */
export const svg = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

/** Sets a text where it is another one: what stays the same costs no layout. */
export function setText(node, text) {
  const only = node.firstChild;
  if (only !== null && only === node.lastChild && only.nodeType === Node.TEXT_NODE) {
    if (only.data !== text) only.data = text;
  } else {
    node.textContent = text;
  }
}

/** Sets an attribute where it is another one; null removes it. */
export function setAttribute(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

export const byId = (id) => document.getElementById(id);

const waiting = new Set();
let isAsked = false;

/** Runs `draw` at the next animation frame, once, however often it is asked for until then. */
export function inFrame(draw) {
  waiting.add(draw);
  if (isAsked) return;
  isAsked = true;
  requestAnimationFrame(() => {
    isAsked = false;
    const all = [...waiting];
    waiting.clear();
    for (const each of all) each();
  });
}

/** A table of terms that is filled again and again: [term, text, tone]. */
export class Facts {
  constructor(node) {
    this._node = node;
    this._rows = new Map();
  }

  show(facts) {
    for (const [term, text, tone = ""] of facts) {
      let row = this._rows.get(term);
      if (row === undefined) {
        row = el("dd");
        this._node.append(el("div", {}, el("dt", {}, term), row));
        this._rows.set(term, row);
      }
      setText(row, text);
      setAttribute(row, "data-tone", tone || null);
    }
  }
}

/** Keeps one child per key in a parent, in the order given: `make` once, `update` every time. */
export class Keyed {
  constructor(parent, make, update) {
    this._parent = parent;
    this._make = make;
    this._update = update;
    this._nodes = new Map();
  }

  show(rows, keyOf) {
    const gone = new Set(this._nodes.keys());
    let before = null;
    for (const row of rows) {
      const key = keyOf(row);
      gone.delete(key);
      let node = this._nodes.get(key);
      if (node === undefined) {
        node = this._make(row);
        this._nodes.set(key, node);
      }
      const due = before === null ? this._parent.firstElementChild : before.nextElementSibling;
      if (due !== node) this._parent.insertBefore(node, due);
      this._update(node, row);
      before = node;
    }
    for (const key of gone) {
      this._nodes.get(key).remove();
      this._nodes.delete(key);
    }
  }
}
