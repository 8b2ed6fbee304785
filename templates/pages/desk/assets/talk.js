// The transcript. Everything that somebody wrote enters the page as a text node and in no other way.

import { moment, words } from './words.js';

/** How often a file that is being fetched is asked for: some minutes, ever more slowly. */
const ASKED_MAX = 40;

export function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

export class Talk {
  /** `fileOf` gives the address of an entry's file: made of our own names and a number, nothing of a customer's. */
  constructor(list, fileOf) {
    this.list = list;
    this.fileOf = fileOf;
    this.clear();
  }

  clear() {
    this.list.replaceChildren();
    this.rows = new Map();
    this.last = 0;
    this.first = Infinity;
    this.openedSeq = null;
  }

  /** Puts messages in by their number; one that is there already only changes its state. */
  show(messages, openedSeq) {
    this.openedSeq = openedSeq;
    for (const message of messages) {
      const row = this.rows.get(message.seq);
      if (row) {
        setState(row, message);
        row.message = message;
        continue;
      }
      this.place({ node: draw(message, this.fileOf), message });
    }
  }

  place(row) {
    const { seq } = row.message;
    this.rows.set(seq, row);
    if (seq > this.last) {
      this.list.append(row.node);
    } else {
      const next = [...this.rows.keys()].filter((other) => other > seq).sort((a, b) => a - b)[0];
      this.list.insertBefore(row.node, this.rows.get(next).node);
    }
    if (seq === this.openedSeq && !this.list.querySelector('.divider')) {
      row.node.after(element('li', 'divider', words.beforeCase));
    }
    this.last = Math.max(this.last, seq);
    this.first = Math.min(this.first, seq);
  }

  /** Where to read on: from the first message whose fate is still open. */
  get readAfter() {
    const open = [...this.rows.values()].filter((row) => row.message.state === 'queued').map((row) => row.message.seq);
    return Math.min(this.last, ...open.map((seq) => seq - 1));
  }
}

function draw(message, fileOf) {
  const content = message.content ?? {};
  if (content.kind === 'note' || content.kind === 'whisper') {
    const tag = content.kind === 'note' ? words.noteTag : words.whisperTag(content.to);
    const note = element('li', 'line out internal');
    const paper = element('div', 'bubble', String(content.text ?? ''));
    paper.dir = 'auto';
    note.append(element('p', 'line-head', `${tag} · ${author(message)} · ${moment(message.at)}`), paper);
    return note;
  }
  if (content.kind === 'case') {
    const happened = words.happened[content.what];
    return element('li', 'note', `${moment(message.at)}  ${happened ? happened(content) : ''}`);
  }
  if (message.channel === 'event' && content.kind !== 'text') {
    return element('li', 'note', `${moment(message.at)}  ${plainText(message)}`);
  }
  const row = element('li', `line ${message.incoming ? 'in' : 'out'} ${message.from === 'agent' ? 'agent' : ''}`);
  const head = element('p', 'line-head', `${author(message)} · ${moment(message.at)}`);
  const bubble = element('div', 'bubble');
  bubble.dir = 'auto';
  bubble.append(...body(message));
  if (['image', 'voice'].includes(content.kind)) bubble.append(file(content.kind, fileOf(message.seq)));
  const state = element('span', 'state');
  row.append(head, bubble);
  if (message.channel === 'customer_service') row.append(state);
  setState({ node: row }, message);
  return row;
}

/** A picture or a voice. While it is being fetched from WeChat it is asked for again, a bounded number of times. */
function file(kind, address) {
  const box = element('div', 'file');
  const note = element('span', 'small', words.fileWanted);
  const save = element('a', 'small', words.openFile);
  Object.assign(save, { href: `${address}?as_sent=true`, download: '' });
  const made = element(kind === 'image' ? 'img' : 'audio', kind === 'image' ? 'photo' : '');
  let tries = 0;
  const ask = () => Object.assign(made, { src: `${address}?try=${tries}` });
  made.alt = words.picture;
  made.controls = true;
  made.hidden = true;
  save.hidden = true;
  const shown = () => {
    // Whoever reads the end of the log goes on reading it when a picture makes the log longer.
    const scroll = made.closest('.scroll');
    const atEnd = scroll && scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 80;
    made.hidden = false;
    note.hidden = true;
    if (atEnd) scroll.scrollTop = scroll.scrollHeight;
  };
  made.addEventListener('load', shown);
  made.addEventListener('loadedmetadata', shown);
  made.addEventListener('error', async () => {
    const answer = await fetch(address).catch(() => null);
    if (answer?.ok && kind === 'voice') {
      // It is there, but of a kind that browsers do not play, such as Speex.
      note.hidden = true;
      save.hidden = false;
    } else if (answer?.status === 410) {
      note.textContent = words.fileLost;
    } else if (tries < ASKED_MAX) {
      tries += 1;
      setTimeout(ask, Math.min(1000 + 250 * tries, 8000));
    }
  });
  box.append(made, note, save);
  ask();
  return box;
}

function setState(row, message) {
  const state = row.node.querySelector('.state');
  if (!state) return;
  state.textContent = words[message.state] ?? '';
  state.classList.toggle('bad', ['failed', 'unclear', 'said_next'].includes(message.state));
  state.title = message.state === 'unclear' ? words.unclearWhy : '';
}

function author(message) {
  if (message.from === 'agent') {
    return message.agent === document.documentElement.dataset.me ? words.me : message.agent;
  }
  return message.incoming ? words.someone : words.bot;
}

/** Nodes of a message's body. What the bot says may hold WeChat's text links: their label alone is shown. */
function body(message) {
  const text = plainText(message);
  if (message.incoming || message.from === 'agent') return [document.createTextNode(text)];
  const nodes = [];
  let at = 0;
  for (const link of text.matchAll(/<a\s[^<>]*>([^<>]*)<\/a>/g)) {
    nodes.push(document.createTextNode(unescaped(text.slice(at, link.index))));
    nodes.push(element('span', 'label', unescaped(link[1])));
    at = link.index + link[0].length;
  }
  nodes.push(document.createTextNode(unescaped(text.slice(at))));
  return nodes;
}

function unescaped(text) {
  return text.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');
}

function plainText(message) {
  const content = message.content ?? {};
  if (content.kind === 'text') return String(content.text ?? '');
  const other = String(content.kind ?? '').startsWith('event_') ? words.kinds.event : words.kinds.unknown;
  const name = words.kinds[content.kind] ?? other;
  const titles = Array.isArray(content.articles) ? content.articles.map((article) => article?.title) : [];
  const more = [content.recognition, content.label, content.title, content.text, content.service, content.event, ...titles];
  const said = more.filter((part) => typeof part === 'string' && part !== '');
  return [name, ...said].filter(Boolean).join(' ');
}
