// An agent without a mouse, from the door to the end of a case; the page speaks English.
"use strict";

const { Customer, PICTURE } = require("./customer.cjs");
const { hold } = require("./stage.cjs");

const CHINESE = /[\u4e00-\u9fff]/;

async function byKeys({ demo, pages, step }) {
  const page = pages.keys;
  const [first] = demo.agents;
  const customer = await Customer.follow(new URL(demo.urls.phone).origin, "李女士");
  const type = (text) => page.keyboard.type(text);
  const press = (key) => page.keyboard.press(key);
  const focused = (id) => page.waitForFunction((wanted) => document.activeElement?.id === wanted, id);
  /** What was typed has gone: the next can be typed. */
  const gone = () => page.waitForFunction(() => document.querySelector("#answer").value === "");
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
    await gone();
  });
  await step("canned-reply-note-and-picture-by-keys", page, async () => {
    await press("/");
    await focused("replies-search");
    const titles = (await page.locator("#replies .reply b").allInnerTexts()).join(" ");
    hold(!CHINESE.test(titles), `the titles of canned replies are in English: ${titles}`);
    await type("one moment");
    await press("Enter");
    await focused("answer");
    await press("Enter");
    await customer.hears("正在为您核实");
    await gone();
    await press("Alt+o");
    await type("called the branch");
    await press("Enter");
    await page.locator("#log .internal", { hasText: "called the branch" }).waitFor();
    await gone();
    await press("Alt+o");
    const chooser = page.waitForEvent("filechooser");
    await press("Alt+i");
    await (await chooser).setFiles({ name: "a.png", mimeType: "image/png", buffer: PICTURE });
    await customer.wait((entry) => entry.direction === "account" && entry.kind === "image");
  });
  await step("complaint-by-keys", page, async () => {
    await press("Alt+c");
    await focused("complaint-reason");
    await type("waited too long");
    await press("Enter");
    await page.locator("#complaint-clock", { hasText: "15 days" }).waitFor();
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
  await step("given-back-to-the-bot-by-keys", page, async () => {
    await customer.say("转人工");
    const entry = page.locator("#queue .entry");
    await entry.waitFor();
    for (let tabs = 0; tabs < 40 && !(await entry.evaluate((one) => one === document.activeElement)); tabs += 1) await press("Tab");
    await press("Enter");
    await page.locator("#claim").waitFor();
    await press("Alt+a");
    await page.locator("#composer").waitFor();
    await press("Alt+b");
    await page.locator("#nothing").waitFor();
    await press("Shift+?");
    await page.locator("#help[open]").waitFor();
    await press("Escape");
  });
  await step("nothing-is-left-in-chinese", page, async () => {
    const shown = await page.evaluate(() => {
      const names = [...document.querySelectorAll("[placeholder], [title], [aria-label]")]
        .flatMap((one) => [one.placeholder, one.title, one.ariaLabel]);
      // What the bank's own files call things is theirs; a language's own name is written in it.
      return [document.body.innerText.replaceAll("中文", ""), ...names].join("\n");
    });
    const chinese = shown.split("\n").filter((line) => CHINESE.test(line));
    hold(chinese.length === 0, `the English desk says: ${chinese.join(" | ")}`);
  });
}

function focusedText(page) {
  return page.evaluate(() => document.activeElement?.innerText);
}

module.exports = { byKeys };
