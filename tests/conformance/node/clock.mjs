// A small clock of its own, written from spec/hlc.md and spec/uuid8.md, in another language than the reference.
//
// It speaks the protocol of `scratchbird_check conform`: one JSON object a line in, one out.
//
//     scratchbird_check conform --command "node clock.mjs"
//
// With `--bug stall-and-reset` or `--bug no-carry` it has a well-known fault, which the kit must find. A timestamp
// is [ms, counter]; milliseconds fit into 48 bits, so that every number here is exact. Only ids need BigInt.

import { createInterface } from "node:readline";

const MAX_MS = 2 ** 48 - 1;
const MAX_COUNTER = 4095;
const MAX_RANDOM = 2 ** 46 - 1;
const DEFAULTS = {
  max_drift_ms: 500,
  max_ahead_ms: 250,
  max_skew_ms: 250,
  reserve_ms: 1000,
  confirm_quorum: 2,
  counters_per_ms: 4096,
};
const BUGS = ["stall-and-reset", "no-carry"];
const [OPTION, BUG = ""] = process.argv.slice(2);
if (process.argv.length > 2 && (OPTION !== "--bug" || !BUGS.includes(BUG) || process.argv.length > 4)) {
  console.error(`usage: clock.mjs [--bug ${BUGS.join("|")}]`);
  process.exit(2);
}

class Impossible extends Error {}

function demand(condition, message) {
  if (!condition) throw new Impossible(message);
}

function whole(name, value, low, high) {
  demand(Number.isInteger(value) && value >= low && value <= high, `${name} ${value}: ${low} to ${high}`);
  return value;
}

const nodeId = (value) => whole("node id", value, 1, 65535);
const after = (a, b) => a[0] > b[0] || (a[0] === b[0] && a[1] > b[1]);
const later = (a, b) => (after(b, a) ? b : a);

function timestamp(value) {
  demand(Array.isArray(value) && value.length === 2, `${JSON.stringify(value)} is no timestamp`);
  return [whole("milliseconds", value[0], 0, MAX_MS), whole("counter", value[1], 0, MAX_COUNTER)];
}

function keys(value, required, optional = []) {
  for (const key of required) demand(key in value, `${key} is missing`);
  for (const key of Object.keys(value)) {
    demand(key === "event" || required.includes(key) || optional.includes(key), `unknown key ${key}`);
  }
}

// --- ids (UUID8.R1 to R4) --------------------------------------------------------------------------------

function idText([ms, counter], node, random) {
  const bits =
    (BigInt(ms) << 80n) | (8n << 76n) | (BigInt(counter) << 64n) | (2n << 62n) | (BigInt(node) << 46n) | BigInt(random);
  const hex = bits.toString(16).padStart(32, "0");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

function readHex(hex) {
  if (!/^[0-9a-fA-F]{32}$/.test(hex)) return { refused: "malformed" };
  const bits = BigInt("0x" + hex);
  const field = (shift, width) => Number((bits >> BigInt(shift)) & ((1n << BigInt(width)) - 1n));
  if (field(76, 4) !== 8) return { refused: "version" };
  if (field(62, 2) !== 2) return { refused: "variant" };
  if (field(46, 16) === 0) return { refused: "node_id" };
  return { bits, ms: field(80, 48), counter: field(64, 12), node_id: field(46, 16), random: field(0, 46) };
}

function readText(text) {
  demand(typeof text === "string", "an id is a text");
  const formed = /^[^-]{8}-[^-]{4}-[^-]{4}-[^-]{4}-[^-]{12}$/.test(text) && text.length === 36;
  return readHex(formed ? text.replaceAll("-", "") : "");
}

const refusedId = (reason) => ({ effect: "refused", reason });

function answerId(event) {
  switch (event.event) {
    case "encode": {
      keys(event, ["ms", "counter", "node_id", "random"]);
      const at = timestamp([event.ms, event.counter]);
      const id = idText(at, nodeId(event.node_id), whole("random", event.random, 0, MAX_RANDOM));
      return { effect: "id", id, bytes: id.replaceAll("-", "") };
    }
    case "decode": {
      keys(event, ["bytes" in event ? "bytes" : "id"]);
      demand(!("bytes" in event) || typeof event.bytes === "string", "bytes are a text of hexadecimal digits");
      const { refused, bits, ...fields } = "bytes" in event ? readHex(event.bytes) : readText(event.id);
      return refused ? refusedId(refused) : { effect: "fields", ...fields };
    }
    case "compare": {
      keys(event, ["a", "b"]);
      const [a, b] = [readText(event.a), readText(event.b)];
      if (a.refused || b.refused) return refusedId(a.refused || b.refused);
      return { effect: "order", order: a.bits < b.bits ? -1 : a.bits > b.bits ? 1 : 0 };
    }
    default:
      throw new Impossible(`unknown event ${event.event}`);
  }
}

// --- the clock -------------------------------------------------------------------------------------------

class Clock {
  constructor({ config = {}, node_id, bound = [0, 0] }) {
    for (const name of Object.keys(config)) demand(name in DEFAULTS, `unknown setting ${name}`);
    this.config = { ...DEFAULTS, ...config };
    const { max_drift_ms, max_ahead_ms, max_skew_ms, counters_per_ms, ...rest } = this.config;
    for (const value of [max_drift_ms, max_ahead_ms, max_skew_ms, ...Object.values(rest)]) {
      whole("setting", value, 1, MAX_MS);
    }
    whole("counters_per_ms", counters_per_ms, 1, MAX_COUNTER + 1);
    demand(max_ahead_ms + max_skew_ms <= max_drift_ms, "max_ahead_ms + max_skew_ms is more than max_drift_ms");
    this.durable = { node_id: nodeId(node_id), bound: timestamp(bound), retired: [] };
    this.volatile = null; // The node is down.
  }

  state() {
    return { up: this.volatile !== null, ...this.durable, ...this.volatile };
  }

  take(event) {
    const kind = typeof event.event === "string" ? RULES[event.event] : undefined;
    demand(kind !== undefined, `unknown event ${JSON.stringify(event.event)}`);
    keys(event, kind.keys, kind.optional);
    for (const name of ["wall", "monotonic"]) if (kind.keys.includes(name)) whole(name, event[name], 0, MAX_MS);
    kind.check?.(event);
    if (!kind.down) demand(this.volatile !== null, `${event.event}: the node is down`);
    if (kind.keys.includes("wall") && !kind.down) {
      if (this.volatile.stopping) return [{ effect: "refused", reason: "stopping" }];
      kind.before?.call(this, event);
      const jumped = event.wall - event.monotonic - this.volatile.anchor > this.config.max_drift_ms;
      this.volatile.suspended ||= jumped; // HLC.R10, on every reading.
    }
    return kind.rule.call(this, event);
  }

  candidate(wall) {
    const [ms, counter] = this.volatile.last;
    const full = counter >= this.config.counters_per_ms - 1;
    if (full && BUG === "stall-and-reset" && ms >= wall) return [wall + 1, 0];
    if (full && BUG === "no-carry") return later([ms, 0], [wall, 0]);
    return later(full ? [ms + 1, 0] : [ms, counter + 1], [wall, 0]); // HLC.R2, R3
  }

  believed({ wall, monotonic }) {
    const remembered = monotonic + this.volatile.anchor; // HLC.R6
    return this.volatile.suspended ? remembered : Math.max(wall, remembered);
  }

  present(event) {
    const believed = this.believed(event); // HLC.R6: by the wall clock, unless it was set back a long way
    return this.volatile.suspended || believed - event.wall > this.config.max_skew_ms ? believed : event.wall;
  }

  whyNot(at, wall) {
    if (this.volatile.suspended) return [{ effect: "refused", reason: "suspended", wall }];
    if (at[0] > MAX_MS) return [{ effect: "refused", reason: "exhausted", wall }]; // HLC.R17
    const ahead = at[0] - this.config.max_ahead_ms - wall; // HLC.R4
    return ahead > 0 ? [{ effect: "refused", reason: "ahead", retry_after_ms: ahead, wall }] : null;
  }

  reservation(ms) {
    const to = ms + this.config.reserve_ms; // HLC.R13
    return to > MAX_MS ? [MAX_MS, 4095] : [to, 0];
  }

  persist(bound) {
    this.volatile.promised = bound;
    return { effect: "persist", bound };
  }

  defer(needs) {
    const deferred = { effect: "deferred", needs };
    if (this.volatile.promised !== null) return [deferred];
    return [this.persist(this.reservation(needs[0])), deferred];
  }
}

const TIMES = ["wall", "monotonic"];

const RULES = {
  start: {
    keys: TIMES,
    down: true,
    rule({ wall, monotonic }) {
      demand(this.volatile === null, "start: the node is up");
      const { bound } = this.durable; // HLC.R14
      this.volatile = { last: bound, anchor: wall - monotonic, promised: null, suspended: false, stopping: false };
      return [];
    },
  },
  tick: {
    keys: TIMES,
    optional: ["random"],
    check: ({ random = 0 }) => whole("random", random, 0, MAX_RANDOM),
    rule({ wall, random = 0 }) {
      const at = this.candidate(wall);
      const refused = this.whyNot(at, wall);
      if (refused) return refused;
      if (after(at, this.durable.bound)) return this.defer(at); // HLC.R12
      this.volatile.last = at;
      return [{ effect: "issued", id: idText(at, this.durable.node_id, random), timestamp: at }];
    },
  },
  observe: {
    keys: [...TIMES, "remote", "sender"],
    check: ({ remote, sender }) => [timestamp(remote), nodeId(sender)],
    rule(event) {
      const { wall, remote, sender } = event;
      const limits = { drift: this.believed(event) + this.config.max_drift_ms, early: this.present(event) + this.config.max_ahead_ms - 1 };
      for (const [reason, limit] of Object.entries(limits)) {
        const retry_after_ms = remote[0] - limit;
        if (retry_after_ms > 0) return [{ effect: "refused", reason, retry_after_ms, wall, remote, sender }];
      }
      if (after(remote, this.durable.bound)) {
        if (this.volatile.suspended) return [{ effect: "refused", reason: "suspended", wall, remote, sender }];
        return this.defer(remote);
      }
      this.volatile.last = later(this.volatile.last, remote); // HLC.R5
      return [{ effect: "merged", last: this.volatile.last }];
    },
  },
  stamp: {
    keys: TIMES,
    rule(event) {
      const { last } = this.volatile; // HLC.R7
      const retry_after_ms = last[0] - this.config.max_ahead_ms - this.believed(event);
      if (retry_after_ms > 0) return [{ effect: "refused", reason: "ahead", retry_after_ms, wall: event.wall }];
      return [{ effect: "stamped", clock: last }];
    },
  },
  reserve: {
    keys: TIMES,
    rule({ wall }) {
      const at = this.candidate(wall);
      const refused = this.whyNot(at, wall);
      if (refused) return refused;
      const bound = this.reservation(at[0]);
      return this.volatile.promised === null && after(bound, this.durable.bound) ? [this.persist(bound)] : [];
    },
  },
  persisted: {
    keys: [],
    rule() {
      demand(this.volatile.promised !== null, "persisted: no write is under way");
      this.durable.bound = this.volatile.promised;
      this.volatile.promised = null;
      return [];
    },
  },
  confirm: {
    keys: TIMES,
    optional: ["operator", "peers"],
    check({ operator = false, peers = [] }) {
      demand(typeof operator === "boolean", "operator is true or false");
      demand(Array.isArray(peers) && peers.every((peer) => Array.isArray(peer) && peer.length === 2), "peers");
      for (const [node, wall] of peers) [nodeId(node), whole("wall", wall, 0, MAX_MS)];
      demand(new Set(peers.map(([node]) => node)).size === peers.length, "a peer is named twice");
    },
    before({ peers = [] }) {
      demand(!peers.some(([node]) => node === this.durable.node_id), "a node can not confirm its own clock");
    },
    rule({ wall, monotonic, operator = false, peers = [] }) {
      const agreeing = peers.filter(([, theirs]) => Math.abs(theirs - wall) <= this.config.max_skew_ms).length;
      if (!operator && agreeing < this.config.confirm_quorum) {
        return [{ effect: "refused", reason: "unconfirmed", wall }];
      }
      Object.assign(this.volatile, { anchor: wall - monotonic, suspended: false }); // HLC.R11
      return [{ effect: "confirmed" }];
    },
  },
  stop: {
    keys: [],
    rule() {
      const { last, promised, stopping } = this.volatile;
      if (stopping) return [{ effect: "refused", reason: "stopping" }];
      if (promised !== null) return [{ effect: "deferred", needs: last }];
      this.volatile.stopping = true; // HLC.R15
      return [this.persist(last)];
    },
  },
  crash: {
    keys: [],
    rule() {
      this.volatile = null;
      return [];
    },
  },
  retire: {
    keys: ["new_node_id"],
    down: true,
    check: ({ new_node_id }) => nodeId(new_node_id),
    rule({ new_node_id }) {
      demand(this.volatile === null, "retire: the node is up");
      const retired = [...this.durable.retired, this.durable.node_id]; // HLC.R16
      demand(!retired.includes(new_node_id), `node id ${new_node_id} was used here before`);
      this.durable = { node_id: new_node_id, bound: [0, 0], retired };
      return [];
    },
  },
};

// --- one line in, one line out ---------------------------------------------------------------------------

let clock = null; // null while part uuid8 is asked.

function answer(request) {
  try {
    if (request.hello !== undefined) {
      clock = request.hello.part === "hlc" ? new Clock(request.hello) : null;
      return { ok: true };
    }
    if (clock === null) return { effects: [answerId(request.event)], state: {} };
    return { effects: clock.take(request.event), state: clock.state() };
  } catch (error) {
    if (!(error instanceof Impossible)) throw error;
    return { error: error.message };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(JSON.stringify(answer(JSON.parse(line))) + "\n");
}
