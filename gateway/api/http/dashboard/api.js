/** The gateway's HTTP API. A token is in memory and in this tab's session storage; it goes into one header and nowhere else. */

const KEY = "tidegate.token";
const TIMEOUT_MS = 4000;
const SLOW_MS = 60_000;
const AGAIN_MS = 1000;
const MOST_ASKED = 30;

export const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** What was refused, in the words of the API's problem details. */
export class ApiError extends Error {
  constructor(status, code, detail) {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

/** Nobody answered. */
export class Unreachable extends Error {}

function stored() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return ""; // a browser that keeps nothing
  }
}

export class Api {
  constructor() {
    this._token = stored();
    this._asking = Promise.resolve();
    this.onHeard = () => {};
    this.onRefused = () => {}; // to read, a token is needed, or this one counts for nothing
  }

  get isSignedIn() {
    return this._token !== "";
  }

  set token(token) {
    this._token = token;
    try {
      if (token) sessionStorage.setItem(KEY, token);
      else sessionStorage.removeItem(KEY);
    } catch {
      // it stays in memory
    }
  }

  /** Returns the answer, whatever its status. Raises: Unreachable. */
  async ask(path, { method = "GET", body, headers = {}, timeoutMs = TIMEOUT_MS, signal } = {}) {
    const given = { ...headers };
    if (this._token) given.Authorization = `Bearer ${this._token}`;
    if (body !== undefined) given["Content-Type"] = "application/json";
    const limits = [AbortSignal.timeout(timeoutMs), signal].filter(Boolean);
    let answer;
    try {
      answer = await fetch(path, {
        method, headers: given, body: body === undefined ? undefined : JSON.stringify(body), cache: "no-store",
        credentials: "omit", redirect: "error", referrerPolicy: "no-referrer", signal: anyOf(limits),
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Unreachable(String(error));
    }
    this.onHeard();
    if (answer.status === 401 && method === "GET") this.onRefused();
    return answer;
  }

  /** Returns what an answer says. Raises: ApiError, Unreachable. */
  async json(path, options) {
    return (await this.told(path, options)).body;
  }

  /** Returns status, headers and what an answer says. Raises: ApiError, Unreachable. */
  async told(path, options) {
    const answer = await this.ask(path, options);
    let body;
    try {
      body = await answer.json();
    } catch (error) {
      throw new Unreachable(String(error));
    }
    this.onHeard();
    if (!answer.ok) throw new ApiError(answer.status, String(body.code ?? answer.status), String(body.detail ?? ""));
    return { status: answer.status, headers: answer.headers, body };
  }

  /** Asks the ledger what takes it a while: one question of this page after the other. */
  slow(path, options = {}) {
    const asking = this._asking.then(() => this.patiently(path, options));
    this._asking = asking.catch(() => {});
    return asking;
  }

  /** Asks again while others keep the ledger busy. */
  async patiently(path, options = {}) {
    for (let asked = 1; ; asked += 1) {
      options.signal?.throwIfAborted();
      try {
        return await this.told(path, { timeoutMs: SLOW_MS, ...options });
      } catch (error) {
        if (!(error instanceof ApiError) || error.code !== "busy" || asked >= MOST_ASKED) throw error;
      }
      await pause(AGAIN_MS);
    }
  }

  /** Returns all rows of a list, page by page. */
  async list(path, name) {
    const rows = [];
    let after = null;
    do {
      const cursor = after === null ? "" : `${path.includes("?") ? "&" : "?"}after=${encodeURIComponent(after)}`;
      const page = await this.json(path + cursor);
      rows.push(...page[name]);
      after = page.next;
    } while (after !== null);
    return rows;
  }

  /** Opens a stream. Raises: ApiError, Unreachable. */
  async open(path, signal) {
    const headers = { Accept: "text/event-stream" };
    if (this._token) headers.Authorization = `Bearer ${this._token}`;
    let answer;
    try {
      answer = await fetch(path, { headers, cache: "no-store", credentials: "omit", referrerPolicy: "no-referrer", signal });
    } catch (error) {
      throw new Unreachable(String(error));
    }
    this.onHeard();
    if (answer.ok) return answer.body.getReader();
    if (answer.status === 401) this.onRefused();
    const body = await answer.json().catch(() => ({}));
    throw new ApiError(answer.status, String(body.code ?? answer.status), String(body.detail ?? ""));
  }
}

function anyOf(signals) {
  if (signals.length === 1) return signals[0];
  const either = new AbortController();
  for (const each of signals) {
    if (each.aborted) either.abort(each.reason);
    else each.addEventListener("abort", () => either.abort(each.reason), { once: true });
  }
  return either.signal;
}
