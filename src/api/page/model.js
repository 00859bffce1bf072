// What the page knows, put together from what the server says. No elements and no calls here.
//
// What the server does not know is null, and shows as a dash: the page guesses nothing.

/** How far back live shares look; long enough that chance does not make them dance. */
const RATE_MS = 10000;
const SAMPLES_MAX = 16;

/** States, the worst first: in this order names are listed, and a part's state is its whole's. */
export const SEVERITY = ['down', 'mixed', 'shaky', 'drain', 'unknown', 'returning', 'up'];

/** The state of an endpoint as its answers show it: an operator's word counts before the checks'. */
export function endpointState(endpoint) {
  const word = endpoint.override?.state;
  if (word) return word;
  if (endpoint.verdict === 'down') return endpoint.over_budget ? 'mixed' : 'down';
  if (endpoint.verdict !== 'up') return 'unknown';
  if (endpoint.shaky) return 'shaky';
  return endpoint.ramp ? 'returning' : 'up';
}

/** Why an endpoint is in that state, in a few words. */
export function endpointWhy(endpoint) {
  const word = endpoint.override?.state;
  if (word) return `${word} by override; checks say ${endpoint.verdict}`;
  if (endpoint.over_budget) return 'down, and stays in: more are down than eject_max lets go';
  if (endpoint.verdict === 'up' && endpoint.shaky) return 'up, but the latest probe failed';
  if (endpoint.ramp) {
    const { step, steps, percent } = endpoint.ramp;
    return `coming back: step ${step} of ${steps}, ${percent} %`;
  }
  return endpoint.verdict;
}

/** The state of a whole from the states of its parts, by the words of regions. */
export function wholeState(states) {
  const set = new Set(states);
  if (set.size === 0) return 'unknown';
  if (set.size === 1) return states[0];
  const out = states.filter((it) => it === 'down' || it === 'drain').length;
  if (out === states.length) return 'down';
  if (0 < out || set.has('mixed')) return 'mixed';
  return SEVERITY.find((it) => set.has(it));
}

/** Endpoints by name and pool, in the order in which the server has them. */
export function gather(endpoints) {
  const names = new Map();
  for (const endpoint of endpoints) {
    let name = names.get(endpoint.name);
    if (!name) names.set(endpoint.name, (name = { name: endpoint.name, pools: new Map() }));
    let pool = name.pools.get(endpoint.pool);
    if (!pool) {
      pool = { pool: endpoint.pool, region: endpoint.region, endpoints: [] };
      name.pools.set(endpoint.pool, pool);
    }
    pool.endpoints.push(endpoint);
  }
  for (const name of names.values()) summarize(name);
  return names;
}

function summarize(name) {
  const all = [];
  for (const pool of name.pools.values()) {
    const states = pool.endpoints.map(endpointState);
    pool.state = wholeState(states);
    all.push(...states);
  }
  name.state = wholeState(all);
  name.total = all.length;
  name.out = all.filter((it) => it === 'down' || it === 'drain').length;
  name.down = all.filter((it) => it === 'down').length;
  name.drained = all.filter((it) => it === 'drain').length;
  name.said = [...name.pools.values()].some((it) => it.endpoints.some((one) => one.override));
}

/** In a few words what is the matter with a name; nothing if all is well. */
export function nameWords(name) {
  const words = [];
  if (0 < name.down) words.push(`${name.down} down`);
  if (0 < name.drained) words.push(`${name.drained} drained`);
  if (words.length === 0 && name.state !== 'up') words.push(name.state);
  return words.join(', ');
}

/** The share of clients that the server means each pool to get. */
export function meantShares(policy) {
  return new Map((policy?.pools ?? []).map((it) => [it.pool, it.share]));
}

/**
 * The share that each region is meant to get over the names of a scope; null: unknown. Names count by the
 * answers that they just gave (`given`), so that this can be held against what is given; all the same
 * where none gave any.
 */
export function regionShares(policies, name, given) {
  const scope = name ? [policies.get(name)].filter(Boolean) : [...policies.values()];
  const wanted = scope.filter((it) => [...meantShares(it).values()].some(Number.isFinite));
  if (wanted.length === 0) return null;
  const answers = wanted.map((it) => given(it.name));
  const all = answers.reduce((sum, it) => sum + it, 0);
  const sums = new Map();
  wanted.forEach((policy, idx) => {
    const part = 0 < all ? answers[idx] / all : 1 / wanted.length;
    for (const { region, share } of policy.pools) {
      if (region) sums.set(region, (sums.get(region) ?? 0) + part * (share ?? 0));
    }
  });
  return sums;
}

/** Shares as they are drawn now, from counts that only grow. */
export class Traffic {
  constructor() {
    this.samples = [];
    this.summed = new Map();
  }

  /** Takes in what `GET traffic` says, at a time in milliseconds. */
  take(body, at) {
    const names = new Map();
    for (const it of body.names) names.set(it.name, it);
    // Nobody can draw where an unknown country is.
    const countries = new Map(body.countries.filter((it) => it.country).map((it) => [it.country, it.questions]));
    const last = this.samples.at(-1);
    // Counts that went back are those of another process: nothing before counts.
    if (last && body.questions < last.questions) this.samples = [];
    this.summed.clear();
    this.samples.push({ at, names, countries, questions: body.questions });
    while (SAMPLES_MAX < this.samples.length || this.isOld(this.samples[1], at)) {
      this.samples.shift();
    }
  }

  isOld(sample, at) {
    return sample !== undefined && sample.at <= at - RATE_MS;
  }

  /** The first and the last sample, if there are two. */
  ends() {
    return 1 < this.samples.length ? [this.samples[0], this.samples.at(-1)] : null;
  }

  /** Questions a second; null: not known yet. */
  rate() {
    const ends = this.ends();
    return ends && ((ends[1].questions - ends[0].questions) * 1000) / (ends[1].at - ends[0].at);
  }

  /** What each pool of a name got: `{share, rate, footing}` by pool; null: not known. */
  pools(name) {
    const ends = this.ends();
    if (!ends?.[1].names.has(name)) return null;
    const [first, last] = ends;
    const [now, then] = [last.names.get(name), first.names.get(name)];
    const before = new Map((then?.pools ?? []).map((it) => [it.pool, it.answers]));
    const footing = worstFooting(now, then ?? {});
    const grown = now.pools.map((it) => ({
      pool: it.pool,
      region: it.region,
      sum: it.answers - (before.get(it.pool) ?? 0),
      footing,
    }));
    const sum = grown.reduce((sum, it) => sum + it.sum, 0);
    const rate = (it) => (it.sum * 1000) / (last.at - first.at);
    const share = (it) => (0 < sum ? it.sum / sum : null);
    return new Map(grown.map((it) => [it.pool, { ...it, share: share(it), rate: rate(it) }]));
  }

  /** How many answers a name just gave, as far as is known. */
  answers(name) {
    return [...(this.pools(name)?.values() ?? [])].reduce((sum, it) => sum + it.sum, 0);
  }

  /** The share of all answers that each region got; null: not known. */
  regions(name) {
    if (!this.summed.has(name)) this.summed.set(name, this.sumRegions(name));
    return this.summed.get(name);
  }

  sumRegions(name) {
    const ends = this.ends();
    if (!ends) return null;
    const sums = new Map();
    let all = 0;
    for (const key of name ? [name] : ends[1].names.keys()) {
      for (const { region, sum } of this.pools(key)?.values() ?? []) {
        all += sum;
        if (region) sums.set(region, (sums.get(region) ?? 0) + sum);
      }
    }
    return 0 < all ? new Map([...sums].map(([region, sum]) => [region, sum / all])) : null;
  }

  /** The share of questions from each country, the largest first; null: not known. */
  countries() {
    const ends = this.ends();
    if (!ends) return null;
    const [first, last] = ends;
    const grown = [...last.countries].map(([country, count]) => ({
      country,
      questions: count - (first.countries.get(country) ?? 0),
    }));
    const all = grown.reduce((sum, it) => sum + it.questions, 0);
    if (all <= 0) return null;
    const shares = grown.map((it) => ({ country: it.country, share: it.questions / all }));
    return shares.filter((it) => 0 < it.share).sort((a, b) => b.share - a.share);
  }
}

const FOOTINGS = ['fallback', 'last_good', 'failed_open', 'healthy'];

/** The least sound footing on which something was answered meanwhile; null: nothing was. */
function worstFooting(after, before) {
  return FOOTINGS.find((it) => (before[it] ?? 0) < after[it]) ?? null;
}

/** The steered names of a zone as `GET zones/{zone}` tells them, each with its share for one family. */
export function adaptZone(body) {
  return (body.steered_names ?? []).map((name) => {
    const family = ['A', 'AAAA', 'CNAME'].find((it) => name.families.some((one) => one.family === it));
    const now = name.families.find((it) => it.family === family);
    const share = (pool) => pool.shares.find((it) => it.family === family)?.share ?? null;
    const pools = name.pools.map((it) => ({ ...it, share: share(it) }));
    const footing = FOOTINGS.find((it) => now?.footings.includes(it)) ?? null;
    return { ...name, zone: body.zone, pools, footing, unserved: now?.unserved ?? 0 };
  });
}

/** What would be, as a preview tells it: regions before and after, and the names that would change. */
export function adaptPreview(body) {
  const regions = body.regions.map(({ region, share, load, capacity }) => ({
    region,
    before: { share: share.before, load: load.before },
    after: { share: share.after, load: load.after },
    capacity: capacity.after,
  }));
  return { regions, names: body.names.map((it) => it.name), more: body.more_names };
}
