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

// Inside WeChat the page can close itself.
const offerClosing = () => {
  for (const button of document.querySelectorAll("[data-close]")) {
    button.parentElement.hidden = false;
    button.addEventListener("click", () => window.WeixinJSBridge.call("closeWindow"));
  }
};
if (window.WeixinJSBridge) offerClosing();
else document.addEventListener("WeixinJSBridgeReady", offerClosing);
