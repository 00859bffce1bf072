// Why a client gets what it gets, stage by stage, as `evenkeel explain` says it.

import { by, h, number, percent, plain } from './dom.js';
import { guarded, openDialog, problemView } from './acts.js';
import { get, query } from './server.js';

const CLIENT = 'evenkeel.client';

/** Opens the form; a name that is given is explained as soon as a client is. */
export function openExplain(name, regions) {
  const field = (id, words, input) => h('div', { class: 'field' }, h('label', { for: id }, words), input);
  const input = (id, more) => h('input', { type: 'text', id, autocomplete: 'off', spellcheck: 'false', required: true, ...more });
  const who = input('explain-name', { value: name ? plain(name) : '', placeholder: 'www.example.com' });
  const type = h('select', { id: 'explain-type' }, h('option', {}, 'A'), h('option', {}, 'AAAA'));
  const client = input('explain-client', { value: sessionStorage.getItem(CLIENT) ?? '', placeholder: '203.0.113.7 or 203.0.113.0/24' });
  const boxes = regions.map((it) => h('label', {}, h('input', { type: 'checkbox', name: 'down', value: it.name }), ` ${it.name}`));
  const output = h('div', { class: 'explained', 'aria-live': 'polite' });
  const ask = async () => {
    sessionStorage.setItem(CLIENT, client.value.trim());
    const down = [...form.querySelectorAll('[name=down]:checked')].map((it) => it.value).join(',');
    const asked = { name: who.value.trim(), type: type.value, client: client.value.trim(), down };
    try {
      const told = await guarded(() => get(`explain?${query(asked)}`));
      output.replaceChildren(explainedView(told));
    } catch (error) {
      output.replaceChildren(problemView(error));
    }
  };
  const form = h(
    'form',
    { onsubmit: (event) => (event.preventDefault(), ask()) },
    h('div', { class: 'fields' }, field('explain-name', 'Name', who), field('explain-type', 'Type', type), field('explain-client', 'Client, or the network of clients', client), h('button', { type: 'submit', class: 'do' }, 'Explain')),
    boxes.length ? h('fieldset', { class: 'downs' }, h('legend', {}, 'As if these were down'), ...boxes) : null,
  );
  openDialog('Why does a client get this?', form, output).classList.add('wide');
  by('dialog').addEventListener('close', () => by('dialog').classList.remove('wide'), { once: true });
  (name ? client : who).focus();
  if (name && client.value) ask();
}

function explainedView(told) {
  const row = (word, what, why) => h('tr', {}, h('th', { scope: 'row' }, word), h('td', {}, what), h('td', {}, why));
  const { place } = told;
  const where = [place.country, place.subdivision, place.continent, place.asn && `AS${place.asn}`, place.at?.map((it) => number(it)).join(', ')];
  const stages = told.stages.map((it, idx) =>
    row(it.stage, idx === 0 && it.out.length === 0 ? where.filter(Boolean).join(' ') : it.out.join(' '), it.why),
  );
  const offers = (it) => it.endpoints.map((one) => plain(one.address)).join(' ');
  const ttl = told.ttl === told.ttl_max ? `${told.ttl} s` : `${told.ttl} to ${told.ttl_max} s`;
  const rest = [
    ...told.candidates.map((it) => row('candidate', `${it.pool} ${percent(it.probability)}`, `weight ${number(it.weight)}: ${offers(it)}`)),
    row('answer', told.answer, ''),
    row('footing', told.footing.replace('_', ' '), ''),
    row('ttl', ttl, told.ttl_reason),
    row('scope', `/${told.scope}`, told.scope_reason),
  ];
  const head = h('tr', {}, ...['Stage', 'What remains', 'Why'].map((it) => h('th', { scope: 'col' }, it)));
  const caption = h('caption', {}, `${plain(told.name)} ${told.type} for ${place.address}`);
  const table = h('table', {}, caption, h('thead', {}, head), h('tbody', {}, ...stages), h('tbody', {}, ...rest));
  const nested = told.candidates.filter((it) => it.alias).map((it) => explainedView(it.alias));
  return h('div', {}, h('div', { class: 'table', tabindex: '0', role: 'region', 'aria-label': 'Stages' }, table), ...nested);
}
