// Events as they come, the newest first.

import { attr, by, h, moment, plain, rows, text } from './dom.js';

const KEPT = 400;
const SHOWN = 100;

/** What happened, by the number that the server gave it: whatever comes twice is there once. */
export class Events {
  constructor() {
    this.kept = new Map();
    this.last = null;
    this.missed = 0;
  }

  /** Takes events in; gives those that are new. */
  take(events) {
    // A server that keeps nothing counts from the beginning when it starts: what was known is another's.
    if (events.some((it) => this.kept.has(it.id) && this.kept.get(it.id).at !== it.at)) this.forget();
    const fresh = events.filter((it) => !this.kept.has(it.id));
    for (const it of fresh) {
      this.kept.set(it.id, it);
      this.last = Math.max(this.last ?? 0, it.id);
    }
    const ids = [...this.kept.keys()].sort((a, b) => a - b);
    for (const id of ids.slice(0, Math.max(0, ids.length - KEPT))) this.kept.delete(id);
    return fresh;
  }

  /** When the newest of the events that fit happened, in milliseconds; null: none is known. */
  latest(fits) {
    const found = [...this.kept.values()].filter(fits);
    return found.length ? Math.max(...found.map((it) => Date.parse(it.at))) : null;
  }

  forget() {
    this.kept.clear();
    this.last = null;
  }

  draw(name) {
    const only = by('events-here').checked ? name : null;
    const all = [...this.kept.values()].sort((a, b) => b.id - a.id);
    const shown = all.filter((it) => !only || it.subject.startsWith(only)).slice(0, SHOWN);
    const make = () =>
      h('li', {}, h('time', {}), h('span', { class: 'kind' }), h('span', { class: 'what' }), h('span', { class: 'turn' }), h('span', { class: 'why' }));
    rows(by('events'), shown, (it) => it.id, make, (row, it) => {
      const [at, kind, what, turn, why] = row.children;
      text(at, moment(it.at));
      attr(at, 'datetime', it.at);
      text(kind, it.kind);
      text(what, plain(it.subject));
      text(turn, it.from ? `${it.from} → ${it.to}` : it.to);
      text(why, it.why);
      attr(row, 'data-state', stateOf(it));
      attr(row, 'data-id', it.id);
    });
  }
}

/** The state that an event led to, for its colour. */
function stateOf(it) {
  const first = it.to.split(/[ ,]/)[0];
  return ['up', 'down', 'drain', 'unknown'].includes(first) ? first : 'none';
}
