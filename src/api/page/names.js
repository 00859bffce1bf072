// Names: the list of all, of which only what is seen is there, and what is known of the chosen one.

import { attr, by, h, mark, moment, percent, number, plain, remark, rows, s, short, span, text } from './dom.js';
import { endpointState, endpointWhy, meantShares, nameWords, SEVERITY } from './model.js';
import { bar, setBar } from './regions.js';

const ROW_PX = 34;
/** Rows beyond the seen ones, so that scrolling shows no gaps. */
const ROWS_SPARE = 6;
/** Endpoints of a pool that are shown at once; more on demand. */
const ENDPOINTS_AT_ONCE = 50;
/** Probes in a timeline, and their width. */
const PROBES = 60;
const TICK = 3;
const TIMELINE_HEIGHT = 20;

/** The list. `onchoose` is told the name that is chosen, by mouse or keys. */
export class List {
  constructor(onchoose) {
    this.onchoose = onchoose;
    this.element = by('list');
    this.space = h('div', { class: 'space', role: 'presentation' });
    this.element.append(this.space);
    this.names = [];
    this.shown = [];
    this.chosen = null;
    this.element.addEventListener('scroll', () => this.draw(), { passive: true });
    this.element.addEventListener('keydown', (event) => this.key(event));
    this.element.addEventListener('click', (event) => {
      const row = event.target.closest('[role=option]');
      if (row) this.onchoose(row.dataset.name);
    });
    by('filter').addEventListener('input', () => this.sift());
    new ResizeObserver(() => this.draw()).observe(this.element);
  }

  /** Takes in all names: what is worst is first. */
  set(names) {
    const rank = (it) => SEVERITY.indexOf(it.state);
    this.names = [...names].sort((a, b) => rank(a) - rank(b) || (a.name < b.name ? -1 : 1));
    this.sift();
  }

  choose(name) {
    this.chosen = name;
    this.draw();
  }

  sift() {
    const wanted = by('filter').value.trim().toLowerCase();
    this.shown = wanted ? this.names.filter((it) => it.name.includes(wanted)) : this.names;
    const wrong = this.names.filter((it) => it.state !== 'up').length;
    const all = `${number(this.names.length)} steered`;
    text(by('names-count'), wrong ? `${all}, ${number(wrong)} not all up` : all);
    this.draw();
  }

  draw() {
    this.space.style.setProperty('height', `${this.shown.length * ROW_PX}px`);
    const top = Math.max(0, Math.floor(this.element.scrollTop / ROW_PX) - ROWS_SPARE);
    const count = Math.ceil(this.element.clientHeight / ROW_PX) + 2 * ROWS_SPARE;
    const seen = this.shown.slice(top, top + count).map((it, idx) => ({ ...it, idx: top + idx }));
    const make = (it) =>
      h('div', { role: 'option', id: `name-${it.name}` }, mark(it.state), h('span', { class: 'name' }), h('span', { class: 'what' }));
    rows(this.space, seen, (it) => it.name, make, (row, it) => {
      const [sign, name, what] = row.children;
      row.style.setProperty('top', `${it.idx * ROW_PX}px`);
      attr(row, 'data-name', it.name);
      attr(row, 'data-state', it.state);
      attr(row, 'aria-selected', String(it.name === this.chosen));
      attr(row, 'aria-setsize', this.shown.length);
      attr(row, 'aria-posinset', it.idx + 1);
      remark(sign, it.state);
      text(name, plain(it.name));
      attr(name, 'title', plain(it.name));
      text(what, it.out ? `${it.total - it.out}/${it.total}` : nameWords(it));
      attr(what, 'title', nameWords(it));
    });
    const isThere = seen.some((it) => it.name === this.chosen);
    attr(this.element, 'aria-activedescendant', isThere ? `name-${this.chosen}` : null);
  }

  key(event) {
    const page = Math.floor(this.element.clientHeight / ROW_PX);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    const step = steps[event.key];
    if (step === undefined || this.shown.length === 0) return;
    event.preventDefault();
    const from = this.shown.findIndex((it) => it.name === this.chosen);
    const to = Math.min(this.shown.length - 1, Math.max(0, from + step));
    const top = to * ROW_PX;
    if (top < this.element.scrollTop) this.element.scrollTop = top;
    const last = top + ROW_PX - this.element.clientHeight;
    if (this.element.scrollTop < last) this.element.scrollTop = last;
    this.onchoose(this.shown[to].name);
  }
}

/** What is known of a name. */
export class Detail {
  constructor({ act, explain }) {
    Object.assign(this, { act, explain });
    this.element = by('detail');
    this.name = null;
    this.long = new Set();
  }

  /** Draws a name: `known` is its endpoints, `policy` what its zone says of it, `live` what it gives now. */
  draw({ name, known, policy, live, now }) {
    if (name !== this.name || !this.meta) this.begin(name);
    this.now = now;
    if (!known) {
      text(this.meta, name ? 'Asking the server' : 'No steered name');
      this.body.replaceChildren();
      this.body.known = null;
      return;
    }
    remark(this.sign, known.state);
    text(this.meta, metaWords(known, policy, live));
    const shares = meantShares(policy);
    const said = new Map((policy?.pools ?? []).map((it) => [it.pool, it]));
    const items = [];
    for (const pool of known.pools.values()) {
      const gets = live?.get(pool.pool);
      items.push({ key: `p ${pool.pool}`, pool, said: said.get(pool.pool), meant: shares.get(pool.pool), gets });
      const all = this.long.has(pool.pool) ? pool.endpoints : pool.endpoints.slice(0, ENDPOINTS_AT_ONCE);
      for (const it of all) items.push({ key: `e ${pool.pool} ${it.address}`, pool, endpoint: it });
      const rest = pool.endpoints.length - all.length;
      if (0 < rest) items.push({ key: `m ${pool.pool}`, pool, rest });
    }
    const make = (it) => (it.endpoint ? this.makeEndpoint(it) : it.rest ? this.makeMore(it) : this.makePool(it));
    rows(this.body, items, (it) => it.key, make, (row, it) => {
      if (it.endpoint) this.drawEndpoint(row, it);
      else if (it.rest) text(row.cells[0].firstChild, `Show ${number(it.rest)} more endpoints`);
      else this.drawPool(row, it);
    });
  }

  /** Another name: what was shown goes. */
  begin(name) {
    this.name = name;
    this.long.clear();
    if (!name) {
      this.meta = h('p', { class: 'dim' });
      this.body = h('tbody');
      this.element.replaceChildren(this.meta);
      return;
    }
    this.sign = mark('unknown');
    this.meta = h('p', { class: 'meta' });
    this.body = h('tbody');
    const heads = [['Pool', ''], ['State', ''], ['Weight', 'n'], ['Effective', 'n'], ['Answers, and probes', 'wide']];
    const head = h('tr', {}, ...heads.map(([word, kind]) => h('th', { scope: 'col', class: kind }, word)));
    head.append(h('th', { scope: 'col' }, h('span', { class: 'hidden' }, 'Actions')));
    const table = h('table', { 'aria-label': `Pools of ${plain(name)}` }, h('thead', {}, head), this.body);
    const explain = h('button', { type: 'button', onclick: () => this.explain(name) }, 'Explain…');
    const act = h('button', { type: 'button', onclick: () => this.act({ target: plain(name) }) }, 'Move…');
    attr(act, 'aria-label', `Move traffic of ${plain(name)}`);
    this.element.replaceChildren(
      h('div', { class: 'title' }, h('h3', {}, this.sign, h('span', {}, plain(name))), explain, act),
      this.meta,
      h('div', { class: 'table', role: 'region', 'aria-label': 'Pools and endpoints', tabindex: '0' }, table),
    );
  }

  makePool({ pool }) {
    const target = `${plain(this.name)}/${pool.pool}`;
    const button = h('button', { type: 'button', class: 'small', onclick: () => this.act({ target }) }, 'Move…');
    attr(button, 'aria-label', `Move traffic of pool ${pool.pool}`);
    return h(
      'tr',
      { class: 'pool' },
      h('th', { scope: 'row' }, mark(pool.state), h('span', {}, pool.pool)),
      h('td', { class: 'state' }),
      h('td', { class: 'n' }),
      h('td', { class: 'n' }),
      h('td', { class: 'wide' }, bar(), h('span', { class: 'fig' })),
      h('td', { class: 'act' }, button),
    );
  }

  drawPool(row, { pool, said, meant, gets }) {
    const [who, state, weight, effective, answers] = row.cells;
    attr(row, 'data-state', pool.state);
    attr(row, 'data-pool', pool.pool);
    remark(who.firstChild, pool.state);
    text(state, pool.state === 'drain' ? 'drained' : pool.state);
    text(weight, said ? number(said.weight) : '–');
    text(effective, said ? number(said.effective_weight) : '–');
    setBar(answers.firstChild, gets?.share ?? meant, meant);
    attr(answers.firstChild, 'data-meant', !gets);
    text(answers.lastChild, shareWords(meant, gets));
  }

  makeEndpoint({ pool, endpoint }) {
    const target = `${plain(this.name)}/${pool.pool}/${plain(endpoint.address)}`;
    const button = h('button', { type: 'button', class: 'small', onclick: () => this.act({ target }) }, 'Move…');
    attr(button, 'aria-label', `Move traffic of endpoint ${endpoint.address}`);
    return h(
      'tr',
      { class: 'endpoint' },
      h('th', { scope: 'row' }, mark('unknown'), h('code', {}, plain(endpoint.address))),
      h('td', { class: 'state' }),
      h('td', { class: 'n' }),
      h('td', { class: 'n' }),
      h('td', { class: 'wide' }, h('div', {})),
      h('td', { class: 'act' }, button),
    );
  }

  drawEndpoint(row, { endpoint }) {
    const [who, state, weight, effective, probes] = row.cells;
    const is = endpointState(endpoint);
    attr(row, 'data-state', is);
    attr(row, 'data-address', endpoint.address);
    remark(who.firstChild, is);
    text(state, stateWords(endpoint, is));
    attr(state, 'title', endpointWhy(endpoint));
    text(weight, number(endpoint.weight));
    text(effective, number(endpoint.effective_weight));
    const make = () => {
      const line = s('svg', { class: 'probes', viewBox: `0 0 ${PROBES * TICK} ${TIMELINE_HEIGHT}`, role: 'img' });
      line.append(s('path', { class: 'good' }), s('path', { class: 'bad' }));
      return h('div', { class: 'check' }, line, h('span', { class: 'latest' }));
    };
    const several = 1 < endpoint.checks.length;
    if (endpoint.checks.length === 0) text(probes.firstChild, 'no check: always up');
    else if (!probes.firstChild.known) probes.firstChild.replaceChildren();
    if (endpoint.checks.length === 0) return;
    rows(probes.firstChild, endpoint.checks, (it) => `${it.check} ${it.target}`, make, (line, check) => {
      // Where all endpoints are told of at once, none has its history: what is drawn stays.
      if (check.history) drawTimeline(line.firstChild, check.history);
      text(line.lastChild, latestWords(check, several, this.now));
      attr(line.lastChild, 'data-bad', check.outcome !== null && check.outcome !== 'good');
      attr(line.lastChild, 'title', `${check.check}: ${check.target}`);
    });
  }

  makeMore({ pool }) {
    const more = () => this.long.add(pool.pool);
    return h('tr', { class: 'more' }, h('td', { colspan: 6 }, h('button', { type: 'button', onclick: more })));
  }
}

function metaWords(known, policy, live) {
  const words = [];
  if (policy?.by) words.push(`by ${policy.by}`);
  if (Number.isFinite(policy?.ttl)) {
    words.push(`TTL ${policy.ttl} s, ${policy.ttl_min} s before a change`);
  }
  const inside = known.total - known.out;
  words.push(`${inside} of ${known.total} in the answers`);
  const footing = [...(live?.values() ?? [])].map((it) => it.footing).find((it) => it && it !== 'healthy');
  const rests = footing ?? policy?.footing;
  if (rests) words.push(`footing ${rests.replace('_', ' ')}`);
  if (0 < policy?.unserved) words.push(`${percent(policy.unserved)} of clients are given nothing`);
  const rate = [...(live?.values() ?? [])].reduce((sum, it) => sum + it.rate, 0);
  if (live) words.push(`${short(rate)} answers/s`);
  return words.join(' · ');
}

function shareWords(meant, gets) {
  if (gets && Number.isFinite(gets.share)) {
    return Number.isFinite(meant) ? `${percent(gets.share)}, meant ${percent(meant)}` : percent(gets.share);
  }
  return Number.isFinite(meant) ? `meant ${percent(meant)}` : '–';
}

function stateWords(endpoint, is) {
  const word = endpoint.override?.state;
  if (word && word !== endpoint.verdict) return `${word === 'drain' ? 'drained' : word} (${endpoint.verdict})`;
  if (endpoint.over_budget) return 'down, stays in';
  if (endpoint.ramp) return `returning ${endpoint.ramp.percent} %`;
  return is;
}

function latestWords(check, several, now) {
  const name = several ? `${check.check}: ` : '';
  if (!check.outcome) return `${name}not probed yet`;
  return `${name}${check.outcome}, ${span(now - Date.parse(check.at))}`;
}

/** The newest probe is at the right; a good one is as high as it took long, a failed one is full. */
function drawTimeline(line, probes) {
  const seen = probes.slice(-PROBES);
  const slowest = Math.max(1, ...seen.map((it) => it.ms));
  let [good, bad] = ['', ''];
  seen.forEach((it, idx) => {
    const x = (PROBES - seen.length + idx) * TICK + TICK / 2;
    const height = 4 + Math.round((12 * it.ms) / slowest);
    if (it.good) good += `M${x} ${TIMELINE_HEIGHT}v-${height}`;
    else bad += `M${x} ${TIMELINE_HEIGHT}v-${TIMELINE_HEIGHT}`;
  });
  attr(line.children[0], 'd', good);
  attr(line.children[1], 'd', bad);
  const failed = seen.filter((it) => !it.good).length;
  const last = seen.findLast((it) => !it.good);
  const words = `${failed} of the latest ${seen.length} probes failed`;
  attr(line, 'aria-label', last ? `${words}, the last at ${moment(last.at)}` : words);
}
