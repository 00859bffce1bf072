// The page: asks the server, hears its events, and has each part drawn that changed.
//
//   status   each second, and after each event
//   names    the chosen one every two seconds; others when an event names them, all of them now and then
//   events   as they come; after a loss from the last one on
//
// When the server is lost, what is known stays, grey, with its age; nothing can be done until it is back.

import { attr, by, h, number, percent, plain, remark, span, text } from './dom.js';
import { askToken, openAct, openClear, reload, say } from './acts.js';
import { Events } from './events.js';
import { openExplain } from './explain.js';
import { below, load as loadCountries, worldMap } from './map.js';
import { adaptZone, gather, regionShares, SEVERITY, Traffic } from './model.js';
import { Detail, List } from './names.js';
import { drawRegions, drawSaid, FULL, fullness, OVER } from './regions.js';
import { follow, get, Lost, Problem, query } from './server.js';

const STATUS_MS = 1000;
const STATUS_WAIT_MS = 3000;
const CHOSEN_MS = 2000;
const SAID_MS = 10000;
const TRAFFIC_MS = 2000;
const ALL_MS = 30000;
const ZONES_MS = 10000;
/** An event is waited on for so long, since events come in flocks. */
const FLOCK_MS = 120;
/** Names of a flock that are asked for one by one; of more, all are. */
const FLOCK_NAMES_MAX = 4;
/** The part of the time for which one kind of call may be under way: 10,000 endpoints take a while. */
const PART_MAX = 0.1;
const LOST_MS = 2500;
const RETRY_MS = 1000;
/** Who was refused, for want of a token or since too many listen, asks again after so long. */
const REFUSED_MS = 5000;
const THEME = 'evenkeel.theme';

const known = {
  status: null,
  names: new Map(),
  policies: new Map(),
  said: { overrides: [], dials: [] },
  traffic: new Traffic(),
  chosen: null,
  scope: '',
  lost: false,
  closed: false,
  heardAt: null,
};

const events = new Events();
const drawMap = worldMap(by('map'), (name) => act({ target: name, region: true }));
const list = new List((name) => choose(name));
const detail = new Detail({ act: (it) => act(it), explain: (name) => openExplain(name, known.status?.regions ?? []) });

// ---- What is asked ----

/** Asks, and notes whether the server is there; null when it is not, or will not say. */
async function ask(path, ms) {
  try {
    const said = await get(path, ms);
    known.heardAt = Date.now();
    known.closed = false;
    return said;
  } catch (error) {
    if (error instanceof Problem) known.heardAt = Date.now();
    if (error instanceof Problem && error.status === 401) known.closed = true;
    if (!(error instanceof Problem || error instanceof Lost)) throw error;
    return error instanceof Problem && error.status === 404 ? undefined : null;
  }
}

async function askStatus() {
  const status = await ask('status', STATUS_WAIT_MS);
  if (status) known.status = status;
  drawWorld();
}

async function askSaid() {
  const said = await ask('overrides');
  if (said) known.said = said;
  drawOperators();
}

async function askName(name) {
  if (!name) return;
  const told = await ask(`endpoints/history?${query({ name })}`);
  const before = known.names.get(name);
  if (told === undefined) known.names.delete(name);
  else if (told) known.names.set(name, gather(told.endpoints).get(name));
  const after = known.names.get(name);
  if (before?.state !== after?.state || before?.out !== after?.out) drawNames();
  else if (name === known.chosen) drawDetail();
}

async function askAll() {
  const told = await ask('endpoints');
  if (!told) return;
  known.names = gather(told.endpoints);
  drawNames();
}

/** What the zones say of their names: policies, weights, shares. */
async function askZones() {
  const zones = await ask('zones');
  if (!zones?.zones) return;
  const policies = new Map();
  for (const { zone } of zones.zones.filter((it) => 0 < it.steered)) {
    const told = await ask(`zones/${encodeURIComponent(zone)}`);
    for (const policy of told ? adaptZone(told) : []) policies.set(policy.name, policy);
  }
  known.policies = policies;
  drawDetail();
}

async function askTraffic() {
  const told = await ask('traffic');
  if (!told) return;
  known.traffic.take(told, Date.now());
  drawDetail();
}

// ---- When it is asked ----

/**
 * Calls `work` again and again, `ms` after its end or when woken. What takes long is done more seldom, so
 * that it never takes up more than a part of the time.
 */
function every(ms, work) {
  let timer = null;
  let woken = false;
  let running = false;
  const run = async () => {
    [running, woken] = [true, false];
    const begun = Date.now();
    await work();
    running = false;
    const took = Date.now() - begun;
    // What nobody answered says nothing of what an answer takes.
    const rest = woken ? Math.min(took, RETRY_MS) : Math.max(ms(), took / PART_MAX);
    timer = setTimeout(run, known.lost ? RETRY_MS : rest);
  };
  run();
  return () => {
    woken = true;
    if (running) return;
    clearTimeout(timer);
    timer = setTimeout(run, 0);
  };
}

const slowly = (ms) => () => (document.hidden ? ms * 5 : known.lost ? RETRY_MS : ms);
const status = every(slowly(STATUS_MS), askStatus);
const said = every(slowly(SAID_MS), askSaid);
const chosen = every(slowly(CHOSEN_MS), () => askName(known.chosen));
const all = every(slowly(ALL_MS), askAll);
const zones = every(slowly(ZONES_MS), askZones);
every(slowly(TRAFFIC_MS), askTraffic);

let flock = [];
let flockTimer = null;

/** An event came: what it is about is asked anew. */
function heard(event) {
  if (events.take([event]).length === 0) return;
  flock.push(event);
  flockTimer ??= setTimeout(settle, FLOCK_MS);
}

function settle() {
  const came = flock;
  [flock, flockTimer] = [[], null];
  drawEvents();
  status();
  if (came.some((it) => it.kind === 'override' || it.kind === 'dial')) said();
  const names = new Set(came.map((it) => it.subject.split('/')[0]).filter((it) => known.names.has(it)));
  const others = came.some((it) => !known.names.has(it.subject.split('/')[0]));
  chosen();
  zones();
  names.delete(known.chosen);
  if (others || FLOCK_NAMES_MAX < names.size) all();
  else Promise.all([...names].map(askName)).then(drawNames);
}

/** Asks for the latest events, whatever is known already. */
async function askEvents() {
  const told = await ask('events?limit=100');
  if (!told) return;
  // The latest of a server that counts anew is before what was heard of the one before.
  if ((told.events.at(-1)?.id ?? 0) < (events.last ?? 0)) events.forget();
  events.take(told.events);
  drawEvents();
}

/** Hears events for as long as the page is open. */
async function hear() {
  for (;;) {
    let rest = RETRY_MS;
    try {
      await askEvents();
      await follow(events.last, new AbortController().signal, {
        open: () => {},
        event: heard,
        missed: () => (askEvents(), all()),
      });
    } catch (error) {
      if (!(error instanceof Problem) && !isOfNetwork(error)) throw error;
      if (error instanceof Problem) rest = REFUSED_MS;
    }
    await new Promise((resolve) => setTimeout(resolve, rest));
  }
}

const isOfNetwork = (error) => error instanceof TypeError || error.name === 'AbortError';

// ---- What is drawn ----

/** The regions with all that is known of them in the chosen scope. */
function regionsInScope() {
  const { status, policies, traffic, scope } = known;
  const meant = regionShares(policies, scope, (name) => traffic.answers(name));
  const gets = traffic.regions(scope);
  const weights = new Map();
  for (const it of policies.get(scope)?.pools ?? []) {
    if (it.region) weights.set(it.region, `weight ${number(it.effective_weight)}/${number(it.weight)}`);
  }
  return (status?.regions ?? []).map((it) => ({
    ...it,
    weight: weights.get(it.name),
    meant: meant ? (meant.get(it.name) ?? 0) : null,
    gets: gets ? (gets.get(it.name) ?? 0) : null,
  }));
}

function drawWorld() {
  const regions = regionsInScope();
  const countries = known.traffic.countries();
  drawMap({ regions, countries });
  text(by('map-below'), known.status ? below({ regions, countries }) : '');
  drawRegions(regions, (name) => act({ target: name, region: true }));
  drawHeadline();
  if (known.status) text(by('version'), `Evenkeel ${known.status.version}, generation ${number(known.status.generation)}`);
}

function drawOperators() {
  drawSaid(known.said, Date.now(), clear);
}

function drawNames() {
  const names = [...known.names.values()];
  list.set(names);
  if (!known.names.has(known.chosen)) {
    const first = nameInAddress() ?? list.names[0];
    if (first) choose(first.name, false);
  }
  drawDetail();
  drawHeadline();
}

/** The name that the address of the page ends in, as it does when somebody passes it on. */
function nameInAddress() {
  const wanted = new URLSearchParams(`name=${location.hash.slice(1)}`).get('name');
  return known.names.get(wanted) ?? known.names.get(`${wanted}.`);
}

function drawDetail() {
  const { chosen, names, policies, traffic } = known;
  const now = Date.now();
  detail.draw({ name: chosen, known: names.get(chosen), policy: policies.get(chosen), live: traffic.pools(chosen), now });
}

function drawEvents() {
  events.draw(known.chosen);
}

function choose(name, byHand = true) {
  known.chosen = name;
  list.choose(name);
  if (byHand) history.replaceState(null, '', `#${encodeURIComponent(name)}`);
  const scope = by('scope');
  if (scope.options.length < 2) scope.append(h('option', {}));
  scope.options[1].value = name;
  scope.options[1].textContent = plain(name);
  if (known.scope) known.scope = name;
  drawDetail();
  drawEvents();
  drawWorld();
  chosen();
}

/** The one thing that has to be seen, and what else there is. */
function headline() {
  const { status, lost, closed } = known;
  if (closed) return ['unknown', 'The server wants a token', 'to say how it is'];
  if (!status) return [lost ? 'lost' : 'unknown', lost ? 'The server does not answer' : 'Asking the server', ''];
  if (lost) return ['lost', 'Lost the server', `this is how it was at ${new Date(known.heardAt).toLocaleTimeString('en-GB')}; asking again`];
  if (!status.ready) return ['unknown', 'Steered names are not served yet', 'the first round of probes goes on'];
  const more = [];
  const { regions } = status;
  const up = regions.filter((it) => it.state === 'up').length;
  const isOf = (state) => regions.filter((it) => it.state === state).map((it) => it.name);
  const names = [...known.names.values()];
  const dead = names.filter((it) => it.state === 'down').map((it) => plain(it.name));
  const hurt = names.filter((it) => 0 < it.down).length;
  const since = sinceWhen(isOf);
  if (since !== null) more.push(`for ${span(Date.now() - since)}`);
  if (dead.length) more.push(`${listWords(dead)} ${dead.length === 1 ? 'has' : 'have'} nothing up`);
  if (up < regions.length) more.push(`${up} of ${regions.length} regions up`);
  if (hurt) more.push(`${number(hurt)} name${hurt === 1 ? '' : 's'} touched`);
  const { overrides, dials } = known.said;
  if (overrides.length) more.push(`${overrides.length} override${overrides.length === 1 ? '' : 's'}`);
  if (dials.length) more.push(dials.map((it) => `dial ${it.region} ${it.percent} %`).join(', '));
  const over = regions.filter((it) => OVER < fullness(it));
  if (over.length) more.push(over.map((it) => `${it.name} has ${percent(fullness(it))} of what it can take`).join(', '));
  const full = regions.filter((it) => FULL <= fullness(it) && !over.includes(it)).map((it) => it.name);
  if (full.length) more.push(`${listWords(full)} full`);
  const rate = known.traffic.rate();
  if (rate !== null) more.push(`${number(Math.round(rate))} questions/s`);
  const [state, words] = worst({ isOf, regions, names, dead });
  return status.blind
    ? ['mixed', 'The prober has lost its network: verdicts are frozen', [words, ...more].join(' · ')]
    : [state, words, more.join(' · ')];
}

/** Since when the first of the regions that are down is: its last endpoint went then. */
function sinceWhen(isOf) {
  const [region] = isOf('down');
  if (!region) return null;
  const isIn = (name, pool) => known.names.get(name)?.pools.get(pool)?.region === region;
  return events.latest((it) => it.kind === 'verdict' && it.to === 'down' && isIn(...it.subject.split('/')));
}

function worst({ isOf, regions, names, dead }) {
  const are = (names) => `${listWords(names)} ${names.length === 1 ? 'is' : 'are'}`;
  if (isOf('down').length) return ['down', `${are(isOf('down'))} down`];
  if (dead.length) return ['down', `${listWords(dead)} ${dead.length === 1 ? 'has' : 'have'} nothing up`];
  const over = regions.filter((it) => OVER < fullness(it)).map((it) => it.name);
  if (over.length) return ['mixed', `${are(over)} overloaded`];
  if (isOf('mixed').length) return ['mixed', `${are(isOf('mixed'))} partly out`];
  const state = SEVERITY.find((it) => names.some((one) => one.state === it)) ?? 'up';
  if (regions.length === 0 && state !== 'up') return [state === 'down' ? 'down' : 'mixed', 'Some endpoints are out'];
  if (isOf('drain').length) return ['drain', `${are(isOf('drain'))} drained`];
  if (regions.length === 0) return ['up', 'All endpoints are up'];
  return ['up', regions.length === 1 ? `${regions[0].name} is up` : `All ${regions.length} regions are up`];
}

function listWords(names) {
  if (names.length <= 2) return names.join(' and ');
  return `${names[0]}, ${names[1]} and ${names.length - 2} more`;
}

function drawHeadline() {
  const [state, words, more] = headline();
  attr(by('headline'), 'data-state', state);
  remark(by('headline-mark'), state);
  text(by('headline-text'), words);
  text(by('headline-more'), more);
  const title = state === 'up' ? 'Evenkeel' : `${words} – Evenkeel`;
  if (document.title !== title) document.title = title;
  drawIcon(state);
}

let icon = null;

/** The icon of the tab says it too. */
function drawIcon(state) {
  if (state === icon) return;
  icon = state;
  const colour = getComputedStyle(by('headline-mark')).color;
  const drawing = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><circle cx="8" cy="8" r="7" fill="${colour}"/></svg>`;
  by('icon').href = `data:image/svg+xml,${encodeURIComponent(drawing)}`;
}

/** What ages: how old all this is, what is about to end, and whether the server is lost. */
function tick() {
  const age = known.heardAt === null ? null : Date.now() - known.heardAt;
  const lost = age === null ? LOST_MS < performance.now() : LOST_MS < age;
  if (lost !== known.lost) {
    known.lost = lost;
    attr(document.body, 'data-lost', lost);
    for (const it of document.querySelectorAll('main button, #reload, #open-explain')) it.disabled = lost;
    if (!lost) returned();
    drawHeadline();
  }
  by('retry').hidden = !lost;
  text(by('age'), age === null ? '–' : lost ? `heard of ${span(age)} ago` : age < 1500 ? 'live' : `${span(age)} old`);
  drawOperators();
}

/** The server is there again: perhaps another one, that counts from the beginning. */
function returned() {
  known.traffic = new Traffic();
  [status, said, chosen, all, zones].forEach((it) => it());
}

// ---- What a person does ----

function act({ target, region }) {
  const row = region ? known.status.regions.find((it) => it.name === target) : null;
  const same = (it) => it.target?.toLowerCase() === target.toLowerCase();
  const words = known.said.overrides.filter(same);
  if (row) words.push(...known.said.dials.filter((it) => it.region === row.name));
  openAct({ target, region: row, said: words, done: () => (said(), status(), chosen()) });
}

function clear(it) {
  const isDial = it.id === undefined;
  const means = isDial
    ? 'Its dial goes back to 100 %: it may get all of its normal traffic again.'
    : 'What it means is at once what its checks say by now, or what an older word says of it.';
  openClear(it, means, () => (said(), status(), chosen()));
}

const THEMES = { auto: 'dark', dark: 'light', light: 'auto' };

function setTheme(theme) {
  attr(document.documentElement, 'data-theme', theme === 'auto' ? null : theme);
  const words = { auto: 'Auto', dark: 'Dark', light: 'Light' }[theme];
  text(by('theme'), words);
  attr(by('theme'), 'aria-label', `Theme: ${theme === 'auto' ? 'as the system has it' : theme}`);
  localStorage.setItem(THEME, theme);
  icon = null;
  drawHeadline();
}

setTheme(THEMES[localStorage.getItem(THEME)] ? localStorage.getItem(THEME) : 'auto');
by('theme').addEventListener('click', () => setTheme(THEMES[localStorage.getItem(THEME)]));
by('open-explain').addEventListener('click', () => openExplain(known.chosen, known.status?.regions ?? []));
by('reload').addEventListener('click', (event) => reload(event.currentTarget));
by('open-token').addEventListener('click', async () => {
  if (await askToken('For what changes something, or where the server tells nobody without one.')) {
    say('The token is used from now on');
    returned();
  }
});
addEventListener('hashchange', () => nameInAddress() && choose(nameInAddress().name));
by('retry').addEventListener('click', () => returned());
by('scope').addEventListener('change', (event) => {
  known.scope = event.target.value;
  drawWorld();
});
by('events-here').addEventListener('change', drawEvents);
text(by('server'), location.host);
loadCountries().then(drawWorld);
setInterval(tick, 250);
hear();
