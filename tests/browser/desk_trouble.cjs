// What goes wrong while an agent talks: WeChat refuses, the customer leaves, the connection is cut. He sees why and what is
// still possible, and nothing is lost or said twice.
"use strict";

const { Customer } = require("./customer.cjs");
const { Desk } = require("./desk.cjs");
const { hold } = require("./stage.cjs");
const { Wire } = require("./wire.cjs");

const SEND = "/cgi-bin/message/custom/send";
/** Errcodes of WeChat's, and what the agent reads below his words, beside the composer, and as what is possible. */
const REFUSALS = [
  [45015, "微信窗口已关闭", "超过 48 小时", "留言"],
  [45047, "条数已用完", "条数已用完", "留言"],
  [40003, "联系不到该客户", "取消关注", "电话回访"],
];

async function trouble(stage) {
  await refused(stage);
  await cutOff(stage);
}

/** A talk of an agent's with somebody new. */
async function talk({ demo, page, name }) {
  const customer = await Customer.follow(new URL(demo.urls.phone).origin, name);
  await customer.say("转人工");
  await page.locator("#queue .entry").first().waitFor();
  const before = await chosen(page);
  await page.locator("#claim-next").click();
  await page.waitForFunction((old) => {
    const shown = document.querySelector("#mine .chosen")?.dataset.case ?? "";
    return shown !== old && document.querySelector("#log").innerText.includes("转人工");
  }, before);
  return customer;
}

/** The case that is shown; empty: none. */
function chosen(page) {
  return page.evaluate(() => document.querySelector("#mine .chosen")?.dataset.case ?? "");
}

async function refused({ demo, pages, step }) {
  const page = pages.two;
  const desk = new Desk(page, demo.urls.desk, demo.agents[1]);
  const origin = new URL(demo.urls.phone).origin;
  const customer = await talk({ demo, page, name: "周先生" });
  await step("title-and-sound-tell-of-the-other-talk", page, async () => {
    await talk({ demo, page, name: "郑女士" });
    await page.evaluate(() => {
      const { start } = OscillatorNode.prototype;
      OscillatorNode.prototype.start = function counted(...from) {
        document.documentElement.dataset.rung = "yes";
        return start.apply(this, from);
      };
    });
    await customer.say("还在吗");
    await page.waitForFunction(() => document.title.startsWith("(1) ") && document.documentElement.dataset.rung === "yes");
    await page.locator("#mine .entry", { has: page.locator(".unread", { hasText: "1" }) }).click();
    await desk.shows("还在吗");
    await page.waitForFunction(() => !document.title.startsWith("("));
  });
  for (const [code, state, why, possible] of REFUSALS) {
    await step(`wechat-refuses-${code}`, page, async () => {
      await Customer.post(`${origin}/sim/api/faults`, { api: SEND, errcode: code, times: 1 });
      await desk.answer(`您好，第${code}句`);
      const line = page.locator("#log .line.agent", { hasText: `第${code}句` });
      await line.locator(".state.bad", { hasText: state }).waitFor();
      await page.locator("#allowance", { hasText: why }).waitFor();
      await page.locator("#still", { hasText: possible }).waitFor();
      await page.locator("#still button").waitFor();
      await line.locator(".state button").click();
      hold((await page.locator("#answer").inputValue()) === `您好，第${code}句`, "the words are there to be used again");
      hold((await customer.count(`第${code}句`)) === 0, "he never read it");
      if (possible !== "留言") return;
      await page.locator("#send", { hasText: "留言" }).click();
      await page.locator("#log .line.agent .state", { hasText: "下次发言时送达" }).last().waitFor();
      await customer.say(`我回来了${code}`);
      await customer.hears(`第${code}句`);
      await page.locator("#log .line.agent .state", { hasText: "客户发言时已送达" }).last().waitFor();
      await page.locator("#still").waitFor({ state: "hidden" });
    });
  }
  await step("sent-once-he-is-reached-again", page, async () => {
    await customer.say("我一直都在");
    await page.locator("#still").waitFor({ state: "hidden" });
    await page.locator("#send").click();
    await customer.hears("第40003句");
    await page.locator("#still").waitFor({ state: "hidden" });
    for (const [code] of REFUSALS) hold((await customer.count(`第${code}句`)) === 1, `${code}: once`);
  });
  await step("customer-leaves", page, async () => {
    await customer.act({ action: "unfollow" });
    await page.locator("#closed-note", { hasText: "取消关注" }).waitFor();
    hold(await page.locator("#composer").isHidden(), "nothing can be written to him");
    await desk.shows("第40003句");
  });
}

/** The wire between the browser and the server is cut, and later it loses answers only. */
async function cutOff({ demo, pages, step }) {
  const page = pages.cut;
  const wire = await Wire.to(demo.urls.desk);
  const desk = new Desk(page, `${wire.url}/desk`, demo.agents[1]);
  const shownOnce = async (words) => {
    await desk.shows(words);
    const times = await page.locator("#log .bubble", { hasText: words }).count();
    hold(times === 1, `${words} is shown ${times} times`);
  };
  let customer;
  try {
    await step("talk-over-a-wire", page, async () => {
      await desk.signIn();
      customer = await talk({ demo, page, name: "吴女士" });
      await page.locator("#connection.live").waitFor();
    });
    await step("connection-lost-and-shown", page, async () => {
      wire.cut();
      await page.locator("#connection.lost").waitFor();
      for (const words of ["断线时第一句", "断线时第二句"]) await customer.say(words);
      await page.locator("#answer").fill("这句断线时写的");
      await page.locator("#send").click();
      await page.locator("#trouble", { hasText: "未确认是否送达" }).waitFor();
      hold((await page.locator("#answer").inputValue()) === "这句断线时写的", "his words stay where he wrote them");
    });
    await step("connection-mended-nothing-missed", page, async () => {
      wire.mend();
      await page.locator("#connection.live").waitFor();
      for (const words of ["断线时第一句", "断线时第二句"]) await shownOnce(words);
      await page.locator("#answer").press("Enter");
      await customer.hears("这句断线时写的");
      await shownOnce("这句断线时写的");
    });
    await step("answer-lost-nothing-doubled", page, async () => {
      wire.loseAnswers();
      await page.locator("#answer").fill("这句只说一次");
      await page.locator("#send").click();
      await customer.hears("这句只说一次");
      await page.locator("#connection.lost").waitFor();
      wire.mend();
      await page.locator("#connection.live").waitFor();
      await page.waitForFunction(() => document.querySelector("#answer").value === "");
      await shownOnce("这句只说一次");
      for (const words of ["这句断线时写的", "这句只说一次"]) hold((await customer.count(words)) === 1, `${words}: heard once`);
    });
    await step("voice-plays", page, async () => {
      await customer.act({ action: "voice", format: "amr" });
      await page.locator("#log audio:visible").waitFor();
      const played = await page.locator("#log audio").evaluate(async (audio) => {
        audio.muted = true;
        const over = new Promise((ends) => audio.addEventListener("timeupdate", () => audio.currentTime > 0 && ends(true)));
        await audio.play();
        return (await over) && audio.duration;
      });
      hold(played > 0, `the voice lasts ${played} s`);
    });
    await step("after-the-wire", page, async () => {
      await desk.finish("已解决");
    });
  } finally {
    wire.close();
  }
}

module.exports = { trouble };
