/** Ports with their load, mailboxes with their drops, and sinks: what is counted, and how fast it grows. */

import { byId, el, Keyed, setAttribute, setText } from "./dom.js";
import { bytesText, countText, rateText } from "./format.js";

const CAN_OVERHEAD_BITS = 47; // of a classic frame beside its data, without stuffing
const UART_BITS_PER_BYTE = 10;

/** Turns counters into rates over the last few looks. */
export class Rates {
  constructor(keepMs = 5000) {
    this._keepMs = keepMs;
    this._seen = new Map();
  }

  /** Returns how fast a counter grows each second; null until that is known. */
  of(name, count, nowMs) {
    let looks = this._seen.get(name);
    if (looks === undefined || looks.at(-1)[1] > count) {
      looks = [];
      this._seen.set(name, looks);
    }
    looks.push([nowMs, count]);
    while (looks.length > 2 && looks[1][0] < nowMs - this._keepMs) looks.shift();
    const [began, from] = looks[0];
    return nowMs - began < 500 ? null : ((count - from) / (nowMs - began)) * 1000;
  }
}

/** The share of a bus's time that its frames take, 0 to 1; null where its speed is not known. */
export function loadOf(bus, framesPerS, bytesPerS, bitsPerS) {
  if (!bitsPerS || framesPerS === null || bytesPerS === null) return null;
  const bits = bus === "can" ? framesPerS * CAN_OVERHEAD_BITS + bytesPerS * 8 : bytesPerS * UART_BITS_PER_BYTE;
  return Math.min(1, bits / bitsPerS);
}

export class BusView {
  constructor() {
    this._rates = new Rates();
    this._ports = new Keyed(byId("ports"), makePort, (node, row) => this._port(node, row));
    this._boxes = new Keyed(byId("mailboxes"), makeRow, updateBox);
    this._sinks = new Keyed(byId("sinks"), makeRow, updateSink);
  }

  /** Returns frames a second over all ports, null until that is known. */
  draw(status) {
    this._nowMs = performance.now();
    this._total = null;
    this._ports.show(status.ports, (port) => port.name);
    this._boxes.show(status.devices, (device) => device.name);
    this._sinks.show(status.sinks, (sink) => sink.name);
    byId("no-sinks").hidden = status.sinks.length > 0;
    byId("sinks-table").hidden = status.sinks.length === 0;
    return this._total;
  }

  _port(node, port) {
    const { title, what, frames, bytes, load, bar, bad } = node.parts;
    const framesPerS = this._rates.of(`${port.name} frames`, port.frames, this._nowMs);
    const bytesPerS = this._rates.of(`${port.name} bytes`, port.bytes, this._nowMs);
    if (framesPerS !== null) this._total = (this._total ?? 0) + framesPerS;
    const share = loadOf(port.bus, framesPerS, bytesPerS, port.bits_per_s);
    setText(title, port.devices.join(", ") || port.name);
    setText(what, `${port.bus}${port.bits_per_s ? ` ${bitsText(port.bits_per_s)}` : ""} · ${port.name}`);
    setAttribute(what, "title", port.name);
    setText(frames, framesPerS === null ? "—" : `${rateText(framesPerS)} frames/s`);
    setText(bytes, bytesPerS === null ? "—" : `${bytesText(bytesPerS)}/s`);
    setText(load, share === null ? "" : `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} % of the line`);
    bar.hidden = share === null;
    bar.value = share ?? 0;
    const faults = faultsOf(port);
    setText(bad, faults.join(" · "));
    setAttribute(bad, "data-tone", faults.length ? "warn" : null);
  }
}

function makePort(port) {
  const parts = {
    title: el("strong", {}), what: el("span", { class: "dim what" }), frames: el("span", {}), bytes: el("span", {}),
    load: el("span", {}), bar: el("meter", { min: 0, max: 1, low: 0.6, high: 0.85, optimum: 0, "aria-label": `Load of ${port.name}` }),
    bad: el("p", { class: "bad" }),
  };
  const node = el(
    "li", { "data-port": port.name }, el("p", { class: "line" }, parts.title, parts.frames),
    el("p", { class: "line dim" }, parts.what, parts.bytes), el("p", { class: "line dim" }, parts.bar, parts.load), parts.bad,
  );
  node.parts = parts;
  return node;
}

function faultsOf(port) {
  const found = [];
  const { link } = port;
  if (port.error) found.push(port.error);
  if (link.bus_state && !["unknown", "active", "error-active"].includes(link.bus_state)) found.push(`bus ${link.bus_state}`);
  if (link.bus_off_count) found.push(`${countText(link.bus_off_count)} times bus-off`);
  if (link.error_frames) found.push(`${countText(link.error_frames)} error frames`);
  if (port.dropped) found.push(`${countText(port.dropped)} dropped`);
  if (port.garbage) found.push(`${countText(port.garbage)} pieces of garbage (${Object.keys(port.garbage_by_reason).join(", ")})`);
  if (port.unknown) found.push(`${countText(port.unknown)} of nobody`);
  return found;
}

const bitsText = (speed) => (speed >= 1000 ? `${speed / 1000} kbit/s` : `${speed} bit/s`);

function makeRow() {
  const node = el("tr", {}, el("th", { scope: "row" }), el("td"), el("td"), el("td"), el("td"));
  return node;
}

function fillRow(node, texts, tones = []) {
  texts.forEach((text, at) => {
    setText(node.cells[at], text);
    setAttribute(node.cells[at], "data-tone", tones[at] || null);
  });
}

function updateBox(node, { name, frames }) {
  const texts = [name, ...[frames.in, frames.pending, frames.dropped, frames.refused].map(countText)];
  fillRow(node, texts, ["", "", "", frames.dropped ? "bad" : "", frames.refused ? "warn" : ""]);
  setAttribute(node, "data-mailbox", name);
}

function updateSink(node, { name, state, lag, set_aside: aside, reconnects }) {
  fillRow(node, [name, state, lag === null ? "—" : countText(lag), countText(aside), countText(reconnects)], ["", "", lag > 1000 ? "warn" : "", aside ? "bad" : ""]);
}
