// The knobs: faults of the API, of pushes and of receipts, quotas, the clock, the account's rights.

import { make } from "/phone/static/bubbles.js";

const SIGNS = {
  errcode: (value) => `errcode ${value}`, http_status: (value) => `HTTP ${value}`,
  delay_ms: (value) => `晚 ${value} 毫秒`, answer_delay_ms: (value) => `应答晚 ${value} 毫秒`,
  lose_answer: () => "应答丢失", lose_replies: (value) => `应答丢失 ${value} 次`,
  copies: (value) => `同时 ${value} 份`, after_next: () => "排到下一条之后",
  breakage: (value) => ({ half: "半个应答", garbage: "网关的 HTML", empty: "空应答" })[value],
};

async function send(path, method, body) {
  const response = await fetch(path, {
    method, headers: { "content-type": "application/json" }, body: body ? JSON.stringify(body) : undefined,
  });
  return response.ok ? null : (await response.json()).error;
}

/** `kind:value` of a select as a member; a number where it is one. */
function effect(chosen) {
  const [name, value] = chosen.split(/:(.*)/s);
  if (value === undefined) {
    return { [name]: true };
  }
  return { [name]: /^-?\d+$/.test(value) ? Number(value) : value };
}

const number = (field) => (field.value === "" ? null : Number(field.value));

const knobs = {
  fault: (form) => ["/sim/api/faults",
    { api: form.api.value.trim() || "*", times: number(form.times), ...effect(form.kind.value) }],
  "push-fault": (form) => ["/sim/api/push_faults",
    { only: form.only.value.trim() || null, times: number(form.times), ...effect(form.kind.value) }],
  receipts: (form) => ["/sim/api/receipts", {
    delay_ms: number(form.delay_ms), status: form.status.value === "truth" ? null : form.status.value,
    copies: number(form.copies), before_answer: form.before_answer.checked, times: number(form.times),
  }],
  quota: (form) => ["/sim/api/quotas", {
    cgi_path: form.cgi_path.value.trim(), daily_limit: number(form.daily_limit), minute_limit: number(form.minute_limit),
  }],
  rights: (form) => ["/sim/api/rights", {
    account: form.account.value, is_service: form.is_service.value === "true", is_verified: form.is_verified.value === "true",
  }],
};

function line(whom, fault) {
  const signs = Object.entries(SIGNS).filter(([name]) => fault[name] !== null && fault[name] !== undefined && fault[name] !== 0 && fault[name] !== false);
  const words = signs.map(([name, sign]) => sign(fault[name]));
  words.push(fault.times ? `还有 ${fault.times} 次` : "直到清除");
  return make("li", {}, `${whom}：${words.join("，")}`);
}

function duration(seconds) {
  const [days, hours, minutes] = [Math.floor(seconds / 86400), Math.floor((seconds % 86400) / 3600), Math.round((seconds % 3600) / 60)];
  return [days && `${days} 天`, hours && `${hours} 小时`, minutes && `${minutes} 分钟`].filter(Boolean).join(" ") || `${seconds} 秒`;
}

/** Connects the knobs below `root`; `told(words)` says what came of a turn. Gives what redraws them. */
export function startKnobs(root, told) {
  const list = (name) => root.querySelector(`[data-list="${name}"]`);
  const redraw = async () => {
    const [faults, pushes, clock] = await Promise.all(["faults", "push_faults", "clock"].map(async (name) =>
      (await fetch(`/sim/api/${name}`)).json()));
    list("faults").replaceChildren(...faults.map((fault) => line(fault.api === "*" ? "全部接口" : fault.api, fault)));
    list("push-faults").replaceChildren(...pushes.map((fault) => line(fault.only ?? "全部推送", fault)));
    const ahead = clock.offset_seconds;
    root.querySelector("[data-clock]").textContent = ahead === 0
      ? "平台时钟与本机一致。" : `平台时钟比本机${ahead > 0 ? "快" : "慢"} ${duration(Math.abs(ahead))}。`;
  };
  const turn = async (path, method, body, done) => {
    told(await send(path, method, body) ?? done);
    await redraw();
  };
  for (const form of root.querySelectorAll("[data-knob]")) {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const [path, body] = knobs[form.dataset.knob](form);
      turn(path, "POST", body, "已生效");
    });
  }
  for (const button of root.querySelectorAll("[data-clear]")) {
    button.addEventListener("click", () => turn(button.dataset.clear, "DELETE", null, "已恢复"));
  }
  for (const button of root.querySelectorAll("[data-advance]")) {
    button.addEventListener("click",
      () => turn("/sim/api/clock", "POST", { advance_seconds: Number(button.dataset.advance) }, "时钟已移动"));
  }
  root.querySelector("[data-expire]").addEventListener("click",
    () => turn("/sim/api/tokens/expire", "POST", {}, "全部凭据已失效"));
  redraw();
  return redraw;
}
