// What an administrator and an agent do at the door: a second factor is set up and asked for, a recovery code stands in,
// a customer's number is looked up for a purpose, and the audit trail tells all of it.
// Usage: node staff.cjs BINARY SCREENSHOT_FOLDER
"use strict";

const { createHmac } = require("node:crypto");
const { Phone } = require("./phone.cjs");
const { Desk } = require("./desk.cjs");
const { hold, play } = require("./stage.cjs");

const WAIT_MS = 30_000;

/** What an authenticator shows now that was given this key (RFC 6238), by none of the server's code. */
function codeOf(base32) {
  const bits = [...base32.replaceAll(" ", "")]
    .map((letter) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(letter).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => Number.parseInt(byte, 2)));
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000)));
  const hash = createHmac("sha1", key).update(step).digest();
  const number = hash.readUInt32BE(hash[19] & 15) & 0x7fffffff;
  return String(number % 1_000_000).padStart(6, "0");
}

async function signIn(page, url, account) {
  await page.goto(url);
  await page.locator("#name").fill(account.name);
  await page.locator("#password").fill(account.password);
  await page.locator("button[type=submit]").first().click();
}

async function enter(page, code) {
  await page.locator("#code").fill(code);
  await page.locator("button.primary").click();
}

async function story({ demo, pages: { admin, agent, phone }, step }) {
  const { desk } = demo.urls;
  let code = "";
  let recovery = [];
  await step("set-up", admin, async () => {
    await signIn(admin, desk, demo.staff.admin);
    await admin.locator("#queue").waitFor();
    await admin.goto(`${desk}/second-step`);
    await admin.locator(".qr svg").waitFor();
    hold((await admin.locator(".qr svg").boundingBox()).width > 150, "the QR code is too small to scan");
  });
  await step("recovery-codes", admin, async () => {
    code = codeOf(await admin.locator("#key").innerText());
    await enter(admin, code);
    recovery = await admin.locator(".recovery code").allInnerTexts();
    hold(recovery.length === 10, `${recovery.length} recovery codes`);
  });
  await step("code-wanted", admin, async () => {
    await admin.locator("a.by-bank").click();
    await admin.locator("header form button[type=submit]").click();
    await signIn(admin, desk, demo.staff.admin);
    await enter(admin, code);
    await admin.locator(".trouble", { hasText: "已使用过" }).waitFor();
  });
  await step("recovery-code-stands-in", admin, async () => {
    await enter(admin, recovery[0]);
    await admin.locator("#queue").waitFor();
  });
  await step("beyond-the-mask", agent, async () => {
    const hand = new Phone(phone, demo.urls.phone);
    await hand.pickUp();
    await hand.follow();
    await hand.say("转人工");
    const seat = new Desk(agent, desk, demo.staff.agent);
    await seat.signIn();
    await seat.claimNext();
    const cases = await agent.evaluate(async () => (await fetch("/desk/api/mine")).json());
    await agent.goto(`${desk}/reveal?case=${cases.cases[0].case_id}`);
    await agent.locator("#purpose").selectOption("identify");
    await agent.locator("button.primary").click();
    await agent.locator(".trouble", { hasText: "尚未绑定" }).waitFor();
  });
  await step("audit-trail", admin, async () => {
    await admin.goto(`${desk}/audit`);
    const told = await admin.locator("table").innerText();
    for (const action of ["second_factor_set_up", "second_step_failed", "sign_out", "case_claimed", "customer_revealed"]) {
      hold(told.includes(action), `the audit trail does not tell of ${action}:\n${told}`);
    }
    hold((await admin.locator(".watermark span").count()) >= 40, "no watermark");
  });
}

const windows = { admin: [1100, 860], agent: [1100, 860], phone: [1100, 860] };
play({ windows, waitMs: WAIT_MS, prefix: "staff-" }, story);
