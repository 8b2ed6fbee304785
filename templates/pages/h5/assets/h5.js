// Comfort only: every page works without it.
"use strict";

// Counts a resend button down to the moment when the server will take it.
for (const button of document.querySelectorAll("button[data-wait]")) {
  let left = Number(button.dataset.wait);
  const tick = () => {
    button.disabled = left > 0;
    button.textContent = left > 0 ? `${left} 秒后可重新获取` : button.dataset.label;
    if (left > 0) {
      left -= 1;
      setTimeout(tick, 1000);
    }
  };
  tick();
}

// A second tap on a slow line sends nothing twice.
for (const form of document.forms) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
  });
}
addEventListener("pageshow", () => {
  for (const form of document.forms) delete form.dataset.sent;
});

// The summary of what is wrong is read first; its links lead to the fields.
document.querySelector(".alert")?.focus();

// Consent to notices is WeChat's to ask for. Where it cannot draw its button, the hint beside it stays.
for (const box of document.querySelectorAll("[data-sdk]")) {
  const { sdk, appId, timestamp, nonce, signature, back } = box.dataset;
  const script = document.createElement("script");
  script.src = sdk;
  script.addEventListener("load", () => {
    wx.config({
      debug: false, appId, timestamp: Number(timestamp), nonceStr: nonce, signature,
      jsApiList: ["closeWindow"], openTagList: ["wx-open-subscribe"],
    });
    wx.ready(() => { box.querySelector("[data-old]").hidden = true; });
  });
  const tellOld = () => { box.querySelector("[data-old]").hidden = false; };
  document.addEventListener("WeixinOpenTagsError", tellOld);
  for (const tag of box.querySelectorAll("wx-open-subscribe")) {
    // WeChat tells the bank itself; a moment later the page shows what it heard.
    tag.addEventListener("success", () => {
      box.querySelector("[data-chosen]").hidden = false;
      setTimeout(() => location.assign(back), 1500);
    });
    tag.addEventListener("error", tellOld);
  }
  document.head.append(script);
}

// Inside WeChat the page can close itself.
const offerClosing = () => {
  for (const button of document.querySelectorAll("[data-close]")) {
    button.parentElement.hidden = false;
    button.addEventListener("click", () => window.WeixinJSBridge.call("closeWindow"));
  }
};
if (window.WeixinJSBridge) offerClosing();
else document.addEventListener("WeixinJSBridgeReady", offerClosing);
