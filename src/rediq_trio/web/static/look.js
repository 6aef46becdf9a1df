// Liveness, keys and selection. All else works without this script.
'use strict';
const one = (what, within = document) => within.querySelector(what);
const all = (what, within = document) => [...within.querySelectorAll(what)];
const base = document.body.dataset.base;
const read = key => { try { return localStorage.getItem(key); } catch { return null; } };
const write = (key, value) => { try { localStorage.setItem(key, value); } catch { /* private mode */ } };

// 1 What is shown is changed in place: focus, selection, open details and ticked boxes stay.
const keyOf = node => node.nodeType !== 1 ? ''
  : node.id || node.dataset?.id || (node.nodeName === 'TR' && one('a', node)?.getAttribute('href')) || '';
const KEPT = new Set(['open', 'checked']);
const OWN = ['now', 'moved'];

function lit(text) {
  const number = text.parentElement?.closest('.n, .figure');
  if (!number) return;
  number.classList.remove('moved');
  void number.getBoundingClientRect(); // begins the animation anew
  number.classList.add('moved');
  setTimeout(() => number.classList.remove('moved'), 1100);
}

function attributes(have, want) {
  const own = OWN.filter(name => have.classList.contains(name));
  for (const { name, value } of [...want.attributes]) {
    if (!KEPT.has(name) && have.getAttribute(name) !== value) have.setAttribute(name, value);
  }
  for (const { name } of [...have.attributes]) {
    if (!KEPT.has(name) && !want.hasAttribute(name)) have.removeAttribute(name);
  }
  have.classList.add(...own);
  if (have.getAttribute('class') === '') have.removeAttribute('class');
}

function morph(have, want) {
  if (have.isEqualNode(want)) return;
  attributes(have, want);
  const wanted = new Set([...want.childNodes].map(keyOf).filter(Boolean));
  for (const child of [...have.childNodes]) {
    const key = keyOf(child);
    if (key && !wanted.has(key)) child.remove();
  }
  const keyed = new Map([...have.childNodes].map(child => [keyOf(child), child]).filter(([key]) => key));
  let at = have.firstChild;
  for (const child of [...want.childNodes]) {
    const key = keyOf(child);
    const known = key && keyed.get(key);
    if (known) {
      keyed.delete(key);
      if (known !== at) have.insertBefore(known, at);
    } else if (!at || at.nodeName !== child.nodeName || key || keyOf(at)) {
      have.insertBefore(document.importNode(child, true), at);
      continue;
    }
    const same = known || at;
    at = same.nextSibling;
    if (same.nodeName !== child.nodeName) same.replaceWith(document.importNode(child, true));
    else if (same.nodeType === 1) morph(same, child);
    else if (same.data !== child.data) {
      same.data = child.data;
      lit(same);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

const lives = within => all('[data-live][id]', within);

function replace(page) {
  const focused = document.activeElement;
  const [have, want] = [one('#main'), one('#main', page)];
  const known = lives(have).map(each => each.id).join(' ');
  if (have.dataset.page !== want.dataset.page || known !== lives(want).map(each => each.id).join(' ')) {
    morph(have, want);
  }
  for (const each of lives(page)) {
    const there = document.getElementById(each.id);
    if (there?.isConnected) morph(there, each);
  }
  if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
  count();
}

// 2 One stream for all tabs of a browser, none for tabs that nobody sees.
const me = Math.random();
const channel = 'BroadcastChannel' in self ? new BroadcastChannel(`rediq-live ${base}`) : null;
const every = 1000 * Number(one('#main').dataset.every || 0);
let paused = read('rediq-paused') === 'yes';
let stream = null, tick = null, tickAt = -Infinity, fetchedAt = performance.now(), fetching = false, again = false;
let giveUp = null;

function listen() {
  if (stream || paused || document.hidden || !one('#live')) return;
  stream = new EventSource(`${base}/live`);
  stream.addEventListener('tick', event => {
    const found = { ...JSON.parse(event.data), from: me };
    channel?.postMessage(found);
    hear(found);
  });
  stream.addEventListener('error', () => {
    // The browser tries again by itself, but not after an answer that is no stream.
    if (stream?.readyState !== EventSource.CLOSED) return;
    silence();
    setTimeout(seek, 3000 + 2000 * Math.random());
  });
}
function silence() {
  stream?.close();
  stream = null;
}
function seek() {
  if (paused || document.hidden) return;
  if (!navigator.locks) { // over plain HTTP: whoever hears nothing begins
    if (!channel || performance.now() - tickAt > 4000) listen();
    return;
  }
  if (giveUp) { listen(); return; }
  const mine = giveUp = new AbortController();
  navigator.locks.request(`rediq-live ${base}`, { signal: mine.signal }, () => new Promise(done => {
    if (mine.signal.aborted) { done(); return; }
    mine.signal.addEventListener('abort', done);
    mine.held = true;
    listen();
  })).catch(() => { /* given up before it was ours */ });
}
function leave() {
  silence();
  giveUp?.abort();
  giveUp = null;
}
channel?.addEventListener('message', ({ data }) => {
  if (data.theme) { paint(data.theme); return; }
  if (!navigator.locks && stream && data.from < me) silence(); // two began at once
  hear(data);
});
function hear(found) {
  const before = tick;
  tick = found;
  tickAt = performance.now();
  if (before?.version && before.version !== found.version) again = true;
  if (!paused && !document.hidden && tickAt - fetchedAt >= every) refresh();
  say();
}

async function refresh() {
  if (fetching) { again = true; return; }
  fetching = true;
  again = false;
  try {
    const answer = await fetch(location.href, { headers: { 'X-Rediq-Part': 'main' }, redirect: 'manual' });
    if (answer.status === 401 || answer.status === 403 || answer.type === 'opaqueredirect') {
      if (lives(document).length) location.reload(); // the session has ended
      return;
    }
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    if (!one('#main', page) || paused) return;
    if (page.body.dataset.version !== document.body.dataset.version) {
      if (!document.activeElement?.matches('input, textarea, select')) location.reload();
      return;
    }
    fetchedAt = performance.now();
    document.title = page.title;
    document.body.className = page.body.className;
    if (one('#live', page)) one('#live .at').textContent = one('#live .at', page).textContent;
    if (one('#read') && one('#live', page)) one('#read').textContent = one('#live .at', page).textContent;
    if (answer.status === 503) for (const each of all('#bell, #band', page)) morph(document.getElementById(each.id), each);
    else replace(page);
    const disc = one('#live svg');
    disc.classList.remove('beat');
    void disc.getBoundingClientRect();
    disc.classList.add('beat');
  } catch { /* the server is away: the next tick tries again */ } finally {
    fetching = false;
    if (again) refresh();
  }
}

// 3 What is shown is live, paused, or of before; it is always said which.
const spell = seconds => seconds < 120 ? `${Math.round(seconds)} s`
  : seconds < 7200 ? `${Math.floor(seconds / 60)} min` : `${Math.floor(seconds / 3600)} h`;
let state = '';
function say() {
  const line = one('#live');
  if (!line) return;
  const silent = (performance.now() - tickAt) / 1000;
  const lost = !paused && tick && silent > 7;
  const away = tick?.away_for ?? null;
  const now = paused ? 'off' : lost || away !== null ? 'away' : tick ? 'on' : 'plain';
  line.className = `live ${now}`;
  if (lost) document.body.classList.add('stale');
  one('.word', line).textContent = { on: 'live', off: 'paused at', away: 'as of', plain: 'as of' }[now];
  const since = now !== 'away' ? '' : lost ? `, this page's server away for ${spell(silent)}` : `, Redis away for ${spell(away + silent)}`;
  one('.since', line).textContent = since;
  if (state && state !== now) one('[role=status]', line).textContent = { on: 'live', off: 'paused', away: 'away', plain: '' }[now];
  state = now;
  for (const each of all('[data-since]')) if (away !== null) each.textContent = spell(away + silent);
}
setInterval(() => {
  say();
  if (!navigator.locks && !stream) seek();
}, 1000);
function seen() {
  if (document.hidden) { leave(); return; }
  seek();
  if (tick && !paused) refresh();
}
document.addEventListener('visibilitychange', seen);
addEventListener('pagehide', leave);
addEventListener('pageshow', event => { if (event.persisted) seen(); });
function pause(wanted) {
  paused = wanted;
  write('rediq-paused', wanted ? 'yes' : 'no');
  if (wanted) leave();
  else { tick = null; seek(); refresh(); }
  say();
}

// 4 Theme and zone: forms, which the script sends without leaving the page where it can.
function paint(theme) {
  if (theme === 'system') document.documentElement.removeAttribute('data-theme');
  else document.documentElement.setAttribute('data-theme', theme);
  for (const each of all('button[name=theme]')) each.setAttribute('aria-pressed', each.value === theme);
}
document.addEventListener('click', event => {
  const button = event.target.closest('button[name=theme]');
  if (button) {
    event.preventDefault();
    paint(button.value);
    channel?.postMessage({ theme: button.value });
    fetch(`${base}/settings`, { method: 'POST', body: new URLSearchParams({ theme: button.value, back: `${base}/help` }), redirect: 'manual', keepalive: true });
  }
  if (event.target.closest('[data-close]')) {
    event.preventDefault();
    one('#toast')?.remove();
  }
  if (event.target.closest('#live')) pause(!paused);
});
const place = one('#place');
if (place) {
  place.value = Intl.DateTimeFormat().resolvedOptions().timeZone || '';
  place.disabled = !place.value;
}
document.addEventListener('submit', event => { // a form sent twice finds its buttons off
  const form = event.target;
  if (form.method === 'post') setTimeout(() => { for (const each of all('button', form)) each.disabled = true; });
  setTimeout(() => { for (const each of all('button', form)) each.disabled = false; }, 3000);
});

// Copying: a text of the button, or what its address has. Browsers allow it on HTTPS and on this machine only.
if (navigator.clipboard) document.documentElement.dataset.copies = '';
document.addEventListener('click', async event => {
  const button = event.target.closest('button[data-copy]');
  if (!button) return;
  try {
    const from = button.dataset.from;
    await navigator.clipboard.writeText(from ? await (await fetch(from)).text() : button.dataset.copy);
    button.textContent = 'copied';
  } catch { button.textContent = 'not copied'; }
});

// 5 Rows: where one is, and which are ticked.
const rows = () => all('main tbody tr').filter(row => one('a, input', row));
const current = () => one('main tr.now');
function move(by) {
  const known = rows();
  if (!known.length) return;
  const at = known.indexOf(current());
  const next = known[Math.max(0, Math.min(known.length - 1, at < 0 ? (by > 0 ? 0 : known.length - 1) : at + by))];
  current()?.classList.remove('now');
  next.classList.add('now');
  one('a, input:not([type=checkbox])', next)?.focus({ preventScroll: true });
  next.scrollIntoView({ block: 'nearest' });
}
const boxes = () => all('tbody input[type=checkbox]');
function count() {
  const ticked = boxes().filter(box => box.checked).length;
  for (const bar of all('.picked')) {
    const said = one('b', bar);
    if (said) said.textContent = `${ticked} selected`;
    bar.classList.toggle('none', !ticked && !('always' in bar.dataset));
  }
  const whole = one('thead input[type=checkbox]');
  if (whole) {
    whole.checked = ticked > 0 && ticked === boxes().length;
    whole.indeterminate = ticked > 0 && !whole.checked;
  }
}
document.addEventListener('change', event => {
  if (event.target.matches('thead input[type=checkbox]')) for (const box of boxes()) box.checked = event.target.checked;
  count();
});

// 6 Keys. An act's key is on its button: in the row where one is, else on the page.
const go = path => { location.href = base + path; };
const pages = { o: '/', q: '/queues', f: '/failures', d: '/dead', w: '/workers', s: '/schedules' };
const press = key => {
  const what = `[data-key="${CSS.escape(key)}"]`;
  const ticked = boxes().some(box => box.checked);
  const found = (!ticked && current() && one(what, current())) || one(`main ${what}`);
  found?.click();
  return Boolean(found);
};
const keys = {
  '/': () => { const field = one('.filter input:not([type=hidden])') || one('#q'); field?.focus(); field?.select(); },
  '?': () => go('/help'),
  j: () => move(1),
  k: () => move(-1),
  Enter: () => one('a', current() ?? document.createElement('p'))?.click(),
  x: () => one('[type=checkbox]', current() ?? document.createElement('p'))?.click(),
  X: () => { const on = boxes().some(box => !box.checked); for (const box of boxes()) box.checked = on; count(); },
  '.': () => pause(!paused),
  t: () => { const known = all('button[name=theme]'); known[(known.findIndex(each => each.getAttribute('aria-pressed') === 'true') + 1) % known.length]?.click(); },
  z: () => one('button[name=zone][aria-pressed=false]')?.click(),
  Escape: () => (one('#toast [data-close]') || one('main [data-back]'))?.click(),
};
let going = 0;
addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.target.matches('input:not([type=checkbox]):not([type=radio]), textarea, select')) {
    if (event.key === 'Escape') event.target.blur();
    return;
  }
  if (event.key === 'Enter' && (event.target !== document.body || !current())) return; // the browser's own
  if (event.timeStamp < going && pages[event.key]) { event.preventDefault(); go(pages[event.key]); return; }
  going = event.key === 'g' ? event.timeStamp + 1500 : 0;
  const act = Object.hasOwn(keys, event.key) ? keys[event.key] : null;
  if (act) { event.preventDefault(); act(); } else if ('rcpDF'.includes(event.key) && press(event.key)) event.preventDefault();
});

const tab = one('.nav [aria-current]');
if (tab) tab.parentElement.scrollLeft = tab.offsetLeft - 40;
count();
say();
seek();
