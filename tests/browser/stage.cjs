// Where the stories of the browser tests are played: a demo of their own, windows of a real browser, a picture after each
// step, and everything that a page complains of.
//
// playwright-core comes from NODE_PATH (.ci/test installs it); the browser is Debian's.
"use strict";

const { mkdirSync, mkdtempSync, rmSync } = require("node:fs");
const { tmpdir } = require("node:os");
const { join, resolve } = require("node:path");
const { chromium } = require("playwright-core");
const { Demo } = require("./demo.cjs");

const [binary, screenshots] = process.argv.slice(2).map((path) => resolve(path));

function hold(condition, words) {
  if (!condition) throw new Error(words);
}

/**
 * Plays a story. `windows` names its browser windows with their widths and heights; `prefix` stands before the names of
 * the pictures; the story gets { demo, pages, step }.
 */
async function play({ windows, waitMs, prefix = "" }, story) {
  mkdirSync(screenshots, { recursive: true });
  const data = mkdtempSync(join(tmpdir(), "weikefu-browser-"));
  const demo = await Demo.start(binary, data);
  const browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: [
      "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync",
    ],
  });
  const troubles = [];
  const pages = {};
  for (const [name, [width, height]] of Object.entries(windows)) {
    const context = await browser.newContext({ viewport: { width, height }, locale: "zh-CN", timezoneId: "Asia/Shanghai" });
    context.setDefaultTimeout(waitMs);
    pages[name] = await context.newPage();
    watch(pages[name], troubles);
  }
  let number = 0;
  const step = async (name, page, work) => {
    const began = Date.now();
    await work();
    number += 1;
    await page.screenshot({ path: join(screenshots, `${prefix}${String(number).padStart(2, "0")}-${name}.png`) });
    console.log(`ok  ${String(Date.now() - began).padStart(6)} ms  ${name}`);
  };
  try {
    await story({ demo, pages, step });
    hold(troubles.length === 0, `the pages were not quiet:\n${troubles.join("\n")}`);
    console.log(`${number} steps; screenshots in ${screenshots}`);
  } catch (error) {
    for (const [name, page] of Object.entries(pages)) {
      await page.screenshot({ path: join(screenshots, `${prefix}failed-${name}.png`) }).catch(() => {});
    }
    console.error(error);
    console.error([...troubles, demo.story()].join("\n"));
    process.exitCode = 1;
  } finally {
    await browser.close();
    const code = await demo.stop();
    if (code !== 0) {
      console.error(`the demo ended with ${code}`);
      process.exitCode = 1;
    }
    rmSync(data, { recursive: true, force: true });
  }
}

/** A script that fails, a dialog, and whatever the page's own policy had to stop. */
function watch(page, troubles) {
  page.on("pageerror", (error) => troubles.push(`${page.url()}: ${error.message}`));
  page.on("dialog", (dialog) => {
    troubles.push(`a dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on("console", (line) => {
    if (/Content Security Policy/i.test(line.text())) troubles.push(`${page.url()}: ${line.text()}`);
  });
}

module.exports = { hold, play };
