// What a stranger does: starts the demo, picks up the phone, binds a card, asks, applies, is alerted, talks to a
// person, while the server is killed in the middle; then has a declined purchase mended and denies one. Usage: node run.cjs BINARY SCREENSHOT_FOLDER
"use strict";

const { hold, play } = require("./stage.cjs");
const { Phone } = require("./phone.cjs");
const { Desk } = require("./desk.cjs");
const { Bank } = require("./bank.cjs");

const WAIT_MS = 30_000;
/** From the tap on 刷卡 to the alert in the phone; the best of three, for the machine may be busy. */
const ALERT_WITHIN_MS = 1_000;
/** Another number than the one that binding used: one number gets one code a minute. */
const APPLICANT_PHONE = "13800138088";

async function story({ demo, pages, step }) {
  const phone = new Phone(pages.phone, demo.urls.phone);
  const bank = new Bank(pages.bank, demo.urls.core);
  const desk = new Desk(pages.desk, demo.urls.desk, demo.staff.agent);
  let customer;
  let number;

  await step("welcome", pages.phone, async () => {
    await phone.pickUp();
    await phone.follow();
  });
  await step("bill-before-binding", pages.phone, async () => {
    const answer = await phone.tapMenu("查账单", "本期账单");
    hold(answer.includes("绑定"), `an unbound follower is shown how to bind, not: ${answer}`);
  });
  await step("binding-form", pages.phone, async () => {
    customer = await bank.customer("C10001");
    await phone.tapLink("绑定");
    await phone.fill({ name: customer.name, id_tail: customer.idNumber.slice(-4), card_tail: "1234", phone: customer.phone });
    await phone.choose("接收，显示金额和商户");
    await phone.choose("我已阅读并同意以上同意书");
  });
  await step("binding-code", pages.phone, async () => {
    await phone.press("同意并获取验证码");
    await phone.fill({ code: await bank.code(customer.phone) });
  });
  await step("bound-and-answered", pages.phone, async () => {
    await phone.press("确认绑定");
    const text = await phone.pageText("已绑定");
    hold(text.includes("1234"), `the page names the card, not: ${text}`);
    hold(text.includes("应还"), `the page answers the question that binding interrupted: ${text}`);
    await phone.closePage();
  });
  await step("bill", pages.phone, async () => {
    const answer = await phone.say("查账单");
    hold(/应还|账单/.test(answer) && /\d+\.\d\d/.test(answer), `the bill has an amount: ${answer}`);
  });
  await step("swipe", pages.bank, async () => {
    await bank.swipe("C10001", "星河超市", "128.50");
  });
  await step("alert", pages.phone, async () => {
    const card = await phone.card("128.50");
    hold(card.includes("星河超市"), `the alert names the merchant: ${card}`);
  });
  await step("subscription-asked", pages.phone, async () => {
    await phone.say("消息设置");
    await phone.tapLink("打开提醒设置");
    const text = await phone.pageText("订阅通知");
    hold(text.includes("未订阅"), `nothing is consented to yet: ${text}`);
    await phone.press("订阅这些通知");
    await pages.phone.locator("#sheet", { hasText: "申请向您发送通知" }).waitFor();
  });
  await step("subscription-allowed", pages.phone, async () => {
    await pages.phone.locator("#sheet button", { hasText: "允许" }).click();
    await phone.pageText("还可通知您1次");
    await phone.closePage();
  });
  await step("application", pages.phone, async () => {
    await phone.tapMenu("办卡", "申请信用卡");
    await phone.tapLink("申请");
    await phone.chooseFirst("product_id");
    await phone.press("下一步");
    await phone.fill({ name: customer.name, id_number: customer.idNumber, phone: APPLICANT_PHONE });
    await phone.press("保存，下一步");
    await phone.select("occupation", 1);
    await phone.fill({ employer: "星河科技有限公司", annual_income: "180000", address: "示例省示例市星河路1号" });
  });
  await step("application-left-and-taken-up-again", pages.phone, async () => {
    await phone.press("保存，下一步");
    await phone.pageText("征信授权");
    await phone.closePage();
    await phone.say("办卡");
    await phone.tapLink("申请");
    await phone.choose("我已阅读授权书");
    await phone.press("同意，下一步");
    await phone.choose("我已阅读并同意领用合约");
  });
  await step("application-accepted", pages.phone, async () => {
    await phone.press("获取短信验证码");
    await phone.fill({ code: await bank.code(APPLICANT_PHONE) });
    await phone.press("提交申请");
    const text = await phone.pageText("受理编号");
    number = /受理编号\s*([A-Z0-9-]+)/.exec(text)?.[1];
    hold(number, `the page tells the number: ${text}`);
    await phone.closePage();
  });
  await step("application-progress", pages.phone, async () => {
    await bank.advance(number);
    const card = await phone.card(number);
    hold(card.includes("信用卡申请进度"), `the applicant is told: ${card}`);
  });
  await step("killed-while-answering", pages.phone, async () => {
    await bank.fault({ operation: "bill_unbilled", delay_ms: 2_000, error_rate: 0, down: false, seed: 1 });
    const before = await phone.count();
    await phone.type("未出账单");
    await bank.met("bill_unbilled");
    await demo.kill("server");
    await demo.restarted("server");
    const answer = await phone.answerAfter(before);
    hold(/\d+\.\d\d/.test(answer), `the answer survives the kill: ${answer}`);
    await bank.noFaults();
  });
  await step("nothing-lost", pages.phone, async () => {
    const answer = await phone.say("办卡进度");
    hold(answer.includes(number) || answer.includes("受理"), `the application is still there: ${answer}`);
  });
  await step("person-wanted", pages.phone, async () => {
    const answer = await phone.say("人工");
    hold(/人工|客服|坐席/.test(answer), `a person is fetched: ${answer}`);
  });
  await step("agent-claims", pages.desk, async () => {
    await desk.signIn();
    await desk.claimNext();
    hold((await desk.log()).includes("人工"), "the agent sees what was said before");
  });
  await step("agent-answers", pages.desk, async () => {
    await desk.answer("您好，我是客服小林，请问有什么可以帮您？");
  });
  await step("answer-in-the-phone", pages.phone, async () => {
    await phone.bubble("我是客服小林");
    await phone.type("我想确认刚才那笔消费");
    await desk.shows("我想确认刚才那笔消费");
  });
  await step("case-closed", pages.desk, async () => {
    await desk.finish("已解决");
  });
  await step("bot-again", pages.phone, async () => {
    const answer = await phone.say("查账单");
    hold(/\d+\.\d\d/.test(answer), `the bot answers again: ${answer}`);
  });
  await answering({ demo, bank, phone, desk, pages, step, customer });
}

/** The alert is answered: a declined purchase is mended, a strange one locks the card and brings an agent. */
async function answering({ demo, bank, phone, desk, pages, step, customer }) {
  const abroad = { currency: "USD" };
  await step("alert-within-a-second", pages.phone, async () => {
    const times = [];
    for (const amount of ["11.01", "11.02", "11.03"]) {
      const began = Date.now();
      await bank.swipe("C10001", "星河便利店", amount);
      await phone.card(amount);
      times.push(Date.now() - began);
    }
    console.log(`    swipe to phone: ${times.join(", ")} ms`);
    hold(Math.min(...times) < ALERT_WITHIN_MS, `the phone shows a swipe within a second, not after ${times} ms`);
  });
  await step("declined-abroad", pages.bank, async () => {
    const said = await bank.swipe("C10001", "TOKYO MART", "30.00", abroad);
    hold(said.includes("境外交易未开通"), `use abroad is off: ${said}`);
  });
  await step("why-declined", pages.phone, async () => {
    await phone.card("TOKYO MART");
    const answer = await phone.say("为什么没刷成");
    hold(answer.includes("没有开通境外消费"), `the reason in plain words: ${answer}`);
  });
  await step("one-tap-to-mend", pages.phone, async () => {
    const before = await phone.count();
    await pages.phone.locator("#chat .text-link", { hasText: "开通境外消费24小时" }).last().click();
    await phone.answerAfter(before);
    await phone.tapLink("短信验证码验证");
    await phone.pageText("确认是您本人");
  });
  await step("step-up-code", pages.phone, async () => {
    await phone.askForCode();
    await phone.fill({ code: await bank.code(customer.phone) });
  });
  await step("mended", pages.phone, async () => {
    await phone.press("确认");
    await phone.pageText("请再刷一次");
  });
  await step("passes-now", pages.phone, async () => {
    await phone.closePage();
    const said = await bank.swipe("C10001", "TOKYO MART", "31.00", abroad);
    hold(said.includes("已受理"), `the next one passes: ${said}`);
    await phone.card("31.00");
  });
  await step("purchase-page", pages.phone, async () => {
    await bank.swipe("C10001", "星河数码城", "666.00");
    await phone.card("666.00");
    await phone.openCard("666.00");
    const text = await phone.pageText("星河数码城");
    hold(text.includes("不是我") && text.includes("¥666.00"), `the alert leads to its purchase: ${text}`);
  });
  await step("somebody-waits-already", pages.desk, async () => {
    await waitAsAnother(demo);
    await desk.first("");
  });
  await step("not-me", pages.phone, async () => {
    await phone.press("不是我");
    const text = await phone.pageText("已锁住尾号1234");
    hold(text.includes("案件号"), `a case is open: ${text}`);
  });
  await step("agent-sees-it-on-top", pages.desk, async () => {
    const first = await desk.first("非本人操作");
    hold(first.length > 0, "the newest stands first, before who waited longer");
    await desk.claimNext();
    hold((await desk.log()).includes("案件号"), "the agent sees what was done");
    await pages.desk.locator("#transactions .spoken-of", { hasText: "星河数码城" }).waitFor();
  });
  await step("locked", pages.bank, async () => {
    const said = await bank.swipe("C10001", "星河超市", "1.00");
    hold(/冻结|锁定/.test(said), `nothing more is bought: ${said}`);
  });
}

/** Another follower has asked for a person, with no hurry. */
async function waitAsAnother(demo) {
  const api = (path) => new URL(`/sim/api/accounts/card/followers${path}`, demo.urls.phone);
  const post = async (url, body) => {
    const headers = { "content-type": "application/json" };
    const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
    if (!response.ok) throw new Error(`the simulator refused: ${response.status}`);
    return response.json();
  };
  const { openid } = await post(api(""), { name: "路人", follow: true });
  await post(api(`/${openid}/actions`), { action: "text", text: "人工" });
}

play({ windows: { phone: [1360, 860], bank: [1280, 900], desk: [1360, 860] }, waitMs: WAIT_MS }, story);
