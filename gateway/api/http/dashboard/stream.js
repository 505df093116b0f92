/** `/v1/watch`, read as server-sent events through fetch: an EventSource cannot send who it is. */

import { ApiError } from "./api.js";

const FIRST_WAIT_MS = 250;
const MOST_WAIT_MS = 4000;

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

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
    this._waitMs = FIRST_WAIT_MS;
  }

  async run() {
    for (;;) {
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

  async _once() {
    const from = await this._begin(this._last);
    const query = `pattern=${encodeURIComponent(this._pattern)}${from === null ? "" : `&from=${from}`}`;
    this._abort = new AbortController();
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
        this._api.onHeard();
        const items = events.take(decoder.decode(value, { stream: true }));
        this._last = events.lastId;
        if (items.length > 0) this._onItems(items);
      }
    } finally {
      reader.cancel().catch(() => {});
    }
  }
}
