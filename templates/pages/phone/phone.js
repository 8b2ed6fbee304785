// The phone: one follower's chat with one account, live.

import { bubble, make, paintInitials, timeLine } from "/phone/static/bubbles.js";
import { EVENTS } from "/phone/static/events.js";
import { answerPage } from "/phone/static/subscribe.js";
import { forget, inspect, reveal, showAllowance, startInspector } from "/phone/static/inspector.js";

const ENTRIES_MAX = 2000;
const PAUSE_MS = 5 * 60 * 1000;
const TOAST_MS = 3500;
const TYPING_MS = 15000;
const RETRY_MS = 3000;
const END_PIXELS = 80;
const PICTURE_BYTES_MAX = 10 * 1024 * 1024;

const part = (id) => document.getElementById(id);
const { account, accountName, openid, followerName } = document.body.dataset;
const names = { account: accountName, follower: followerName };
const root = `/sim/api/accounts/${encodeURIComponent(account)}`;
const self = `${root}/followers/${encodeURIComponent(openid)}`;
const phoneOf = (other) => `/phone/${encodeURIComponent(account)}/${encodeURIComponent(other)}`;

const CLIENTS = { 1: "iOS", 2: "Android", 3: "其他" };
const entries = new Map();
let follower = null;
let menu = null;
let menuShown = true;
let lastAt = 0;
let lastSeq = 0;
let stuck = true;
let source = null;

// — what the follower does —

async function act(action) {
  let response;
  try {
    response = await fetch(`${self}/actions`, {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(action),
    });
  } catch {
    toast("模拟器没有应答");
    return false;
  }
  const answer = await response.json();
  if (!response.ok) {
    toast(answer.error);
    return false;
  }
  if (answer.open) {
    openPage(answer.open);
  }
  return true;
}

const acts = {
  open: (url) => (/^https?:\/\//i.test(url) ? openPage(url) : toast("微信不会打开这种链接")),
  tapLink: (href) => act({ action: "tap_link", href }),
  tapMsgmenu: (entry, id) => act({ action: "tap_msgmenu", entry, id }),
  tapTemplate: (entry) => act({ action: "tap_template", entry }),
};

function toast(words) {
  const box = part("toast");
  box.textContent = words;
  box.hidden = false;
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => { box.hidden = true; }, TOAST_MS);
}

// — the chat —

function draw(entry) {
  inspect(entry);
  const known = entries.get(entry.id);
  entries.set(entry.id, entry);
  if (entry.hidden || known) {
    // A shown bubble does not change; only what is known about its delivery does.
    return;
  }
  const chat = part("chat");
  if (entry.at - lastAt > PAUSE_MS) {
    chat.append(timeLine(entry.at));
  }
  lastAt = entry.at;
  const element = bubble(entry, names, acts);
  element.addEventListener("click", (event) => {
    if (!event.target.closest("button, a")) {
      reveal(entry.reply_to ?? entry.id);
    }
  });
  chat.append(element);
}

function trim() {
  for (const id of [...entries.keys()].slice(0, Math.max(0, entries.size - ENTRIES_MAX))) {
    entries.delete(id);
    forget(id);
    part("chat").querySelector(`[data-id="${id}"]`)?.remove();
  }
}

function update({ entries: changed, follower: now, menu: buttons }) {
  const chat = part("chat");
  changed.sort((a, b) => a.id - b.id).forEach(draw);
  trim();
  follower = now;
  showAllowance(now.allowance);
  showTyping(now.typing);
  if (JSON.stringify(buttons) !== JSON.stringify(menu)) {
    menu = buttons;
    menuShown = true;
    drawMenu();
  }
  part("window").hidden = !now.following;
  part("profile").hidden = now.following;
  chat.hidden = !now.following;
  part("dock").hidden = !now.following;
  for (const entry of changed) {
    lastSeq = Math.max(lastSeq, entry.seq);
    if (entry.direction === "follower") {
      stuck = true;
    }
  }
  stickToEnd();
}

// The newest bubble stays in sight unless the reader has scrolled up.
function stickToEnd() {
  if (stuck) {
    part("chat").scrollTop = part("chat").scrollHeight;
  }
}

function showTyping(typing) {
  clearTimeout(showTyping.timer);
  part("title").textContent = typing ? "对方正在输入…" : accountName;
  if (typing) {
    showTyping.timer = setTimeout(() => showTyping(false), TYPING_MS);
  }
}

// A browser keeps six connections to one origin, so a phone that nobody looks at lets go of its own.
function listen() {
  source?.close();
  source = null;
  if (document.hidden) {
    return;
  }
  source = new EventSource(`${self}/events?after=${lastSeq}`);
  source.addEventListener("update", (event) => {
    part("offline").hidden = true;
    update(JSON.parse(event.data));
  });
  source.addEventListener("error", () => {
    part("offline").hidden = false;
    if (source?.readyState === EventSource.CLOSED) {
      setTimeout(listen, RETRY_MS);
    }
  });
}

// — menu and composer —

function drawMenu() {
  const nav = part("menu");
  const showMenu = Boolean(menu) && menuShown;
  nav.hidden = !showMenu;
  part("composer").hidden = showMenu;
  part("tray").hidden = true;
  const toggle = part("toggle");
  toggle.hidden = !menu;
  toggle.setAttribute("aria-label", showMenu ? "切换到键盘" : "切换到菜单");
  toggle.dataset.icon = showMenu ? "keyboard" : "menu";
  nav.replaceChildren(...(menu ?? []).map(topButton));
}

function topButton(button, index) {
  const subs = button.sub_button ?? [];
  if (subs.length === 0) {
    return make("div.menu-item", {},
      make("button", { type: "button", onclick: () => tapMenu([index]) }, button.name));
  }
  const popup = make("div.menu-popup", { hidden: true, role: "menu" },
    ...subs.map((sub, place) => make("button",
      { type: "button", role: "menuitem", onclick: () => { closeMenus(); tapMenu([index, place]); } }, sub.name)));
  const top = make("button.menu-parent", { type: "button", "aria-haspopup": "menu", "aria-expanded": "false" }, button.name);
  top.addEventListener("click", () => {
    const opening = popup.hidden;
    closeMenus();
    popup.hidden = !opening;
    top.setAttribute("aria-expanded", String(opening));
    if (opening) {
      popup.firstElementChild.focus({ preventScroll: true });
    }
  });
  popup.addEventListener("keydown", (event) => moveInMenu(event, popup, top));
  return make("div.menu-item", {}, popup, top);
}

function moveInMenu(event, popup, top) {
  const items = [...popup.children];
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) {
    event.preventDefault();
    items[(items.indexOf(document.activeElement) + step + items.length) % items.length].focus();
  } else if (event.key === "Escape") {
    closeMenus();
    top.focus();
  }
}

function closeMenus() {
  for (const popup of document.querySelectorAll(".menu-popup")) {
    popup.hidden = true;
    popup.nextElementSibling.setAttribute("aria-expanded", "false");
  }
}

function tapMenu(path) {
  act({ action: "menu", path });
}

function typed() {
  const text = part("text");
  const some = text.value.trim() !== "";
  part("send").hidden = !some;
  part("plus").hidden = some;
  text.rows = Math.min(4, Math.max(1, text.value.split("\n").length));
}

async function say() {
  const text = part("text");
  const words = text.value.trim();
  if (words && await act({ action: "text", text: words })) {
    text.value = "";
    typed();
    text.focus();
  }
}

function showTray(open) {
  part("tray").hidden = !open;
  part("plus").setAttribute("aria-expanded", String(open));
}

async function sendPicture() {
  const [file] = part("picture").files;
  part("picture").value = "";
  if (!file) {
    return;
  }
  if (file.size > PICTURE_BYTES_MAX) {
    toast("图片不能超过 10 MB");
    return;
  }
  const reader = new FileReader();
  reader.addEventListener("load", () => act({ action: "image", data_base64: reader.result.split(",")[1] }));
  reader.readAsDataURL(file);
}

const sending = {
  image: () => part("picture").click(),
  voice: () => ask("发送语音", "语音里说的话（可不填）；填“录音1”到“录音6”发送样本录音，不带文字", "", (words) => {
    const sample = /^录音([1-6])$/.exec(words || "");
    act(sample ? { action: "voice", sample: Number(sample[1]) } : { action: "voice", recognition: words || null });
  }),
  video: () => act({ action: "video" }),
  shortvideo: () => act({ action: "shortvideo" }),
  file: () => ask("发送文件", "文件名", "收入证明.pdf", (title) => act({ action: "file", title: title || "文件.pdf" })),
  location: () => ask("发送位置", "地点名称", "示例市示例路 1 号",
    (label) => act({ action: "location", latitude: "31.230416", longitude: "121.473701", label: label || "示例市" })),
  link: () => ask("分享链接", "网页地址", "https://bank.example/",
    (url) => act({ action: "link", title: "分享的网页", description: url, url })),
  scan: () => scanSheet(),
};

// — sheets —

// What lies behind a dialog can neither be tapped nor reached by keyboard.
function settleBackground() {
  const covered = !part("sheet").hidden || !part("page").hidden;
  for (const behind of document.querySelectorAll(".phone > .bar, #chat, #profile, #dock")) {
    behind.inert = covered;
  }
}

function openSheet(title, ...content) {
  openSheet.before = document.activeElement;
  part("sheet-title").textContent = title;
  part("sheet-body").replaceChildren(...content);
  part("sheet").hidden = false;
  part("veil").hidden = false;
  settleBackground();
  (part("sheet-body").querySelector("input, button, a") ?? part("sheet-close")).focus();
}

function closeSheet() {
  part("sheet").hidden = true;
  part("veil").hidden = true;
  settleBackground();
  openSheet.before?.focus();
}

function ask(title, label, value, then) {
  const input = make("input", { type: "text", value, maxLength: 512, autocomplete: "off" });
  const form = make("form.fieldset", {}, make("label", {}, label, input),
    make("div.row", {}, make("button.button.button-primary", { type: "submit" }, "确定")));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    closeSheet();
    then(input.value.trim());
  });
  openSheet(title, form);
}

function line(words, onclick, note) {
  return make("button.line", { type: "button", onclick }, make("span", {}, words),
    note ? make("span.meta", {}, note) : null);
}

function moreSheet() {
  const done = (work) => () => { closeSheet(); work(); };
  const lines = [
    line("扫一扫", () => scanSheet(), "场景或二维码"),
    line("切换用户", () => peopleSheet()),
    line("新增用户", done(newFollower)),
  ];
  if (follower?.following) {
    lines.push(
      line("付一笔款", done(() => act({ action: "pay" })), "48 小时内客服消息不限条数"),
      line("上报地理位置", done(() => act({ action: "report_location", latitude: "31.2304", longitude: "121.4737", precision: "65.0" })), "LOCATION 事件"),
      line("推送平台事件", () => eventsSheet(), "认证、授权、客服会话…"),
      line("换一种客户端", () => clientSheet(), CLIENTS[follower.client]),
      line(follower.blocked ? "恢复接收消息" : "拒收消息",
        done(() => act({ action: "block", blocked: !follower.blocked })), follower.blocked ? "当前拒收" : "当前接收"),
      line("取消关注", () => confirmSheet("取消关注后，将不再收到该公众号的消息。", "取消关注",
        () => act({ action: "unfollow" }))));
  }
  lines.push(line(follower?.snapshot ? "以本人身份打开网页" : "以快照页身份打开网页",
    done(() => act({ action: "snapshot", snapshot: !follower.snapshot })), follower?.snapshot ? "当前为快照页" : ""));
  lines.push(line("开发者面板", done(() => document.body.classList.add("inspecting")), "往来、故障与时钟"));
  openSheet(accountName, make("div.lines", {}, ...lines));
}

function eventsSheet() {
  const push = (event) => () => { closeSheet(); act({ action: "event", ...event() }).then((done) => done && toast("已推送")); };
  openSheet("推送平台事件", make("div.lines", {}, ...EVENTS.map(([words, event]) => line(words, push(event), event().event))));
}

function clientSheet() {
  const use = (client) => () => { closeSheet(); act({ action: "client", client: Number(client) }); };
  openSheet("换一种客户端", make("p.meta", {}, "个性化菜单按客户端和标签匹配。"),
    make("div.lines", {}, ...Object.entries(CLIENTS).map(([client, words]) =>
      line(words, use(client), Number(client) === follower.client ? "当前" : ""))));
}

function confirmSheet(question, words, then) {
  openSheet("请确认", make("p", {}, question), make("div.row", {},
    make("button.button.button-danger", { type: "button", onclick: () => { closeSheet(); then(); } }, words),
    make("button.button", { type: "button", onclick: closeSheet }, "返回")));
}

async function peopleSheet() {
  const people = await (await fetch(`${root}/followers`)).json();
  const items = people.map((person) => make("li", {}, make("a", { href: phoneOf(person.openid) },
    make("span.avatar", { "aria-hidden": "true", data: { initial: person.name } }),
    make("span.person", {}, make("strong", {}, person.name), make("span.meta", {}, person.openid)),
    make(person.following ? "span.tag.tag-on" : "span.tag", {}, person.following ? "已关注" : "未关注"))));
  const list = make("ul.people", {}, ...items);
  paintInitials(list);
  openSheet("切换用户", list);
}

async function newFollower() {
  const response = await fetch(`${root}/followers`, {
    method: "POST", headers: { "content-type": "application/json" }, body: "{}",
  });
  const created = await response.json();
  if (response.ok) {
    location.assign(phoneOf(created.openid));
  } else {
    toast(created.error);
  }
}

async function scanSheet() {
  const scan = (what) => { closeSheet(); act({ action: "scan", ...what }); };
  const input = make("input", { type: "text", maxLength: 512, autocomplete: "off", placeholder: "例如 branch_0571" });
  const form = make("form.fieldset", {}, make("label", {}, "场景值、ticket 或二维码地址", input),
    make("div.row", {}, make("button.button.button-primary", { type: "submit" }, "扫描")));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const words = input.value.trim();
    if (/^https?:/.test(words)) {
      scan({ url: words });
    } else if (/^gQ[\w-]{30,}$/.test(words)) {
      scan({ ticket: words });
    } else if (words) {
      scan({ scene: words });
    }
  });
  const codes = await (await fetch(`${root}/codes`)).json();
  const list = codes.map((code) => make("button.code", { type: "button", onclick: () => scan({ ticket: code.ticket }) },
    make("img", { src: `/cgi-bin/showqrcode?ticket=${encodeURIComponent(code.ticket)}`, alt: "" }),
    make("span", {}, code.scene)));
  openSheet("扫一扫", form, list.length > 0 ? make("div.codes", {}, ...list) : make("p.meta", {}, "公众号还没有生成过二维码。"));
}

// — pages —

// Each phone has its own cookie jar where the browser can give it one, as each real phone has: two followers in
// two tabs do not share a session with the bank.
function openPage(url) {
  const frame = make("iframe", { title: "网页", referrerPolicy: "strict-origin-when-cross-origin" });
  frame.credentialless = true;
  frame.src = url;
  openPage.before = document.activeElement;
  part("page-title").textContent = new URL(url).host;
  part("page-frame").replaceChildren(frame);
  part("page").hidden = false;
  settleBackground();
  part("page-close").focus();
}

function closePage() {
  part("page").hidden = true;
  part("page-frame").replaceChildren();
  settleBackground();
  openPage.before?.focus();
}

window.addEventListener("message", (event) => {
  const frame = part("page-frame").querySelector("iframe");
  if (!frame || event.source !== frame.contentWindow) {
    return;
  }
  if (event.data?.kind === "phone.close") {
    closePage();
  } else if (event.data?.kind === "phone.config" || event.data?.kind === "phone.subscribe") {
    answerPage(frame, event.data, { account, accountName, openSheet, closeSheet, act });
  } else if (event.data?.kind === "phone.who" && event.origin === location.origin) {
    event.source.postMessage({ kind: "phone.user", account, openid }, location.origin);
  }
});

// — wiring —

part("follow").addEventListener("click", () => act({ action: "follow" }));
part("profile-scan").addEventListener("click", scanSheet);
part("more").addEventListener("click", moreSheet);
part("sheet-close").addEventListener("click", closeSheet);
part("veil").addEventListener("click", closeSheet);
part("page-close").addEventListener("click", closePage);
part("toggle").addEventListener("click", () => {
  menuShown = !menuShown;
  drawMenu();
  if (!menuShown) {
    part("text").focus();
  }
});
part("text").addEventListener("input", typed);
part("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    say();
  }
});
part("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  say();
});
part("plus").addEventListener("click", () => showTray(part("tray").hidden));
part("picture").addEventListener("change", sendPicture);
for (const button of document.querySelectorAll("[data-send]")) {
  button.addEventListener("click", () => {
    showTray(false);
    sending[button.dataset.send]();
  });
}
document.addEventListener("click", (event) => {
  if (!event.target.closest(".menu-item")) {
    closeMenus();
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") {
    return;
  }
  if (!part("sheet").hidden) {
    closeSheet();
  } else if (!part("page").hidden) {
    closePage();
  }
});
document.addEventListener("visibilitychange", listen);
part("chat").addEventListener("scroll", () => {
  const chat = part("chat");
  stuck = chat.scrollHeight - chat.scrollTop - chat.clientHeight < END_PIXELS;
});
new ResizeObserver(stickToEnd).observe(part("chat"));

paintInitials(document);
startInspector(toast);
drawMenu();
listen();
