// The sandbox core's page: customers, short messages, swipes; and its faults.
"use strict";

const POLL_MS = 50;
const WAIT_MS = 30_000;

class Bank {
  constructor(page, url) {
    this.page = page;
    this.url = url;
  }

  async customer(id) {
    await this.page.goto(this.url);
    const cells = await this.page.locator("#live tbody tr", { hasText: id }).locator("td, th").allInnerTexts();
    return { id, name: cells[1], idNumber: cells[2], phone: cells[3] };
  }

  /** The newest code sent to this phone number that was not read before. */
  async code(phone) {
    this.read ??= new Set();
    const messages = this.page.locator("#live .messages li", { hasText: `****${phone.slice(-4)}` });
    for (const deadline = Date.now() + WAIT_MS; Date.now() < deadline; await this.page.waitForTimeout(POLL_MS)) {
      const texts = await messages.allInnerTexts();
      // By its digits: the words around them change as the message grows old.
      const codes = texts.map((text) => /\b(\d{6})\b/.exec(text)?.[1]);
      const fresh = codes.find((code) => code && !this.read.has(code));
      if (fresh) {
        this.read.add(fresh);
        return fresh;
      }
    }
    throw new Error(`no code for ${phone}`);
  }

  /** Swipes, by choice in another currency or channel; gives what the bank said. */
  async swipe(customer, merchant, amount, { currency = "CNY", channel = "pos" } = {}) {
    await this.page.locator("#customer").selectOption(customer);
    await this.page.locator('select[name="amount.currency"]').selectOption(currency);
    await this.page.locator('select[name="channel"]').selectOption(channel);
    await this.page.locator('input[name="merchant"]').fill(merchant);
    await this.page.locator('input[name="amount.value"]').fill(amount);
    const said = this.page.locator('[data-said-here="swipe"]');
    await said.evaluate((place) => place.replaceChildren());
    await this.page.getByRole("button", { name: "刷卡", exact: true }).click();
    await this.page.locator('[data-said-here="swipe"]:not(:empty)').waitFor();
    return said.innerText();
  }

  /** Moves an application to its next stage. */
  advance(number) {
    return this.page.locator("#live li", { hasText: number }).getByRole("button").click();
  }

  async fault(fault) {
    const response = await fetch(new URL("/sandbox/faults", this.url), {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(fault),
    });
    if (!response.ok) throw new Error(`the sandbox refused the fault: ${response.status}`);
  }

  /** Waits until a call has met a fault: it is under way then. */
  async met(operation) {
    for (const deadline = Date.now() + WAIT_MS; Date.now() < deadline; await this.page.waitForTimeout(POLL_MS)) {
      const faults = await (await fetch(new URL("/sandbox/faults", this.url))).json();
      if ((faults.faults ?? faults).some((fault) => fault.operation === operation && fault.met > 0)) return;
    }
    throw new Error(`nobody called ${operation}`);
  }

  async noFaults() {
    await fetch(new URL("/sandbox/faults", this.url), { method: "DELETE" });
  }
}

module.exports = { Bank };
