// The desk: lists on the left, one conversation in the middle, its customer on the right.

import { drawJudgement, drawLooking, guessAt, readAbout } from './about.js';
import { Lost, address, get, listen, messageKey, post, postFile } from './server.js';
import { drawColleagues, openReplies, ring, setReplies } from './replies.js';
import { Talk, element } from './talk.js';
import { moment, span, words } from './words.js';

/** Without hints everything is read so often; with them every fifth time, for what no hint tells. */
const POLL_MS = 3000;
const POLLS_WITH_HINTS = 5;
const TYPING_MS = 8000;
/** Lists are read at most this often for the sake of conversations that are not this agent's. */
const OTHERS_MS = 1500;
const BYTES_MAX = 2048;
const NOTE_CHARACTERS_MAX = 1000;
const URGENT_FROM = 5;

const at = (id) => document.getElementById(id);
const talk = new Talk(at('log'), (seq) => address(`cases/${encodeURIComponent(open.caseId)}/media/${seq}`));

/** The server's clock minus ours. */
let skew = 0;
let lists = { mine: [], queue: [] };
/** What was unread or waiting when the lists were read last: more than that rings. */
let heard = null;
/** The answer to "take the next one" was lost: whoever turns up among mine is shown. */
let expecting = false;
/** What is written goes to colleagues, not to the customer. */
let noting = false;
const root = document.documentElement;
const isSupervisor = root.dataset.supervisor === 'true';
let open = null; // { caseId, view }
let draft = null; // { text, key } of a message whose fate is not known
const drafts = new Map();
const now = () => Date.now() + skew;

// ---- lists

async function readLists() {
  const [mine, queue] = await Promise.all([get('mine'), get('queue')]);
  skew = queue.now - Date.now();
  const known = new Set(lists.mine.map((one) => one.case_id));
  const turnedUp = expecting && !open && mine.cases.find((one) => one.state === 'with_agent' && !known.has(one.case_id));
  lists = { mine: mine.cases, queue: queue.cases };
  fill(at('mine'), mine, words.noMine, mineEntry);
  fill(at('queue'), queue, words.noQueue, queueEntry);
  at('mine-count').textContent = mine.cases.length || '';
  at('queue-count').textContent = queue.cases.length ? `${queue.cases.length}${queue.more ? '+' : ''}` : '';
  at('claim-next').hidden = queue.cases.length === 0;
  const unread = mine.cases.reduce((sum, one) => sum + one.unread, 0);
  const hear = { unread, mine: mine.cases.length, waiting: queue.cases.length };
  if (heard && (hear.unread > heard.unread || hear.mine > heard.mine || (heard.waiting === 0 && hear.waiting > 0))) ring();
  heard = hear;
  if (turnedUp) {
    expecting = false;
    show(turnedUp.case_id);
  }
  const title = document.title.replace(/^\(\d+\) /, '');
  document.title = unread ? `(${unread}) ${title}` : title;
}

function fill(list, body, empty, entry) {
  const focused = document.activeElement?.dataset?.case;
  list.replaceChildren(...body.cases.map(entry));
  if (body.cases.length === 0) list.append(element('li', 'empty', empty));
  if (body.more) list.append(element('li', 'empty', words.more));
  if (focused) list.querySelector(`[data-case="${CSS.escape(focused)}"]`)?.focus();
}

function entryOf(one, detail) {
  const item = element('li');
  const button = element('button', `entry${open?.caseId === one.case_id ? ' chosen' : ''}`);
  button.type = 'button';
  button.dataset.case = one.case_id;
  button.addEventListener('click', () => show(one.case_id));
  const head = element('span', 'entry-head');
  head.append(element('b', '', words.customer(one.label)));
  if (one.state === 'call_back') head.append(element('span', 'tag call-back', words.callBack));
  if (one.priority >= URGENT_FROM) head.append(element('span', 'tag urgent', words.urgent));
  if (one.state === 'wrap_up') head.append(element('span', 'tag', words.wrapUp));
  if (one.kept_for) head.append(element('span', 'tag', words.keptFor(one.kept_for)));
  if (one.state === 'waiting' && one.promised) {
    const late = now() >= one.promised;
    const soon = now() >= one.queued + (one.promised - one.queued) * 0.75;
    if (late || soon) head.append(element('span', late ? 'tag urgent' : 'tag call-back', late ? words.overdue : words.soon));
  }
  if (one.unread > 0) head.append(element('span', 'unread', one.unread > 99 ? '99+' : String(one.unread)));
  button.append(head, element('span', 'entry-line', `${one.skill} · ${one.reason}`), detail);
  item.append(button);
  return item;
}

function queueEntry(one) {
  const detail = element('span', 'entry-line quiet');
  detail.dataset.since = one.queued;
  detail.textContent = waitingText(one.queued);
  return entryOf(one, detail);
}

function mineEntry(one) {
  return entryOf(one, element('span', 'entry-line quiet', words.since(moment(one.claimed ?? one.opened))));
}

const waitingText = (since) => words.waiting(span(now() - since));

// ---- one conversation

async function show(caseId) {
  if (open?.caseId === caseId) return at('answer').focus();
  keepDraft();
  open = { caseId, view: null };
  talk.clear();
  trouble('');
  const kept = drafts.get(caseId);
  draft = kept?.draft ?? null;
  at('answer').value = kept?.text ?? '';
  setNoting(false);
  document.body.classList.add('reading');
  for (const entry of document.querySelectorAll('.entry')) {
    entry.classList.toggle('chosen', entry.dataset.case === caseId);
  }
  await attempt(async () => {
    await readCase();
    at('scroll').scrollTop = at('scroll').scrollHeight;
    if (!at('composer').hidden) at('answer').focus();
  });
}

function keepDraft() {
  if (open && at('answer').value) drafts.set(open.caseId, { text: at('answer').value, draft });
  else if (open) drafts.delete(open.caseId);
}

function leave() {
  keepDraft();
  open = null;
  document.body.classList.remove('reading');
  at('open').hidden = true;
  at('customer').hidden = true;
  at('nothing').hidden = false;
  for (const entry of document.querySelectorAll('.entry.chosen')) entry.classList.remove('chosen');
}

/** Reads the open conversation from where its log ends; asked twice at the same time it reads twice in a row. */
let reading = null;
async function readCase() {
  if (reading) {
    await reading.catch(() => {});
  }
  reading = readCaseOnce();
  try {
    await reading;
  } finally {
    reading = null;
  }
}

async function readCaseOnce() {
  if (!open) return;
  const { caseId } = open;
  const first = talk.last === 0;
  let after = talk.readAfter;
  let body;
  do {
    body = await get(`cases/${encodeURIComponent(caseId)}${first ? '' : `?after=${after}`}`);
    if (open?.caseId !== caseId) return;
    place(body, first);
    after = body.messages.at(-1)?.seq ?? after;
  } while (!first && body.more);
  if (first) at('earlier').hidden = !body.more;
  if (body.mine && body.case.unread > 0 && !document.hidden) {
    await post(`cases/${encodeURIComponent(caseId)}/seen`);
    await readLists();
  }
}

function place(body, first) {
  const scroll = at('scroll');
  const atEnd = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 80;
  const before = talk.last;
  talk.show(body.messages, body.case.opened_seq);
  open.view = body;
  skew = body.now - Date.now();
  drawOpen(body);
  if (talk.last > before && !first) {
    if (atEnd) scroll.scrollTop = scroll.scrollHeight;
    else at('jump').hidden = false;
  }
}

async function readEarlier() {
  if (!open) return;
  const { caseId } = open;
  const body = await get(`cases/${encodeURIComponent(caseId)}?before=${talk.first}`);
  if (open?.caseId !== caseId) return;
  const scroll = at('scroll');
  const below = scroll.scrollHeight - scroll.scrollTop;
  talk.show(body.messages, body.case.opened_seq);
  scroll.scrollTop = scroll.scrollHeight - below;
  at('earlier').hidden = !body.more;
}

function drawOpen({ case: one, mine, allowance, customer, others, complaint, looking, judgement }) {
  at('nothing').hidden = true;
  at('open').hidden = false;
  at('customer').hidden = false;
  at('title').textContent = [customer?.name, words.customer(one.label)].filter(Boolean).join(' · ');
  at('subtitle').textContent = [one.account, one.skill, one.reason].join(' · ');
  const talking = mine && one.state === 'with_agent';
  at('claim').hidden = !['waiting', 'call_back'].includes(one.state);
  for (const id of ['transfer', 'to-bot', 'finish', 'composer']) at(id).hidden = !talking;
  at('urgency-box').hidden = !(isSupervisor && one.state === 'waiting');
  at('urgency').value = String(one.priority - (one.priority % 3));
  at('take-over').hidden = !(isSupervisor && !mine && one.state === 'with_agent');
  at('complain').hidden = !(talking && !complaint);
  at('wrap-up').hidden = !(mine && one.state === 'wrap_up');
  const note = at('closed-note');
  note.textContent = noteOf(one, mine);
  note.hidden = note.textContent === '';
  drawAllowance(allowance);
  drawFacts(one, customer);
  drawComplaint(complaint);
  drawOthers(others);
  drawLooking(looking);
  drawJudgement(one, judgement, isSupervisor);
  at('whisper-form').hidden = !(isSupervisor && !mine && one.state === 'with_agent');
  at('reveal').hidden = !(customer && (mine || isSupervisor));
  Object.assign(at('reveal'), { href: `${root.dataset.base}/reveal?case=${encodeURIComponent(one.case_id)}` });
  readAbout(one, talking, sendText);
}

function drawComplaint(complaint) {
  at('complaint').hidden = !complaint;
  if (!complaint) return;
  const clock = complaint.settled
    ? words.complaintSettled(complaint.settled_by, moment(complaint.settled))
    : words.complaintBy(words.limits[complaint.limit], moment(complaint.until));
  at('complaint-clock').textContent = `${complaint.complaint_id} · ${complaint.reason} · ${clock}`;
  at('whisper-form').addEventListener('submit', (event) => {
  event.preventDefault();
  act('whisper', { text: at('whisper').value });
  at('whisper').value = '';
});
at('judge-form').addEventListener('submit', (event) => {
  event.preventDefault();
  act('quality', { points: Number(at('judge-form').elements.points.value), note: at('judge-note').value });
  at('judge-form').reset();
});
at('complaint-settle').hidden = Boolean(complaint.settled);
}

function drawOthers(others) {
  at('history').hidden = others.length === 0;
  at('others').replaceChildren(...others.map((other) => {
    const how = other.score ? words.score(other.score) : words.closeReasons[other.close_reason] ?? words.states[other.state];
    const line = [moment(other.opened), other.skill, other.reason, other.claimed_by, how];
    return element('li', 'small', line.filter(Boolean).join(' · '));
  }));
}

function noteOf(one, mine) {
  if (one.state === 'closed') return words.closedCase;
  if (['waiting', 'call_back'].includes(one.state)) return words.waitingCase;
  return mine ? '' : words.othersCase(one.claimed_by ?? '');
}

function drawAllowance({ left, until, why_not: whyNot }) {
  const line = at('allowance');
  const open = [words.left(left, span(until - now())), left === 1 ? words.lastOne : ''];
  line.textContent = whyNot ? words[whyNot] : open.filter(Boolean).join(' · ');
  line.className = whyNot ? 'none' : left <= 1 ? 'few' : '';
  // What is still possible, instead of a box that fails.
  const still = { not_yet: words.stillNotYet, closed: words.stillClosed, spent: words.stillSpent, unfollowed: words.stillUnfollowed };
  at('still').hidden = !whyNot || noting;
  at('still-why').textContent = still[whyNot] ?? '';
  at('image-open').disabled = Boolean(whyNot) || noting;
  const leaving = leavesWords();
  at('answer').disabled = whyNot === 'unfollowed' && !noting;
  at('answer').placeholder = noting ? words.noteHint : leaving ? words.leaveHint : words.answerHint;
  at('send').textContent = noting ? words.save : leaving ? words.leave : words.send;
  drawBytes();
}

/** WeChat lets nothing through now, so that what is written waits for the customer. */
function leavesWords() {
  return ['not_yet', 'closed', 'spent'].includes(open?.view?.allowance.why_not);
}

function setNoting(on) {
  noting = on;
  at('note-mode').ariaPressed = String(on);
  at('composer').classList.toggle('noting', on);
  if (open?.view) drawAllowance(open.view.allowance);
}

function drawFacts(one, customer) {
  const facts = [];
  if (customer?.name) facts.push([words.name, customer.name]);
  facts.push([words.binding, customer ? `${words.bound} · ${moment(customer.bound)}` : words.notBound]);
  for (const card of customer?.cards ?? []) {
    const more = card.default ? ` · ${words.defaultCard}` : '';
    facts.push([words.cards, `${card.product} ${words.tail(card.tail)}${more}`]);
  }
  if (customer) facts.push([words.alerts, `${words.alerts}${customer.alerts ? words.on : words.off}`]);
  const aboutCase = [[words.account, one.account], [words.skill, one.skill], [words.reason, one.reason]];
  aboutCase.push([words.opened, moment(one.opened)]);
  if (one.transfers > 0) aboutCase.push([words.transfers, words.transferred(one.transfers)]);
  // On a narrow screen the head of the conversation says enough about the case.
  const draw = (className) => ([name, value]) => [element('dt', className, name), element('dd', className, value)];
  at('facts').replaceChildren(...facts.flatMap(draw('')), ...aboutCase.flatMap(draw('about-case')));
}

// ---- actions

const bytesOf = (text) => new TextEncoder().encode(text.trim()).length;

function tooLong(text) {
  return noting ? [...text.trim()].length > NOTE_CHARACTERS_MAX : bytesOf(text) > BYTES_MAX;
}

function drawBytes() {
  const text = at('answer').value;
  const empty = text.trim() === '';
  const line = at('bytes');
  line.textContent = empty ? '' : noting ? words.characters([...text.trim()].length) : words.bytes(bytesOf(text));
  line.classList.toggle('none', tooLong(text));
  at('send').disabled = at('answer').disabled || empty || tooLong(text) || sending;
}

let sending = false;
/** Sends words that stand ready, as if they had been typed. What was being typed stays. */
async function sendText(text) {
  if (sending || at('composer').hidden) return;
  const typed = at('answer').value;
  setNoting(false);
  at('answer').value = text;
  await send();
  if (at('answer').value === '' && typed) at('answer').value = typed;
  drawBytes();
}

async function send() {
  const text = at('answer').value.trim();
  if (!open || sending || !text || tooLong(text)) return;
  const { caseId } = open;
  // The same words after a lost connection are the same message.
  if (draft?.text !== text) draft = { text, key: messageKey() };
  sending = true;
  drawBytes();
  try {
    const way = noting ? 'note' : leavesWords() ? 'leave' : 'answer';
    const answered = await post(`cases/${encodeURIComponent(caseId)}/${way}`, { answer_id: draft.key, text });
    drafts.delete(caseId);
    if (open?.caseId === caseId) {
      draft = null;
      at('answer').value = '';
      trouble(answered.masked ? words.masked : '');
      await readCase();
      at('scroll').scrollTop = at('scroll').scrollHeight;
    }
  } catch (error) {
    trouble(error instanceof Lost ? words.unsure : error.message);
    if (!(error instanceof Lost)) await attempt(readCase, false);
  } finally {
    sending = false;
    drawBytes();
  }
}

async function sendPicture(file) {
  if (!open || !file || sending) return;
  const { caseId } = open;
  sending = true;
  drawBytes();
  trouble(words.sending);
  try {
    await postFile(`cases/${encodeURIComponent(caseId)}/picture?answer_id=${messageKey()}`, file);
    trouble('');
    await readCase();
    at('scroll').scrollTop = at('scroll').scrollHeight;
  } catch (error) {
    trouble(error instanceof Lost ? words.lost : error.message);
  } finally {
    sending = false;
    drawBytes();
  }
}

let typed = 0;
/** WeChat shows "typing" for some seconds: it is told again while somebody types. */
function tellTyping() {
  const over = noting || leavesWords() || at('answer').value === '' || Date.now() - typed < TYPING_MS;
  if (!open || over) return;
  typed = Date.now();
  post(`cases/${encodeURIComponent(open.caseId)}/typing`, { typing: true }).catch(() => {});
}

function act(path, body) {
  if (!open) return undefined;
  const { caseId } = open;
  return attempt(async () => {
    trouble('');
    try {
      await post(`cases/${encodeURIComponent(caseId)}/${path}`, body);
    } finally {
      await readLists();
    }
    if (['return', 'transfer', 'hand-over'].includes(path) || body?.reason) return leave();
    return readCase();
  });
}

async function claimNext() {
  await attempt(async () => {
    expecting = true;
    const { case_id: caseId } = await post('next').catch((error) => {
      expecting = error instanceof Lost;
      throw error;
    });
    expecting = false;
    await readLists();
    if (!caseId) return notice(words.nobodyWaits);
    return show(caseId);
  });
}

/** Tells something where nothing is open. */
function notice(text) {
  if (open) trouble(text);
  else at('nothing').querySelector('p').textContent = text;
}

function chooseReply() {
  const { case: one, customer } = open.view;
  const card = customer?.cards.find((held) => held.default) ?? customer?.cards[0];
  const about = {
    customer: customer?.name || words.someone, agent: root.dataset.me, account: one.account,
    card: card?.tail ?? '****', group: one.skill_id,
  };
  openReplies(about, (text) => {
    at('answer').value = text;
    drawBytes();
    at('answer').focus();
  });
}

function chooseColleague() {
  at('transfer-dialog').showModal();
  attempt(() => drawColleagues(at('colleagues'), root.dataset.me, (to) => {
    at('transfer-dialog').close();
    act('hand-over', { to });
  }));
}

function trouble(text) {
  at('trouble').textContent = text;
  at('trouble').hidden = !text;
}

async function attempt(work, tell = true) {
  try {
    await work();
    connected(true);
  } catch (error) {
    if (error instanceof Lost) connected(false);
    else if (error.code === 'no_such_case') leave();
    else if (tell) notice(error.message);
    if (!(error instanceof Lost || error.code)) throw error;
  }
}

// ---- staying up to date

let reachable = true;
let streaming = false;
function connected(state) {
  reachable = state;
  drawConnection();
}

function drawConnection() {
  const line = at('connection');
  line.textContent = !reachable ? words.lost : streaming ? words.live : words.polling;
  line.className = `connection ${!reachable ? 'lost' : streaming ? 'live' : 'polling'}`;
}

let refreshing = false;
let again = false;
async function refresh() {
  if (refreshing) {
    again = true;
    return;
  }
  refreshing = true;
  do {
    again = false;
    await attempt(async () => {
      // What was said first, the lists after it.
      if (open) await readCase();
      await readLists();
    }, false);
  } while (again);
  refreshing = false;
}

let later = null;
/** A hint about a conversation of mine is followed at once, one about others a little later, many of them together. */
function hinted(follower) {
  const mine = !follower || open?.view?.case.follower === follower || lists.mine.some((one) => one.follower === follower);
  if (mine) return refresh();
  later ??= setTimeout(() => {
    later = null;
    refresh();
  }, OTHERS_MS);
  return undefined;
}

listen(hinted, (state) => {
  streaming = state;
  drawConnection();
});
let polls = 0;
setInterval(() => {
  polls += 1;
  if (!streaming || polls % POLLS_WITH_HINTS === 0) refresh();
}, POLL_MS);
setInterval(() => {
  for (const line of document.querySelectorAll('[data-since]')) line.textContent = waitingText(Number(line.dataset.since));
  if (open?.view && !open.view.allowance.why_not) drawAllowance(open.view.allowance);
}, 1000);
addEventListener('online', refresh);
document.addEventListener('visibilitychange', () => { if (!document.hidden) refresh(); });

// ---- what the agent does

at('claim').addEventListener('click', () => act('claim'));
at('claim-next').addEventListener('click', claimNext);
at('to-bot').addEventListener('click', () => act('return'));
at('take-over').addEventListener('click', () => act('take-over'));
at('urgency').addEventListener('change', () => act('priority', { level: Number(at('urgency').value) }));
at('complain').addEventListener('click', () => at('complaint-dialog').showModal());
at('complaint-form').addEventListener('submit', (event) => {
  event.preventDefault();
  at('complaint-dialog').close();
  act('complaint', { text: at('complaint-reason').value });
  at('complaint-reason').value = '';
});
at('complaint-settle').addEventListener('click', () => act('complaint-settled'));
for (const button of document.querySelectorAll('[data-close]')) {
  button.addEventListener('click', () => at(button.dataset.close).close());
}
at('replies-open').addEventListener('click', chooseReply);
at('note-mode').addEventListener('click', () => { setNoting(!noting); at('answer').focus(); });
at('ready').addEventListener('change', () => attempt(() => post('ready', { ready: at('ready').checked })));
at('transfer').addEventListener('click', chooseColleague);
at('finish').addEventListener('click', () => at('finish-dialog').showModal());
at('back').addEventListener('click', leave);
at('earlier').addEventListener('click', () => attempt(readEarlier));
at('help-open').addEventListener('click', () => at('help').showModal());
at('jump').addEventListener('click', () => { at('scroll').scrollTop = at('scroll').scrollHeight; });
at('scroll').addEventListener('scroll', () => {
  const scroll = at('scroll');
  if (scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 80) at('jump').hidden = true;
});
for (const button of document.querySelectorAll('[data-reason]')) {
  button.addEventListener('click', () => {
    at('finish-dialog').close();
    act('close', button.dataset.reason ? { reason: button.dataset.reason } : {});
  });
}
for (const button of document.querySelectorAll('[data-skill]')) {
  button.addEventListener('click', () => {
    at('transfer-dialog').close();
    act('transfer', { skill: button.dataset.skill });
  });
}
at('composer').addEventListener('submit', (event) => {
  event.preventDefault();
  send();
});
at('answer').addEventListener('input', () => { drawBytes(); tellTyping(); });
at('answer').addEventListener('paste', (event) => {
  const [file] = event.clipboardData?.files ?? [];
  if (!file) return;
  event.preventDefault();
  sendPicture(file);
});
at('image-open').addEventListener('click', () => at('image').click());
at('image').addEventListener('change', () => {
  sendPicture(at('image').files[0]);
  at('image').value = '';
});
at('answer').addEventListener('keydown', (event) => {
  // While a Chinese input method composes, Enter chooses characters.
  if (event.key === '/' && at('answer').value === '' && !event.isComposing) {
    event.preventDefault();
    chooseReply();
    return;
  }
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  send();
});

function switchBy(step) {
  if (lists.mine.length === 0) return;
  const current = lists.mine.findIndex((one) => one.case_id === open?.caseId);
  const next = current < 0 ? 0 : (current + step + lists.mine.length) % lists.mine.length;
  show(lists.mine[next].case_id);
}

function suggest(index) {
  const text = guessAt(index);
  if (text) sendText(text);
}

const visible = (id) => !at(id).hidden && !at('open').hidden;
const keys = {
  n: claimNext,
  ArrowDown: () => switchBy(1),
  ArrowUp: () => switchBy(-1),
  r: () => at('answer').focus(),
  e: () => visible('finish') && at('finish-dialog').showModal(),
  t: () => visible('transfer') && chooseColleague(),
  o: () => visible('note-mode') && !at('composer').hidden && at('note-mode').click(),
  1: () => suggest(0),
  2: () => suggest(1),
  3: () => suggest(2),
  i: () => !at('composer').hidden && !at('image-open').disabled && at('image').click(),
};
document.addEventListener('keydown', (event) => {
  const typing = event.target.matches('input, textarea');
  if (event.key === '?' && !typing) return at('help').showModal();
  // With Alt some keyboards type other letters: the key's place on the keyboard decides.
  const key = /^(?:Key|Digit)(.)$/.exec(event.code)?.[1].toLowerCase() ?? event.key;
  if (!event.altKey || event.ctrlKey || !keys[key]) return undefined;
  event.preventDefault();
  return keys[key]();
});

drawConnection();
refresh();
// The wall leads here with the case that it speaks of.
if (location.hash.length > 1) show(decodeURIComponent(location.hash.slice(1)));
attempt(async () => {
  const me = await get('me');
  setReplies(me.replies);
  at('ready').checked = me.agent.ready;
}, false);
