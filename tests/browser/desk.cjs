// The agents' desk.
"use strict";

class Desk {
  constructor(page, url, account) {
    this.page = page;
    this.url = url;
    this.account = account;
  }

  async signIn() {
    await this.page.goto(this.url);
    await this.page.locator("#name").fill(this.account.name);
    await this.page.locator("#password").fill(this.account.password);
    await this.page.locator("button[type=submit]").click();
    await this.page.locator("#queue").waitFor();
  }

  /** What stands first in the queue. */
  async first(words) {
    const first = this.page.locator("#queue > *").first();
    await first.filter({ hasText: words }).waitFor();
    return first.innerText();
  }

  async claimNext() {
    await this.page.locator("#claim-next").click();
    await this.page.locator("#composer").waitFor();
  }

  log() {
    return this.page.locator("#log").innerText();
  }

  shows(words) {
    return this.page.locator("#log", { hasText: words }).waitFor();
  }

  async answer(text) {
    await this.page.locator("#answer").fill(text);
    await this.page.locator("#send").click();
    await this.shows(text);
  }

  async finish(reason) {
    await this.page.locator("#finish").click();
    await this.page.locator("#finish-dialog button", { hasText: reason }).click();
    await this.page.locator("#nothing").waitFor();
  }
}

module.exports = { Desk };
