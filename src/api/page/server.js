// The server, as the page knows it: calls, the stream of events, and the token.
//
// The token is kept for this tab alone (`sessionStorage`), and is sent to nobody else: the policy of the
// page lets it talk to no other server.

const TOKEN = 'evenkeel.token';
const CALL_MS_MAX = 10000;
/** The server sends something at least every 15 s; silence for longer is a connection that is gone. */
const STREAM_SILENCE_MS_MAX = 40000;

/** What the server would not do, and why, in its own words (RFC 9457). */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail ?? `the server says ${status}`);
    this.status = status;
    this.hint = body.hint ?? '';
    this.complaints = body.complaints ?? [];
    this.names = body.names ?? [];
    this.body = body;
  }
}

/** Nobody answered. */
export class Lost extends Error {}

export const token = {
  get: () => sessionStorage.getItem(TOKEN) ?? '',
  set: (value) => sessionStorage.setItem(TOKEN, value),
  forget: () => sessionStorage.removeItem(TOKEN),
};

function headers(more = {}) {
  const known = token.get();
  return known ? { ...more, authorization: `Bearer ${known}` } : more;
}

/** Calls `/api/v1/…` and gives what it says. Throws `Problem` or `Lost`. */
export async function call(method, path, body, ms = CALL_MS_MAX) {
  const given = body === undefined ? {} : { 'content-type': 'application/json' };
  let response;
  let text;
  try {
    response = await fetch(`api/v1/${path}`, {
      method,
      headers: headers(given),
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(ms),
      cache: 'no-store',
    });
    text = await response.text();
  } catch (error) {
    throw new Lost(error.message);
  }
  let said = {};
  try {
    said = text ? JSON.parse(text) : {};
  } catch {
    // Whatever is between the server and this page does not speak JSON.
    if (502 <= response.status && response.status <= 504) throw new Lost(`${response.status}`);
  }
  if (!response.ok) throw new Problem(response.status, said);
  return said;
}

export const get = (path, ms) => call('GET', path, undefined, ms);

/**
 * Follows the events after an id until `signal` ends it. A browser's own `EventSource` sends no token, so
 * this reads the stream itself. Ends, by a return or a throw, when the stream does.
 */
export async function follow(after, signal, heard) {
  const ended = new AbortController();
  signal.addEventListener('abort', () => ended.abort());
  let silence = setTimeout(() => ended.abort(), STREAM_SILENCE_MS_MAX);
  const path = after === null ? '' : `?after=${after}`;
  try {
    const response = await fetch(`api/v1/events/stream${path}`, {
      headers: headers({ accept: 'text/event-stream' }),
      signal: ended.signal,
      cache: 'no-store',
    });
    if (!response.ok) throw new Problem(response.status, await response.json().catch(() => ({})));
    heard.open();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      clearTimeout(silence);
      silence = setTimeout(() => ended.abort(), STREAM_SILENCE_MS_MAX);
      const blocks = (rest + value).split('\n\n');
      rest = blocks.pop();
      for (const block of blocks) dispatch(block, heard);
    }
  } finally {
    clearTimeout(silence);
  }
}

/** One event of a stream: lines of `field: value`; a line that begins with a colon only keeps it open. */
function dispatch(block, heard) {
  let kind = 'message';
  const data = [];
  for (const line of block.split('\n')) {
    const [, field, value] = /^([^:]*):? ?(.*)$/.exec(line);
    if (field === 'event') kind = value;
    if (field === 'data') data.push(value);
  }
  if (data.length === 0) return;
  const body = JSON.parse(data.join('\n'));
  if (kind === 'missed') heard.missed(body.missed);
  else if (kind === 'message') heard.event(body);
}

/** The parameters of a call. */
export function query(parameters) {
  const list = Object.entries(parameters).filter(([, value]) => value !== '' && value !== null);
  return new URLSearchParams(list).toString();
}
