// The table of regions, and the words of operators: overrides and dials with their ends.

import { attr, by, h, mark, moment, number, percent, remark, rows, short, span, text } from './dom.js';

const DUE_SOON_MS = 60000;

/** What counts as full, and as more than that: loads are computed, and not to the last digit. */
export const FULL = 0.999;
export const OVER = 1.001;

/** How much of what it can take a region is given, or reports; null where nobody says. */
export function fullness(it) {
  return 0 < it.capacity && Number.isFinite(it.load) ? it.load / it.capacity : it.utilization;
}

/** A bar from 0 to 1, with a notch where it is meant to end. */
export function bar() {
  return h('span', { class: 'bar', 'aria-hidden': 'true' }, h('i'), h('b'));
}

export function setBar(element, share, meant = null) {
  const [fill, notch] = element.children;
  fill.style.setProperty('--part', Number.isFinite(share) ? Math.min(1, share) : 0);
  attr(notch, 'hidden', !(0 < meant));
  if (0 < meant) notch.style.setProperty('--part', Math.min(1, meant));
}

/** Draws the table; `act` opens the dialog for a region. */
export function drawRegions(regions, act) {
  const body = by('regions').tBodies[0];
  const make = (it) => {
    const button = h('button', { type: 'button', class: 'small', onclick: () => act(it.name) }, 'Move…');
    attr(button, 'aria-label', `Move traffic of ${it.name}`);
    return h(
      'tr',
      {},
      h('th', { scope: 'row' }, mark(it.state), h('span', {})),
      h('td', { class: 'state' }),
      h('td', { class: 'n' }),
      h('td', { class: 'n' }),
      h('td', { class: 'n' }, bar(), h('span', { class: 'fig' })),
      h('td', { class: 'n load' }, bar(), h('span', { class: 'fig' })),
      h('td', { class: 'act' }, button),
    );
  };
  rows(body, regions, (it) => it.name, make, (row, it) => {
    const [who, state, dial, meant, gets, load] = row.cells;
    attr(row, 'data-state', it.state);
    attr(row, 'data-region', it.name);
    remark(who.firstChild, it.state);
    text(who.lastChild, it.name);
    text(state, stateWords(it));
    text(dial, `${it.dial} %`);
    attr(dial, 'data-off', it.dial !== 100);
    text(meant, percent(it.meant));
    setBar(gets.firstChild, it.gets, it.meant);
    text(gets.lastChild, percent(it.gets));
    const part = fullness(it);
    setBar(load.firstChild, part);
    attr(load.firstChild, 'data-full', FULL <= part);
    attr(load.firstChild, 'data-over', OVER < part);
    text(load.lastChild, loadWords(it));
    attr(load, 'title', Number.isFinite(it.load) ? `${number(it.load)} of ${number(it.capacity)}` : null);
  });
}

function stateWords(it) {
  const words = [it.state === 'drain' ? 'drained' : it.state];
  if (0 < it.returning) words.push(`${it.returning} returning`);
  if (0 < it.over_budget) words.push(`${it.over_budget} over budget`);
  return words.join(', ');
}

function loadWords(it) {
  if (Number.isFinite(it.load)) return `${short(it.load)} / ${short(it.capacity)}`;
  return Number.isFinite(it.utilization) ? percent(it.utilization) : '–';
}

/** Lists what operators say; `clear` takes one back. */
export function drawSaid(said, now, clear) {
  const items = [
    ...said.overrides.map((it) => ({ ...it, key: `o${it.id}`, what: it.state, who: it.target })),
    ...said.dials.map((it) => ({ ...it, key: `d${it.region}`, what: `dial ${it.percent} %`, who: it.region })),
  ];
  by('said-none').hidden = 0 < items.length;
  const make = () => {
    const button = h('button', { type: 'button', class: 'small' }, 'Clear');
    const what = h('span', { class: 'chip' });
    const line = h('p', { class: 'who' }, what, ' ', h('b', {}));
    return h('li', {}, line, h('p', { class: 'why' }), h('p', { class: 'when dim' }), button);
  };
  rows(by('said'), items, (it) => it.key, make, (row, it) => {
    const [line, why, when, button] = row.children;
    text(line.firstChild, it.what);
    attr(line.firstChild, 'data-state', it.state ?? 'mixed');
    text(line.lastChild, it.who);
    text(why, `“${it.reason}”${it.author ? ` — ${it.author}` : ''}`);
    text(when, whenWords(it, now));
    attr(when, 'data-soon', it.until && Date.parse(it.until) - now < DUE_SOON_MS);
    attr(row, 'data-target', it.who);
    attr(button, 'aria-label', `Clear ${it.what} of ${it.who}`);
    button.onclick = () => clear(it);
  });
}

function whenWords(it, now) {
  const since = `since ${moment(it.since)}`;
  if (!it.until) return `${since}, until it is cleared`;
  return `${since}, ends in ${span(Date.parse(it.until) - now)}`;
}
