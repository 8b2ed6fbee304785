// The wall: who waits, who is there, what is at risk. Read again every two seconds; hints are not needed for that.

import { Lost, get, post } from './server.js';
import { apart, element } from './talk.js';
import { moment, span, words } from './words.js';

const EVERY_MS = 2000;
const SAMPLES_EVERY_MS = 60000;
const at = (id) => document.getElementById(id);
const root = document.documentElement;
let skew = 0;
let chosen = null;

function cells(...texts) {
  return texts.map((text) => (text instanceof Node ? text : String(text))).map((text) => {
    const cell = element('td', typeof text === 'string' && /^[\d–]/.test(text) ? 'number' : '');
    cell.append(text);
    return cell;
  });
}

function draw(body) {
  skew = body.now - Date.now();
  const now = body.now;
  const busy = body.groups.filter((group) => group.waiting + group.talking + group.call_backs > 0);
  const shown = busy.length ? busy : body.groups.slice(0, 6);
  at('groups').replaceChildren(...shown.map((group) => {
    const row = element('tr', group.overdue ? 'late' : group.at_risk ? 'soon' : '');
    const longest = group.since ? span(now - group.since) : '–';
    row.append(...cells(group.account_name, group.name, group.waiting, longest, group.at_risk, group.overdue, group.talking,
      group.call_backs, span(group.answer_within_s * 1000)));
    return row;
  }));
  const sum = (name) => body.groups.reduce((total, group) => total + group[name], 0);
  const since = Math.min(...body.groups.map((group) => group.since ?? Infinity));
  const longest = Number.isFinite(since) ? span(now - since) : '–';
  const tiles = [
    [words.tiles.waiting, sum('waiting'), ''], [words.tiles.longest, longest, ''],
    [words.tiles.atRisk, sum('at_risk'), sum('at_risk') ? 'soon' : ''],
    [words.tiles.overdue, sum('overdue'), sum('overdue') ? 'late' : ''],
    [words.tiles.talking, sum('talking'), ''], [words.tiles.people, body.people.length, ''],
  ];
  at('tiles').replaceChildren(...tiles.map(([name, value, className]) => {
    const tile = element('li', `tile ${className}`);
    tile.append(element('b', '', value), element('span', '', name));
    return tile;
  }));
  drawAccounts(body.groups);
  drawPeople(body);
  at('talks').replaceChildren(...body.talks.map(talk));
  if (body.talks.length === 0) at('talks').append(element('li', 'empty', words.noTalks));
  at('complaints').replaceChildren(...body.complaints.map((one) => {
    const line = element('li', one.limit === 'days_15' ? '' : 'late', `${moment(one.registered)} · ${one.complaint_id} · `);
    line.append(apart(one.reason), ` · ${words.complaintBy(words.limits[one.limit], moment(one.until))}`);
    return line;
  }));
  if (body.complaints.length === 0) at('complaints').append(element('li', 'empty', words.noComplaints));
}

/** What is to be judged changes seldom: it is read on opening and now and then. */
async function readSamples() {
  const body = await get('samples').catch(() => null);
  if (!body) return;
  at('samples').replaceChildren(...body.cases.map((one) => {
    const item = element('li', 'person');
    const open = element('a', '', words.judge);
    Object.assign(open, { href: `${root.dataset.base}#${encodeURIComponent(one.case_id)}` });
    const line = [words.customer(one.label), one.skill, one.claimed_by, moment(one.closed)].join(' · ');
    item.append(element('span', '', line), open);
    return item;
  }));
  if (body.cases.length === 0) at('samples').append(element('li', 'empty', words.noSamples));
}

function drawAccounts(groups) {
  const known = new Map(groups.map((group) => [group.account, group.account_name]));
  const list = at('move-account');
  if (list.options.length === known.size) return;
  list.replaceChildren(...[...known].map(([id, name]) => new Option(name, id)));
  list.hidden = known.size < 2;
}

function drawPeople({ people, groups }) {
  const names = new Map(groups.map((group) => [group.group, group.name]));
  at('people').replaceChildren(...people.map((person) => {
    const item = element('li', 'person');
    const load = element('meter');
    load.max = person.capacity;
    load.high = person.capacity - 0.5;
    load.value = person.cases;
    const skills = person.skills.map((id) => names.get(id) ?? id).join('、') || words.everyGroup;
    const set = element('button', 'small', words.settings);
    set.type = 'button';
    set.addEventListener('click', () => settings(person));
    const about = element('span', 'small', `${skills}${person.ready ? ` · ${words.readyNow}` : ''}`);
    item.append(element('b', '', person.name), load, element('span', '', words.load(person.cases, person.capacity)), about, set);
    return item;
  }));
  if (people.length === 0) at('people').append(element('li', 'empty', words.nobody));
}

function talk(one) {
  const item = element('li', 'person');
  const waits = one.last_customer && one.last_customer > (one.last_reply ?? one.claimed ?? 0);
  const state = waits ? words.customerWaits(span(Date.now() + skew - one.last_customer)) : words.answered;
  const line = [words.customer(one.label), one.skill, one.claimed_by, state].join(' · ');
  const open = element('a', '', words.look);
  Object.assign(open, { href: `${root.dataset.base}#${encodeURIComponent(one.case_id)}` });
  const take = element('button', 'small', words.takeOver);
  take.type = 'button';
  take.hidden = one.claimed_by === root.dataset.me;
  take.addEventListener('click', () => order(`cases/${encodeURIComponent(one.case_id)}/take-over`));
  item.append(element('span', waits ? 'soon' : '', line), open, take);
  return item;
}

function settings(person) {
  chosen = person;
  at('agent-name').textContent = person.name;
  at('agent-capacity').value = person.capacity;
  for (const box of at('agent-form').elements.skill) box.checked = person.skills.includes(box.value);
  at('agent-dialog').showModal();
}

async function order(path, body) {
  try {
    const answer = await post(path, body);
    trouble(answer.moved === undefined ? '' : words.moved(answer.moved));
  } catch (error) {
    trouble(error instanceof Lost ? words.lost : error.message);
  }
  await read();
}

function trouble(text) {
  at('trouble').textContent = text;
  at('trouble').hidden = !text;
}

async function read() {
  const line = at('connection');
  try {
    draw(await get('wall'));
    line.textContent = words.live;
    line.className = 'connection live';
  } catch (error) {
    line.textContent = error instanceof Lost ? words.lost : error.message;
    line.className = 'connection lost';
  }
}

at('move').addEventListener('submit', (event) => {
  event.preventDefault();
  order('move', { account: at('move-account').value, from: at('move-from').value, to: at('move-to').value });
});
at('agent-form').addEventListener('submit', (event) => {
  event.preventDefault();
  const skills = [...at('agent-form').elements.skill].filter((box) => box.checked).map((box) => box.value);
  at('agent-dialog').close();
  order(`agents/${encodeURIComponent(chosen.name)}`, { skills, capacity: Number(at('agent-capacity').value), ready: chosen.ready });
});
at('agent-cancel').addEventListener('click', () => at('agent-dialog').close());

at('move-to').selectedIndex = 1;
read();
setInterval(read, EVERY_MS);
readSamples();
setInterval(readSamples, SAMPLES_EVERY_MS);
