// People at work: two agents, a supervisor and a customer, in one browser; and a customer who means harm.
// Usage: node desk_story.cjs BINARY SCREENSHOT_FOLDER
"use strict";

const { ACCOUNT, Customer, PICTURE, WAIT_MS } = require("./customer.cjs");
const { Desk } = require("./desk.cjs");
const { harm } = require("./desk_harm.cjs");
const { byKeys } = require("./desk_keys.cjs");
const { trouble } = require("./desk_trouble.cjs");
const { Phone } = require("./phone.cjs");
const { hold, play } = require("./stage.cjs");

async function story({ demo, pages, step }) {
  const origin = new URL(demo.urls.phone).origin;
  const customer = await Customer.follow(origin, "陈先生");
  const [first, second] = demo.agents;
  const one = new Desk(pages.one, demo.urls.desk, first);
  const two = new Desk(pages.two, demo.urls.desk, second);
  const boss = new Desk(pages.boss, demo.urls.desk, demo.staff.admin);
  const phone = new Phone(pages.phone, `${origin}/phone/${ACCOUNT}/${customer.openid}`);

  await step("two-agents-at-work", pages.one, async () => {
    await one.signIn();
    await two.signIn();
    await pages.phone.goto(phone.url);
    await pages.phone.locator("#menu:not([hidden]), #composer:not([hidden])").first().waitFor();
    await phone.say("积分");
    await pages.phone.locator("#picture").setInputFiles({ name: "a.png", mimeType: "image/png", buffer: PICTURE });
    await customer.wait((entry) => entry.direction !== "account" && entry.kind === "image");
    await phone.type("转人工");
    await phone.bubble("人工客服");
    await pages.one.locator("#queue .entry").waitFor();
  });
  await step("agent-sees-what-was-said-to-the-bot", pages.one, async () => {
    await one.claimNext();
    await one.shows("积分");
    await pages.one.locator("#log img.photo:visible").waitFor();
  });
  await step("customer-sees-that-somebody-types", pages.phone, async () => {
    await pages.one.locator("#answer").pressSequentially("您");
    await pages.phone.locator("#title", { hasText: "正在输入" }).waitFor();
    await pages.one.locator("#answer").fill("");
  });
  await step("canned-reply-with-keys", pages.one, async () => {
    await pages.one.locator("#answer").press("/");
    await pages.one.locator("#replies-search").fill("问候");
    await pages.one.locator("#replies-search").press("Enter");
    const filled = await pages.one.locator("#answer").inputValue();
    hold(filled.includes(first.name) && !/[{}]/.test(filled), `the reply is filled in: ${filled}`);
    await pages.one.locator("#answer").press("Enter");
    await phone.bubble("很高兴为您服务");
  });
  await step("picture-to-the-customer", pages.one, async () => {
    await pages.one.locator("#image").setInputFiles({ name: "a.png", mimeType: "image/png", buffer: PICTURE });
    await customer.wait((entry) => entry.direction === "account" && JSON.stringify(entry).includes("image"));
    await pages.one.locator("#log .line.agent img.photo:visible").waitFor();
  });
  await step("no-private-contacts", pages.one, async () => {
    await pages.one.locator("#answer").fill("请加我微信 abc");
    await pages.one.locator("#send").click();
    await pages.one.locator("#trouble", { hasText: "私人联系方式" }).waitFor();
    await pages.one.locator("#answer").fill("");
  });
  await step("note-for-colleagues", pages.one, async () => {
    await pages.one.locator("#note-mode").click();
    await pages.one.locator("#answer").fill("客户说卡在身边，疑似盗刷");
    await pages.one.locator("#send").click();
    await pages.one.locator("#log .internal", { hasText: "疑似盗刷" }).waitFor();
  });
  await step("transfer-dialog", pages.one, async () => {
    await pages.one.locator("#transfer").click();
    await pages.one.locator("#colleagues button", { hasText: second.name }).waitFor();
  });
  await step("transferred-to-fraud", pages.two, async () => {
    await pages.one.locator("#transfer-dialog button", { hasText: "反欺诈" }).click();
    await pages.one.locator("#nothing").waitFor();
    for (const page of [pages.one, pages.two]) await page.locator("#queue .entry", { hasText: "反欺诈" }).click();
    await pages.one.locator("#looking", { hasText: second.name }).waitFor();
    await pages.two.locator("#looking", { hasText: first.name }).waitFor();
    await two.claimNext();
    await pages.one.locator("#nothing").waitFor();
    await two.shows("疑似盗刷");
    await two.answer("您好，已为您核实。");
  });
  await step("wall", pages.boss, async () => {
    await boss.signIn();
    await pages.boss.goto(`${demo.urls.desk}/wall`);
    await pages.boss.locator("#talks .person").waitFor();
  });
  await step("supervisor-reads-silently", pages.boss, async () => {
    await pages.boss.locator("#talks a").click();
    await pages.boss.locator("#log", { hasText: "疑似盗刷" }).waitFor();
    hold(await pages.boss.locator("#composer").isHidden(), "only the owner can write");
  });
  await step("whisper-to-the-agent", pages.two, async () => {
    for (const words of ["先安抚客户，再核实交易", "可以先冻结卡片"]) {
      await pages.boss.locator("#whisper").fill(words);
      await pages.boss.locator("#whisper-form button").click();
      await pages.two.locator("#log .internal", { hasText: words }).waitFor();
      await pages.boss.waitForFunction(() => document.querySelector("#whisper").value === "");
    }
    hold((await pages.two.locator("#log .internal", { hasText: "密语" }).count()) === 2, "each is whispered once");
    const seen = await pages.two.locator("#looking").innerText();
    hold(!seen.includes(demo.staff.admin.name), `a supervisor joins silently, and the agent reads: ${seen}`);
  });
  await step("complaint-registered", pages.two, async () => {
    await pages.two.locator("#complain").click();
    await pages.two.locator("#complaint-reason").fill("对处理时间不满");
    await pages.two.locator("#complaint-form button[type=submit]").click();
    await pages.two.locator("#complaint-clock", { hasText: "15 日" }).waitFor();
    await pages.boss.goto(`${demo.urls.desk}/wall`);
    await pages.boss.locator("#complaints li", { hasText: "处理时间" }).waitFor();
  });
  await step("robot-suggests", pages.two, async () => {
    await phone.type("账单日和还款日有什么区别");
    await pages.two.locator("#guesses .guess").first().waitFor();
    const offered = await pages.two.locator("#guesses .guess span").first().innerText();
    await pages.two.locator("#answer").press("Alt+1");
    await customer.wait((entry) => entry.direction === "account" && String(entry.text ?? "").includes(offered.slice(0, 8)));
  });
  await step("ended-and-rated", pages.phone, async () => {
    await two.finish("已解决");
    await phone.bubble("满意吗");
    await pages.phone.locator("#chat").getByText("满意", { exact: true }).last().click();
    await phone.bubble("谢谢您的评价");
  });
  await step("report", pages.boss, async () => {
    await pages.boss.goto(`${demo.urls.desk}/report`);
    const text = await pages.boss.locator("main").innerText();
    hold(text.includes("5.00") && text.includes("已解决"), `the report knows of it: ${text}`);
    const csv = await pages.boss.evaluate(async () => (await fetch("report.csv")).text());
    hold(csv.includes("5.00"), csv);
    hold(text.includes("机器人独立解决"), "the report counts what the bot did alone");
  });
  await step("quality-judged", pages.boss, async () => {
    await pages.boss.goto(`${demo.urls.desk}/wall`);
    await pages.boss.locator("#samples a").first().click();
    await pages.boss.locator("#judge-form input[value='4']").check();
    await pages.boss.locator("#judge-note").fill("核实及时");
    await pages.boss.locator("#judge-form button").click();
    await pages.boss.locator("#judgement", { hasText: "4 分" }).waitFor();
  });
}

const windows = { phone: [420, 860], one: [1440, 900], two: [1440, 900], boss: [1440, 900], keys: [1440, 900], cut: [1440, 900] };
play({ windows, waitMs: WAIT_MS }, async (stage) => {
  await story(stage);
  await trouble(stage);
  await byKeys(stage);
  await harm(stage);
});
