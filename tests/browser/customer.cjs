// A customer who acts by the simulator's own interface, where no test looks at his phone's page.
"use strict";

const { hold } = require("./stage.cjs");

/** As long as the other tests wait: on a busy machine everything comes late, and still comes. */
const WAIT_MS = 120_000;
const ACCOUNT = "card";
/** A picture of 64 × 48 green points. */
const PICTURE = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAEAAAAAwCAIAAAAuKetIAAAARElEQVR42u3PMQ0AAAgDsP2IQwj+fyzwkjSpgaamX4uAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAwNUCXtQ8iC1uzU0AAAAASUVORK5CYII=",
  "base64",
);

class Customer {
  constructor(origin, openid) {
    this.url = `${origin}/sim/api/accounts/${ACCOUNT}/followers/${openid}`;
    this.openid = openid;
  }

  static async follow(origin, name) {
    const made = await Customer.post(`${origin}/sim/api/accounts/${ACCOUNT}/followers`, { name, follow: true });
    return new Customer(origin, made.openid);
  }

  static async post(url, body) {
    const answer = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
    hold(answer.ok, `${url}: ${answer.status} ${await answer.clone().text()}`);
    return answer.json().catch(() => ({}));
  }

  act(action) {
    return Customer.post(`${this.url}/actions`, action);
  }

  say(text) {
    return this.act({ action: "text", text });
  }

  async timeline() {
    return (await fetch(`${this.url}/timeline?after=0`)).json();
  }

  /** How often his phone shows these words. */
  async count(text) {
    return (await this.timeline()).filter((entry) => String(entry.text ?? "").includes(text)).length;
  }

  /** Waits for an entry of the chat. */
  async wait(wanted) {
    let after = 0;
    const until = Date.now() + WAIT_MS;
    while (Date.now() < until) {
      const entries = await (await fetch(`${this.url}/timeline?after=${after}&wait_ms=1000`)).json();
      for (const entry of entries) {
        after = Math.max(after, entry.seq);
        if (wanted(entry)) return entry;
      }
    }
    throw new Error(`the phone never showed it: ${wanted}`);
  }

  /** Waits for these words of the account. */
  hears(text) {
    return this.wait((entry) => entry.direction === "account" && String(entry.text ?? "").includes(text));
  }
}

module.exports = { ACCOUNT, Customer, PICTURE, WAIT_MS };
