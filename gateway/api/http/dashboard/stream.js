/** `/v1/watch`, read as server-sent events through fetch: an EventSource cannot send who it is. */

import { ApiError, pause } from "./api.js";

const FIRST_WAIT_MS = 250;
const MOST_WAIT_MS = 4000;
const SILENT_MS = 15_000; // a gateway that has nothing to say says so every 5 s

/** Cuts a text that comes in pieces into events; returns the items, `id` is of what may be resumed behind. */
export class Events {
  constructor() {
    this._rest = "";
    this.lastId = null;
  }

  take(text) {
    const items = [];
    const parts = (this._rest + text).split("\n\n");
    this._rest = parts.pop();
    for (const part of parts) {
      let data = "";
      for (const line of part.split("\n")) {
        if (line.startsWith("data:")) data += line.slice(5).trimStart();
        else if (line.startsWith("id:")) this.lastId = Number(line.slice(3));
      }
      if (!data) continue;
      try {
        items.push(JSON.parse(data));
      } catch {
        items.push({ gap: { from: null, to: null, cause: "an item that cannot be read" } });
      }
    }
    return items;
  }
}

/** Watches for ever: comes back by itself, and goes on behind the last number it saw. */
export class Stream {
  /** `begin(last)` gives the number to begin with, or null; `onItems` takes what came; `onOpen` hears true and false. */
  constructor(api, { pattern, begin, onItems, onOpen }) {
    this._api = api;
    this._pattern = pattern;
    this._begin = begin;
    this._onItems = onItems;
    this._onOpen = onOpen;
    this._last = null;
    this._abort = null;
    this._guard = null;
    this._waitMs = FIRST_WAIT_MS;
    this._isResting = false;
    this._wake = () => {};
  }

  async run() {
    for (;;) {
      while (this._isResting) await new Promise((done) => (this._wake = done));
      try {
        await this._once();
      } catch (error) {
        if (error instanceof ApiError && error.code === "no_ledger") this._last = null;
      }
      this._onOpen(false);
      await pause(this._waitMs * (0.75 + Math.random() / 2));
      this._waitMs = Math.min(MOST_WAIT_MS, this._waitMs * 2);
    }
  }

  /** Begins again, with another token or because this one is dead. */
  again() {
    this._waitMs = FIRST_WAIT_MS;
    this._abort?.abort();
  }

  /** Lets go of the connection while nobody looks; true ends that, and what came meanwhile follows. */
  set isWanted(isWanted) {
    this._isResting = !isWanted;
    if (isWanted) this._wake();
    this.again();
  }

  /** Ends a connection that says nothing for too long. */
  _watch() {
    const abort = this._abort;
    clearTimeout(this._guard);
    this._guard = setTimeout(() => abort.abort(), SILENT_MS);
  }

  async _once() {
    const from = await this._begin(this._last);
    const query = `pattern=${encodeURIComponent(this._pattern)}${from === null ? "" : `&from=${from}`}`;
    this._abort = new AbortController();
    this._watch();
    const reader = await this._api.open(`/v1/watch?${query}`, this._abort.signal);
    const decoder = new TextDecoder();
    const events = new Events();
    events.lastId = from === null ? this._last : from - 1;
    this._onOpen(true);
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        this._waitMs = FIRST_WAIT_MS;
        this._watch();
        this._api.onHeard();
        const items = events.take(decoder.decode(value, { stream: true }));
        this._last = events.lastId;
        if (items.length > 0) this._onItems(items);
      }
    } finally {
      clearTimeout(this._guard);
      reader.cancel().catch(() => {});
    }
  }
}
