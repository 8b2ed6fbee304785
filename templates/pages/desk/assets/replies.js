// Canned replies: found by words, filled with what is known, taken with one key.

import { get } from './server.js';
import { element } from './talk.js';
import { words } from './words.js';

const at = (id) => document.getElementById(id);
let all = [];
let found = [];
let chosen = 0;
let context = null;
let take = null;

export function setReplies(replies) {
  all = replies;
}

/** Opens the list; `taken` gets the filled text. */
export function openReplies(about, taken) {
  context = about;
  take = taken;
  at('replies-search').value = '';
  draw();
  at('replies-dialog').showModal();
  at('replies-search').focus();
}

function filled(text) {
  const { customer, agent, account, card } = context;
  return text.replaceAll('{customer}', customer).replaceAll('{agent}', agent)
    .replaceAll('{account}', account).replaceAll('{card}', card);
}

function draw() {
  const asked = at('replies-search').value.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (reply) => asked.every((word) => `${reply.title} ${reply.text}`.toLowerCase().includes(word));
  const near = (reply) => (reply.groups.includes(context.group) ? 0 : reply.groups.length ? 2 : 1);
  found = all.filter(fits).sort((one, other) => near(one) - near(other));
  chosen = 0;
  at('replies').replaceChildren(...found.map((reply, index) => {
    const item = element('li');
    const button = element('button', 'reply');
    button.type = 'button';
    button.tabIndex = -1;
    button.append(element('b', '', reply.title), element('span', '', filled(reply.text)));
    button.addEventListener('click', () => use(index));
    item.append(button);
    return item;
  }));
  if (found.length === 0) at('replies').append(element('li', 'empty', words.noReplies));
  mark();
}

function mark() {
  [...at('replies').querySelectorAll('.reply')].forEach((button, index) => {
    button.classList.toggle('chosen', index === chosen);
    if (index === chosen) button.scrollIntoView({ block: 'nearest' });
  });
}

function use(index) {
  const reply = found[index];
  if (!reply) return;
  at('replies-dialog').close();
  take(filled(reply.text));
}

at('replies-search').addEventListener('input', draw);
at('replies-search').addEventListener('keydown', (event) => {
  if (event.isComposing) return;
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) {
    event.preventDefault();
    chosen = Math.min(Math.max(chosen + step, 0), found.length - 1);
    mark();
  } else if (event.key === 'Enter') {
    event.preventDefault();
    use(chosen);
  }
});

/** Who is there to hand a case to, as buttons. */
export async function drawColleagues(list, me, give) {
  list.replaceChildren();
  const { people } = await get('colleagues');
  const others = people.filter((person) => person.name !== me);
  if (others.length === 0) list.append(element('p', 'small', words.nobody));
  for (const person of others) {
    const button = element('button', '', `${person.name} ${words.load(person.cases, person.capacity)}`);
    button.type = 'button';
    button.disabled = person.cases >= person.capacity;
    button.addEventListener('click', () => give(person.name));
    list.append(button);
  }
}

let audio = null;
/** A short tone, once the reader has touched the page: before, browsers keep it silent. */
export function ring() {
  if (!at('sound').checked) return;
  try {
    audio ??= new AudioContext();
    const tone = audio.createOscillator();
    const gain = audio.createGain();
    gain.gain.setValueAtTime(0.08, audio.currentTime);
    gain.gain.exponentialRampToValueAtTime(0.0001, audio.currentTime + 0.35);
    tone.frequency.value = 880;
    tone.connect(gain).connect(audio.destination);
    tone.start();
    tone.stop(audio.currentTime + 0.35);
  } catch {
    // A page without sound still shows everything.
  }
}
