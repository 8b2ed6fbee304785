// A customer who means harm: scripts, drawings, formulas, directions of writing, floods. In a real browser none of it is more
// than words.
"use strict";

const { Customer, PICTURE } = require("./customer.cjs");
const { Desk } = require("./desk.cjs");
const { pushText } = require("./push.cjs");
const { hold } = require("./stage.cjs");

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

/** What a customer sends is shown harmlessly, on a desk and on a phone. */
async function harm({ demo, pages, step }) {
  const origin = new URL(demo.urls.phone).origin;
  const [first] = demo.agents;
  const one = new Desk(pages.one, demo.urls.desk, first);
  const evil = await Customer.follow(origin, HARM[1]);
  await step("harmful-customer", pages.one, async () => {
    await evil.say("转人工");
    for (const text of HARM) await evil.say(text);
    // No phone sends so much: it comes as a push that WeChat's server would not make.
    for (const letters of ["A", "长"]) await pushText(demo, evil.openid, letters.repeat(letters === "A" ? 20_000 : 10_000));
    await evil.act({ action: "file", title: HARM[0], description: HARM[1] });
    await evil.act({ action: "link", title: HARM[2], description: HARM[0], url: "javascript:document.title='hit'" });
    await evil.act({ action: "location", latitude: "31.2", longitude: "121.4", label: HARM[1] });
    await pages.one.locator("#queue .entry").first().waitFor();
    await one.claimNext();
    await one.shows("onerror");
    await one.shows("A".repeat(4_000));
    await one.shows("长".repeat(4_000));
  });
  await step("fifty-pictures", pages.one, async () => {
    const data = PICTURE.toString("base64");
    for (let count = 0; count < 50; count += 1) await evil.act({ action: "image", data_base64: data });
    await pages.one.waitForFunction(() => document.querySelectorAll("#log img.photo:not([hidden])").length >= 50);
  });
  await step("his-words-in-a-complaint", pages.one, async () => {
    await pages.one.locator("#complain").click();
    await pages.one.locator("#complaint-reason").fill("\u202Egpj.exe 处理太慢");
    await pages.one.locator("#complaint-form button[type=submit]").click();
    await pages.one.locator("#complaint-clock bdi", { hasText: "gpj" }).waitFor();
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
    const turns = await pages.one.locator("#complaint-clock bdi", { hasText: "gpj" }).evaluate((words) => getComputedStyle(words).unicodeBidi);
    hold(turns === "isolate", `a direction of writing stays within the customer's words, not ${turns}`);
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

module.exports = { harm };
