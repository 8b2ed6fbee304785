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
      return make("div.bubble.bubble-voice", {}, make("span.waves", { "aria-hidden": "true" }), "语音消息",
        entry.detail.recognition ? make("span.meta", {}, `“${entry.detail.recognition}”`) : null);
    default:
      return make("div.bubble.bubble-video", {}, make("span.play", { "aria-hidden": "true" }),
        make("span", {}, entry.detail.title || "视频"));
  }
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
  return make("div.card.notice-card", {}, make("p.card-kind", {}, "服务通知"),
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
  const where = entry.kind === "location" ? `${detail.latitude}, ${detail.longitude}` : detail.description;
  const url = detail.url;
  const onclick = () => url && acts.open(url);
  return make("button.card.link-card", { type: "button", onclick, disabled: !url },
    make("strong", {}, entry.text), make("span.meta", {}, where ?? ""));
}

function content(entry, acts) {
  switch (entry.kind) {
    case "image": case "voice": case "video": return mediaBubble(entry);
    case "news": return newsCard(entry, acts);
    case "template": return templateCard(entry, acts);
    case "msgmenu": return menuBubble(entry, acts);
    case "location": case "link": case "music": return linkCard(entry, acts);
    default: return make("div.bubble", {}, ...linked(entry.text, acts.tapLink));
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
    make("div.turn-content", {}, speaker, content(entry, acts)));
  paintInitials(turn);
  return turn;
}

/** The line above a turn that begins after a pause. */
export function timeLine(at) {
  return make("p.time", {}, moment(at));
}
