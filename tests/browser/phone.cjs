// The simulated phone, as a person uses it.
"use strict";

class Phone {
  constructor(page, url) {
    this.page = page;
    this.url = url;
  }

  async pickUp() {
    await this.page.goto(this.url);
    await this.page.locator(".people a").first().click();
    await this.page.waitForURL(/\/phone\//);
  }

  async follow() {
    await this.page.locator("#follow").click();
    await this.answers().first().waitFor();
    await this.page.locator("#menu:not([hidden]), #composer:not([hidden])").first().waitFor();
  }

  /** Bubbles of the account. */
  answers() {
    return this.page.locator("#chat .turn:not(.turn-own)");
  }

  count() {
    return this.answers().count();
  }

  /** The text of the first bubble of the account after `before` of them. */
  async answerAfter(before) {
    const bubble = this.answers().nth(before);
    await bubble.waitFor();
    return bubble.innerText();
  }

  async type(text) {
    if (await this.page.locator("#composer").isHidden()) await this.page.locator("#toggle").click();
    await this.page.locator("#text").fill(text);
    await this.page.locator("#send").click();
  }

  async say(text) {
    const before = await this.count();
    await this.type(text);
    return this.answerAfter(before);
  }

  async tapMenu(top, item) {
    if (await this.page.locator("#menu").isHidden()) await this.page.locator("#toggle").click();
    const before = await this.count();
    await this.page.locator(".menu-parent", { hasText: top }).click();
    await this.page.locator(".menu-popup button", { hasText: item }).click();
    return this.answerAfter(before);
  }

  /** Taps the newest link in the chat whose words hold these, and waits for its page. */
  async tapLink(words) {
    await this.page.locator("#chat .text-link", { hasText: words }).last().click();
    await this.page.locator("#page iframe").waitFor();
  }

  /** A notice card that holds these words. */
  async card(words) {
    const card = this.page.locator(".notice-card", { hasText: words });
    await card.waitFor();
    return card.innerText();
  }

  /** Opens the page that the newest notice card with these words leads to. */
  async openCard(words) {
    await this.page.locator(".notice-card", { hasText: words }).last().locator(".card-more").click();
    await this.page.locator("#page iframe").waitFor();
  }

  bubble(words) {
    return this.page.locator("#chat .bubble", { hasText: words }).waitFor();
  }

  // — the page inside the phone —

  get frame() {
    return this.page.frameLocator("#page iframe");
  }

  async fill(fields) {
    for (const [name, value] of Object.entries(fields)) {
      await this.frame.locator(`input[name="${name}"]`).fill(value);
    }
  }

  choose(words) {
    return this.frame.locator("label.choice", { hasText: words }).locator("input").check();
  }

  chooseFirst(name) {
    return this.frame.locator(`input[name="${name}"]`).first().check();
  }

  select(name, index) {
    return this.frame.locator(`select[name="${name}"]`).selectOption({ index });
  }

  press(words) {
    return this.frame.locator("button", { hasText: words }).first().click();
  }

  /** Has a one-time code sent. One number gets one code a minute, so the page may say how long to wait. */
  async askForCode() {
    for (;;) {
      await this.frame.locator("main").evaluate((main) => { main.dataset.old = "yes"; });
      await this.press("获取短信验证码");
      const fresh = this.frame.locator("main:not([data-old])");
      await fresh.waitFor();
      const wait = /请(\d+)秒后再获取/.exec(await fresh.innerText());
      if (!wait) return;
      await this.page.waitForTimeout(Number(wait[1]) * 1000);
    }
  }

  /** The page's words, once these are among them. */
  async pageText(words) {
    await this.frame.locator("main", { hasText: words }).waitFor();
    return this.frame.locator("main").innerText();
  }

  async closePage() {
    await this.page.locator("#page-close").click();
    await this.page.locator("#page").waitFor({ state: "hidden" });
  }
}

module.exports = { Phone };
