// The control page: the knobs without a phone beside them.

import { startKnobs } from "/phone/static/knobs.js";

const TOAST_MS = 2500;
const toast = document.getElementById("toast");
let timer;

startKnobs(document.getElementById("knobs"), (words) => {
  toast.textContent = words;
  toast.hidden = false;
  clearTimeout(timer);
  timer = setTimeout(() => { toast.hidden = true; }, TOAST_MS);
});
