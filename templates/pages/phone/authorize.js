// The authorise page asks the phone around it who its user is. Without a phone it lets one choose.

import { paintInitials } from "/phone/static/bubbles.js";

const ANSWER_TIMEOUT_MS = 1500;
const page = document.querySelector("main");
const part = (id) => document.getElementById(id);

function show(id) {
  part("waiting").hidden = true;
  part(id).hidden = false;
}

function goOn(openid, answer) {
  const said = page.dataset.isAnswered === "true" ? `&answer=${answer}` : "";
  location.replace(`${location.pathname}${location.search}&as=${encodeURIComponent(openid)}${said}`);
}

function recognised(openid) {
  if (page.dataset.asksConsent !== "true") {
    goOn(openid, "confirm");
    return;
  }
  show("consent");
  part("agree").addEventListener("click", () => goOn(openid, "confirm"));
  part("refuse").addEventListener("click", () => {
    if (page.dataset.isAnswered === "true") {
      goOn(openid, "cancel");
    } else {
      window.parent.postMessage({ kind: "phone.close" }, location.origin);
    }
  });
  part("agree").focus();
}

function ask() {
  const fallback = setTimeout(() => show("choose"), ANSWER_TIMEOUT_MS);
  window.addEventListener("message", (event) => {
    const ours = event.origin === location.origin && event.source === window.parent;
    if (ours && event.data?.kind === "phone.user" && event.data.account === page.dataset.account) {
      clearTimeout(fallback);
      recognised(event.data.openid);
    }
  });
  window.parent.postMessage({ kind: "phone.who", account: page.dataset.account }, location.origin);
}

paintInitials(document);
if (location.hash !== "#wechat_redirect") {
  show("no-fragment");
} else if (window.parent === window) {
  show("choose");
} else {
  ask();
}
