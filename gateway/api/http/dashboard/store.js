/** What is known of the gateway, joined from what it streams and what it is asked. No elements here. */

import { decimalsOf } from "./format.js";

const TREND_S = 600;
const TREND_STEPS_S = [60, 120, 300];
const MOST_POINTS = 150;
const LEAST_S = TREND_S / MOST_POINTS; // between two points
const MOST_EVENTS = 300;

/** The last ten minutes of one route, at most 150 points. */
export class Trend {
  constructor() {
    this.t = [];
    this.v = [];
  }

  add(t, v) {
    const last = this.t.length - 1;
    if (last >= 0 && t <= this.t[last]) {
      this._recall(t, v);
      return;
    }
    if (last > 0 && t - this.t[last - 1] < LEAST_S) {
      this.t[last] = t; // so close to the point before: one point
      this.v[last] = v;
    } else {
      this.t.push(t);
      this.v.push(v);
    }
    while (this.t.length > 2 && (this.t.length > MOST_POINTS || this.t[1] < t - TREND_S)) {
      this.t.shift();
      this.v.shift();
    }
  }

  /** Takes what was said before the newest point: what comes out of the ledger comes late. */
  _recall(t, v) {
    let at = this.t.length;
    while (at > 0 && this.t[at - 1] >= t) at -= 1;
    const isClose = (place) => place >= 0 && place < this.t.length && Math.abs(this.t[place] - t) < LEAST_S;
    if (isClose(at) || isClose(at - 1) || t < this.t[this.t.length - 1] - TREND_S || this.t.length >= MOST_POINTS) return;
    this.t.splice(at, 0, t);
    this.v.splice(at, 0, v);
  }
}

/** One route: its meaning, what it says, and how far that can be trusted. */
export class Value {
  constructor(row) {
    this.route = row.route;
    [this.device, this.family, this.stream] = row.route.split("/");
    this.value = null;
    this.t = null; // when the device said it, by the gateway's clock, in seconds
    this.taints = [];
    this.isStale = true;
    this.seq = null; // of the last record that has it
    this.seqT = null; // and when that was said
    this.decimals = 0;
    this.trend = null;
    this.mean(row);
  }

  mean(row) {
    this.units = row.units;
    this.labels = row.labels;
    this.minimum = row.minimum;
    this.maximum = row.maximum;
    this.isWritable = row.writable;
  }

  say(value, t, taints) {
    this.value = value;
    this.t = t;
    this.taints = taints;
    if (typeof value === "number") this.decimals = Math.max(this.decimals, decimalsOf(value));
    this.recall(value, t);
  }

  /** Takes what it said earlier, for the trend. */
  recall(value, t) {
    const number = this.numberOf(value);
    if (number === null) return;
    if (this.trend === null) this.trend = new Trend();
    this.trend.add(t, number);
  }

  /** What is plotted of a value: a number, on or off, or the place of a label; null for what is none of them. */
  numberOf(value) {
    if (typeof value === "number") return value;
    if (typeof value === "boolean") return value ? 1 : 0;
    const place = this.labels === null || typeof value !== "string" ? -1 : this.labels.indexOf(value);
    return place < 0 ? null : place;
  }

  get isStepped() {
    return typeof this.value === "boolean" || this.labels !== null || this.isWritable;
  }
}

export class Store {
  constructor() {
    this.values = new Map();
    this.devices = new Map();
    this.status = null;
    this.firstS = Infinity; // the oldest that was said
    this.events = []; // the newest first
    this.isLost = true;
    this.skewS = Infinity; // this machine's clock before the gateway's, at least
    this.onValue = () => {};
    this.onEvents = () => {};
    this.onDevice = () => {};
    this.onShadow = () => {};
  }

  /** The gateway's clock, in seconds. */
  nowS() {
    return Date.now() / 1000 - (Number.isFinite(this.skewS) ? this.skewS : 0);
  }

  /** How far back trends go, in seconds: one span for all, as long as there is something to show, ten minutes at most. */
  trendS() {
    const span = Math.min(TREND_S, this.nowS() - this.firstS);
    return TREND_STEPS_S.find((step) => span <= step) ?? TREND_S;
  }

  /** The gateway was lost: its clock may be another when it is back. */
  forgetClock() {
    this.skewS = Infinity;
  }

  quality(value) {
    if (this.isLost || value.isStale || value.t === null) return "stale";
    const device = this.devices.get(value.device);
    if (device !== undefined && device.lifecycle !== "CONNECTED") return "stale";
    return value.value === null ? "bad" : "good";
  }

  // ---- what was asked for

  takeRoutes(rows) {
    const known = new Set(this.values.keys());
    let isChanged = false;
    for (const row of rows) {
      known.delete(row.route);
      const value = this.values.get(row.route);
      if (value !== undefined) {
        value.mean(row);
      } else {
        this.values.set(row.route, new Value(row));
        isChanged = true;
      }
    }
    for (const route of known) this.values.delete(route);
    return isChanged || known.size > 0;
  }

  takeValues(rows) {
    const now = this.nowS();
    for (const row of rows) {
      const value = this.values.get(row.route);
      if (value === undefined) continue;
      value.isStale = row.stale;
      if (row.age_s !== null) {
        const t = now - row.age_s;
        if (value.t === null || t > value.t + 0.05) value.say(row.value, t, row.taints);
      }
      this.onValue(value);
    }
  }

  takeDevices(rows) {
    const before = [...this.devices.values()].map((row) => `${row.name} ${row.lifecycle}`).join();
    this.devices = new Map(rows.map((row) => [row.name, row]));
    return rows.map((row) => `${row.name} ${row.lifecycle}`).join() !== before;
  }

  // ---- what is streamed

  takeItems(items) {
    const events = [];
    const here = Date.now() / 1000;
    for (const item of items) {
      if (item.gap !== undefined) {
        events.push({ kind: "gap", t: this.nowS(), seq: item.gap.to, ...item.gap });
        continue;
      }
      this.skewS = Math.min(this.skewS, here - item.t);
      this.firstS = Math.min(this.firstS, item.t);
      const at = item.route.indexOf("@");
      if (at < 0) this._takeValue(item);
      else this._takeVariant(item, item.route.slice(0, at), item.route.slice(at + 1), events);
    }
    if (events.length === 0) return;
    this.events = [...events.reverse(), ...this.events].slice(0, MOST_EVENTS);
    this.onEvents();
  }

  _takeValue(item) {
    const value = this.values.get(item.route);
    if (value === undefined) return;
    if (value.seqT === null || item.t >= value.seqT) {
      value.seq = item.seq;
      value.seqT = item.t;
    }
    if (value.t === null || item.t >= value.t) {
      value.say(item.v, item.t, item.taints);
      if (this.nowS() - item.t < 2) value.isStale = item.q === "stale";
    } else {
      value.recall(item.v, item.t);
    }
    this.onValue(value);
  }

  _takeVariant(item, place, variant, events) {
    const [device, family] = place.split("/");
    if (variant === "state" && family === "lifecycle") {
      events.push({ kind: "lifecycle", t: item.t, seq: item.seq, device, state: item.v });
      this.onDevice(device);
    } else if (variant === "event") {
      events.push({ kind: item.v.kind, t: item.t, seq: item.seq, device, place, body: item.v });
      this.onShadow(device);
    } else {
      this.onShadow(device);
    }
  }
}
