// The transcript. Everything that somebody wrote enters the page as a text node and in no other way.

import { moment, words } from './words.js';

/** States in which words did not reach the customer, and never will by themselves. */
const NOT_ARRIVED = ['failed', 'window_closed', 'allowance_used', 'unreachable'];
/** How often a file that is being fetched is asked for: some minutes, ever more slowly. */
const ASKED_MAX = 40;
/** Voices that browsers play. */
const PLAYED = ['audio/wav', 'audio/mpeg'];

export function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

/** A customer's words within a line of ours: a direction of writing in them does not turn the rest of it. */
export function apart(words) {
  return element('bdi', '', words);
}

export class Talk {
  /**
   * `fileOf` gives the address of an entry's file: made of our own names and a number, nothing of a customer's.
   * `putBack` takes the words of an answer that did not arrive.
   */
  constructor(list, fileOf, putBack) {
    this.list = list;
    this.fileOf = fileOf;
    this.putBack = putBack;
    this.clear();
  }

  clear() {
    this.list.replaceChildren();
    this.rows = new Map();
    this.last = 0;
    this.first = Infinity;
    this.openedSeq = null;
    this.written = 0;
  }

  /** Puts messages in by their number; one that is there already only changes its state. */
  show(messages, openedSeq) {
    this.openedSeq = openedSeq;
    for (const message of messages) {
      const row = this.rows.get(message.seq);
      if (row) {
        this.setState(row, message);
        row.message = message;
        continue;
      }
      const drawn = { node: draw(message, this.fileOf), message };
      this.setState(drawn, message);
      this.place(drawn);
      if (isWriting(message)) this.written = Math.max(this.written, message.seq);
    }
    for (const row of this.rows.values()) {
      if (row.message.state === 'said_next') this.setState(row, row.message);
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
    return Math.min(this.last, ...this.queued.map((message) => message.seq - 1));
  }

  get messages() {
    return [...this.rows.values()].map((row) => row.message);
  }

  get queued() {
    return this.messages.filter((message) => message.state === 'queued');
  }

  /** Whether anything is on its way to the customer. */
  get isWaiting() {
    return this.queued.length > 0;
  }

  /** Whether this reader's words stand among what came after an entry. */
  hasMine(text, after) {
    const me = document.documentElement.dataset.me;
    return this.messages.some((message) => message.seq > after && message.agent === me && message.content?.text === text);
  }

  setState(row, message) {
    const state = row.node.querySelector('.state');
    if (!state) return;
    // What was left for the customer was the first thing that he read when he wrote.
    const fate = message.state === 'said_next' && message.seq < this.written ? 'said_since' : message.state;
    state.textContent = words[fate] ?? '';
    state.classList.toggle('bad', [...NOT_ARRIVED, 'unclear', 'said_next'].includes(fate));
    state.title = message.state === 'unclear' ? words.unclearWhy : '';
    const isMine = message.from === 'agent' && message.content?.kind === 'text';
    if (!isMine || !NOT_ARRIVED.includes(message.state)) return;
    const again = element('button', 'plain small', words.putBack);
    again.type = 'button';
    again.addEventListener('click', () => this.putBack(String(message.content.text ?? '')));
    state.append(' ', again);
  }
}

/** No hint tells what became of a message on its way: it is asked for after this, then ever more slowly. */
const FATE_MS = 700;
const FATE_MS_MAX = 8000;

/** Asks again for what is on its way until it has arrived, or has not. */
export class Fate {
  constructor(read) {
    this.read = read;
    this.pause = FATE_MS;
    this.timer = null;
  }

  look(isWaiting) {
    if (!isWaiting) {
      this.pause = FATE_MS;
      return;
    }
    this.timer ??= setTimeout(() => {
      this.timer = null;
      this.pause = Math.min(this.pause * 2, FATE_MS_MAX);
      this.read();
    }, this.pause);
  }
}

/** Whether a customer says something, and not only does. */
function isWriting(message) {
  return message.incoming && !String(message.content?.kind ?? '').startsWith('event_');
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
    // What came in between, after the player asked, is asked for again.
    const isPlayed = PLAYED.includes(answer?.headers.get('content-type'));
    if (answer?.ok && kind === 'voice' && (!isPlayed || tries === ASKED_MAX)) {
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
