/** The ledger: how it stands, and its proof. */

import { ApiError, pause } from "./api.js";
import { byId, el, Facts, setAttribute, setText } from "./dom.js";
import { bytesText, countText, durationText } from "./format.js";

const TONES = { recording: "good", off: "quiet" };
const VERDICT_TONES = { intact: "good", damaged: "bad", forged: "bad" };
const ASK_AGAIN_MS = 1000;

export class LedgerView {
  constructor(api) {
    this._api = api;
    this._facts = new Facts(byId("ledger"));
    this._button = document.querySelector("[data-action=verify]");
    this._verdict = document.querySelector("[data-verdict]");
    this._button.addEventListener("click", () => this._verify());
  }

  draw(ledger) {
    const { mode } = ledger;
    setText(byId("ledger-mode"), mode);
    setAttribute(byId("ledger-mode"), "data-tone", TONES[mode] ?? "warn");
    this._button.disabled = mode === "off" || this._isBusy === true;
    if (mode === "off") return;
    const shed = Object.entries(ledger.shed ?? {});
    const facts = [];
    if (ledger.reason) facts.push(["why", ledger.reason, "warn"]);
    if (ledger.last_seq !== undefined) facts.push(["records", `#${countText(ledger.last_seq)}`]);
    if (ledger.durable_seq !== undefined) facts.push(["on the medium", `#${countText(ledger.durable_seq)}`]);
    if (ledger.queue) facts.push(["waiting", ledger.queue.records ? countText(ledger.queue.records) : "nothing"]);
    if (ledger.ring) facts.push(["ring", `${bytesText(ledger.ring.bytes)}, ${Math.round(ledger.ring.fill * 100)} % full`]);
    if (ledger.archives) facts.push(["archives", ledger.archives.files ? `${ledger.archives.files}, ${bytesText(ledger.archives.bytes)}` : "none"]);
    if (ledger.wear) facts.push(["writes", `${bytesText(ledger.wear.bytes_per_day)} a day, ${ledger.wear.level}`, ledger.wear.level === "normal" ? "" : "warn"]);
    facts.push(["not kept", shed.length ? shed.map(([why, count]) => `${countText(count)} ${why}`).join(", ") : "0", shed.length ? "warn" : ""]);
    if (ledger.damage !== undefined) facts.push(["damage", ledger.damage.length ? `${ledger.damage.length} places` : "none known", ledger.damage.length ? "bad" : ""]);
    if (ledger.failures !== undefined) facts.push(["failures", countText(ledger.failures), ledger.failures ? "warn" : ""]);
    if (ledger.log_id) facts.push(["log", `${ledger.log_id.slice(0, 8)}, boot ${ledger.boot_no}${ledger.incarnation > 1 ? `, incarnation ${ledger.incarnation}` : ""}`]);
    this._facts.show(facts);
  }

  async _verify() {
    this._isBusy = this._button.disabled = true;
    const began = performance.now();
    const deep = byId("deep").checked;
    try {
      let told;
      do {
        this._tell("", `verifying, ${durationText((performance.now() - began) / 1000)}`, "busy");
        told = await this._api.patiently(`/v1/ledger/verify${deep ? "?deep=true" : ""}`);
        if (told.status === 202) await pause(ASK_AGAIN_MS);
      } while (told.status === 202);
      this._end(told.body);
    } catch (error) {
      this._tell("unknown", error instanceof ApiError ? error.message : "nobody answers", "bad");
    } finally {
      this._isBusy = this._button.disabled = false;
    }
  }

  _end(found) {
    const { verdict, records, first_seq: first, last_seq: last, head, damage, gaps, seconds } = found;
    const parts = [`${countText(records)} records, #${first} to #${last}, in ${seconds < 1 ? `${Math.ceil(seconds * 1000)} ms` : durationText(seconds)}`];
    if (damage.length) parts.push(`${damage.length} places damaged`);
    if (gaps.length) parts.push(`${gaps.length} gaps`);
    this._tell(verdict, parts.join(", "), VERDICT_TONES[verdict] ?? "warn", head);
  }

  _tell(verdict, words, tone, head = "") {
    this._verdict.dataset.verdict = verdict;
    this._verdict.dataset.tone = tone;
    this._verdict.replaceChildren(
      el("strong", {}, verdict), ` ${words}`, ...(head ? [el("code", { class: "head", title: "the head: whoever has it can tell that nothing before it was changed" }, head)] : []),
    );
  }
}
