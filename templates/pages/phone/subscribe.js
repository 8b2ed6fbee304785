// What a page inside the phone asks of WeChat by its JS-SDK: whether it may, and what its reader wants told.

import { make } from "/phone/static/bubbles.js";

/// The notices that the page of a frame may offer, once its signature was right.
const offered = new WeakMap();

/// Answers a call of the page's SDK. `phone`: the account, how to show a sheet, close it, and act.
export async function answerPage(frame, call, phone) {
  const answer = call.kind === "phone.config"
    ? await configure(frame, call.page, phone.account)
    : await choose(offered.get(frame) ?? [], call.templates, phone);
  frame.contentWindow?.postMessage({ kind: "phone.answer", id: call.id, answer }, "*");
}

async function configure(frame, page, account) {
  const response = await fetch(`/sim/sdk/${encodeURIComponent(account)}`, {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(page),
  });
  const answer = await response.json();
  offered.set(frame, answer.notices ?? []);
  return answer;
}

function choose(notices, wanted, { openSheet, closeSheet, act, accountName }) {
  const asked = notices.filter((notice) => wanted.includes(notice.id));
  if (asked.length === 0) {
    return null;
  }
  return new Promise((resolve) => {
    const boxes = asked.map((notice) => make("input", { type: "checkbox", checked: true, value: notice.id }));
    const lines = asked.map((notice, at) => make("label", {}, boxes[at],
      make("span", {}, `${notice.title}${notice.is_long_term ? "（长期）" : "（一次）"}`)));
    const settle = async (allowed) => {
      closeSheet();
      const choices = boxes.map((box) => ({ template_id: box.value, accept: allowed && box.checked }));
      await act({ action: "subscribe_each", choices });
      resolve(Object.fromEntries(choices.map(({ template_id, accept }) => [template_id, accept ? "accept" : "reject"])));
    };
    openSheet(`“${accountName}”申请向您发送通知`, make("div.asked", {}, ...lines), make("div.row", {},
      make("button.button.button-primary", { type: "button", onclick: () => settle(true) }, "允许"),
      make("button.button", { type: "button", onclick: () => settle(false) }, "取消")));
  });
}
