// What stands beside the talk: the customer's last services and transactions, what the robot suggests, who else reads
// along, and a supervisor's judgement.

import { get } from './server.js';
import { element } from './talk.js';
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
    return element('li', 'small', [moment(one.at), what, one.merchant, words.tail(one.tail)].filter(Boolean).join(' · '));
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
