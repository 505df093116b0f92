/** One history as a plot, drawn by uPlot, which is loaded when the first one is wanted. */

import { timeText, valueText } from "./format.js";

const HEIGHT = 220;
let library = null;

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export class Plot {
  /** `onCursor(t, v)` hears where the pointer is; null, null: nowhere. */
  constructor(node, { onCursor }) {
    this._node = node;
    this._onCursor = onCursor;
    this._plot = null;
    this._shown = null;
    this._span = [0, 1];
    new ResizeObserver(() => this._plot?.setSize(this._size())).observe(node);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this._shown && this.show(...this._shown));
  }

  /** Draws points {t, v, taints} of a value between two times. */
  async show(value, points, from, to) {
    this._shown = [value, points, from, to];
    this._span = [from, to];
    library ??= import("./uplot/uPlot.js");
    const { default: UPlot } = await library;
    if (this._shown[1] !== points) return; // another one is wanted meanwhile
    this._plot?.destroy();
    this._plot = new UPlot(this._options(UPlot, value), dataOf(value, points), this._node);
  }

  /** Takes points that came since. */
  extend(value, points, from, to) {
    if (this._plot === null) return;
    this._shown = [value, points, from, to];
    this._span = [from, to];
    this._plot.setData(dataOf(value, points));
  }

  clear() {
    this._plot?.destroy();
    this._plot = null;
    this._shown = null;
  }

  _size() {
    return { width: Math.max(200, this._node.clientWidth), height: HEIGHT };
  }

  _options(UPlot, value) {
    const ink = colour("--dim");
    const grid = { stroke: colour("--line"), width: 1 };
    const axis = { stroke: ink, grid, ticks: { ...grid, size: 4 }, font: `11px ${colour("--sans") || "sans-serif"}` };
    const isNumber = typeof value.value === "number";
    const label = (at) => (isNumber ? valueText(at) : value.labels !== null ? (value.labels[at] ?? "") : valueText(at === 1));
    const stepped = !isNumber ? { splits: (_u, _axis, low, high) => integers(low, high) } : {};
    const marked = { stroke: colour("--warn"), fill: colour("--warn"), paths: () => null, points: { show: true, size: 5 } };
    return {
      ...this._size(),
      padding: [12, 12, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { setScale: false } },
      scales: { x: { range: () => this._span }, y: { range: (_u, low, high) => rangeOf(UPlot, low, high, isNumber) } },
      axes: [
        { ...axis, values: (_u, splits, _axis, _space, step) => splits.map((t) => axisText(t, step)), space: 70, size: 34 },
        { ...axis, size: 62, ...stepped, values: (_u, splits) => splits.map(label) },
      ],
      series: [
        {},
        { stroke: colour("--accent"), width: 1.5, paths: value.isStepped ? UPlot.paths.stepped({ align: 1 }) : undefined, points: { size: 4 } },
        marked,
      ],
      hooks: {
        setCursor: [(plot) => {
          const at = plot.cursor.idx;
          if (at === null || at === undefined) this._onCursor(null, null);
          else this._onCursor(plot.data[0][at], plot.data[1][at]);
        }],
      },
    };
  }
}

function dataOf(value, points) {
  const v = points.map((point) => value.numberOf(point.v));
  return [points.map((point) => point.t), v, points.map((point, at) => (point.taints.length ? v[at] : null))];
}

function rangeOf(UPlot, low, high, isNumber) {
  if (low === null || high === null) return [0, 1];
  if (!isNumber) return [low - 0.2, high + 0.2];
  return UPlot.rangeNum(low, high, 0.1, true);
}

function integers(low, high) {
  const found = [];
  for (let at = Math.ceil(low); at <= high; at += 1) found.push(at);
  return found;
}

function axisText(t, step) {
  const text = timeText(t);
  if (step < 60) return text;
  if (step < 86400) return text.slice(0, 5);
  const day = new Date(t * 1000);
  return `${day.getMonth() + 1}-${day.getDate()}`;
}
