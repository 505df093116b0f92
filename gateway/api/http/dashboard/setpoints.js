/** Setpoints: what is wanted, what is reported, how far they agree; and a form whose outcome is watched to its end. */

import { ApiError } from "./api.js";
import { el, setAttribute, setText } from "./dom.js";
import { unitText, valueText } from "./format.js";

const GOOD = new Set(["reported", "acked"]);
const WAIT_MS = 8000; // a question that the gateway answers within 3 s
const COHERENCE_TONES = { STABLE: "good", PENDING: "busy", CLAMPED: "warn", DIVERGED: "bad", STALE: "quiet", UNKNOWN: "quiet" };

export class SetpointsView {
  constructor(store, api, values, { needToken }) {
    this._store = store;
    this._api = api;
    this._values = values;
    this._needToken = needToken;
    this._cards = new Map(); // route -> card
    this._shadows = new Map(); // device -> shadow
  }

  /** Devices that have setpoints. */
  devices() {
    return [...new Set([...this._store.values.values()].filter((value) => value.isWritable).map((value) => value.device))];
  }

  arrange() {
    for (const [route, card] of this._cards) {
      if (this._store.values.get(route) === card.value && card.value.isWritable) continue;
      card.node.remove();
      this._cards.delete(route);
    }
    for (const value of this._store.values.values()) {
      if (!value.isWritable) continue;
      let card = this._cards.get(value.route);
      if (card === undefined) {
        card = this._make(value);
        this._cards.set(value.route, card);
      }
      const place = this._values.place(value.device);
      if (place !== null && card.node.parentNode !== place) place.append(card.node);
    }
  }

  takeShadow(shadow) {
    this._shadows.set(shadow.device, shadow);
    this.draw(shadow.device);
  }

  draw(device) {
    for (const card of this._cards.values()) if (device === undefined || card.value.device === device) this._draw(card);
  }

  _draw(card) {
    const shadow = this._shadows.get(card.value.device);
    if (shadow === undefined) return;
    const name = nameIn(shadow, card.value.stream);
    const { desired, reported, effective } = shadow.state;
    const isLost = this._store.isLost;
    const word = isLost ? "STALE" : (shadow.coherence[name] ?? "UNKNOWN");
    const say = (told) => (told === undefined || told === null ? "—" : valueText(told));
    setText(card.desired, say(desired[name]));
    setText(card.reported, say(reported[name]));
    setText(card.effective, say(effective[name]));
    setText(card.coherence, word);
    setAttribute(card.node, "data-coherence", word);
    setAttribute(card.coherence, "data-tone", COHERENCE_TONES[word] ?? "quiet");
    const known = desired[name] ?? reported[name];
    if (known === undefined || known === null) return;
    if (card.kind === null) this._fit(card, known);
    if (card.isTouched) return;
    if (card.input.tagName === "SELECT") card.input.value = valueText(known);
    else card.input.placeholder = valueText(known);
  }

  /** Makes the control, when it is known what kind of value is wanted. */
  _fit(card, known) {
    const { value } = card;
    const kind = value.labels !== null ? "label" : typeof known === "boolean" ? "switch" : typeof known === "number" ? "number" : "text";
    if (kind === card.kind) return;
    card.kind = kind;
    const old = card.input;
    const common = { name: "value", required: true, id: old.id, autocomplete: "off" };
    if (kind === "label" || kind === "switch") {
      const options = kind === "label" ? value.labels : ["on", "off"];
      card.input = el("select", common, ...options.map((each) => el("option", { value: each }, each)));
      card.input.value = valueText(known);
    } else if (kind === "number") {
      card.input = el("input", { ...common, type: "number", step: "any", min: value.minimum, max: value.maximum, inputmode: "decimal" });
    } else {
      card.input = el("input", { ...common, type: "text" });
    }
    old.replaceWith(card.input);
  }

  _make(value) {
    const id = `set-${value.route.replaceAll("/", "-")}`;
    const fact = (term) => {
      const node = el("dd");
      return [el("div", {}, el("dt", {}, term), node), node];
    };
    const [desiredBox, desired] = fact("desired");
    const [reportedBox, reported] = fact("reported");
    const [effectiveBox, effective] = fact("effective");
    const coherence = el("span", { class: "coherence", title: "how desired, reported and effective agree" }, "UNKNOWN");
    const outcome = el("output", { "data-outcome": "", "aria-live": "polite", for: id });
    const input = el("input", { name: "value", id, type: "text", required: true, autocomplete: "off" });
    const button = el("button", { type: "submit", "aria-label": `Set ${value.route}` }, "Set");
    const limits = limitsText(value);
    const form = el(
      "form", { "data-setpoint": value.route, novalidate: true, class: "setpoint", "aria-label": `Setpoint ${value.route}` },
      el("header", {}, el("label", { for: id }, el("span", { class: "family" }, `${value.family} / `), value.stream), coherence),
      el("dl", {}, desiredBox, reportedBox, effectiveBox),
      el("div", { class: "control" }, input, el("span", { class: "unit" }, unitText(value.units)), button),
      limits === "" ? null : el("p", { class: "limits" }, limits), outcome,
    );
    const card = { value, node: form, desired, reported, effective, coherence, input, button, outcome, kind: null, isTouched: false };
    if (value.labels !== null) this._fit(card, value.labels[0]);
    form.addEventListener("input", () => (card.isTouched = true));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this._set(card);
    });
    return card;
  }

  async _set(card) {
    const wanted = wantedOf(card);
    if (wanted === undefined) {
      tell(card, "type", `${JSON.stringify(card.input.value)} is no ${card.kind}`, "bad");
      card.input.focus();
      return;
    }
    card.button.disabled = true;
    tell(card, "pending", `${valueText(wanted)} is on its way`, "busy");
    try {
      await this._write(card, wanted);
    } catch (error) {
      const code = error instanceof ApiError ? error.code : "unreachable";
      tell(card, code, error instanceof ApiError ? error.message : "nobody answers; whether it was set is not known", "bad");
      if (error instanceof ApiError && error.status === 401) this._needToken(error.message);
    } finally {
      card.button.disabled = false;
    }
  }

  async _write(card, wanted) {
    const { device, family, stream } = card.value;
    const path = `/v1/devices/${device}/setpoints/${family}/${stream}`;
    const body = { value: wanted, key: crypto.randomUUID() };
    let told = await this._api.told(path, { method: "PUT", body, timeoutMs: WAIT_MS });
    const handle = told.headers.get("Location");
    while (told.body.outcome === null && handle !== null) {
      tell(card, "pending", `${valueText(wanted)} is under way, attempt ${told.body.attempts}`, "busy");
      told = await this._api.told(`${handle}?wait=3s`, { timeoutMs: WAIT_MS });
    }
    this._end(card, told.body);
    this._store.onShadow(device);
  }

  _end(card, result) {
    const { outcome, reason, reported, clamped, attempts, receipt } = result;
    const parts = [outcome];
    if (reported !== null && reported !== undefined) parts.push(`the device says ${valueText(reported)} ${unitText(card.value.units)}`.trim());
    if (clamped) parts.push("limited by the device");
    if (reason) parts.push(reason.replaceAll("_", " "));
    if (attempts > 1) parts.push(`${attempts} attempts`);
    const tone = GOOD.has(outcome) ? (clamped ? "warn" : "good") : "bad";
    tell(card, outcome, parts.slice(1).join(", "), tone, receipt);
  }
}

/** Shows an outcome; `receipt` is the record that proves it. */
function tell(card, outcome, words, tone, receipt = null) {
  const { outcome: node } = card;
  node.dataset.outcome = outcome;
  node.dataset.tone = tone;
  const proof =
    receipt === null ? null
    : el("button", { type: "button", class: "quiet", "data-action": "why", "data-of": receipt, "aria-label": `Why ${card.value.route} is ${outcome}` }, "why");
  node.replaceChildren(...[el("strong", {}, outcome), words ? ` ${words} ` : " ", proof].filter((each) => each !== null));
}

function wantedOf(card) {
  const text = card.input.value.trim();
  if (card.kind === "switch") return text === "on";
  if (card.kind === "label") return text;
  const number = Number(text.replace(",", "."));
  if (card.kind === "number") return text === "" || Number.isNaN(number) ? undefined : number;
  if (text === "") return undefined;
  return Number.isNaN(number) ? text : number; // nothing is known of it yet: as it looks
}

function limitsText(value) {
  const unit = unitText(value.units);
  const { minimum: low, maximum: high } = value;
  if (value.labels !== null || (low === null && high === null)) return "";
  if (low === null) return `at most ${valueText(high)} ${unit}`.trim();
  if (high === null) return `at least ${valueText(low)} ${unit}`.trim();
  return `${valueText(low)} to ${valueText(high)} ${unit}`.trim();
}

/** The name of a setpoint in a shadow, by the stream of its route. */
function nameIn(shadow, stream) {
  return Object.keys(shadow.coherence).find((name) => name === stream || name.toLowerCase() === stream) ?? stream;
}
