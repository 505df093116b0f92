/** Sparklines: the last minutes of a value, all on one time base, so that rows can be compared. */

import { svg } from "./dom.js";

const WIDTH = 120;
const HEIGHT = 24;
const EDGE = 2.5;

export function makeSpark() {
  const line = svg("path", { class: "spark-line", d: "" });
  const dot = svg("circle", { class: "spark-dot", r: 1.75, cx: -9, cy: -9 });
  const node = svg(
    "svg", { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    line, dot,
  );
  return { node, line, dot };
}

export function drawSpark(spark, value, nowS, spanS) {
  const trend = value.trend;
  if (trend === null || trend.t.length < 2) return;
  let low = Infinity;
  let high = -Infinity;
  for (const v of trend.v) {
    if (v < low) low = v;
    if (v > high) high = v;
  }
  const span = high - low || 1;
  const middle = high === low;
  const x = (t) => Math.max(0, WIDTH - EDGE - ((nowS - t) / spanS) * (WIDTH - EDGE)).toFixed(1);
  const y = (v) => (middle ? HEIGHT / 2 : HEIGHT - EDGE - ((v - low) / span) * (HEIGHT - 2 * EDGE)).toFixed(1);
  let path = "";
  let before = null;
  for (let at = 0; at < trend.t.length; at += 1) {
    const px = x(trend.t[at]);
    const py = y(trend.v[at]);
    if (before === null) path = `M${px} ${py}`;
    else path += value.isStepped ? `H${px}V${py}` : `L${px} ${py}`;
    before = py;
  }
  spark.line.setAttribute("d", path);
  spark.dot.setAttribute("cx", x(trend.t[trend.t.length - 1]));
  spark.dot.setAttribute("cy", before);
}
