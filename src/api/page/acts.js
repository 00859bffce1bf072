// What a person can do: move traffic, clear what was said, reload, and say who they are.
//
// Nothing is done before its effect was shown: the server is asked what would be, and says what it would
// refuse. What it refuses is forced only by a second word.

import { attr, by, h, number, percent, plain, short } from './dom.js';
import { adaptPreview } from './model.js';
import { call, Lost, Problem, query, token } from './server.js';

const AUTHOR = 'evenkeel.author';
const PREVIEW_WAIT_MS = 200;
const TOAST_MS = 8000;
const NAMES_SHOWN = 12;

const LASTS = [
  ['15m', '15 minutes'],
  ['30m', '30 minutes'],
  ['1h', '1 hour'],
  ['2h', '2 hours'],
  ['8h', '8 hours'],
  ['1d', '1 day'],
  ['', 'until it is cleared'],
];

const WORDS = [
  ['drain', 'Drain', 'no answers: a withdrawal, not a failure'],
  ['down', 'Down', 'no answers: counts as a failure'],
  ['up', 'Up', 'in the answers, whatever its checks say'],
];

/** Opens the dialog with a title and content; Escape and the outside close it. */
export function openDialog(title, ...content) {
  const dialog = by('dialog');
  const close = h('button', { type: 'button', class: 'close', 'aria-label': 'Close', onclick: () => dialog.close() }, '×');
  dialog.replaceChildren(h('div', { class: 'title' }, h('h2', { id: 'dialog-title' }, title), close), ...content);
  // A handler that gives back false would keep what is clicked from doing anything.
  dialog.onclick = (event) => {
    if (event.target === dialog) dialog.close();
  };
  if (!dialog.open) dialog.showModal();
  return dialog;
}

let toastEnd = null;

/** Says what was done, where it covers nothing for long. */
export function say(words) {
  let toast = by('toast');
  if (!toast) document.body.append((toast = h('p', { id: 'toast', role: 'status' })));
  toast.textContent = words;
  attr(toast, 'hidden', false);
  clearTimeout(toastEnd);
  toastEnd = setTimeout(() => attr(toast, 'hidden', true), TOAST_MS);
}

/** Does something that may need a token: asks for one and does it again, until it is right or given up. */
export async function guarded(work) {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      // A token that is not known, or that may do less.
      const wants = error instanceof Problem && (error.status === 401 || error.body.scope !== undefined);
      if (!wants || !(await askToken(tokenWords(error)))) throw error;
    }
  }
}

function tokenWords(error) {
  const scope = error.body.scope ? ` of the scope ${error.body.scope}` : '';
  if (error.status === 401 && token.get()) return `The server does not know this token. It wants one${scope}.`;
  return `The server wants a token${scope} for this.`;
}

/** Asks for a token; whether one was given. It is kept until this tab is closed. */
export function askToken(why) {
  const dialog = h('dialog', { class: 'narrow', 'aria-labelledby': 'token-title' });
  const field = h('input', { type: 'password', id: 'token', autocomplete: 'off', spellcheck: 'false' });
  const form = h(
    'form',
    {},
    h('p', {}, why),
    h('label', { for: 'token' }, 'Token'),
    field,
    h('p', { class: 'dim' }, 'It is kept until this tab is closed, and sent to this server only.'),
    h(
      'div',
      { class: 'buttons' },
      h('button', { type: 'button', onclick: () => dialog.close() }, 'Cancel'),
      h('button', { type: 'button', onclick: () => (token.forget(), dialog.close('done')) }, 'Forget'),
      h('button', { type: 'submit', class: 'do' }, 'Use it'),
    ),
  );
  dialog.append(h('div', { class: 'title' }, h('h2', { id: 'token-title' }, 'Token')), form);
  document.body.append(dialog);
  return new Promise((resolve) => {
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      token.set(field.value.trim());
      dialog.close('done');
    });
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue === 'done');
    });
    dialog.showModal();
    field.focus();
  });
}

/** What went wrong, as the server says it. */
export function problemView(error) {
  if (error instanceof Lost) return h('div', { class: 'wrong' }, h('p', {}, 'The server does not answer; nothing was heard of what became of it.'));
  const view = h('div', { class: 'wrong', role: 'alert' }, h('p', {}, error.message));
  if (0 < (error.names?.length ?? 0)) {
    const shown = error.names.slice(0, NAMES_SHOWN).map((it) => h('li', {}, h('code', {}, plain(it))));
    const rest = error.names.length - shown.length;
    if (0 < rest) shown.push(h('li', {}, `and ${number(rest)} more`));
    view.append(h('ul', {}, ...shown));
  }
  if (error.hint) view.append(h('p', { class: 'dim' }, error.hint));
  return view;
}

function option(value, words, chosen) {
  return h('option', { value, selected: chosen }, words);
}

/**
 * Asks what is to be done with a target, shows what would be, and does it.
 * `region` is set where the target is one: then its dial can be turned.
 */
export function openAct({ target, region, said, done }) {
  const form = new ActForm({ target, region, said, done });
  openDialog(`Move traffic: ${target}`, form.element);
  form.first.focus();
}

class ActForm {
  constructor({ target, region, said, done }) {
    Object.assign(this, { target, region, done, force: false, asked: 0 });
    const choices = WORDS.map(([value, word, means]) => choice(value, word, means));
    if (region) choices.push(choice('dial', 'Dial', `a share of its normal traffic; now ${region.dial} %`));
    this.first = choices[0].querySelector('input');
    this.first.checked = true;
    this.percent = h('input', { type: 'number', id: 'act-percent', min: 0, max: 100, step: 1, value: region?.dial ?? 100 });
    this.slide = h('input', { type: 'range', min: 0, max: 100, step: 5, value: region?.dial ?? 100, 'aria-label': 'Percent' });
    this.dial = h('div', { class: 'dial', hidden: true }, this.slide, this.percent, h('label', { for: 'act-percent' }, '% of its normal traffic'));
    this.reason = h('input', { type: 'text', id: 'act-reason', required: true, autocomplete: 'off', 'aria-describedby': 'act-wrong' });
    this.lasts = h('select', { id: 'act-lasts' }, ...LASTS.map(([value, words]) => option(value, words, value === '1h')));
    this.author = h('input', { type: 'text', id: 'act-author', autocomplete: 'nickname', value: localStorage.getItem(AUTHOR) ?? '' });
    this.preview = h('div', { class: 'preview', 'aria-live': 'polite' });
    this.wrong = h('div', { id: 'act-wrong', class: 'wrong-place' });
    this.button = h('button', { type: 'submit', class: 'do' });
    this.element = h(
      'form',
      { novalidate: true, onsubmit: (event) => this.submit(event), oninput: (event) => this.change(event) },
      h('fieldset', { class: 'choices' }, h('legend', {}, 'What'), ...choices),
      this.dial,
      h('div', { class: 'fields' }, label('act-reason', 'Why, for whoever finds it', this.reason), label('act-lasts', 'For', this.lasts), label('act-author', 'Who you are', this.author)),
      h('h3', {}, 'What would happen'),
      this.preview,
      this.wrong,
      h('div', { class: 'buttons' }, h('button', { type: 'button', onclick: () => by('dialog').close() }, 'Cancel'), this.button),
    );
    if (said.length) this.element.prepend(h('p', { class: 'dim' }, `Said already: ${said.map((it) => `${it.state ?? `dial ${it.percent} %`} (“${it.reason}”)`).join(', ')}. The latest word counts.`));
    this.relabel();
    this.look();
  }

  get word() {
    return this.element.elements.word.value;
  }

  change(event) {
    if (event.target === this.slide) this.percent.value = this.slide.value;
    if (event.target === this.percent) this.slide.value = this.percent.value;
    if ([this.reason, this.author, this.lasts].includes(event.target)) return;
    if (event.target.name === 'force') {
      this.relabel();
      this.look();
      return;
    }
    this.dial.hidden = this.word !== 'dial';
    this.force = false;
    this.wrong.replaceChildren();
    this.relabel();
    clearTimeout(this.soon);
    this.soon = setTimeout(() => this.look(), PREVIEW_WAIT_MS);
  }

  relabel() {
    const [, word] = WORDS.find(([value]) => value === this.word) ?? [null, `Dial to ${this.percent.value} %:`];
    const forced = this.force ? 'Do it all the same: ' : '';
    this.button.textContent = `${forced}${word} ${this.target}`;
    this.button.disabled = this.force && !this.element.elements.force.checked;
    attr(this.button, 'data-force', this.force);
  }

  /** The call, and its body. */
  call() {
    const body = { reason: this.reason.value.trim(), force: this.force };
    // Whose token it is counts where nobody is named.
    if (this.author.value.trim()) body.author = this.author.value.trim();
    if (this.lasts.value) body.for = this.lasts.value;
    if (this.word === 'dial') {
      return [`dials/${encodeURIComponent(this.region.name)}`, { percent: Number(this.percent.value), ...body }];
    }
    return ['overrides', { target: this.target, state: this.word, ...body }];
  }

  /** Asks the server what would be. */
  async look() {
    const asked = (this.asked += 1);
    const [path, body] = this.call();
    body.reason ||= 'preview';
    let view;
    try {
      view = await foreseen('POST', path, body);
    } catch (error) {
      view = this.previewProblem(error);
    }
    if (asked === this.asked) this.preview.replaceChildren(view);
  }

  previewProblem(error) {
    if (error instanceof Problem && error.status === 409) this.offerForce(error);
    return h('p', { class: 'dim' }, error.status === 409 ? 'It would be refused.' : error.message);
  }

  /** The server refuses: it says why, and a second word does it all the same. */
  offerForce(error) {
    this.force = true;
    const box = h('input', { type: 'checkbox', name: 'force' });
    const words = ' Do it all the same. Clients of these names get SERVFAIL.';
    this.wrong.replaceChildren(problemView(error), h('label', { class: 'force' }, box, words));
    this.relabel();
  }

  async submit(event) {
    event.preventDefault();
    if (this.reason.value.trim() === '') {
      this.wrong.querySelector('.missing')?.remove();
      this.wrong.append(h('p', { class: 'missing', role: 'alert' }, 'Say why: whoever finds it at night has nobody to ask.'));
      attr(this.reason, 'aria-invalid', 'true');
      this.reason.focus();
      return;
    }
    localStorage.setItem(AUTHOR, this.author.value.trim());
    const [path, body] = this.call();
    this.button.disabled = true;
    try {
      await guarded(() => call('POST', path, body));
      by('dialog').close();
      say(`Done: ${this.word === 'dial' ? `dial ${body.percent} %` : this.word} ${this.target}`);
      this.done();
    } catch (error) {
      this.button.disabled = false;
      if (error instanceof Problem && error.status === 409) this.offerForce(error);
      else this.wrong.replaceChildren(problemView(error));
    }
  }
}

function choice(value, word, means) {
  return h('label', { class: 'choice' }, h('input', { type: 'radio', name: 'word', value }), h('b', {}, word), h('span', {}, means));
}

function label(id, words, field) {
  return h('div', { class: 'field' }, h('label', { for: id }, words), field);
}

/** Asks what would follow from a call that would change something. */
async function foreseen(method, path, body) {
  return previewView(adaptPreview(await guarded(() => call(method, `${path}?preview=true`, body))));
}

/** Regions before and after, and whose clients would notice. */
function previewView({ regions, names, more }) {
  const cell = (before, after, show) => {
    const changed = show(before) !== show(after);
    return h('td', { class: 'n', 'data-changed': changed }, changed ? `${show(before)} → ${show(after)}` : show(after));
  };
  const over = (it) => Number.isFinite(it.after.load) && 0 < it.capacity && it.capacity < it.after.load;
  const row = (it) =>
    h(
      'tr',
      { 'data-over': over(it) },
      h('th', { scope: 'row' }, it.region),
      cell(it.before.share, it.after.share, percent),
      cell(it.before.load, it.after.load, short),
      h('td', { class: 'n' }, Number.isFinite(it.after.load) && 0 < it.capacity ? percent(it.after.load / it.capacity) : '–'),
    );
  const heads = [['Region', ''], ['Share of clients', 'n'], ['Load', 'n'], ['of capacity', 'n']];
  const head = h('tr', {}, ...heads.map(([word, kind]) => h('th', { scope: 'col', class: kind }, word)));
  const table = h('table', {}, h('thead', {}, head), h('tbody', {}, ...regions.map(row)));
  return h('div', {}, table, h('p', { class: 'dim' }, changeWords(names, more)));
}

/** Which names would give something else. */
function changeWords(names, more) {
  const all = names.length + more;
  if (all === 0) return 'No client would get anything else.';
  const shown = names.slice(0, 3).map(plain).join(', ');
  const rest = all - Math.min(3, names.length);
  return `Changes ${shown}${rest ? ` and ${number(rest)} more` : ''}. Shares are those of the clients of what changes.`;
}

/** Asks whether what was said is to be taken back, and does it. */
export function openClear(it, means, done) {
  const author = h('input', { type: 'text', id: 'clear-author', value: localStorage.getItem(AUTHOR) ?? '', autocomplete: 'nickname' });
  const [wrong, preview] = [h('div', {}), h('div', { class: 'preview', 'aria-live': 'polite' })];
  const back = { percent: 100, reason: 'cleared' };
  const [method, path, body] =
    it.id === undefined ? ['POST', `dials/${encodeURIComponent(it.region)}`, back] : ['DELETE', `overrides/${it.id}`];
  const work = async (event) => {
    event.preventDefault();
    localStorage.setItem(AUTHOR, author.value.trim());
    const who = author.value.trim();
    const clear = () =>
      body ? call(method, path, { ...body, author: who || undefined }) : call(method, `${path}?${query({ author: who })}`);
    try {
      await guarded(clear);
      by('dialog').close();
      say(`Cleared: ${it.what} of ${it.who}`);
      done();
    } catch (error) {
      wrong.replaceChildren(problemView(error));
    }
  };
  const button = h('button', { type: 'submit', class: 'do' }, `Clear ${it.what} of ${it.who}`);
  openDialog(
    `Clear: ${it.who}`,
    h(
      'form',
      { onsubmit: work },
      h('p', {}, `“${it.reason}”${it.author ? `, says ${it.author}` : ''}.`),
      h('p', {}, means),
      label('clear-author', 'Who you are', author),
      h('h3', {}, 'What would happen'),
      preview,
      wrong,
      h('div', { class: 'buttons' }, h('button', { type: 'button', onclick: () => by('dialog').close() }, 'Cancel'), button),
    ),
  );
  button.focus();
  foreseen(method, path, body).then(
    (view) => preview.replaceChildren(view),
    (error) => preview.replaceChildren(problemView(error)),
  );
}

/** Has the files read again, and shows what is wrong with them. */
export async function reload(button) {
  button.disabled = true;
  try {
    const { generation } = await guarded(() => call('POST', 'reload'));
    say(`Reloaded: generation ${number(generation)}`);
  } catch (error) {
    if (error instanceof Problem && (error.status === 401 || error.status === 403)) return;
    const list = (error.complaints ?? []).map(complaintView);
    openDialog('Reload refused', problemView(error), h('ol', { class: 'complaints' }, ...list));
  } finally {
    button.disabled = false;
  }
}

function complaintView(it) {
  const place = [it.file, it.line, it.column].filter((part) => part !== null && part !== undefined);
  const view = h('li', {}, h('code', {}, place.join(':')), h('p', {}, it.message));
  if (it.hint) view.append(h('p', { class: 'dim' }, `hint: ${it.hint}`));
  return view;
}
