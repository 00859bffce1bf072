// The map: regions where they are, and where questions come from.
//
// Drawn in the pixels of the screen, so that words and marks have one size on all screens; only the land
// is scaled. The table beside it says the same in words, so to a screen reader the map is one picture.

import { attr, mark, percent, plain, remark, rows, s, text } from './dom.js';
import { FULL, fullness } from './regions.js';

const LAND_WIDTH = 1000;
const LAND_HEIGHT = 430;
const NORTH = 83;
const RING_R = 13;
/** The area of all dots together, as a share of the map's. */
const DOTS_AREA = 0.012;
const LABEL_CHAR = 6.6;

let countries = new Map();

/** Reads where the people of each country live. */
export async function load() {
  const response = await fetch('page/countries.csv');
  const lines = (await response.text()).split('\n').filter((it) => it && !it.startsWith('#'));
  const places = lines.map((it) => it.split(',')).filter((it) => it[2] !== '');
  countries = new Map(places.map(([code, , lat, lon]) => [code, [Number(lat), Number(lon)]]));
}

/** The Natural Earth projection, as `geoip/land.py` has it. */
function project([lat, lon]) {
  const [l, p] = [(lon * Math.PI) / 180, (lat * Math.PI) / 180];
  const p2 = p * p;
  const p4 = p2 * p2;
  const x = l * (0.8707 - 0.131979 * p2 + p4 * (-0.013791 + p4 * (0.003971 * p2 - 0.001529 * p4)));
  const y = p * (1.007226 + p2 * (0.015085 + p4 * (-0.044475 + 0.028874 * p2 - 0.005916 * p4)));
  return [x, y];
}

const EAST = project([0, 180])[0];
const TOP = project([NORTH, 0])[1];

function place(at, width) {
  const [x, y] = project(at);
  const scale = width / 2 / EAST;
  return [x * scale + width / 2, (TOP - y) * scale];
}

/** The map in an element. `draw` takes what is to be shown, and is cheap where nothing changed. */
export function worldMap(parent, onchoose) {
  const land = s('use', { href: 'page/land.svg#land', class: 'land' });
  const dots = s('g', { class: 'dots' });
  const marks = s('g');
  const picture = s('svg', { class: 'map', role: 'img', 'aria-label': 'Map' }, land, dots, marks);
  parent.append(picture);
  let shown = null;
  const draw = (what) => {
    shown = what;
    const width = parent.clientWidth;
    if (width === 0) return;
    const height = Math.round((width * LAND_HEIGHT) / LAND_WIDTH);
    attr(picture, 'viewBox', `0 0 ${width} ${height}`);
    attr(land, 'width', width);
    attr(land, 'height', height);
    attr(picture, 'aria-label', `Map: ${what.regions.map(words).join('; ')}`);
    drawDots(dots, what.countries ?? [], width, height);
    drawRegions(marks, what.regions, width, height, onchoose);
  };
  new ResizeObserver(() => shown && draw(shown)).observe(parent);
  return draw;
}

const words = (it) => `${it.name} is ${it.state}${Number.isFinite(it.gets) ? `, gets ${percent(it.gets)}` : ''}`;

function drawDots(parent, shares, width, height) {
  const area = DOTS_AREA * width * height;
  const seen = shares.filter((it) => countries.has(it.country));
  const make = () => s('circle', {}, s('title'));
  rows(parent, seen, (it) => it.country, make, (circle, it) => {
    const [x, y] = place(countries.get(it.country), width);
    attr(circle, 'cx', x.toFixed(1));
    attr(circle, 'cy', y.toFixed(1));
    attr(circle, 'r', Math.max(1.2, Math.sqrt((it.share * area) / Math.PI)).toFixed(1));
    text(circle.firstChild, `${countryName(it.country)}: ${percent(it.share)} of questions`);
  });
}

let names = null;

/** What people call a country; its code where the browser does not know. */
export function countryName(code) {
  names ??= new Intl.DisplayNames(['en'], { type: 'region', fallback: 'code' });
  try {
    return names.of(code);
  } catch {
    return code;
  }
}

function drawRegions(parent, regions, width, height, onchoose) {
  const placed = regions
    .filter((it) => it.at)
    .map((it) => ({ ...it, point: place(it.at, width), label: labelOf(it, width) }));
  arrange(placed, width, height);
  const make = (it) => {
    const group = s('g', { class: 'region', onclick: () => onchoose(it.name) });
    const ring = s('circle', { class: 'track', r: RING_R });
    const load = s('circle', { class: 'load', r: RING_R, pathLength: 100 });
    const sign = mark(it.state);
    for (const [name, value] of Object.entries({ x: -8, y: -8, width: 16, height: 16 })) attr(sign, name, value);
    const label = s('text', {}, s('tspan', { class: 'who' }), s('tspan', { class: 'what', dy: 14 }));
    const halo = s('circle', { class: 'halo', r: RING_R + 2 });
    group.append(halo, ring, load, sign, label, s('title'));
    return group;
  };
  rows(parent, placed, (it) => it.name, make, (group, it) => {
    const [, ring, load, sign, label, title] = group.children;
    attr(group, 'transform', `translate(${it.point.map((part) => part.toFixed(1)).join(' ')})`);
    attr(group, 'data-state', it.state);
    attr(group, 'data-region', it.name);
    remark(sign, it.state);
    const full = fullness(it) ?? null;
    attr(ring, 'class', full === null ? 'track none' : 'track');
    attr(load, 'stroke-dasharray', full === null ? '0 100' : `${Math.min(100, full * 100).toFixed(1)} 100`);
    attr(load, 'class', full !== null && FULL <= full ? 'load full' : 'load');
    attr(label, 'text-anchor', it.spot?.anchor ?? 'start');
    attr(label, 'class', it.spot ? null : 'crowded');
    attr(label, 'y', it.spot?.dy ?? 0);
    for (const [part, words] of [[0, it.name], [1, it.label.what]]) {
      text(label.children[part], words);
      attr(label.children[part], 'x', it.spot?.dx ?? 0);
    }
    text(title, `${it.name}: ${it.state}\n${it.label.full}`);
  });
}

function labelOf(it, width) {
  const parts = [];
  if (it.state !== 'up') parts.push(it.state);
  if (it.weight) parts.push(it.weight);
  const share = Number.isFinite(it.gets) ? it.gets : it.meant;
  if (Number.isFinite(share)) parts.push(percent(share));
  if (it.dial !== 100) parts.push(`dial ${it.dial} %`);
  const full = [`meant to get ${percent(it.meant)}`, `gets ${percent(it.gets)}`];
  if (0 < it.capacity) full.push(`load ${percent(it.load / it.capacity)} of capacity`);
  // On a phone there is room for the one thing that matters.
  const what = width < 480 ? parts.slice(0, 1).join('') : parts.join(' · ');
  return { what, full: full.join('\n') };
}

/** Finds each label a spot beside its mark where it covers nothing; what finds none shows at hover. */
function arrange(placed, width, height) {
  const taken = placed.map(({ point: [x, y] }) => [x - RING_R, y - RING_R, x + RING_R, y + RING_R]);
  // What is wrong is named first.
  const order = [...placed].sort((a, b) => (a.state === 'up') - (b.state === 'up'));
  for (const it of order) {
    const length = Math.max(it.name.length, it.label.what.length) * LABEL_CHAR;
    const [x, y] = it.point;
    const side = RING_R + 5;
    const spots = [
      { anchor: 'start', dx: side, dy: -2, box: [x + side, y - 14, x + side + length, y + 16] },
      { anchor: 'end', dx: -side, dy: -2, box: [x - side - length, y - 14, x - side, y + 16] },
      { anchor: 'middle', dx: 0, dy: 28, box: [x - length / 2, y + 16, x + length / 2, y + 46] },
      { anchor: 'middle', dx: 0, dy: -32, box: [x - length / 2, y - 46, x + length / 2, y - 15] },
    ];
    it.spot = spots.find(({ box }) => fits(box, width, height) && !taken.some((one) => overlap(one, box)));
    if (it.spot) taken.push(it.spot.box);
  }
}

const fits = ([left, top, right, bottom], width, height) =>
  0 <= left && right <= width && 0 <= top && bottom <= height;

const overlap = (a, b) => a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];

/** What is said under the map: who has no place on it, and where most questions come from. */
export function below({ regions, countries: shares }) {
  const parts = [];
  if (shares) {
    const most = shares.slice(0, 4).map((it) => `${countryName(it.country)} ${percent(it.share)}`);
    parts.push(most.length ? `Questions come from ${most.join(', ')}` : 'No questions just now');
  }
  const homeless = regions.filter((it) => !it.at).map((it) => plain(it.name));
  if (0 < homeless.length && homeless.length < regions.length) {
    parts.push(`not on the map, for want of coordinates: ${homeless.join(', ')}`);
  } else if (0 < homeless.length) {
    parts.push('this server does not say where its regions are');
  }
  return parts.join(' · ');
}
