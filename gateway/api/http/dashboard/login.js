/** Who one is: a token, typed in, kept in this tab, and given up again. */

import { byId, setText } from "./dom.js";

export class Login {
  /** `onChange()` hears that a token was taken, or given up. */
  constructor(api, { onChange }) {
    this._api = api;
    this._onChange = onChange;
    this._form = document.querySelector("form[data-login]");
    this._form.addEventListener("submit", (event) => {
      event.preventDefault();
      this._enter(this._form.elements.token.value.trim());
    });
    byId("leave").addEventListener("click", () => this.leave(""));
    this._show();
  }

  /** Says that a token is needed, and why. */
  ask(why) {
    this.say(why);
    this._form.elements.token.focus({ preventScroll: false });
  }

  say(text) {
    setText(byId("login-says"), text);
  }

  /** Gives the token up. */
  leave(why) {
    this._api.token = "";
    this._show();
    this.say(why);
    this._onChange();
  }

  async _enter(token) {
    if (!/^[\x21-\x7e]+$/.test(token)) {
      this.ask("a token has no spaces; `tidegate token issue` makes one");
      return;
    }
    this.say("asking");
    let answer;
    try {
      answer = await fetch("/v1/status", {
        headers: { Authorization: `Bearer ${token}` }, cache: "no-store", credentials: "omit", referrerPolicy: "no-referrer",
      });
    } catch {
      this.say("nobody answers; try again");
      return;
    }
    if (!answer.ok) {
      const told = await answer.json().catch(() => ({}));
      this.ask(told.detail ?? `refused: ${answer.status}`);
      return;
    }
    this._api.token = token;
    this._form.reset();
    this._show();
    this.say("");
    this._onChange();
  }

  _show() {
    this._form.hidden = this._api.isSignedIn;
    byId("signed-in").hidden = !this._api.isSignedIn;
  }
}
