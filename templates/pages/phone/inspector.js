// The developer panel: what went over the wire for each entry, the API calls, faults and the clock.

import { make } from "/phone/static/bubbles.js";
import { startKnobs } from "/phone/static/knobs.js";

const CALLS_SHOWN_MAX = 200;
const CALLS_EVERY_MS = 2000;
const TIME = new Intl.DateTimeFormat("zh-CN", {
  hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, timeZone: "Asia/Shanghai",
});
const STATES = {
  delivering: ["推送中", "wait"], answered: ["已回复", "good"], quiet: ["无需回复", "plain"],
  malformed: ["回复有误", "bad"], silent: ["未应答", "bad"],
};
const OUTCOMES = { answered: "应答", lost: "应答丢失", timeout: "超时", status: "状态码异常", unreachable: "无法连接" };
const UNTIL = new Intl.DateTimeFormat("zh-CN", {
  month: "numeric", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", timeZone: "Asia/Shanghai",
});
const SOURCES = {
  passive: "被动回复", custom: "客服消息", template: "模板消息", subscription: "订阅通知", mass: "群发", menu: "菜单素材",
};
const KINDS = {
  text: "文字", image: "图片", voice: "语音", video: "视频", music: "音乐", location: "位置", link: "链接",
  news: "图文", msgmenu: "菜单消息", template: "模板消息", menu: "菜单", follow: "关注", scan: "扫码",
  shortvideo: "小视频", file: "文件", miniprogram: "小程序", event: "事件", pay: "支付", notice: "系统提示", receipt: "回执", transfer: "转接",
};
const part = (id) => document.getElementById(id);

function badge([words, tone]) {
  return make(`span.badge.badge-${tone}`, {}, words);
}

/** Indents XML for reading; text stays as it is. */
function prettyXml(xml) {
  let depth = 0;
  const lines = [];
  for (const token of xml.match(/<!\[CDATA\[[\s\S]*?\]\]>|<[^>]+>|[^<]+/g) ?? []) {
    if (token.startsWith("</")) {
      depth -= 1;
      const open = lines[lines.length - 1];
      if (open?.leaf) {
        open.text += token;
        open.leaf = false;
        continue;
      }
      lines.push({ text: "  ".repeat(Math.max(depth, 0)) + token });
    } else if (token.startsWith("<") && !token.startsWith("<![")) {
      for (const line of lines.slice(-1)) {
        line.leaf = false;
      }
      lines.push({ text: "  ".repeat(depth) + token, leaf: !token.endsWith("/>") });
      depth += token.endsWith("/>") || token.startsWith("<?") ? 0 : 1;
    } else if (lines.length > 0 && (lines[lines.length - 1].leaf || token.trim())) {
      lines[lines.length - 1].text += token;
    }
  }
  return lines.map((line) => line.text).join("\n");
}

function prettyJson(text) {
  try {
    // Ids beyond 2^53 must not pass through a number here either.
    const guarded = text.replace(/([:[,]\s*)(\d{16,})(?=\s*[,}\]])/g, '$1"$2"');
    return JSON.stringify(JSON.parse(guarded), null, 2);
  } catch {
    return text;
  }
}

function pretty(text) {
  return text.trimStart().startsWith("<") ? prettyXml(text.trim()) : prettyJson(text);
}

function raw(title, text) {
  if (!text) {
    return null;
  }
  return make("div.raw", {}, make("h4", {}, title), make("pre", { tabIndex: 0 }, pretty(text)));
}

function delivery(one) {
  const status = one.status ? ` ${one.status}` : "";
  const tone = one.outcome === "answered" ? "good" : "bad";
  const sealed = one.raw_reply && one.reply_xml && one.raw_reply !== one.reply_xml;
  return make("div.delivery", {},
    make("p", {}, make("strong", {}, `第 ${one.number} 次投递`), badge([`${OUTCOMES[one.outcome]}${status}`, tone]),
      make("span.meta", {}, `${TIME.format(one.started_at)} 起，${one.duration_ms} 毫秒`)),
    raw("请求地址", one.url), raw("请求正文", one.posted),
    raw(sealed ? "应答（原文）" : "应答", one.raw_reply), sealed ? raw("应答（解密后）", one.reply_xml) : null);
}

function body(entry) {
  const parts = [];
  if (entry.push) {
    parts.push(raw("推送内容", entry.push.xml));
    if (entry.push.fault) {
      parts.push(make("p.fault", {}, entry.push.fault));
    }
    parts.push(...entry.push.deliveries.map(delivery));
  }
  if (entry.call) {
    parts.push(raw(`POST ${entry.call.path}`, entry.call.body), raw("应答", JSON.stringify(entry.call.response)));
  }
  const answered = part("wire").querySelector(`[data-id="${entry.reply_to}"]`)?.entry.push?.deliveries.at(-1);
  if (answered) {
    parts.push(delivery(answered));
  }
  return parts;
}

function summary(entry) {
  const arrow = { follower: "↑", account: "↓", system: "·" }[entry.direction];
  const badges = [];
  if (entry.push) {
    badges.push(badge(STATES[entry.push.state]));
    const last = entry.push.deliveries.at(-1);
    if (last) {
      const times = entry.push.deliveries.length;
      badges.push(make("span.meta", {}, times > 1 ? `${times} 次投递` : `${last.duration_ms} 毫秒`));
    }
  } else if (entry.source) {
    badges.push(badge([SOURCES[entry.source], "plain"]));
  }
  if (entry.detail?.receipt) {
    badges.push(badge([entry.detail.receipt, entry.detail.receipt === "success" ? "good" : "bad"]));
  }
  return make("summary", {}, make("span.arrow", { "aria-hidden": "true" }, arrow),
    make("span.meta", {}, TIME.format(entry.at)), make("span.kind", {}, KINDS[entry.kind] ?? entry.kind),
    make("span.words", {}, entry.text), ...badges);
}

/** Adds or redraws an entry; the newest stands on top. */
export function inspect(entry) {
  const panel = part("wire");
  panel.querySelector(".empty")?.remove();
  let record = panel.querySelector(`[data-id="${entry.id}"]`);
  if (!record) {
    record = make("details.record", { data: { id: entry.id } });
    record.addEventListener("toggle", () => fill(record));
    panel.prepend(record);
  }
  record.entry = entry;
  record.querySelector("summary")?.remove();
  record.prepend(summary(entry));
  record.filled = false;
  fill(record);
}

// Bodies are drawn when they are looked at: a long chat holds thousands.
function fill(record) {
  if (record.open && !record.filled) {
    record.filled = true;
    record.querySelector(".record-body")?.remove();
    record.append(make("div.record-body", {}, ...body(record.entry)));
  }
}

/** Opens the record of an entry, for the one who tapped its bubble. */
export function reveal(id) {
  const record = part("wire").querySelector(`[data-id="${id}"]`);
  if (record && getComputedStyle(document.querySelector(".inspector")).display !== "none") {
    choose(part("tab-wire"));
    record.open = true;
    record.scrollIntoView({ block: "start", behavior: "smooth" });
  }
}

/** Removes an entry that the chat no longer keeps. */
export function forget(id) {
  part("wire").querySelector(`[data-id="${id}"]`)?.remove();
}

/** What customer-service messages are left. */
export function showAllowance(left) {
  const until = (at) => (at ? `至 ${UNTIL.format(at)}` : "窗口已关");
  const paid = left.paid_until ? `，支付不限条数（${until(left.paid_until)}）` : "";
  part("allowance").textContent =
    `客服消息余量：留言 ${left.message} 条（${until(left.message_until)}），点击 ${left.tap} 条（${until(left.tap_until)}）${paid}`;
  openWindow = { left, seenAt: Date.now() };
  drawWindow();
}

let openWindow = null;

function clockLike(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  const two = (value) => String(value).padStart(2, "0");
  const hours = Math.floor(seconds / 3600);
  return `${hours > 0 ? `${hours}:` : ""}${two(Math.floor((seconds % 3600) / 60))}:${two(seconds % 60)}`;
}

// The strip in the phone counts down by the platform's clock.
function drawWindow() {
  if (!openWindow) {
    return;
  }
  const { left, seenAt } = openWindow;
  const now = left.now + (Date.now() - seenAt);
  const open = (words, until, count) => (until && until > now
    ? make(count === "0 条" ? "span.window-empty" : "span.window-part", {}, `${words} `, make("strong", {}, count), ` ${clockLike(until - now)}`) : null);
  const parts = [
    open("留言", left.message_until, `${left.message} 条`), open("点击", left.tap_until, `${left.tap} 条`),
    open("支付", left.paid_until, "不限"),
  ].filter(Boolean);
  part("window").replaceChildren(
    ...(parts.length > 0 ? [make("span", {}, "客服窗口"), ...parts] : [make("span", {}, "客服窗口已关：公众号不能主动发送客服消息")]));
}

setInterval(drawWindow, 1000);

function choose(tab) {
  for (const other of document.querySelectorAll("[role=tab]")) {
    const chosen = other === tab;
    other.setAttribute("aria-selected", String(chosen));
    other.tabIndex = chosen ? 0 : -1;
    part(other.getAttribute("aria-controls")).hidden = !chosen;
  }
}

let callsAfter = 0;
let redrawKnobs = () => {};

async function refreshCalls() {
  const panel = part("calls");
  if (panel.hidden || document.hidden) {
    return;
  }
  const calls = await (await fetch(`/sim/api/calls?after=${callsAfter}`)).json();
  for (const call of calls) {
    callsAfter = Math.max(callsAfter, call.seq);
    const code = call.response?.errcode ?? 0;
    const tone = call.status === 200 && code === 0 ? "good" : "bad";
    const query = call.query.map(([name, value]) => `${name}=${value}`).join("&");
    panel.prepend(make("details.record", {},
      make("summary", {}, make("span.meta", {}, TIME.format(call.at)), make("span.kind", {}, call.method),
        make("span.words", {}, call.path), badge([call.status === 200 ? String(code) : `HTTP ${call.status}`, tone]),
        call.fault ? badge(["故障", "wait"]) : null, make("span.meta", {}, `${call.duration_ms} 毫秒`)),
      make("div.record-body", {}, raw("查询参数", query), raw("请求正文", call.body),
        raw("应答", JSON.stringify(call.response)))));
  }
  while (panel.children.length > CALLS_SHOWN_MAX) {
    panel.lastElementChild.remove();
  }
}

/** Connects the panel's controls. */
export function startInspector(told) {
  const tabs = [...document.querySelectorAll("[role=tab]")];
  for (const [index, tab] of tabs.entries()) {
    tab.addEventListener("click", () => {
      choose(tab);
      refreshCalls();
      redrawKnobs();
    });
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step) {
        const next = tabs[(index + step + tabs.length) % tabs.length];
        next.focus();
        next.click();
      }
    });
  }
  setInterval(refreshCalls, CALLS_EVERY_MS);
  redrawKnobs = startKnobs(part("faults"), told);
  part("inspector-close").addEventListener("click", () => document.body.classList.remove("inspecting"));
}
