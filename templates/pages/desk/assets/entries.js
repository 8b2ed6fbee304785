// What stands in the lists.

import { element } from './talk.js';
import { moment, span, words } from './words.js';

const URGENT_FROM = 5;

function entryOf(one, detail, { chosen, now, show }) {
  const item = element('li');
  const button = element('button', `entry${chosen === one.case_id ? ' chosen' : ''}`);
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
    const late = now >= one.promised;
    const soon = now >= one.queued + (one.promised - one.queued) * 0.75;
    if (late || soon) head.append(element('span', late ? 'tag urgent' : 'tag call-back', late ? words.overdue : words.soon));
  }
  if (one.unread > 0) head.append(element('span', 'unread', one.unread > 99 ? '99+' : String(one.unread)));
  button.append(head, element('span', 'entry-line', `${one.skill} · ${one.reason}`), detail);
  item.append(button);
  return item;
}

/** Somebody who waits. `reader` is { chosen, now, show }: the case that is shown, the moment, what a click does. */
export function queueEntry(one, reader) {
  const detail = element('span', 'entry-line quiet');
  detail.dataset.since = one.queued;
  detail.textContent = waitingText(one.queued, reader.now);
  return entryOf(one, detail, reader);
}

/** Somebody whom the reader has. */
export function mineEntry(one, reader) {
  const detail = element('span', 'entry-line quiet', words.since(moment(one.claimed ?? one.opened)));
  return entryOf(one, detail, reader);
}

export const waitingText = (since, now) => words.waiting(span(now - since));

/** Draws a list anew. Who was at one of its entries with the keyboard stays there. */
export function fill(list, body, empty, entry) {
  const focused = document.activeElement?.dataset?.case;
  list.replaceChildren(...body.cases.map(entry));
  if (body.cases.length === 0) list.append(element('li', 'empty', empty));
  if (body.more) list.append(element('li', 'empty', words.more));
  if (focused) list.querySelector(`[data-case="${CSS.escape(focused)}"]`)?.focus();
}
