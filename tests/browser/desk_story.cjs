// People at work: two agents, a supervisor and a customer, in one browser; and a customer who means harm.
// Usage: node desk_story.cjs BINARY SCREENSHOT_FOLDER
"use strict";

const { Desk } = require("./desk.cjs");
const { Phone } = require("./phone.cjs");
const { hold, play } = require("./stage.cjs");

/** As long as the other tests wait: on a busy machine everything comes late, and still comes. */
const WAIT_MS = 120_000;
const ACCOUNT = "card";
/** A picture of 64 × 48 green points. */
const PICTURE = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAEAAAAAwCAIAAAAuKetIAAAARElEQVR42u3PMQ0AAAgDsP2IQwj+fyzwkjSpgaamX4uAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAwNUCXtQ8iC1uzU0AAAAASUVORK5CYII=",
  "base64",
);
const HARM = [
  "<script>document.title='hit'</script>",
  "<img src=x onerror=\"document.title='hit'\">",
  "<svg onload=\"document.title='hit'\"><circle r=9></svg>",
  "\"><iframe srcdoc=\"<script>parent.document.title='hit'</script>\">",
  "<a href=\"javascript:document.title='hit'\">点我</a>",
  "=HYPERLINK(\"http://evil.example\",\"点我\")",
  "转账给 \u202Egpj.exe\u202C 和 \u2066\u2067abc",
  "长".repeat(2000),
  "A".repeat(2000),
];

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
}

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
    await customer.say("积分");
    await customer.act({ action: "image", data_base64: PICTURE.toString("base64") });
    await customer.say("转人工");
    await pages.one.locator("#queue .entry").waitFor();
  });
  await step("agent-sees-what-was-said-to-the-bot", pages.one, async () => {
    await one.claimNext();
    await one.shows("积分");
    await pages.one.locator("#log img.photo:visible").waitFor();
  });
  await step("canned-reply-with-keys", pages.one, async () => {
    await pages.one.locator("#answer").press("/");
    await pages.one.locator("#replies-search").fill("问候");
    await pages.one.locator("#replies-search").press("Enter");
    const filled = await pages.one.locator("#answer").inputValue();
    hold(filled.includes(first.name) && !/[{}]/.test(filled), `the reply is filled in: ${filled}`);
    await pages.one.locator("#answer").press("Enter");
    await customer.wait((entry) => String(entry.text ?? "").includes("很高兴为您服务"));
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
    await pages.two.locator("#queue .entry", { hasText: "反欺诈" }).waitFor();
    await two.claimNext();
    await two.shows("疑似盗刷");
    await two.answer("您好，已为您核实。");
  });
  await step("complaint-registered", pages.two, async () => {
    await pages.two.locator("#complain").click();
    await pages.two.locator("#complaint-reason").fill("对处理时间不满");
    await pages.two.locator("#complaint-form button[type=submit]").click();
    await pages.two.locator("#complaint-clock", { hasText: "15 日" }).waitFor();
  });
  await step("wall", pages.boss, async () => {
    await boss.signIn();
    await pages.boss.goto(`${demo.urls.desk}/wall`);
    await pages.boss.locator("#talks .person").waitFor();
    await pages.boss.locator("#complaints li", { hasText: "处理时间" }).waitFor();
  });
  await step("supervisor-reads-silently", pages.boss, async () => {
    await pages.boss.locator("#talks a").click();
    await pages.boss.locator("#log", { hasText: "疑似盗刷" }).waitFor();
    hold(await pages.boss.locator("#composer").isHidden(), "only the owner can write");
  });
  await step("whisper-to-the-agent", pages.two, async () => {
    await pages.boss.locator("#whisper").fill("先安抚客户，再核实交易");
    await pages.boss.locator("#whisper-form button").click();
    await pages.two.locator("#log .internal", { hasText: "先安抚客户" }).waitFor();
    await pages.two.locator("#looking", { hasText: demo.staff.admin.name }).waitFor();
  });
  await step("robot-suggests", pages.two, async () => {
    await customer.say("账单日和还款日有什么区别");
    await pages.two.locator("#guesses .guess").first().waitFor();
    const offered = await pages.two.locator("#guesses .guess span").first().innerText();
    await pages.two.locator("#answer").press("Alt+1");
    await customer.wait((entry) => entry.direction === "account" && String(entry.text ?? "").includes(offered.slice(0, 8)));
  });
  await step("ended-and-rated", pages.phone, async () => {
    await two.finish("已解决");
    const question = await customer.wait((entry) => JSON.stringify(entry).includes("满意吗"));
    const item = question.detail.list.find((answer) => answer.content === "满意");
    await customer.act({ action: "tap_msgmenu", entry: question.id, id: item.id });
    await customer.wait((entry) => String(entry.text ?? "").includes("谢谢您的评价"));
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

async function harm({ demo, pages, step }) {
  const origin = new URL(demo.urls.phone).origin;
  const [first] = demo.agents;
  const one = new Desk(pages.one, demo.urls.desk, first);
  const evil = await Customer.follow(origin, HARM[1]);
  await step("harmful-customer", pages.one, async () => {
    await evil.say("转人工");
    for (const text of HARM) await evil.say(text);
    for (let count = 0; count < 10; count += 1) await evil.say("两万字".repeat(600));
    await evil.act({ action: "file", title: HARM[0], description: HARM[1] });
    await evil.act({ action: "link", title: HARM[2], description: HARM[0], url: "javascript:document.title='hit'" });
    await evil.act({ action: "location", latitude: "31.2", longitude: "121.4", label: HARM[1] });
    await pages.one.locator("#queue .entry").first().waitFor();
    await one.claimNext();
    await one.shows("onerror");
  });
  await step("fifty-pictures", pages.one, async () => {
    const data = PICTURE.toString("base64");
    for (let count = 0; count < 50; count += 1) await evil.act({ action: "image", data_base64: data });
    await pages.one.waitForFunction(() => document.querySelectorAll("#log img.photo:not([hidden])").length >= 50);
  });
  await step("nothing-happened", pages.one, async () => {
    const seen = await pages.one.evaluate(() => ({
      title: document.title,
      markup: document.querySelectorAll("#log script, #log svg, #log iframe, #log a[href^='javascript'], .entry img").length,
      wide: document.documentElement.scrollWidth > innerWidth,
      shown: document.querySelector("#log").innerText,
    }));
    hold(!seen.title.includes("hit"), `a script ran: ${seen.title}`);
    hold(seen.markup === 0, "a customer's text became markup");
    hold(!seen.wide, "a customer's text broke the page's width");
    hold(seen.shown.includes("<script>") && seen.shown.includes("=HYPERLINK("), "his words stand as he wrote them");
  });
  for (const [name, path, page] of [["conversation", null, "one"], ["wall", "/wall", "boss"], ["report", "/report", "boss"], ["queue", "", "boss"]]) {
    await step(`on-a-phone-${name}`, pages[page], async () => {
      await pages[page].setViewportSize({ width: 390, height: 780 });
      if (path !== null) await pages[page].goto(`${demo.urls.desk}${path}`);
      await pages[page].waitForTimeout(800);
      const beyond = await pages[page].evaluate(() => {
        if (document.documentElement.scrollWidth <= innerWidth) return [];
        const wide = [...document.querySelectorAll("body *")].filter((one) => one.getBoundingClientRect().right > innerWidth);
        return wide.slice(0, 5).map((one) => `${one.tagName}#${one.id}.${one.className}`);
      });
      hold(beyond.length === 0, `${name} is too wide for a phone: ${beyond.join(" ")}`);
    });
  }
}

/** An agent without a mouse, from the door to the end of a case; the page speaks English. */
async function byKeys({ demo, pages, step }) {
  const page = pages.keys;
  const [first] = demo.agents;
  const customer = await Customer.follow(new URL(demo.urls.phone).origin, "李女士");
  const type = (text) => page.keyboard.type(text);
  const press = (key) => page.keyboard.press(key);
  const focused = (id) => page.waitForFunction((wanted) => document.activeElement?.id === wanted, id);
  await step("signed-in-by-keys", page, async () => {
    await page.goto(`${demo.urls.desk}/sign-in?lang=en`);
    await focused("name");
    await type(first.name);
    await press("Tab");
    await type(first.password);
    await press("Enter");
    await page.locator("#queue").waitFor();
  });
  await step("answered-by-keys", page, async () => {
    await customer.say("转人工");
    await page.locator("#queue .entry").waitFor();
    await press("Alt+n");
    await page.locator("#composer").waitFor();
    await press("Alt+r");
    await focused("answer");
    await type("Hello, how can I help?");
    await press("Enter");
    await customer.wait((entry) => entry.text === "Hello, how can I help?");
  });
  await step("passed-on-and-taken-back-by-keys", page, async () => {
    await press("Alt+t");
    await page.locator("#transfer-dialog[open]").waitFor();
    const skills = await page.locator("#transfer-dialog [data-skill]").allInnerTexts();
    hold(skills.includes("Fraud"), `the groups are in English: ${skills}`);
    for (const skill of skills.slice(skills.indexOf(await focusedText(page)))) {
      if (skill === "Fraud") break;
      await press("Tab");
    }
    hold((await focusedText(page)) === "Fraud", "Tab walks through the groups");
    await press("Enter");
    await page.locator("#nothing").waitFor();
    await page.locator("#queue .entry", { hasText: "Fraud" }).waitFor();
    await press("Alt+n");
    await page.locator("#composer").waitFor();
  });
  await step("ended-by-keys", page, async () => {
    await press("Alt+e");
    await page.locator("#finish-dialog[open]").waitFor();
    await press("Enter");
    await page.locator("#nothing").waitFor();
    await customer.wait((entry) => JSON.stringify(entry).includes("满意吗"));
  });
  await step("nothing-is-left-in-chinese", page, async () => {
    const shown = await page.evaluate(() => {
      const names = [...document.querySelectorAll("[placeholder], [title], [aria-label]")]
        .flatMap((one) => [one.placeholder, one.title, one.ariaLabel]);
      // What the bank's own files call things is theirs; a language's own name is written in it.
      return [document.body.innerText.replaceAll("中文", ""), ...names].join("\n");
    });
    const chinese = shown.match(/[\u4e00-\u9fff][^\n]*/g) ?? [];
    hold(chinese.length === 0, `the English desk says: ${chinese.join(" | ")}`);
  });
}

function focusedText(page) {
  return page.evaluate(() => document.activeElement?.innerText);
}

const windows = { phone: [420, 860], one: [1440, 900], two: [1440, 900], boss: [1440, 900], keys: [1440, 900] };
play({ windows, waitMs: WAIT_MS }, async (stage) => {
  await story(stage);
  await byKeys(stage);
  await harm(stage);
});
