// A cardholder's day in the phone of the demo: he binds a card, looks at the bill and at its chart, at his points and gives
// some away, repays by his PIN, locks the card and learns why it was declined, unlocks it, pays his bill in instalments
// with a correction and a digression, and disputes a purchase. Usage: node day.cjs BINARY SCREENSHOT_FOLDER
"use strict";

const { hold, play } = require("./stage.cjs");
const { Phone } = require("./phone.cjs");
const { Bank } = require("./bank.cjs");

/** Longer than a customer waits for his next one-time code. */
const WAIT_MS = 90_000;
const CUSTOMER = "C10003";
/** Everybody's first PIN in the sandbox. */
const PIN = "246810";
const SMALL = { width: 390, height: 844 };
const LARGE = { width: 1280, height: 800 };

async function story({ demo, pages, step }) {
  const phone = new Phone(pages.phone, demo.urls.phone);
  const bank = new Bank(pages.bank, demo.urls.core);
  const day = { phone, bank, pages, step, customer: await bank.customer(CUSTOMER) };
  await binds(day);
  await looks(day);
  await gives(day);
  await repays(day);
  await locks(day);
  await takesInstalments(day);
  await disputes(day);
}

function tells(answer, ...wanted) {
  for (const words of wanted) hold(answer.includes(words), `no “${words}” in: ${answer}`);
  return answer;
}

/** The amount behind some words, in fen. */
function fen(answer, words) {
  const found = new RegExp(`${words}[：:]?¥([\\d,]+)\\.(\\d\\d)`).exec(answer);
  hold(found, `no amount behind “${words}” in: ${answer}`);
  return Number(found[1].replaceAll(",", "") + found[2]);
}

/** Proves himself with a code, on the page that the newest answer leads to, and reads there how it goes on. */
async function provesByCode({ phone, bank, customer }, words) {
  await phone.tapLink("短信验证码验证");
  await phone.pageText("确认是您本人");
  await phone.askForCode();
  await phone.fill({ code: await bank.code(customer.phone) });
  await phone.press("确认");
  await phone.pageText(words);
  await phone.closePage();
}

async function binds({ phone, bank, pages, step, customer }) {
  await step("bind", pages.phone, async () => {
    await phone.pickUp();
    await phone.follow();
    await phone.say("绑定");
    await phone.tapLink("点这里绑定信用卡");
    await phone.fill({ name: customer.name, id_tail: customer.idNumber.slice(-4), card_tail: "1234", phone: customer.phone });
    await phone.choose("接收，显示金额和商户");
    await phone.choose("我已阅读并同意以上同意书");
    await phone.press("同意并获取验证码");
    await phone.fill({ code: await bank.code(customer.phone) });
    await phone.press("确认绑定");
    await phone.pageText("已绑定");
    await phone.closePage();
  });
}

/** The bill in words, and as a card with a picture that opens the charts. */
async function looks({ phone, pages, step }) {
  await step("bill", pages.phone, async () => {
    tells(await phone.say("查账单"), "本期应还", "到期还款日");
  });
  await step("card-with-picture", pages.phone, async () => {
    tells(await phone.say("消费图表"), "消费分类和账单走势");
    const picture = pages.phone.locator("#chat .news img").last();
    await picture.waitFor();
    hold(await picture.evaluate((image) => image.complete && image.naturalWidth > 0), "the card shows its picture");
  });
  await step("charts", pages.phone, async () => {
    await pages.phone.locator("#chat .news-lead").last().click();
    tells(await phone.pageText("消费分类"), "期账单", "应还", "已还清");
    hold((await phone.frame.locator(".bars .bar").count()) > 0, "what was spent is drawn");
    hold((await phone.frame.locator(".columns rect").count()) > 3, "the statements are drawn");
  });
  for (const [name, size] of [["charts-390x844", SMALL], ["charts-1280x800", LARGE]]) {
    await step(name, pages.phone, async () => {
      await pages.phone.setViewportSize(size);
      await phone.pageText("消费分类");
      const wide = await phone.frame.locator("body").evaluate((body) => body.scrollWidth - body.clientWidth);
      hold(wide <= 0, `nothing stands beyond the edge: ${wide} pixels`);
    });
  }
  await step("another-month", pages.phone, async () => {
    await pages.phone.setViewportSize({ width: 1360, height: 860 });
    const month = phone.frame.locator("tbody th a").nth(1);
    const words = await month.innerText();
    await month.click();
    await phone.frame.locator("h1", { hasText: words }).waitFor();
    await phone.closePage();
  });
}

/** By his PIN, which he types on the bank's own page. */
async function repays({ phone, pages, step }) {
  let before;
  await step("repay-by-pin", pages.phone, async () => {
    before = fen(await phone.say("查账单"), "剩余应还");
    hold(before > 50_000, `there is something to repay: ${before}`);
    await phone.say("还款");
    await phone.tapLink("交易密码");
    await phone.press("输入交易密码");
    await phone.frame.locator("a", { hasText: "前往银行密码页" }).click();
    await phone.frame.locator('input[name="pin"]').fill(PIN);
    await phone.press("确定");
    tells(await phone.pageText("验证通过"), "还多少");
    await phone.closePage();
  });
  await step("repaid", pages.phone, async () => {
    await phone.say("五百");
    tells(await phone.say("1"), "¥500.00", "确认");
    tells(await phone.say("确认"), "还款成功");
    const after = fen(await phone.say("查账单"), "剩余应还");
    hold(before - after === 50_000, `500.00 less is owed: ${before} fen before, ${after} after`);
    tells(await phone.say("还款记录"), "¥500.00");
  });
}

/** Locked, a swipe is declined and the reason is told; unlocked, it passes. */
async function locks(day) {
  const { phone, bank, pages, step } = day;
  await step("lock", pages.phone, async () => {
    tells(await phone.say("锁卡"), "已锁住尾号1234");
  });
  await step("declined", pages.phone, async () => {
    tells(await bank.swipe(CUSTOMER, "星河超市", "36.00"), "锁定");
    await phone.card("星河超市");
    tells(await phone.say("为什么没刷成"), "锁定");
  });
  await step("unlock", pages.phone, async () => {
    await phone.say("解锁卡片");
    await provesByCode(day, "已解锁");
    tells(await bank.swipe(CUSTOMER, "星河超市", "36.01"), "已受理");
    await phone.card("36.01");
  });
}

/** The amount is corrected before the last step, and another question comes between. */
async function takesInstalments(day) {
  const { phone, pages, step } = day;
  await step("instalment-asked", pages.phone, async () => {
    await phone.say("账单分期");
    await provesByCode(day, "账单要分期多少钱");
    tells(await phone.say("六百"), "分几期");
  });
  await step("digression", pages.phone, async () => {
    tells(await phone.say("先查下额度"), "额度", "继续办理");
    tells(await phone.say("继续办理"), "分几期");
    const confirm = await phone.say("12期");
    tells(confirm, "¥600.00", "12期", "年化利率", "确认");
  });
  await step("correction-and-yes", pages.phone, async () => {
    const corrected = await phone.say("改金额 八百");
    tells(corrected, "分几期", "12期", "每期");
    tells(await phone.say("12期"), "¥800.00", "12期", "确认");
    tells(await phone.say("确认"), "¥800.00");
    tells(await phone.say("我的分期"), "¥800.00");
  });
}

async function disputes(day) {
  const { phone, pages, step } = day;
  await step("dispute", pages.phone, async () => {
    await phone.say("争议交易");
    await provesByCode(day, "哪一笔有疑问");
    tells(await phone.say("第二笔"), "是什么问题");
    tells(await phone.say("重复扣款"), "确认提交");
    tells(await phone.say("确认"), "已受理，编号");
  });
}

async function gives({ phone, pages, step }) {
  await step("points", pages.phone, async () => {
    tells(await phone.say("积分"), "可用积分");
  });
  await step("charity", pages.phone, async () => {
    tells(await phone.say("捐积分"), "公益项目");
    await phone.say("1");
    tells(await phone.say("1份"), "确认捐赠");
    tells(await phone.say("确认"), "捐赠证书编号");
  });
}

play({ windows: { phone: [1360, 860], bank: [1280, 900] }, waitMs: WAIT_MS, prefix: "day-" }, story);
