// WeChat's JS-SDK as pages inside the simulated phone see it: wx.config, and <wx-open-subscribe>. The phone around the
// page checks the signature, knows who holds it, and asks him.
"use strict";

(() => {
  const waiting = new Map();
  let asked = 0;

  const ask = (kind, data) => new Promise((resolve) => {
    asked += 1;
    waiting.set(asked, resolve);
    window.parent.postMessage({ kind, id: asked, ...data }, "*");
  });
  window.addEventListener("message", (event) => {
    if (event.source === window.parent && event.data?.kind === "phone.answer") {
      waiting.get(event.data.id)?.(event.data.answer);
      waiting.delete(event.data.id);
    }
  });

  let settle;
  const configured = new Promise((resolve) => { settle = resolve; });
  const tell = (name) => document.dispatchEvent(new CustomEvent(name, { detail: { errMsg: "config:fail" } }));

  window.wx = {
    async config({ appId, timestamp, nonceStr, signature, openTagList = [] }) {
      const page = { url: location.href.split("#")[0], appId, timestamp: Number(timestamp), nonceStr, signature };
      const answer = window.parent === window ? null : await ask("phone.config", { page });
      const isReady = answer?.errMsg === "config:ok";
      settle({ isReady, tags: isReady ? openTagList : [] });
      if (!isReady) {
        tell("WeixinOpenTagsError");
      }
    },
    ready: (then) => configured.then(({ isReady }) => isReady && then()),
    error: (then) => configured.then(({ isReady }) => isReady || then({ errMsg: "config:fail" })),
  };

  customElements.define("wx-open-subscribe", class extends HTMLElement {
    async connectedCallback() {
      const { tags } = await configured;
      if (!tags.includes("wx-open-subscribe")) {
        return;
      }
      const [style, face] = ["script[slot=style]", "script:not([slot])"].map((which) => this.querySelector(which));
      const sheet = new CSSStyleSheet();
      sheet.replaceSync((style?.textContent ?? "").replace(/<\/?style>/g, ""));
      const root = this.attachShadow({ mode: "open" });
      root.adoptedStyleSheets = [sheet];
      root.append(...new DOMParser().parseFromString(face?.textContent ?? "", "text/html").body.childNodes);
      root.addEventListener("click", () => this.subscribe());
    }

    async subscribe() {
      const templates = this.getAttribute("template").split(",");
      const chosen = await ask("phone.subscribe", { templates });
      const name = chosen ? "success" : "error";
      const details = Object.fromEntries(Object.entries(chosen ?? {})
        .map(([id, status]) => [id, JSON.stringify({ status })]));
      const detail = chosen ? { errMsg: "subscribe:ok", subscribeDetails: JSON.stringify(details) }
        : { errMsg: "subscribe:fail", errCode: "20004" };
      this.dispatchEvent(new CustomEvent(name, { detail }));
    }
  });
})();
