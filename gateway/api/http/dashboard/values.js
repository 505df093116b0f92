/** The live values, by device: one table each. A row is written at most once a frame, its trend only while it is in view. */

import { byId, el, inFrame, setAttribute, setText } from "./dom.js";
import { ageText, durationText, shortText, unitText, valueText } from "./format.js";
import { drawSpark, makeSpark } from "./spark.js";

const HEADS = [
  ["Value", "name"], ["Trend", "trend"], ["Now", "value"], ["Unit", "unit"], ["Age", "age"], ["Quality", "marks"], ["", "why"],
];

const MANY_ROWS = 300;

export class ValuesView {
  /** `inspect(value)` opens the history of a value. */
  constructor(store, { inspect }) {
    this._store = store;
    this._inspect = inspect;
    this._rows = new Map(); // route -> row
    this._groups = new Map(); // device -> group
    this._dirty = new Set();
    this._filter = "";
    this._device = null;
    this._onlyMarked = false;
    this._draw = () => this._drawDirty();
    this._onScreen = new IntersectionObserver((seen) => this._seen(seen), { rootMargin: "200px" });
    byId("filter").addEventListener("input", (event) => this._find(event.target.value));
    byId("only-marked").addEventListener("change", (event) => {
      this._onlyMarked = event.target.checked;
      this._sieve();
    });
  }

  /** Shows one device, or all (null). */
  show(device) {
    this._device = device;
    this._sieve();
  }

  /** Takes routes and devices as the store has them now. */
  arrange() {
    const byDevice = new Map([...this._store.devices.keys()].map((name) => [name, []]));
    for (const value of this._store.values.values()) {
      if (!byDevice.has(value.device)) byDevice.set(value.device, []);
      byDevice.get(value.device).push(value);
    }
    for (const [route, row] of this._rows) {
      if (this._store.values.get(route) === row.value) continue;
      this._onScreen.unobserve(row.node);
      row.node.remove();
      this._rows.delete(route);
    }
    for (const [device, group] of this._groups) {
      if (byDevice.has(device)) continue;
      group.node.remove();
      this._groups.delete(device);
    }
    const place = byId("groups");
    for (const [device, values] of byDevice) {
      let group = this._groups.get(device);
      if (group === undefined) {
        group = makeGroup(device);
        this._groups.set(device, group);
      }
      place.append(group.node);
      for (const value of values) this._place(group, value);
      setAttribute(group.table, "hidden", values.length ? null : "");
    }
    byId("groups").classList.toggle("many", this._rows.size > MANY_ROWS);
    this.describe();
    this._sieve();
  }

  /** Takes what devices are called now. */
  describe() {
    for (const [name, group] of this._groups) {
      const device = this._store.devices.get(name);
      setText(group.title, device?.label ?? device?.title ?? name);
      setText(group.what, device === undefined ? name : `${name} · ${device.title}`);
    }
  }

  /** Where the setpoints of a device stand. */
  place(device) {
    return this._groups.get(device)?.setpoints ?? null;
  }

  /** A value has changed. */
  touch(value) {
    const row = this._rows.get(value.route);
    if (row === undefined) return;
    this._dirty.add(row);
    inFrame(this._draw);
  }

  /** Every value may have changed: its age, or whether it still counts. */
  touchAll() {
    for (const row of this._rows.values()) this._dirty.add(row);
    inFrame(this._draw);
  }

  counts() {
    let stale = 0;
    let silent = 0; // never heard of
    for (const value of this._store.values.values()) {
      if (value.t === null) silent += 1;
      else if (this._store.quality(value) === "stale") stale += 1;
    }
    return { all: this._store.values.size, stale, silent };
  }

  _place(group, value) {
    let row = this._rows.get(value.route);
    if (row === undefined) {
      row = this._make(value);
      this._rows.set(value.route, row);
      this._onScreen.observe(row.node);
      this._dirty.add(row);
      inFrame(this._draw);
    }
    group.body.append(row.node);
  }

  _make(value) {
    const spark = makeSpark();
    const number = el("span", { class: "number" });
    const unit = el("td", { class: "unit" }, unitText(value.units));
    const age = el("td", { class: "age" });
    const marks = el("td", { class: "marks" });
    const why = el(
      "button", { type: "button", class: "quiet", "data-action": "why", "data-of": value.route, "aria-label": `Why ${value.route}` },
      "why",
    );
    const name = el(
      "button", { type: "button", class: "name", title: value.route, onclick: () => this._inspect(value) },
      el("span", { class: "family" }, `${value.family} / `), value.stream,
    );
    const node = el(
      "tr", { "data-route": value.route, "data-q": "stale" },
      el("th", { scope: "row" }, name), el("td", { class: "trend" }, spark.node), el("td", { class: "value" }, number), unit, age,
      marks, el("td", { class: "why" }, why),
    );
    node.row = { value, node, spark, number, unit, age, marks, why, isOnScreen: false, quality: "stale", shownMarks: null };
    return node.row;
  }

  _seen(entries) {
    for (const entry of entries) {
      const row = entry.target.row;
      row.isOnScreen = entry.isIntersecting;
      if (row.isOnScreen) this._dirty.add(row);
    }
    inFrame(this._draw);
  }

  _drawDirty() {
    const nowS = this._store.nowS();
    const trendS = this._store.trendS();
    this._title(trendS);
    for (const row of this._dirty) {
      const quality = this._store.quality(row.value);
      if (quality !== row.quality) {
        row.quality = quality;
        row.node.dataset.q = quality;
      }
      drawRow(row, nowS);
      if (row.isOnScreen) drawSpark(row.spark, row.value, nowS, trendS);
    }
    this._dirty.clear();
  }

  _title(trendS) {
    const title = `Last ${durationText(trendS)}`;
    if (title === this._trendTitle) return;
    this._trendTitle = title;
    for (const { trend } of this._groups.values()) setText(trend, title);
  }

  _find(text) {
    this._filter = text.trim().toLowerCase();
    this._sieve();
  }

  _sieve() {
    const words = this._filter.split(/\s+/).filter(Boolean);
    let shown = 0;
    const filled = new Set();
    for (const row of this._rows.values()) {
      const { value } = row;
      const isMeant =
        (this._device === null || value.device === this._device) &&
        words.every((word) => value.route.includes(word)) &&
        (!this._onlyMarked || row.quality !== "good" || value.taints.length > 0);
      if (row.node.hidden === isMeant) row.node.hidden = !isMeant;
      if (isMeant) {
        shown += 1;
        filled.add(value.device);
      }
    }
    for (const [device, group] of this._groups) {
      const isMeant = this._device === null ? filled.has(device) || (!words.length && !this._onlyMarked) : device === this._device;
      if (group.node.hidden === isMeant) group.node.hidden = !isMeant;
    }
    setText(byId("found"), `${shown} of ${this._rows.size}`);
    byId("nothing").hidden = shown > 0 || this._rows.size === 0;
  }
}

function drawRow(row, nowS) {
  const { value } = row;
  const decimals = typeof value.value === "number" ? value.decimals : null;
  const text = shortText(value.value, decimals);
  setText(row.number, text);
  setAttribute(row.number, "title", text.length > 10 || Array.isArray(value.value) ? valueText(value.value, decimals) : null);
  setAttribute(row.number, "class", text.length > 10 ? "number long" : "number");
  setText(row.unit, unitText(value.units));
  setText(row.age, value.t === null ? "never" : ageText(Math.max(0, nowS - value.t)));
  setAttribute(row.why, "data-of", value.seq === null ? value.route : `${value.route}#${value.seq}`);
  const isTold = row.quality === "good" || (row.quality === "stale" && value.taints.includes("coherence.stale"));
  const marks = isTold ? value.taints : [row.quality, ...value.taints];
  const shown = marks.join();
  if (shown !== row.shownMarks) {
    row.shownMarks = shown;
    row.marks.replaceChildren(...marks.map((mark) => el("span", { class: "mark", "data-mark": mark, title: mark }, mark)));
  }
}

function makeGroup(device) {
  const title = el("h3", {});
  const what = el("p", { class: "what" });
  const setpoints = el("div", { class: "setpoints" });
  const body = el("tbody", {});
  const head = el("tr", {}, ...HEADS.map(([text, name]) => (text ? el("th", { scope: "col", class: name }, text) : el("td", { class: name }))));
  const table = el(
    "table", { class: "values" }, el("caption", { class: "hidden" }, `Values of ${device}`), el("thead", {}, head), body,
  );
  const node = el("section", { class: "group", "data-group": device }, el("header", {}, title, what), setpoints, table);
  return { node, title, what, setpoints, table, body, trend: head.querySelector(".trend") };
}
