/** What happened: connections, commands, and numbers that are missing from the stream. */

import { byId, el, inFrame, Keyed, setAttribute, setText } from "./dom.js";
import { timeText, valueText } from "./format.js";
import { TONES } from "./devices.js";

const MOST_SHOWN = 60;
const GOOD = new Set(["reported", "acked"]);
const WORDS = { command_intent: "asked for", command_sent: "sent", approval: "decided" };

export class EventsView {
  constructor(store, api) {
    this._store = store;
    this._api = api;
    this._reasons = new Map(); // seq -> why a connection changed, looked up once
    this._isLooking = false;
    this._redraw = () => this.draw();
    this._keyed = new Keyed(byId("events"), (event) => this._make(event), (node, event) => this._update(node, event));
  }

  draw() {
    const shown = this._store.events.slice(0, MOST_SHOWN);
    this._keyed.show(shown, keyOf);
    byId("no-events").hidden = shown.length > 0;
    this._look(shown);
  }

  _make(event) {
    const { subject, what, tone } = describe(event);
    const detail = el("span", { class: "detail" });
    const why =
      event.seq === null || event.kind === "gap" ? null
      : el("button", { type: "button", class: "quiet", "data-action": "why", "data-of": event.seq, "aria-label": `Why record ${event.seq}` }, "why");
    const node = el(
      "li", { "data-event": event.kind, "data-tone": tone }, el("time", {}, timeText(event.t)),
      el("p", {}, el("strong", {}, subject), ` ${what}`, detail), why,
    );
    node.detail = detail;
    return node;
  }

  _update(node, event) {
    const reason = this._reasons.get(event.seq);
    setText(node.detail, reason ?? "");
    setAttribute(node.detail, "title", reason || null);
  }

  /** Looks up, one after the other, why connections changed: the stream tells the state alone. */
  async _look(events) {
    if (this._isLooking) return;
    this._isLooking = true;
    try {
      for (const { kind, seq, state } of events) {
        if (kind !== "lifecycle" || this._reasons.has(seq) || state === "CONNECTED") continue;
        const { entries } = await this._api.json(`/v1/ledger/entries?after=${seq - 1}&limit=1`);
        const body = entries[0]?.seq === seq ? entries[0].body : {};
        this._reasons.set(seq, reasonOf(body));
        inFrame(this._redraw);
      }
    } catch {
      // it is looked up again when something else happens
    } finally {
      this._isLooking = false;
    }
  }
}

const keyOf = (event) => (event.kind === "gap" ? `gap ${event.from} ${event.to} ${event.cause}` : `${event.seq} ${event.kind}`);

function reasonOf({ reason, attempt }) {
  return [reason, attempt > 1 ? `attempt ${attempt}` : ""].filter(Boolean).join(", ");
}

function describe(event) {
  if (event.kind === "gap") {
    const span = event.from === null ? "some values" : event.from === event.to ? `#${event.from}` : `#${event.from} to #${event.to}`;
    return { subject: "gap", what: `${span} did not come: ${event.cause}`, tone: "warn" };
  }
  if (event.kind === "lifecycle") {
    return { subject: event.device, what: event.state.toLowerCase().replace("_", " "), tone: TONES[event.state] ?? "warn" };
  }
  const { body } = event;
  if (event.kind === "command_result") {
    const parts = [body.outcome, body.reason?.replaceAll("_", " "), body.clamped ? "limited by the device" : ""];
    return { subject: event.place, what: parts.filter(Boolean).join(", "), tone: GOOD.has(body.outcome) ? "good" : "bad" };
  }
  const more = event.kind === "command_intent" ? `${valueText(body.value)} by ${body.principal}` : body.attempt > 1 ? `attempt ${body.attempt}` : "";
  return { subject: event.place, what: `${WORDS[event.kind] ?? event.kind} ${more}`.trim(), tone: "quiet" };
}
