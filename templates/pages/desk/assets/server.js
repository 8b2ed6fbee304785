// What the page asks the server. A session that is over sends the reader to the sign-in page.

const root = document.documentElement;
const base = root.dataset.base;

let active = true;
for (const kind of ['keydown', 'pointerdown', 'wheel']) {
  addEventListener(kind, () => { active = true; }, { passive: true });
}

export class Refused extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** The connection is gone: nothing is known about what became of the request. */
export class Lost extends Error {}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(`${base}/api/${path}`, { ...options, signal: AbortSignal.timeout(10000) });
  } catch {
    throw new Lost();
  }
  if (response.status === 401) {
    signedOut();
    throw new Lost();
  }
  const body = await response.json().catch(() => { throw new Lost(); });
  if (!response.ok) throw new Refused(body.error?.code ?? '', body.error?.message ?? '');
  return body;
}

export function get(path) {
  const headers = active ? { 'x-active': '1' } : {};
  active = false;
  return ask(path, { headers });
}

export function post(path, body = {}) {
  return ask(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-csrf-token': root.dataset.csrf },
    body: JSON.stringify(body),
  });
}

/** Sends a file as it is. */
export function postFile(path, file) {
  return ask(path, {
    method: 'POST',
    headers: { 'content-type': 'application/octet-stream', 'x-csrf-token': root.dataset.csrf },
    body: file,
  });
}

/** The address of something that the page shows. */
export function address(path) {
  return `${base}/api/${path}`;
}

export function signedOut() {
  location.assign(`${base}/sign-in`);
}

/** Hints that something changed. The browser connects again by itself. */
export function listen(changed, state) {
  const stream = new EventSource(`${base}/live`);
  stream.addEventListener('changed', (event) => changed(JSON.parse(event.data).follower));
  stream.addEventListener('signed-out', signedOut);
  stream.addEventListener('open', () => state(true));
  stream.addEventListener('error', () => {
    state(false);
    // A stream that was refused does not come back alone; polling goes on meanwhile.
    if (stream.readyState === EventSource.CLOSED) {
      setTimeout(() => listen(changed, state), 5000);
    }
  });
}

/** A key for one message. Not randomUUID: that exists under HTTPS only. */
export function messageKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
