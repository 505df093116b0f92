/** One value, looked at closely: its history as a plot, and its why down to the bytes. */

import { ApiError, pause } from "./api.js";
import { byId, el, inFrame, setText } from "./dom.js";
import { dateText, timeText, unitText, valueText } from "./format.js";
import { Plot } from "./plot.js";
import { whyElements } from "./why.js";

const SLOW_MS = 60_000;
const AGAIN_MS = 200;
const DURABLE_MS = 20_000;
const MOST_PAGES = 8;
const LOOK_BACK_S = [900, 86_400, null]; // for the newest record of a value

export class Inspector {
  constructor(store, api) {
    this._store = store;
    this._api = api;
    this._node = byId("inspector");
    this._value = null;
    this._windowS = 600;
    this._points = [];
    this._abort = null;
    this._opener = null;
    this._asked = 0; // questions so far
    this._drawHead = () => this._head();
    this._drawMore = () => this._extend();
    this._plot = new Plot(byId("plot"), { onCursor: (t, v) => this._point(t, v) });
    byId("inspector-close").addEventListener("click", () => this.close());
    byId("inspector-csv").addEventListener("click", () => this._save());
    byId("windows").addEventListener("change", (event) => {
      this._windowS = Number(event.target.value);
      this._load();
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !this._node.hidden) this.close();
    });
    document.addEventListener("click", (event) => {
      const button = event.target.closest("[data-action=why]");
      if (button !== null) this.why(button.dataset.of, button);
    });
  }

  /** Shows the history of a value. */
  open(value) {
    this._begin(value);
    this._load();
    byId("why").hidden = true;
    this._reveal(byId("inspector-title"));
  }

  /** Shows what led to a record, `17` or `device/family/stream#17`; without a number, to the newest of that route. */
  async why(of, opener) {
    const value = this._store.values.get(of.split("#")[0]);
    const isOther = value !== this._value;
    if (value === undefined) this._forget(`Record #${of}`);
    else if (isOther) this._begin(value);
    const node = byId("why");
    node.hidden = false;
    node.dataset.why = of;
    const place = byId("why-body");
    place.replaceChildren(el("p", { class: "dim" }, `looking up ${of} in the ledger`));
    this._opener = opener;
    this._reveal(byId("why-title"));
    this._asked += 1;
    const finding = this._found(of, this._asked);
    if (value !== undefined && isOther) this._load(); // behind the question that was asked
    const found = await finding;
    if (found !== null) place.replaceChildren(...found);
  }

  /** Returns what answers a question, null where another one is asked meanwhile. */
  async _found(of, asked) {
    const isAsked = () => this._asked === asked;
    try {
      const target = /^\d+$|#/.test(of) ? of : await this._newest(of);
      if (!isAsked()) return null;
      byId("why").dataset.why = target;
      const told = await this._explained(target, isAsked);
      return isAsked() ? whyElements(told) : null;
    } catch (error) {
      if (!isAsked()) return null;
      return [el("p", { class: "note" }, error instanceof ApiError ? error.message : "nobody answers")];
    }
  }

  /** A value has changed; a new record of the one that is shown joins its plot. */
  touch(value) {
    if (value !== this._value) return;
    inFrame(this._drawHead);
    const last = this._points.at(-1);
    if (value.seq === null || value.seqT !== value.t || (last !== undefined && value.t <= last.t)) return;
    this._points.push({ t: value.t, v: value.value, seq: value.seq, taints: value.taints });
    inFrame(this._drawMore);
  }

  close() {
    this._asked += 1;
    this._forget("");
    this._node.hidden = true;
    document.body.classList.remove("inspecting");
    this._opener?.focus({ preventScroll: true });
    this._opener = null;
  }

  _begin(value) {
    this._forget(value.route);
    this._value = value;
    byId("history").hidden = false;
    this._head();
  }

  _forget(title) {
    this._abort?.abort();
    this._value = null;
    this._points = [];
    this._plot.clear();
    byId("history").hidden = true;
    setText(byId("inspector-title"), title);
    setText(byId("inspector-now"), "");
  }

  _reveal(heading) {
    if (this._node.hidden) this._opener ??= document.activeElement;
    this._node.hidden = false;
    document.body.classList.add("inspecting");
    heading.focus({ preventScroll: true });
    this._node.scrollTop = this._node.parentElement.scrollTop = 0;
    this._node.scrollIntoView({ block: "nearest" });
  }

  _head() {
    const value = this._value;
    if (value === null) return;
    const number = valueText(value.value, typeof value.value === "number" ? value.decimals : null);
    setText(byId("inspector-now"), `${number} ${unitText(value.units)}`.trim());
    byId("inspector-now").dataset.tone = this._store.quality(value);
  }

  async _load() {
    const value = this._value;
    if (value === null) return;
    this._abort?.abort();
    const abort = (this._abort = new AbortController());
    const to = this._store.nowS();
    const from = to - this._windowS;
    this._say("looking it up in the ledger");
    try {
      const { points, gaps, isWhole } = await this._history(value.route, from, abort.signal);
      if (abort.signal.aborted) return;
      this._points = points;
      this._gaps = gaps;
      this._isWhole = isWhole;
      await this._plot.show(value, points, from, to);
      this._summary();
    } catch (error) {
      if (abort.signal.aborted) return;
      this._plot.clear();
      this._say(error instanceof ApiError ? error.message : "nobody answers");
    }
  }

  async _history(route, from, signal) {
    const since = encodeURIComponent(new Date(from * 1000).toISOString());
    const points = [];
    const gaps = [];
    let after = null;
    for (let page = 0; page < MOST_PAGES; page += 1) {
      const query = `route=${encodeURIComponent(route)}&since=${since}${after === null ? "" : `&after=${after}`}`;
      const told = (await this._api.slow(`/v1/history?${query}`, { signal })).body;
      points.push(...told.points);
      gaps.push(...told.gaps);
      after = told.next;
      if (after === null) break;
    }
    return { points, gaps, isWhole: after === null };
  }

  /** Asks for the why of a record; what was told before it was durable is on the medium a little later. */
  async _explained(of, isAsked) {
    const seq = Number(of.slice(of.indexOf("#") + 1));
    const isDurable = () => (this._store.status?.ledger.durable_seq ?? Infinity) >= seq;
    const until = performance.now() + DURABLE_MS;
    while (!isDurable() && isAsked() && performance.now() < until) {
      setText(byId("why-body").firstChild, `record ${of} is on its way to the medium`);
      await pause(AGAIN_MS);
    }
    return (await this._api.slow(`/v1/ledger/why?of=${encodeURIComponent(of)}`)).body;
  }

  async _newest(route) {
    const now = this._store.nowS();
    for (const back of LOOK_BACK_S) {
      const { points } = await this._history(route, back === null ? 0 : now - back, undefined);
      if (points.length > 0) return `${route}#${points.at(-1).seq}`;
    }
    throw new ApiError(404, "unknown_record", `nothing of ${route} is recorded`);
  }

  _extend() {
    if (this._value === null) return;
    const to = this._store.nowS();
    const from = to - this._windowS;
    while (this._points.length > 0 && this._points[0].t < from) this._points.shift();
    this._plot.extend(this._value, this._points, from, to);
    this._summary();
  }

  _summary() {
    const value = this._value;
    const numbers = this._points.map((point) => point.v).filter((v) => typeof v === "number");
    const unit = unitText(value.units);
    const parts = [`${this._points.length} recorded`];
    if (numbers.length > 0) {
      const say = (v) => valueText(v, value.decimals);
      const [low, high] = numbers.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity]);
      parts.push(`${say(low)} to ${say(high)} ${unit}`.trim());
    }
    const marked = this._points.filter((point) => point.taints.length > 0).length;
    if (marked > 0) parts.push(`${marked} marked`);
    for (const gap of this._gaps ?? []) parts.push(`missing: ${gap.reason ?? "records"}`);
    if (this._isWhole === false) parts.push("only the oldest are shown; CSV has all");
    this._say(this._points.length === 0 ? "nothing is recorded in this time; the value may not have changed" : parts.join(" · "));
  }

  _say(text) {
    this._told = text;
    setText(byId("readout"), text);
    byId("plot").setAttribute("aria-label", `History of ${this._value?.route ?? "a value"}: ${text}`);
  }

  _point(t, v) {
    const value = this._value;
    if (t === null || v === null || v === undefined || value === null) {
      setText(byId("readout"), this._told ?? "");
      return;
    }
    const point = this._points.find((each) => each.t === t);
    const words = `${this._windowS > 86_400 ? dateText(t) : timeText(t)}   ${valueText(point?.v ?? v)} ${unitText(value.units)}`;
    setText(byId("readout"), point?.taints.length ? `${words}   ${point.taints.join(" ")}` : words);
  }

  async _save() {
    const value = this._value;
    const since = new Date((this._store.nowS() - this._windowS) * 1000).toISOString();
    const path = `/v1/history?route=${encodeURIComponent(value.route)}&since=${encodeURIComponent(since)}&format=csv`;
    try {
      const answer = await this._api.ask(path, { timeoutMs: SLOW_MS });
      if (!answer.ok) throw new ApiError(answer.status, "", (await answer.json()).detail);
      const url = URL.createObjectURL(await answer.blob());
      const name = `${value.route.replaceAll("/", "-")}.csv`;
      el("a", { href: url, download: name }).click();
      setTimeout(() => URL.revokeObjectURL(url), 10_000);
    } catch (error) {
      this._say(error instanceof ApiError ? error.message : "nobody answers");
    }
  }
}
