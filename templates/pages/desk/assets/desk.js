// The desk: lists on the left, one conversation in the middle, its customer on the right.

import { drawComplaint, drawFacts, drawJudgement, drawLooking, drawOthers, guessAt, noteOf, readAbout } from './about.js';
import { fill, mineEntry, queueEntry, waitingText } from './entries.js';
import { listenToKeys } from './keys.js';
import { Lost, address, get, listen, messageKey, post, postFile } from './server.js';
import { drawColleagues, openReplies, ring, setReplies } from './replies.js';
import { Fate, Talk } from './talk.js';
import { span, words } from './words.js';

/** Without hints everything is read so often; with them every fifth time, for what no hint tells. */
const POLL_MS = 3000;
const POLLS_WITH_HINTS = 5;
const TYPING_MS = 8000;
/** Lists are read at most this often for the sake of conversations that are not this agent's. */
const OTHERS_MS = 1500;
const BYTES_MAX = 2048;
const NOTE_CHARACTERS_MAX = 1000;

const at = (id) => document.getElementById(id);
const fileOf = (seq) => address(`cases/${encodeURIComponent(open.caseId)}/media/${seq}`);
const talk = new Talk(at('log'), fileOf, putBack);
const fate = new Fate(() => attempt(readCase, false));

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
let draft = null; // { text, key, after, lost } of a message whose fate is not known
let picture = null; // { caseId, file, key } of a picture whose fate is not known
const drafts = new Map();
const now = () => Date.now() + skew;

// ---- lists

async function readLists() {
  const [mine, queue] = await Promise.all([get('mine'), get('queue')]);
  skew = queue.now - Date.now();
  const known = new Set(lists.mine.map((one) => one.case_id));
  const turnedUp = expecting && !open && mine.cases.find((one) => one.state === 'with_agent' && !known.has(one.case_id));
  lists = { mine: mine.cases, queue: queue.cases };
  const reader = { chosen: open?.caseId, now: now(), show };
  fill(at('mine'), mine, words.noMine, (one) => mineEntry(one, reader));
  fill(at('queue'), queue, words.noQueue, (one) => queueEntry(one, reader));
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
  // What was being said when the connection was lost has arrived: it is not said again.
  if (draft?.lost && talk.hasMine(draft.text, draft.after)) {
    if (at('answer').value.trim() === draft.text) at('answer').value = '';
    draft = null;
    trouble('');
  }
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
  fate.look(talk.isWaiting);
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
  if (draft?.text !== text) draft = { text, key: messageKey(), after: talk.last, lost: false };
  const said = draft;
  let arrived = false;
  sending = true;
  drawBytes();
  try {
    const way = noting ? 'note' : leavesWords() ? 'leave' : 'answer';
    const answered = await post(`cases/${encodeURIComponent(caseId)}/${way}`, { answer_id: said.key, text });
    arrived = true;
    // The next words need not wait until the page has read these.
    sending = false;
    drafts.delete(caseId);
    if (open?.caseId === caseId) {
      draft = null;
      at('answer').value = '';
      trouble(answered.masked ? words.masked : '');
      await readCase();
      at('scroll').scrollTop = at('scroll').scrollHeight;
    }
  } catch (error) {
    if (!arrived) trouble(error instanceof Lost ? words.unsure : error.message);
    if (error instanceof Lost) {
      said.lost = true;
      connected(false);
    } else {
      await attempt(readCase, false);
    }
  } finally {
    if (!arrived) sending = false;
    drawBytes();
  }
}

async function sendPicture(file) {
  if (!open || !file || sending) return;
  const { caseId } = open;
  // The same file after a lost connection is the same picture.
  const isSame = ['name', 'size', 'lastModified'].every((part) => picture?.file[part] === file[part]);
  if (!isSame || picture.caseId !== caseId) picture = { caseId, file, key: messageKey() };
  sending = true;
  drawBytes();
  trouble(words.sending);
  try {
    await postFile(`cases/${encodeURIComponent(caseId)}/picture?answer_id=${picture.key}`, file);
    picture = null;
    trouble('');
    await readCase();
    at('scroll').scrollTop = at('scroll').scrollHeight;
  } catch (error) {
    trouble(error instanceof Lost ? words.unsurePicture : error.message);
    if (error instanceof Lost) connected(false);
    else picture = null;
  } finally {
    sending = false;
    drawBytes();
  }
}

/** Words that did not arrive are written again, in front of whatever is being written. */
function putBack(text) {
  if (at('composer').hidden) return;
  setNoting(false);
  at('answer').value = [text, at('answer').value].filter(Boolean).join('\n');
  drawBytes();
  at('answer').focus();
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
  if (!open) return Promise.resolve(false);
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

/** Does it and says what went wrong; tells whether it was done. */
async function attempt(work, tell = true) {
  try {
    await work();
    connected(true);
    return true;
  } catch (error) {
    if (error instanceof Lost) connected(false);
    else if (error.code === 'no_such_case') leave();
    else if (tell) notice(error.message);
    if (!(error instanceof Lost || error.code)) throw error;
    return false;
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
  if (!streaming || !reachable || polls % POLLS_WITH_HINTS === 0) refresh();
}, POLL_MS);
setInterval(() => {
  for (const line of document.querySelectorAll('[data-since]')) line.textContent = waitingText(Number(line.dataset.since), now());
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
at('complaint-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  at('complaint-dialog').close();
  if (await act('complaint', { text: at('complaint-reason').value })) at('complaint-reason').value = '';
});
at('complaint-settle').addEventListener('click', () => act('complaint-settled'));
at('whisper-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  if (await act('whisper', { text: at('whisper').value })) at('whisper').value = '';
});
at('judge-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const points = Number(at('judge-form').elements.points.value);
  if (await act('quality', { points, note: at('judge-note').value })) at('judge-form').reset();
});
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
listenToKeys({
  n: claimNext,
  ArrowDown: () => switchBy(1),
  ArrowUp: () => switchBy(-1),
  r: () => at('answer').focus(),
  a: () => visible('claim') && act('claim'),
  b: () => visible('to-bot') && act('return'),
  c: () => visible('complain') && at('complaint-dialog').showModal(),
  e: () => visible('finish') && at('finish-dialog').showModal(),
  t: () => visible('transfer') && chooseColleague(),
  o: () => visible('note-mode') && !at('composer').hidden && at('note-mode').click(),
  1: () => suggest(0),
  2: () => suggest(1),
  3: () => suggest(2),
  i: () => !at('composer').hidden && !at('image-open').disabled && at('image').click(),
}, () => at('help').showModal());

drawConnection();
refresh();
// The wall leads here with the case that it speaks of.
if (location.hash.length > 1) show(decodeURIComponent(location.hash.slice(1)));
attempt(async () => {
  const me = await get('me');
  setReplies(me.replies);
  at('ready').checked = me.agent.ready;
}, false);
