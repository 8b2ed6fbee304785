// What stands beside the talk: who the customer is, his last services and transactions, earlier cases, a complaint's clock,
// what the robot suggests, who else reads along, and a supervisor's judgement.

import { get } from './server.js';
import { apart, element } from './talk.js';
import { moment, words } from './words.js';

const at = (id) => document.getElementById(id);
const root = document.documentElement;

/** The case and the customer's last word that it was read for. */
let read = '';
let guesses = [];

/** Reads it where it is not what is shown. A failure costs advice, never the talk. */
export async function readAbout(one, talking, use) {
  const key = `${one.case_id} ${one.last_customer}`;
  if (key !== read) {
    read = key;
    const about = await get(`cases/${encodeURIComponent(one.case_id)}/about`).catch(() => null);
    if (read !== key) return;
    if (!about) read = '';
    else draw(about, use);
  }
  at('guesses').hidden = !talking || guesses.length === 0;
}

function draw(about, use) {
  at('services-box').hidden = about.services.length === 0;
  at('services').replaceChildren(...about.services.map((name) => element('li', 'small', name)));
  at('transactions-box').hidden = about.transactions.length === 0;
  at('transactions').replaceChildren(...about.transactions.map((one) => {
    const what = `${words.transactionKinds[one.kind] ?? one.kind} ${one.currency} ${one.amount}`;
    const line = [moment(one.at), what, one.merchant, words.tail(one.tail)].filter(Boolean).join(' · ');
    const item = element('li', one.spoken_of ? 'small spoken-of' : 'small', line);
    if (one.spoken_of) item.prepend(element('span', 'tag urgent', words.spokenOf), ' ');
    return item;
  }));
  guesses = about.guesses.filter((guess) => guess.text);
  const meant = about.guesses.filter((guess) => !guess.text).map((guess) => guess.title);
  at('guesses-list').replaceChildren(...guesses.map((guess, index) => {
    const button = element('button', 'guess');
    button.type = 'button';
    button.title = guess.text;
    button.append(element('kbd', '', `Alt ${index + 1}`), element('b', '', guess.title), element('span', '', guess.text));
    button.addEventListener('click', () => use(guess.text));
    return button;
  }));
  at('meant').textContent = meant.length ? words.meant(meant.join('、')) : '';
  at('meant').hidden = meant.length === 0;
}

/** What the robot suggests at this place, from 0; undefined: nothing. */
export function guessAt(index) {
  return at('guesses').hidden ? undefined : guesses[index]?.text;
}

export function drawLooking(names) {
  at('looking').hidden = names.length === 0;
  at('looking').textContent = words.looking(names.join('、'));
}

export function drawJudgement(one, judgement, isSupervisor) {
  const over = ['closed', 'rated'].includes(one.state);
  const mayJudge = isSupervisor && over && !judgement && one.claimed_by && one.claimed_by !== root.dataset.me;
  at('judge-form').hidden = !mayJudge;
  at('judgement').hidden = !judgement;
  if (judgement) at('judgement').textContent = words.judged(judgement.points, judgement.by, judgement.note);
  at('quality').hidden = !mayJudge && !judgement;
}

export function drawComplaint(complaint) {
  at('complaint').hidden = !complaint;
  if (!complaint) return;
  const clock = complaint.settled
    ? words.complaintSettled(complaint.settled_by, moment(complaint.settled))
    : words.complaintBy(words.limits[complaint.limit], moment(complaint.until));
  at('complaint-clock').replaceChildren(`${complaint.complaint_id} · `, apart(complaint.reason), ` · ${clock}`);
  at('complaint-settle').hidden = Boolean(complaint.settled);
}

export function drawOthers(others) {
  at('history').hidden = others.length === 0;
  at('others').replaceChildren(...others.map((other) => {
    const how = other.score ? words.score(other.score) : words.closeReasons[other.close_reason] ?? words.states[other.state];
    const line = [moment(other.opened), other.skill, other.reason, other.claimed_by, how];
    return element('li', 'small', line.filter(Boolean).join(' · '));
  }));
}

export function drawFacts(one, customer) {
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

/** Why nothing can be written below a talk; empty: something can. */
export function noteOf(one, mine) {
  if (['closed', 'rated'].includes(one.state)) {
    return one.close_reason === 'unfollowed' ? words.closedUnfollowed : words.closedCase;
  }
  if (['waiting', 'call_back'].includes(one.state)) return words.waitingCase;
  return mine ? '' : words.othersCase(one.claimed_by ?? '');
}
