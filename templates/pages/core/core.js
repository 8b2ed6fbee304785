// The page without reloading: forms become JSON calls, the changing part is fetched again once a second.

const live = document.getElementById("live");
const mark = document.getElementById("live-mark");
let tag = "";

async function refresh() {
  try {
    const response = await fetch("/sandbox/live", { headers: tag ? { "If-None-Match": tag } : {}, cache: "no-store" });
    if (response.status === 200) {
      tag = response.headers.get("etag") || "";
      const text = await response.text();
      const focused = live.contains(document.activeElement) ? document.activeElement.dataset.postHere : null;
      live.innerHTML = text;
      if (focused) live.querySelector(`[data-post-here="${CSS.escape(focused)}"]`)?.focus();
    }
    if (mark.textContent !== "实时更新中") mark.textContent = "实时更新中";
  } catch {
    mark.textContent = "连接中断，正在重试…";
  }
}

async function loop() {
  for (;;) {
    if (!document.hidden) await refresh();
    await new Promise((resume) => setTimeout(resume, 1000));
  }
}

async function send(method, address, body) {
  const response = await fetch(address, {
    method,
    headers: { "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error?.message || `出错了（${response.status}）`);
  return answer;
}

// "amount.value" becomes {amount: {value}}; empty fields are left out.
function bodyOf(form) {
  const body = {};
  for (const field of form.elements) {
    if (!field.name || (field.type !== "checkbox" && field.value === "")) continue;
    const path = field.name.split(".");
    const last = path.pop();
    const place = path.reduce((object, key) => (object[key] ??= {}), body);
    if (field.type === "checkbox") place[last] = field.checked;
    else place[last] = "number" in field.dataset ? Number(field.value) : field.value;
  }
  return body;
}

function say(name, text, good) {
  const place = document.querySelector(`[data-said-here="${name}"]`);
  if (!place) return;
  place.textContent = text;
  place.className = good ? "said good" : "said bad";
}

const reasons = {
  card_locked: "卡片已锁定", card_frozen: "卡片已冻结", card_held: "卡片待客户核实", overseas_off: "境外交易未开通", suspected_fraud: "疑似盗刷，待客户核实",
  insufficient_credit: "可用额度不足", currency_not_supported: "不支持这个币种", do_not_honour: "发卡行拒绝",
};
const spoken = {
  swipe: (answer) =>
    answer.declined
      ? `交易未成功：${reasons[answer.decline_reason] || answer.decline_reason}`
      : `已受理，可用额度 ¥${answer.available_credit.value}`,
  fault: (answer) => (answer.length ? "已设置。" : "已全部恢复。"),
};

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.dataset.post) return;
  event.preventDefault();
  try {
    const answer = await send("POST", form.dataset.post, bodyOf(form));
    say(form.dataset.said, spoken[form.dataset.said](answer), !answer.declined);
  } catch (error) {
    say(form.dataset.said, error.message, false);
  }
  refresh();
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-post-here], [data-delete]");
  if (!button) return;
  button.disabled = true;
  try {
    const answer = button.dataset.delete
      ? await send("DELETE", button.dataset.delete)
      : await send("POST", button.dataset.postHere);
    if (button.dataset.said) say(button.dataset.said, spoken[button.dataset.said](answer), true);
  } catch (error) {
    mark.textContent = error.message;
  }
  button.disabled = false;
  await refresh();
});

// Only the cards of the chosen customer are offered.
const customer = document.getElementById("customer");
const card = document.getElementById("card");
const cards = [...card.options];
function offerCards() {
  card.replaceChildren(...cards.filter((option) => option.dataset.customer === customer.value));
  card.selectedIndex = 0;
}
customer.addEventListener("change", offerCards);
offerCards();
loop();
