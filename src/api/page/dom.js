// Elements, and values as people read them.
//
// Text is set as text only, never as markup: what a zone file or a colleague wrote is no program. What is
// on the page already is changed where it differs and not made anew, so that focus and selection stay.

const SVG = 'http://www.w3.org/2000/svg';

/** The element with an id. */
export const by = (id) => document.getElementById(id);

/** A new element. `on…` are listeners, all else are attributes; true is without a value, null is left out. */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** A new element of a drawing. */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else attr(element, name, value);
  }
  element.append(...children.filter((it) => it !== null && it !== undefined));
  return element;
}

/** Sets an attribute where it differs; null and false remove it. */
export function attr(element, name, value) {
  if (value === null || value === undefined || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
    return;
  }
  const text = value === true ? '' : String(value);
  if (element.getAttribute(name) !== text) element.setAttribute(name, text);
}

/** Sets the text of an element where it differs. */
export function text(element, value) {
  const wanted = String(value);
  if (element.textContent !== wanted) element.textContent = wanted;
}

/** Makes the children of `parent` those of `items`, by key: they stay, move, come and go. */
export function rows(parent, items, key, make, update) {
  const old = parent.known ?? new Map();
  const known = new Map();
  let place = parent.firstChild;
  items.forEach((item, idx) => {
    const name = key(item);
    let element = old.get(name);
    if (!element) element = make(item);
    old.delete(name);
    known.set(name, element);
    update(element, item, idx);
    if (element === place) place = place.nextSibling;
    else parent.insertBefore(element, place);
  });
  for (const element of old.values()) element.remove();
  parent.known = known;
}

/** The mark of a state: a shape of its own, so that it can be told without its colour. */
export function mark(state) {
  const it = s('svg', { class: 'mark', viewBox: '0 0 16 16', 'aria-hidden': 'true' });
  it.append(s('use', { href: `#mark-${state}` }));
  attr(it, 'data-state', state);
  return it;
}

/** Gives a mark another state. */
export function remark(element, state) {
  if (element.dataset.state === state) return;
  attr(element, 'data-state', state);
  attr(element.firstChild, 'href', `#mark-${state}`);
}

const NUMBER = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });
const SHORT = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });

/** A number as it is, without needless digits. */
export const number = (value) => (known(value) ? NUMBER.format(value) : '–');

/** A number in three or four characters. */
export const short = (value) => (known(value) ? SHORT.format(value) : '–');

/** A share of 1 in percent. Little is not nothing, and nearly all is not all. */
export function percent(share) {
  if (!known(share)) return '–';
  const points = share * 100;
  if (0 < points && points < 0.1) return '< 0.1 %';
  if (99.9 < points && points < 100) return '> 99.9 %';
  return `${points < 10 ? NUMBER.format(points) : Math.round(points)} %`;
}

/** Milliseconds in words, for what was or will be: `42 s`, `3 m 05 s`, `2 h 10 m`. */
export function span(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const two = (value) => String(value).padStart(2, '0');
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} m ${two(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${two(minutes % 60)} m`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** A moment: the time of today, the day as well for another one. */
export function moment(at) {
  const date = new Date(at);
  const time = date.toLocaleTimeString('en-GB');
  const today = new Date().toDateString() === date.toDateString();
  return today ? time : `${date.toLocaleDateString('en-CA')} ${time}`;
}

/** A name without the final dot that nobody types. */
export const plain = (name) => (name.length < 2 ? name : name.replace(/\.(?=$|\/)/, ''));

const known = (value) => value !== null && value !== undefined && Number.isFinite(value);
