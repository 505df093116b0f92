/** Devices with how their connections stand. */

import { byId, el, Keyed, setAttribute, setText } from "./dom.js";
import { durationText } from "./format.js";

/** What a state means to somebody who looks: good, on its way, or bad. */
export const TONES = {
  CONNECTED: "good", CONNECTING: "busy", DISCOVERING: "busy", BACKING_OFF: "warn", ABSENT: "warn", DISCONNECTED: "warn",
  FAILED: "bad", QUIESCED: "quiet",
};

export class DevicesView {
  /** `choose(device)` hears which device is to be shown alone, null for all. */
  constructor(store, { choose }) {
    this._store = store;
    this._choose = choose;
    this._chosen = null;
    this._keyed = new Keyed(byId("devices"), (row) => this._make(row), (node, row) => this._update(node, row));
    byId("all-devices").addEventListener("click", () => this._pick(null));
  }

  draw() {
    this._keyed.show(this._store.devices.values(), (row) => row.name);
    setAttribute(byId("all-devices"), "aria-pressed", String(this._chosen === null));
    byId("no-devices").hidden = this._store.devices.size > 0;
  }

  _pick(name) {
    this._chosen = name === this._chosen ? null : name;
    this._choose(this._chosen);
    this.draw();
  }

  _make(row) {
    const parts = {
      label: el("span", { class: "label" }), state: el("span", { class: "state" }), name: el("code", {}),
      health: el("span", { class: "health" }), reason: el("p", { class: "reason" }),
    };
    const button = el(
      "button", { type: "button", onclick: () => this._pick(row.name) },
      el("span", { class: "line" }, parts.label, parts.state), el("span", { class: "line dim" }, parts.name, parts.health),
    );
    const node = el("li", { "data-device": row.name }, button, parts.reason);
    node.parts = { ...parts, button };
    return node;
  }

  _update(node, row) {
    const { label, state, name, health, reason, button } = node.parts;
    const isKnown = !this._store.isLost;
    setAttribute(node, "data-lifecycle", row.lifecycle);
    setAttribute(node, "data-tone", isKnown ? (TONES[row.lifecycle] ?? "warn") : "quiet");
    setAttribute(button, "aria-pressed", String(this._chosen === row.name));
    setText(label, row.label ?? row.title);
    setText(state, row.lifecycle.toLowerCase().replace("_", " "));
    setText(name, row.area ? `${row.name} · ${row.area}` : row.name);
    setText(health, healthText(row));
    setAttribute(health, "title", row.port);
    setText(reason, reasonText(row));
    setAttribute(reason, "title", reason.textContent);
    reason.hidden = reason.textContent === "";
  }
}

function healthText(row) {
  const health = row.health ?? {};
  const parts = [row.bus];
  if (typeof health.availability_recent === "number") parts.push(`${percent(health.availability_recent)} up`);
  return parts.join(" · ");
}

/** A share that is 100 % only where nothing is missing. */
function percent(share) {
  if (share >= 0.99995) return "100 %";
  return `${(Math.floor(share * 1000) / 10).toFixed(1)} %`;
}

function reasonText(row) {
  if (row.lifecycle === "CONNECTED") {
    const perMin = row.health?.errors_per_min ?? 0;
    if (row.stale) return "connected, but silent for longer than it may be";
    return perMin > 0 ? `${perMin.toFixed(1)} errors/min, the last: ${row.last_error ?? row.health.last_error ?? "unknown"}` : "";
  }
  const parts = [row.reason || row.last_error || row.first_error || ""];
  if (row.attempt > 1) parts.push(`attempt ${row.attempt}`);
  if (row.next_retry_s) parts.push(`next in ${durationText(Math.max(1, row.next_retry_s))}`);
  return parts.filter(Boolean).join(", ");
}
