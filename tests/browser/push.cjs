// A text that no phone would send, pushed as WeChat's server pushes it: signed and encrypted with the demo's own keys, and
// by none of the server's code.
"use strict";

const { createCipheriv, createHash, randomBytes } = require("node:crypto");
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const { hold } = require("./stage.cjs");
const { ACCOUNT } = require("./customer.cjs");

const BLOCK_BYTES = 32;

async function pushText(demo, openid, text) {
  const settings = readFileSync(join(demo.data, "weikefu.toml"), "utf8");
  const of = (name) => new RegExp(`^${name} = "(.*)"$`, "m").exec(settings)[1];
  const key = Buffer.from(`${of("encoding_aes_key")}=`, "base64");
  const seconds = String(Math.floor(Date.now() / 1000));
  const xml = Buffer.from(
    `<xml><ToUserName><![CDATA[${of("original_id")}]]></ToUserName><FromUserName><![CDATA[${openid}]]></FromUserName>`
    + `<CreateTime>${seconds}</CreateTime><MsgType><![CDATA[text]]></MsgType><Content><![CDATA[${text}]]></Content>`
    + `<MsgId>${Date.now()}</MsgId></xml>`,
  );
  const length = Buffer.alloc(4);
  length.writeUInt32BE(xml.length);
  const clear = Buffer.concat([randomBytes(16), length, xml, Buffer.from(of("app_id"))]);
  const padding = BLOCK_BYTES - (clear.length % BLOCK_BYTES);
  const cipher = createCipheriv("aes-256-cbc", key, key.subarray(0, 16)).setAutoPadding(false);
  const sealed = Buffer.concat([cipher.update(clear), cipher.update(Buffer.alloc(padding, padding)), cipher.final()]).toString("base64");
  const signed = (...parts) => createHash("sha1").update([of("token"), seconds, "nonce", ...parts].sort().join("")).digest("hex");
  const query = new URLSearchParams({
    signature: signed(), timestamp: seconds, nonce: "nonce", openid, encrypt_type: "aes", msg_signature: signed(sealed),
  });
  const answer = await fetch(`${new URL(demo.urls.desk).origin}/wechat/${ACCOUNT}?${query}`, {
    method: "POST",
    body: `<xml><ToUserName><![CDATA[${of("original_id")}]]></ToUserName><Encrypt><![CDATA[${sealed}]]></Encrypt></xml>`,
  });
  hold(answer.ok, `the push was answered ${answer.status}: ${await answer.clone().text()}`);
}

module.exports = { pushText };
