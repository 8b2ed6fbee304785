// The desk without a mouse: Alt and a key do what a button does.

/** `keys` says what each key does; `help` shows them all. */
export function listenToKeys(keys, help) {
  document.addEventListener('keydown', (event) => {
    const typing = event.target.matches('input, textarea');
    if (event.key === '?' && !typing) return help();
    // With Alt some keyboards type other letters: the key's place on the keyboard decides.
    const key = /^(?:Key|Digit)(.)$/.exec(event.code)?.[1].toLowerCase() ?? event.key;
    if (!event.altKey || event.ctrlKey || !keys[key]) return undefined;
    event.preventDefault();
    return keys[key]();
  });
}
