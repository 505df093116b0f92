/** "Why": from a value to the bytes it was read from, and from a command's outcome to who asked for it. */

import { el } from "./dom.js";
import { unitText, valueText } from "./format.js";

const KINDS = {
  reading: "a reading", desired: "a wanted value", effective: "an effective value", reported: "a reported value",
  command_intent: "a command was accepted", command_sent: "it was sent to the device", command_result: "it came to its end",
  lifecycle: "a connection changed", approval: "somebody decided",
};

/** Returns what `/v1/ledger/why` told, as elements. */
export function whyElements(told) {
  const cards = told.chain.map((record, place) => recordElement(record, place));
  if (told.end) cards.push(el("p", { class: "note" }, told.end));
  return cards;
}

function recordElement(record, place) {
  const head = el(
    "header", {}, el("strong", {}, `#${record.seq}`), ` ${KINDS[record.kind] ?? record.kind}`,
    el("span", { class: "when" }, (record.received ?? record.time).replace("T", " ").replace(/\.(\d{3})\d*Z$/, ".$1 Z")),
  );
  const parts = [head, el("p", { class: "dim" }, place === 0 ? "" : "because of ", el("code", {}, record.route ?? "the gateway"))];
  if (record.fields !== undefined) parts.push(...readingElements(record));
  else if (record.undecoded !== undefined) parts.push(el("p", { class: "note" }, record.undecoded), hexElement(record.body.hex ?? ""));
  else parts.push(bodyElement(record.body));
  return el("article", { class: "record" }, ...parts);
}

function readingElements(record) {
  const bytes = record.payload === "" ? [] : record.payload.split(" ");
  const cells = bytes.map((byte, at) => el("span", { title: `byte ${at}`, class: "byte" }, byte));
  const mark = (field, isOn) => {
    for (let at = field.first_byte; at < field.first_byte + field.size_bytes; at += 1) cells[at]?.classList.toggle("lit", isOn);
  };
  const isOne = record.fields.length === 1;
  const lines = record.fields.map((field) => {
    const isPlaced = field.first_byte !== null && Boolean(field.size_bytes);
    if (isPlaced && isOne) mark(field, true);
    const listeners = !isPlaced || isOne ? {} : {
      tabindex: 0, onmouseenter: () => mark(field, true), onmouseleave: () => mark(field, false),
      onfocus: () => mark(field, true), onblur: () => mark(field, false),
    };
    return el(
      "li", listeners, el("strong", {}, `${field.name} = ${valueText(field.value)} ${unitText(field.units)}`.trim()),
      el("span", {}, afterName(field)),
    );
  });
  const text = printable(bytes);
  return [
    el("p", { class: "dim" }, `message ${record.message}, ${bytes.length} bytes as the device sent them, layout #${record.schema.seq}`),
    el("div", { class: "bytes", role: "img", "aria-label": `bytes ${record.payload}` }, ...cells),
    text === null ? null : el("pre", { class: "text" }, text),
    el("ul", { class: "fields" }, ...lines),
  ];
}

/** The words of a field behind its name and value, which are told already. */
function afterName(field) {
  const at = field.words.indexOf(": ");
  return at < 0 ? "" : field.words.slice(at + 2);
}

function printable(bytes) {
  const codes = bytes.map((byte) => Number.parseInt(byte, 16));
  if (codes.length < 8 || codes.some((code) => (code < 32 && code !== 13 && code !== 10) || code > 126)) return null;
  return String.fromCharCode(...codes).trimEnd();
}

const hexElement = (hex) => el("div", { class: "bytes" }, hex.replace(/(..)/g, "$1 ").trim());

function bodyElement(body) {
  if (body === null || typeof body !== "object") return el("p", {}, valueText(body));
  const rows = Object.entries(body).filter(([, value]) => value !== null && value !== "");
  return el("dl", { class: "body" }, ...rows.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, plain(value)))));
}

const plain = (value) => (typeof value === "object" ? JSON.stringify(value) : String(value));
