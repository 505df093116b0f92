/** The dashboard: joins what the gateway streams with what it is asked now and then, and draws it. */

import { Api, ApiError, pause, Unreachable } from "./api.js";
import { BusView } from "./bus.js";
import { DevicesView } from "./devices.js";
import { byId, inFrame, setAttribute, setText } from "./dom.js";
import { EventsView } from "./events.js";
import { countText, durationText, rateText } from "./format.js";
import { Inspector } from "./inspector.js";
import { LedgerView } from "./ledger.js";
import { Login } from "./login.js";
import { SetpointsView } from "./setpoints.js";
import { Store } from "./store.js";
import { Stream } from "./stream.js";
import { ValuesView } from "./values.js";

const SILENT_MS = 4000; // a gateway that says nothing for so long is lost: values turn stale within 5 s
const TICK_MS = 400;
const LEAST_POLL_MS = 1000;
const MOST_POLL_MS = 2500; // well within what counts as silence
const ROUTES_EVERY_MS = 60_000;
const LOOK_BACK = 3000; // records to begin with: they fill trends and events
const HIDDEN_MS = 10_000; // a page that nobody looks at for so long lets go of its stream
const MOST_BEHIND = 20_000; // records that are caught up with; more are a gap

const api = new Api();
const store = new Store();
const inspector = new Inspector(store, api);
const values = new ValuesView(store, { inspect: (value) => inspector.open(value) });
const devices = new DevicesView(store, { choose: (device) => values.show(device) });
const login = new Login(api, { onChange: signedIn });
const setpoints = new SetpointsView(store, api, values, { needToken: (why) => login.ask(why) });
const ledger = new LedgerView(api);
const bus = new BusView();
const events = new EventsView(store, api);
const stream = new Stream(api, { pattern: "*@*", begin, onItems: (items) => store.takeItems(items), onOpen: opened });

let heardMs = performance.now();
let routesAtMs = -Infinity;
let mayNotRead = false;
let logId = null;
let wake = () => {};
const shadowsDue = new Set();

api.onHeard = () => {
  heardMs = performance.now();
  if (store.isLost) setLost(false);
};
api.onRefused = () => {
  if (api.isSignedIn) login.leave("the token counts for nothing here: it is wrong, has expired or was revoked");
  else mayNotRead = true;
  if (mayNotRead) login.ask("this gateway tells nothing without a token");
};
store.onValue = (value) => {
  values.touch(value);
  inspector.touch(value);
};
store.onEvents = () => inFrame(drawEvents);
store.onDevice = () => wake();
store.onShadow = (device) => {
  shadowsDue.add(device);
  wake();
};

const drawEvents = () => events.draw();

// ---- what is streamed

/** Gives the number to watch from: behind what is known, or a little way back. */
async function begin(last) {
  while (mayNotRead || routesAtMs === -Infinity) await pause(TICK_MS / 2);
  const told = (await api.json("/v1/status")).ledger;
  if (told.last_seq === undefined || told.last_seq === null) return null;
  const isKnown = last !== null && told.log_id === logId;
  logId = told.log_id;
  const fresh = Math.max(1, told.last_seq - LOOK_BACK);
  if (!isKnown) return fresh;
  if (told.last_seq - last <= MOST_BEHIND) return Math.min(last, told.last_seq) + 1;
  store.takeItems([{ gap: { from: last + 1, to: fresh - 1, cause: "this page was away for too long to catch up" } }]);
  return fresh;
}

function opened(isOpen) {
  document.body.dataset.stream = isOpen ? "open" : "closed";
}

// ---- what is asked for

async function poll() {
  for (;;) {
    const began = performance.now();
    try {
      if (!mayNotRead && !document.hidden) await look();
    } catch (error) {
      if (error instanceof Unreachable && error.message.startsWith("TypeError")) setLost(true);
      else if (error instanceof ApiError && error.status === 403) forbidden(error.message);
      else if (!(error instanceof ApiError || error instanceof Unreachable)) throw error;
    }
    const took = performance.now() - began;
    await nap(Math.min(MOST_POLL_MS, Math.max(LEAST_POLL_MS, took * 10)));
  }
}

async function look() {
  const status = await api.json("/v1/status");
  store.status = status;
  const isChanged = store.takeDevices(await api.list("/v1/devices", "devices"));
  if (isChanged || performance.now() - routesAtMs > ROUTES_EVERY_MS) await lookAtRoutes();
  store.takeValues(await api.list("/v1/values", "values"));
  inFrame(drawStatus);
  values.describe();
  await lookAtShadows();
}

async function lookAtRoutes() {
  const isOther = store.takeRoutes(await api.list("/v1/routes", "routes"));
  routesAtMs = performance.now();
  if (!isOther) return;
  values.arrange();
  setpoints.arrange();
  for (const device of setpoints.devices()) shadowsDue.add(device);
}

let nextShadow = 0;

/** Asks for the shadows that have changed, and for one more in turn: what devices report changes by itself. */
async function lookAtShadows() {
  const all = setpoints.devices();
  if (all.length === 0) return;
  shadowsDue.add(all[nextShadow % all.length]);
  nextShadow += 1;
  for (const device of [...shadowsDue]) {
    shadowsDue.delete(device);
    if (all.includes(device)) setpoints.takeShadow(await api.json(`/v1/devices/${device}/shadow`));
  }
}

// ---- whether the gateway is there

function setLost(isLost) {
  if (store.isLost === isLost) return;
  store.isLost = isLost;
  if (isLost) store.forgetClock();
  else wake();
  inFrame(drawLink);
  values.touchAll();
  inFrame(drawDevices);
  setpoints.draw();
}

function tick() {
  if (document.hidden) return;
  if (performance.now() - heardMs > SILENT_MS && !store.isLost) {
    setLost(true);
    stream.again(); // a connection that is dead takes long to notice
  }
  inFrame(drawLink);
  values.touchAll();
}

// ---- drawing

function drawLink() {
  const silentS = (performance.now() - heardMs) / 1000;
  const word = mayNotRead ? "locked" : store.isLost ? "lost" : document.body.dataset.stream === "open" ? "live" : "polling";
  const texts = { locked: "token needed", lost: `no contact for ${durationText(silentS)}`, live: "live", polling: "no stream, asking" };
  document.body.dataset.link = word;
  setText(byId("link"), texts[word]);
  byId("lost").hidden = word !== "lost";
}

const drawDevices = () => devices.draw();

function drawStatus() {
  const { status } = store;
  setText(byId("gateway"), status.name);
  document.title = `${status.name} · Tidegate`;
  setText(byId("about"), `Tidegate ${status.version} · up ${durationText(status.uptime)}`);
  devices.draw();
  ledger.draw(status.ledger);
  const framesPerS = bus.draw(status);
  drawTiles(status, framesPerS);
}

function drawTiles(status, framesPerS) {
  const counts = values.counts();
  const rows = [...store.devices.values()];
  const up = rows.filter((row) => row.lifecycle === "CONNECTED").length;
  const sum = (of) => status.devices.reduce((total, { frames }) => total + of(frames), 0);
  const lost = sum((frames) => frames.dropped) + status.ports.reduce((total, port) => total + port.dropped, 0);
  const refused = sum((frames) => frames.refused);
  tile("tile-devices", `${up} / ${rows.length}`, up === rows.length ? "all connected" : `${rows.length - up} not connected`, up === rows.length ? "" : "warn");
  tile("tile-values", countText(counts.all), counts.stale ? `${counts.stale} stale` : counts.silent ? `${counts.silent} not heard yet` : "all fresh", counts.stale ? "warn" : "");
  tile("tile-frames", framesPerS === null ? "—" : rateText(framesPerS), "frames/s");
  tile("tile-drops", countText(lost), refused ? `${countText(refused)} refused` : "none refused", lost ? "bad" : refused ? "warn" : "");
  tile("tile-ledger", status.ledger.last_seq === undefined ? "—" : `#${countText(status.ledger.last_seq)}`, status.ledger.mode, status.ledger.mode === "recording" ? "" : "warn");
}

function tile(id, number, words, tone = "") {
  const node = byId(id);
  setText(node.querySelector(".figure"), number);
  setText(node.querySelector(".words"), words);
  setAttribute(node, "data-tone", tone || null);
}

/** Whoever signed in may not read: asking again would only fill the ledger with refusals. */
function forbidden(why) {
  mayNotRead = true;
  login.say(why);
}

// ---- beginning

function signedIn() {
  mayNotRead = false;
  heardMs = performance.now();
  stream.again();
  wake();
}

/** Waits, but not when something happened. */
function nap(ms) {
  return new Promise((done) => {
    const timer = setTimeout(done, ms);
    wake = () => {
      clearTimeout(timer);
      setTimeout(done, 100); // what happens together is asked for together
    };
  });
}

let hiddenTimer = null;

document.addEventListener("visibilitychange", () => {
  clearTimeout(hiddenTimer);
  if (document.hidden) {
    hiddenTimer = setTimeout(() => (stream.isWanted = false), HIDDEN_MS);
    return;
  }
  heardMs = performance.now(); // nobody listened meanwhile
  stream.isWanted = true;
  wake();
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, select, textarea") !== null) return;
  event.preventDefault();
  byId("filter").focus();
});
byId("docs").hidden = !["localhost", "127.0.0.1", "[::1]"].includes(location.hostname); // a link carries no token
setInterval(tick, TICK_MS);
poll();
stream.run();
