// Draws one entry of a chat. Whatever came over the wire becomes text nodes, never markup.

const CLOCK = new Intl.DateTimeFormat("zh-CN", { hour: "2-digit", minute: "2-digit", timeZone: "Asia/Shanghai" });
const DAY = new Intl.DateTimeFormat("zh-CN", { month: "long", day: "numeric", timeZone: "Asia/Shanghai" });
const LINK = /<a\s+([^<>]*)>([^<]*)<\/a>|(https?:\/\/[^\s<>"'，。；！？、）】]+)/gi;
const HREF = /(?:^|\s)href\s*=\s*(?:"([^"]*)"|'([^']*)')/i;

/** Makes an element: `make("p.meta", {hidden: true}, child, "text")`. */
export function make(selector, properties = {}, ...children) {
  const [name, ...classes] = selector.split(".");
  const element = document.createElement(name);
  element.classList.add(...classes);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("aria-") || key === "role") {
      element.setAttribute(key, value);
    } else if (key === "data") {
      Object.assign(element.dataset, value);
    } else {
      element[key] = value;
    }
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Avatars carry the first character of a name. */
export function paintInitials(root) {
  for (const avatar of root.querySelectorAll("[data-initial]")) {
    avatar.textContent = [...avatar.dataset.initial.replace(/^客户\s*/, "")][0] ?? "客";
  }
}

/** How a moment reads: the hour today, else with its day. */
export function moment(at) {
  const date = new Date(at);
  const today = DAY.format(date) === DAY.format(new Date());
  return today ? CLOCK.format(date) : `${DAY.format(date)} ${CLOCK.format(date)}`;
}

/** Text with its links; `tap(href)` is called when one is tapped. */
export function linked(text, tap) {
  const parts = [];
  let from = 0;
  for (const match of text.matchAll(LINK)) {
    const quoted = match[3] ? null : HREF.exec(match[1]);
    const href = match[3] ?? quoted?.[1] ?? quoted?.[2];
    if (!href || !/^(https?|weixin):\/\//i.test(href)) {
      continue;
    }
    parts.push(text.slice(from, match.index), tapped(match[3] ?? match[2], () => tap(href)));
    from = match.index + match[0].length;
  }
  parts.push(text.slice(from));
  return parts.filter((part) => part !== "");
}

function tapped(words, onclick) {
  return make("button.text-link", { type: "button", onclick }, words);
}

function picture(source, alternative, missing) {
  const image = make("img", { src: source, alt: alternative, loading: "lazy", referrerPolicy: "no-referrer" });
  image.addEventListener("error", () => image.replaceWith(make("span.picture-missing", {}, missing)));
  return image;
}

function mediaBubble(entry) {
  const address = `/sim/media/${encodeURIComponent(entry.detail.media_id)}`;
  switch (entry.kind) {
    case "image":
      return make("div.bubble.bubble-picture", {}, picture(address, "图片", "图片"));
    case "voice":
      return make("div.voice", {},
        make("div.bubble.bubble-voice", {}, make("span.waves", { "aria-hidden": "true" }), "2″",
          make("span.visually-hidden", {}, "语音消息")),
        entry.detail.recognition ? make("p.recognised", {}, entry.detail.recognition) : null);
    default: {
      const thumb = entry.detail.thumb_media_id;
      const still = thumb ? picture(`/sim/media/${encodeURIComponent(thumb)}`, "", "") : null;
      return make(entry.kind === "shortvideo" ? "div.bubble.bubble-video.bubble-short" : "div.bubble.bubble-video", {},
        still, make("span.play", { "aria-hidden": "true" }),
        make("span.caption", {}, entry.detail.title || (entry.kind === "shortvideo" ? "小视频" : "视频")));
    }
  }
}

function locationCard(entry) {
  const { latitude, longitude } = entry.detail;
  return make("div.card.place-card", {},
    make("strong", {}, entry.text), make("span.meta", {}, `${latitude}, ${longitude}`),
    make("span.map", { "aria-hidden": "true" }));
}

function fileCard(entry) {
  const extension = /\.(\w{1,5})$/.exec(entry.text)?.[1] ?? "文件";
  return make("div.card.file-card", {},
    make("span", {}, make("strong", {}, entry.text), make("span.meta", {}, `${Math.round((entry.detail.bytes ?? 0) / 1024)} KB`)),
    make("span.file-mark", { "aria-hidden": "true" }, extension.toUpperCase()));
}

function musicCard(entry, acts) {
  const { title, description, url, thumb_media_id: thumb } = entry.detail;
  return make("button.card.music-card", { type: "button", disabled: !url, onclick: () => acts.open(url) },
    make("span.music-cover", {}, thumb ? picture(`/sim/media/${encodeURIComponent(thumb)}`, "", "") : null,
      make("span.play", { "aria-hidden": "true" })),
    make("span", {}, make("strong", {}, title || "音乐"), make("span.meta", {}, description ?? "")));
}

function miniProgramCard(entry) {
  const thumb = entry.detail.thumb_media_id;
  return make("div.card.mini-card", {}, make("strong", {}, entry.text),
    make("span.news-cover", {}, thumb ? picture(`/sim/media/${encodeURIComponent(thumb)}`, "", "") : null),
    make("p.card-kind", {}, `小程序 · ${entry.detail.pagepath ?? ""}`));
}

function newsCard(entry, acts) {
  const open = (article) => () => article.url && acts.open(article.url);
  const [first, ...rest] = entry.detail.articles;
  const cover = first.picurl
    ? make("span.news-cover", {}, picture(first.picurl, "", ""))
    : make("span.news-cover.news-cover-plain", { "aria-hidden": "true" });
  const alone = rest.length === 0;
  const lead = make("button.news-lead", { type: "button", onclick: open(first) },
    make("strong", {}, first.title ?? ""), cover,
    alone && first.description ? make("span.meta", {}, first.description) : null);
  const rows = rest.map((article) => make("button.news-row", { type: "button", onclick: open(article) },
    make("span", {}, article.title ?? ""),
    article.picurl ? picture(article.picurl, "", "") : null));
  return make("div.card.news", {}, lead, ...rows);
}

function templateCard(entry, acts) {
  const lines = entry.detail.lines.map((line) =>
    make("div", {}, make("dt", {}, line.label), make("dd", {}, line.value)));
  const more = entry.detail.url
    ? make("button.card-more", { type: "button", onclick: () => acts.tapTemplate(entry.id) }, "查看详情")
    : null;
  return make("div.card.notice-card", {}, make("p.card-kind", {}, entry.detail.is_subscription ? "订阅通知" : "服务通知"),
    make("strong", {}, entry.detail.title), make("dl", {}, ...lines), more);
}

function menuBubble(entry, acts) {
  const items = entry.detail.list.map((item) => tapped(item.content, () => acts.tapMsgmenu(entry.id, item.id)));
  return make("div.bubble", {},
    entry.detail.head ? make("p", {}, ...linked(entry.detail.head, acts.tapLink)) : null,
    make("ul.choices", {}, ...items.map((item) => make("li", {}, item))),
    entry.detail.tail ? make("p", {}, entry.detail.tail) : null);
}

function linkCard(entry, acts) {
  const detail = entry.detail;
  const where = detail.description;
  const url = detail.url;
  const onclick = () => url && acts.open(url);
  return make("button.card.link-card", { type: "button", onclick, disabled: !url },
    make("strong", {}, entry.text), make("span.meta", {}, where ?? ""));
}

function content(entry, acts) {
  switch (entry.kind) {
    case "image": case "voice": case "video": case "shortvideo": return mediaBubble(entry);
    case "location": return locationCard(entry);
    case "file": return fileCard(entry);
    case "music": return musicCard(entry, acts);
    case "miniprogram": return miniProgramCard(entry);
    case "news": return newsCard(entry, acts);
    case "template": return templateCard(entry, acts);
    case "msgmenu": return menuBubble(entry, acts);
    case "link": return linkCard(entry, acts);
    default: {
      // What a follower types is text: only an account's links lead anywhere.
      const words = entry.direction === "follower" ? [entry.text] : linked(entry.text, acts.tapLink);
      return make("div.bubble", {}, ...words);
    }
  }
}

/** The element of an entry. `names` are the initials' sources; `acts` is what tapping does. */
export function bubble(entry, names, acts) {
  const data = { id: entry.id };
  if (entry.direction === "system") {
    const words = entry.kind === "notice" ? entry.text : `您${entry.text}`;
    return make("p.system", { data, role: "note" }, words);
  }
  if (entry.kind === "template") {
    return make("div.turn.turn-wide", { data }, content(entry, acts));
  }
  const own = entry.direction === "follower";
  const avatar = make(own ? "span.avatar" : "span.avatar.avatar-account",
    { "aria-hidden": "true", data: { initial: own ? names.follower : names.account } });
  const speaker = make("span.visually-hidden", {}, own ? "我说：" : `${names.account}：`);
  const turn = make(own ? "div.turn.turn-own" : "div.turn", { data }, avatar,
    make("div.turn-content", {},
      entry.detail?.agent ? make("span.speaker", {}, entry.detail.agent) : null,
      speaker, content(entry, acts),
      entry.detail?.is_generated ? make("span.generated", {}, "内容由 AI 生成") : null));
  paintInitials(turn);
  return turn;
}

/** The line above a turn that begins after a pause. */
export function timeLine(at) {
  return make("p.time", {}, moment(at));
}
