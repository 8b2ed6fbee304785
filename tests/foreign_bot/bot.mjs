// A small bot that shares no line with this project: its own envelope, XML and API client, Node's standard library
// alone. It shows that the simulator is WeChat for anybody. Usage: node bot.mjs '{"token":…}'; prints where it listens.

import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";
import { createServer } from "node:http";

const options = JSON.parse(process.argv[2]);
const { token, appId, appSecret, originalId, aesKey, mode, api } = options;
const key = Buffer.from(`${aesKey}=`, "base64");
const said = options.changed ? "You wrote" : "You said";

const sha1 = (...parts) => createHash("sha1").update(parts.sort().join("")).digest("hex");
const cdata = (text) => `<![CDATA[${String(text).replaceAll("]]>", "]]]]><![CDATA[>")}]]>`;
const field = (xml, name) => {
  const found = new RegExp(`<${name}>(?:<!\\[CDATA\\[([\\s\\S]*?)\\]\\]>|([^<]*))</${name}>`).exec(xml);
  return found ? found[1]?.replaceAll("]]]]><![CDATA[>", "]]>") ?? found[2] : null;
};

// — the envelope —

function open(sealed) {
  const cipher = createDecipheriv("aes-256-cbc", key, key.subarray(0, 16)).setAutoPadding(false);
  const padded = Buffer.concat([cipher.update(sealed, "base64"), cipher.final()]);
  const clear = padded.subarray(0, padded.length - padded.at(-1));
  const length = clear.readUInt32BE(16);
  if (clear.subarray(20 + length).toString() !== appId) throw new Error("another account's message");
  return clear.subarray(20, 20 + length).toString();
}

function seal(xml, nonce) {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(Buffer.byteLength(xml));
  const clear = Buffer.concat([randomBytes(16), length, Buffer.from(xml), Buffer.from(appId)]);
  const padding = 32 - (clear.length % 32);
  const cipher = createCipheriv("aes-256-cbc", key, key.subarray(0, 16)).setAutoPadding(false);
  const sealed = Buffer.concat([cipher.update(clear), cipher.update(Buffer.alloc(padding, padding)), cipher.final()]);
  const encrypted = sealed.toString("base64");
  const at = String(Math.floor(Date.now() / 1000));
  return `<xml><Encrypt>${cdata(encrypted)}</Encrypt><MsgSignature>${cdata(sha1(token, at, nonce, encrypted))}</MsgSignature>`
    + `<TimeStamp>${at}</TimeStamp><Nonce>${cdata(nonce)}</Nonce></xml>`;
}

// — the API —

let access;

async function accessToken(renew = false) {
  if (renew || !access) {
    const response = await fetch(`${api}/cgi-bin/stable_token`, {
      method: "POST", body: JSON.stringify({ grant_type: "client_credential", appid: appId, secret: appSecret }),
    });
    access = (await response.json()).access_token;
  }
  return access;
}

/** POSTs; a token that is not valid is fetched anew once. The answer's text, because its ids are too long for a number. */
async function post(path, query, body) {
  for (const renew of [false, true]) {
    const response = await fetch(`${api}${path}?access_token=${await accessToken(renew)}${query}`, { method: "POST", body });
    const text = await response.text();
    const code = JSON.parse(text).errcode ?? 0;
    if (code === 0) return text;
    if (code !== 40001 || renew) throw new Error(`${path}: ${text}`);
  }
}

const call = (path, body) => post(path, "", JSON.stringify(body));

async function upload(type, bytes, name) {
  const form = new FormData();
  form.append("media", new Blob([bytes]), name);
  return JSON.parse(await post("/cgi-bin/media/upload", `&type=${type}`, form)).media_id;
}

const JPEG = Buffer.from("ffd8ffe000104a46494600010100000100010000ffd9", "hex");
const PNG = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mO89x8AAqMB0Zw3+5oAAAAASUVORK5CYII=", "base64");
const AMR = Buffer.concat([Buffer.from("#!AMR\n"), Buffer.alloc(50, 0x7c)]);
const MP4 = Buffer.concat([Buffer.from("00000014", "hex"), Buffer.from("ftypisom"), Buffer.alloc(8)]);

// — what it says —

const text = (words) => `<MsgType>${cdata("text")}</MsgType><Content>${cdata(words)}</Content>`;
const article = (title) => `<item><Title>${cdata(title)}</Title><Description>${cdata("about it")}</Description>`
  + `<PicUrl>${cdata("")}</PicUrl><Url>${cdata("https://shop.example/a")}</Url></item>`;
let ordered = null;
let receipt = null;

const words = {
  picture: async () => `<MsgType>${cdata("image")}</MsgType><Image><MediaId>${cdata(await upload("image", PNG, "a.png"))}</MediaId></Image>`,
  voice: async () => `<MsgType>${cdata("voice")}</MsgType><Voice><MediaId>${cdata(await upload("voice", AMR, "a.amr"))}</MediaId></Voice>`,
  video: async () => `<MsgType>${cdata("video")}</MsgType><Video><MediaId>${cdata(await upload("video", MP4, "a.mp4"))}</MediaId>`
    + `<Title>${cdata("A film")}</Title><Description>${cdata("short")}</Description></Video>`,
  music: async () => `<MsgType>${cdata("music")}</MsgType><Music><Title>${cdata("A song")}</Title><Description>${cdata("old")}</Description>`
    + `<MusicUrl>${cdata("https://shop.example/m")}</MusicUrl><HQMusicUrl>${cdata("https://shop.example/hq")}</HQMusicUrl>`
    + `<ThumbMediaId>${cdata(await upload("thumb", JPEG, "a.jpg"))}</ThumbMediaId></Music>`,
  news: async () => `<MsgType>${cdata("news")}</MsgType><ArticleCount>1</ArticleCount><Articles>${article("News of the day")}</Articles>`,
  agent: async () => `<MsgType>${cdata("transfer_customer_service")}</MsgType>`,
  wrong: async () => "no XML",
  later: async (openid) => {
    await call("/cgi-bin/message/custom/typing", { touser: openid, command: "Typing" });
    setImmediate(() => call("/cgi-bin/message/custom/send", { touser: openid, msgtype: "text", text: { content: "Here it is" } }));
    return null;
  },
  choose: async (openid) => {
    const list = [{ id: "101", content: "Yes" }, { id: "102", content: "No" }];
    await call("/cgi-bin/message/custom/send", { touser: openid, msgtype: "msgmenu", msgmenu: { head_content: "Well?", list, tail_content: "" } });
    return null;
  },
  order: async (openid) => {
    const data = { thing1: { value: "Tea" }, amount2: { value: "¥12.50" } };
    const answer = await call("/cgi-bin/message/template/send", { touser: openid, template_id: "tplOrder", data });
    ordered = /"msgid":\s*(\d+)/.exec(answer)[1];
    return text("Ordered");
  },
  "receipt?": async () => text(receipt ? `${receipt.status}, ${receipt.id === ordered ? "ours" : "not ours"}` : "none yet"),
};

async function answer(xml) {
  const openid = field(xml, "FromUserName");
  switch (field(xml, "MsgType")) {
    case "event": return onEvent(xml);
    case "text": {
      const chosen = field(xml, "bizmsgmenuid");
      const content = field(xml, "Content");
      return chosen ? text(`You chose ${chosen}`) : words[content]?.(openid) ?? text(`${said}: ${content}`);
    }
    case "image": {
      const shown = await fetch(field(xml, "PicUrl"));
      const fetched = await fetch(`${api}/cgi-bin/media/get?access_token=${await accessToken()}&media_id=${field(xml, "MediaId")}`);
      const sizes = [(await shown.arrayBuffer()).byteLength, (await fetched.arrayBuffer()).byteLength];
      return text(`${shown.headers.get("content-type")}, ${sizes[0] === sizes[1] && sizes[0] > 1000 ? "the same twice" : sizes}`);
    }
    default: return text(`A ${field(xml, "MsgType")}`);
  }
}

async function onEvent(xml) {
  switch (field(xml, "Event")) {
    case "subscribe":
      await call("/cgi-bin/menu/create", { button: [{ type: "click", name: "Help", key: "HELP" }] });
      return text("Welcome");
    case "CLICK": return text(`Help for ${field(xml, "EventKey")}`);
    case "TEMPLATESENDJOBFINISH":
      receipt = { id: field(xml, "MsgID"), status: field(xml, "Status") };
      return null;
    default: return null;
  }
}

// — the webhook —

const server = createServer(async (request, response) => {
  const query = new URL(request.url, "http://bot").searchParams;
  const get = (name) => query.get(name) ?? "";
  if (sha1(token, get("timestamp"), get("nonce")) !== get("signature")) {
    response.writeHead(403).end();
    return;
  }
  if (request.method === "GET") {
    response.end(get("echostr"));
    return;
  }
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  try {
    let xml = Buffer.concat(chunks).toString();
    if (mode !== "plain") {
      const sealed = field(xml, "Encrypt");
      if (sha1(token, get("timestamp"), get("nonce"), sealed) !== get("msg_signature")) throw new Error("forged");
      xml = open(sealed);
    }
    const body = await answer(xml);
    if (body === null || body === "no XML") {
      response.end(body === null ? "success" : "{}");
      return;
    }
    const reply = `<xml><ToUserName>${cdata(field(xml, "FromUserName"))}</ToUserName><FromUserName>${cdata(originalId)}</FromUserName>`
      + `<CreateTime>${Math.floor(Date.now() / 1000)}</CreateTime>${body}</xml>`;
    response.setHeader("content-type", "application/xml").end(mode === "plain" ? reply : seal(reply, get("nonce")));
  } catch (error) {
    console.error(error);
    response.writeHead(500).end();
  }
});

server.listen(0, "127.0.0.1", () => console.log(`bot on http://127.0.0.1:${server.address().port}`));
