//! Every bound in the server, by name.
//!
//! A loop, a queue, a buffer or a table that is not bounded by a constant from this file (or by the
//! size of its input) is a bug. Names read from the general to the particular and end in the unit
//! and the qualifier, so that relatives sort together.

use std::time::Duration;

// ---- Names and messages ----

/// Octets of a name in wire form, the root's included (RFC 1035 section 2.3.4).
pub const NAME_LEN_MAX: usize = 255;

/// Labels of a name without the root: 127 of one octet each fill 254 octets.
pub const NAME_LABELS_MAX: usize = 127;

/// Octets of a label (RFC 1035 section 2.3.4).
pub const LABEL_LEN_MAX: usize = 63;

/// Octets of a reply over UDP to a client that did not say more (RFC 1035 section 4.2.1).
pub const UDP_REPLY_LEN_MIN: usize = 512;

/// Octets of a reply over UDP, and the payload size we announce: it passes every path with an
/// IPv6 minimum MTU unfragmented (RFC 9715 section 3.1).
pub const UDP_REPLY_LEN_MAX: usize = 1232;

/// Octets of a question over UDP that we read. A longer datagram is cut by the kernel and answered
/// with FORMERR: no question with all the options we know comes near.
pub const UDP_QUERY_LEN_MAX: usize = 2048;

/// Octets of a message over TCP: its length is a `u16` (RFC 1035 section 4.2.2).
pub const TCP_MESSAGE_LEN_MAX: usize = 65_535;

/// Names that one answer follows through CNAME and DNAME. A longer chain is cut off there, and
/// the resolver asks for the rest: the answer so far is true.
pub const CHAIN_LEN_MAX: usize = 16;

/// Records of one RRset: what a message of the greatest length could hold.
pub const RRSET_RECORDS_MAX: usize = 4096;

// ---- Steering ----

/// Pools of one steered name.
pub const POOLS_MAX: usize = 256;

/// Times that an overload is spread while that makes others leave for where there is room. Each brings
/// the loads nearer to where they would end; at this, what is left is less than an answer's chance.
pub const SPILL_PASSES_MAX: usize = 64;

/// Endpoints of one pool.
pub const POOL_ENDPOINTS_MAX: usize = 256;

/// Weight of a pool or an endpoint.
pub const WEIGHT_MAX: u32 = 65_535;

/// What the weights of one choice and its next choices add up to: beyond it their ratios are rounded,
/// by far less than an answer's chance.
pub const WEIGHT_SUM_MAX: u64 = 200_000_000_000;

/// Addresses in one answer, the greatest that `answers` may ask for.
pub const ANSWERS_MAX: usize = 32;

/// Addresses in one answer where `answers` is absent.
pub const ANSWERS_DEFAULT: usize = 8;

/// What a trickle is measured in: so many parts are all clients.
pub const TRICKLE_WHOLE: u64 = 10_000;

/// The greatest `capacity` and `demand`: beyond it a load of 1 would be lost in rounding.
pub const LOAD_MAX: f64 = 1e12;

/// What the weights of clients that spill are measured in: so many parts are all of them.
pub const SPILL_WHOLE: f64 = 1_000_000.0;

/// What `slack` may add to the shortest round trip: more than any round trip on earth takes.
pub const MARGIN_TIME_MAX: Duration = Duration::from_secs(10);

/// Kilometres that `slack` may add to the shortest way: nothing is farther away on earth.
pub const MARGIN_KM_MAX: u32 = 20_000;

/// Percent that `slack` may add to the best.
pub const MARGIN_PERCENT_MAX: u16 = 1000;

/// Bits of an IPv4 address that tell a sticky client from others.
pub const STICKY_V4_LEN: u8 = 24;

/// Bits of an IPv6 address that tell a sticky client from others.
pub const STICKY_V6_LEN: u8 = 56;

/// Aliases that lead to one another. `compile` refuses a loop; this bounds what it missed.
pub const ALIAS_DEPTH_MAX: usize = 8;

/// Octets of one line of an explanation in TXT (RFC 1035 section 3.3). What is longer is cut there.
pub const EXPLAIN_STRING_LEN_MAX: usize = 255;

/// The greatest TTL (RFC 2181 section 8).
pub const TTL_MAX: u32 = 0x7FFF_FFFF;

// ---- Files ----

/// Octets of one file. A zone of ten million records stays below; what is longer is not a zone.
pub const SOURCE_LEN_MAX: u64 = 1 << 30;

/// How deep lists and mappings lie in each other in a YAML file. The deepest that the file formats
/// know is 9.
pub const YAML_DEPTH_MAX: usize = 32;

/// Nodes that anchors and aliases of one YAML file stand for, all together, so that a short file
/// does not become a large tree.
pub const YAML_ALIAS_NODES_MAX: usize = 1 << 16;

/// Octets of a zone file that are read at once where it is long: the tree of the whole would take
/// more memory than the zone.
pub const ZONE_PIECE_LEN: usize = 256 << 10;

/// Pieces that are read before they are compiled. At the limit reading waits.
pub const ZONE_PIECES_WAITING_MAX: usize = 4;

/// Symbolic links that are followed from one file to where it really lies, as in the kernel; a
/// change of a further one is not noticed.
pub const LINKS_MAX: usize = 40;

/// How deep master files include each other.
pub const INCLUDE_DEPTH_MAX: usize = 8;

/// The greatest duration that a file may name.
pub const DURATION_MAX: Duration = Duration::from_hours(366 * 24);

/// Consecutive outcomes that `fall` or `rise` may ask for.
pub const CHECK_COUNT_MAX: u64 = 1000;

/// How deep checks of checks lie in each other.
pub const CHECK_DEPTH_MAX: usize = 8;

/// Probes that one check comes to when the checks in it are followed.
pub const CHECK_LEAVES_MAX: usize = 64;

/// Octets of a compiled `body_regex`.
pub const CHECK_PATTERN_LEN_MAX: usize = 1 << 20;
/// Samples that `latency.samples_min` may ask for.
pub const LATENCY_SAMPLES_MIN_MAX: u64 = 1_000_000;

/// The shortest `latency.half_life`: what is forgotten sooner was hardly measured.
pub const LATENCY_HALF_LIFE_MIN: Duration = Duration::from_secs(1);

/// The shortest `every` of a check: what is probed more often is a load and not a check.
pub const CHECK_EVERY_MIN: Duration = Duration::from_millis(100);

// ---- Counters ----

/// Cells of a page: of what is counted by zone, name and pool, so many are made at a time.
pub const CELL_PAGE_LEN: usize = 4096;

/// Pages of a thread: sixteen million cells, enough for more zones and names than a machine's memory
/// holds. What has no cell is answered and not counted.
pub const CELL_PAGES_MAX: usize = 4096;

// ---- UDP ----

/// Packets taken from a socket, and handed back to it, with one system call.
pub const UDP_BATCH_LEN: usize = 64;

/// Octets of the kernel's buffer for packets that wait to be read. It holds what arrives while
/// the thread is off its core.
pub const UDP_RECEIVE_BUFFER_LEN: usize = 8 << 20;

/// Octets that an operator may ask for instead, and for packets that wait to be sent. The kernel's
/// own least is not much less; a gigabyte per socket is more than a second of a full link.
pub const UDP_BUFFER_LEN_MIN: u64 = 4096;
/// See [`UDP_BUFFER_LEN_MIN`].
pub const UDP_BUFFER_LEN_MAX: u64 = 1 << 30;

/// Packet threads of one address that an operator may ask for.
pub const UDP_THREADS_MAX: u64 = 256;

/// The greatest number of a core: the kernel's sets of them have so many places.
pub const CORE_MAX: u64 = 1023;

/// How long a packet thread may ask an empty socket again and again. Waking it up takes a thousandth
/// of that.
pub const UDP_BUSY_POLL_MAX: Duration = Duration::from_millis(250);

/// How long a packet thread sleeps in the kernel before it looks whether it is to stop, or a
/// snapshot that it holds has been replaced.
pub const UDP_WAIT_MAX: Duration = Duration::from_millis(250);

/// How long a packet thread leaves a socket alone that would not give what it received: a lasting
/// error then costs nothing, a passing one little.
pub const UDP_ERROR_WAIT: Duration = Duration::from_millis(10);

// ---- TCP ----

/// Connections in all. A further one is accepted and closed at once.
pub const TCP_CONNECTIONS_MAX: usize = 4096;

/// Connections of one client: an IPv4 address or an IPv6 /64, which is what one host can have all
/// of. A further one is accepted and closed at once.
pub const TCP_CONNECTIONS_PER_CLIENT_MAX: usize = 64;

/// How long a connection may stay silent between questions (RFC 7766 section 6.2.3).
pub const TCP_IDLE_MAX: Duration = Duration::from_secs(10);

/// How long a begun message may take to arrive, and a reply to be taken.
pub const TCP_MESSAGE_WAIT_MAX: Duration = Duration::from_secs(5);

/// Connections that wait to be accepted; the kernel drops what comes beyond them.
pub const TCP_BACKLOG_LEN: i32 = 1024;

/// How long no connection is accepted after the process ran out of descriptors or memory.
pub const TCP_ACCEPT_WAIT: Duration = Duration::from_millis(100);

/// How long connections are still let in, and questions on them read, after the server was told to
/// stop: what was on its way then is answered.
pub const TCP_LAST_CALL: Duration = Duration::from_millis(100);

/// Octets taken from a connection at once.
pub const TCP_READ_LEN_MAX: usize = 16 << 10;

/// Octets of replies that are collected before they are written, and before more of the same
/// connection's questions are answered; the last reply may exceed them.
pub const TCP_WRITE_LEN_MAX: usize = 32 << 10;

// ---- The client of `evenkeel query` ----

/// Times a question is sent over UDP before we say that there is no answer.
pub const QUERY_TRIES_MAX: u32 = 3;

/// How long each of them waits, and how long an answer over TCP may take.
pub const QUERY_WAIT_MAX: Duration = Duration::from_secs(2);

// ---- Health ----

/// Executions of probes at one time. At the limit, what is due waits for the first that ends, in
/// the order in which it was due; none lasts longer than its timeout. 10,000 targets, all of them
/// black holes, take 3,000 at the default numbers.
pub const PROBES_IN_FLIGHT_MAX: usize = 4096;

/// Octets of a response's body that are read and judged.
pub const PROBE_BODY_LEN_MAX: usize = 1 << 20;

/// Host names that probes have the system look up at one time; each takes a thread until it is
/// over. At the limit a probe waits for its turn, at most for its timeout.
pub const PROBE_LOOKUPS_MAX: usize = 64;

/// Octets that a probe reads at once.
pub const PROBE_READ_LEN: usize = 4096;

/// Octets of a response's head, in HTTP/2 of its fields. A longer one is a failure.
pub const PROBE_HEAD_LEN_MAX: usize = 64 << 10;

/// Octets that a target may send over HTTP/2 before they were read.
pub const PROBE_WINDOW_LEN: u32 = 65_535;

/// Octets of a message of gRPC's health service; its longest is a few.
pub const PROBE_GRPC_LEN_MAX: usize = 256;

/// Octets of a report of a target's load. A longer one is not read.
pub const PROBE_LOAD_LEN_MAX: usize = 4096;

/// The greatest utilisation that is believed: a hundred times as much as a target can take.
pub const PROBE_UTILIZATION_MAX: f64 = 100.0;

/// A report of a target's load holds for so many times `every` of its check.
pub const LOAD_REPORT_PERIODS: u32 = 3;

/// Commands that run for probes at one time. At the limit a probe waits for its turn, at most for
/// its timeout.
pub const PROBE_COMMANDS_MAX: usize = 64;

/// Octets that a command may write. One that writes more has failed, and is ended.
pub const PROBE_COMMAND_OUTPUT_LEN_MAX: usize = 64 << 10;

/// The part of a certificate's life, at its end, in which the log says that it ends soon, is one
/// in this many.
pub const CERTIFICATE_WARN_PART: u64 = 6;

/// And at most this long.
pub const CERTIFICATE_WARN_BEFORE_MAX: Duration = Duration::from_hours(14 * 24);

/// How often the log says so of the same check of the same target.
pub const CERTIFICATE_WARN_EVERY: Duration = Duration::from_hours(24);

/// Of how many it is remembered that the log said so. Beyond them the log is full of it already.
pub const CERTIFICATE_WARNED_MAX: usize = 4096;

/// Over how long the first executions of many new probes are spread, so that a start or a great
/// reload is no burst, and the first round is over soon.
pub const PROBE_FIRST_SPREAD_MAX: Duration = Duration::from_secs(1);

/// Between the first executions of new probes, as long as there are few of them.
pub const PROBE_FIRST_GAP: Duration = Duration::from_millis(1);

/// The part of `every` by which a period is shortened at random is at most one in this many.
pub const PROBE_JITTER_DIVISOR: u32 = 16;

/// Targets that were up of which a prober has to lose most before it doubts itself. Fewer may well
/// fail together.
pub const BLIND_TARGETS_MIN: usize = 4;

/// Control targets of a prober.
pub const CONTROL_TARGETS_MAX: usize = 16;

/// How often each of them is probed.
pub const CONTROL_EVERY: Duration = Duration::from_secs(5);

/// When the probe of one counts as failed.
pub const CONTROL_TIMEOUT: Duration = Duration::from_secs(2);

/// Changes of a verdict that `flap` may ask for; that many times are remembered per target.
pub const FLAP_CHANGES_MAX: u64 = 100;

/// Outcomes that are remembered of each probe, to be shown: ten minutes at the default `every`, in 1 KiB.
pub const OUTCOMES_KEPT_MAX: usize = 60;

/// Reports of outcomes that wait to be taken in. At the limit the prober waits.
pub const REPORTS_WAITING_MAX: usize = 1024;

// ---- The API ----

/// Connections to the API at one time. A further one waits until one of them ends.
pub const API_CONNECTIONS_MAX: usize = 128;

/// How long a connection may take for the head of a call, and stay silent between two.
pub const API_HEADER_WAIT_MAX: Duration = Duration::from_secs(30);

/// How long a call may take. A reload of ten million records takes less.
pub const API_CALL_WAIT_MAX: Duration = Duration::from_mins(2);

/// Fields of a call's head. A call with more is answered with 431.
pub const API_HEADERS_MAX: usize = 64;

/// Octets of a call's head, its path included. A call with more is answered with 431 or 414.
pub const API_HEAD_LEN_MAX: usize = 16 << 10;

/// Calls of one client per second, in the long run. What comes beyond them is answered with 429. A
/// dashboard makes a few.
pub const API_CALLS_PER_S_MAX: f64 = 50.0;

/// Calls that a client may make at once who has made none for a while.
pub const API_CALLS_AT_ONCE_MAX: f64 = 200.0;

/// Clients whose calls are counted one by one. Those beyond them are counted together.
pub const API_CLIENTS_MAX: usize = 4096;

/// Tokens of callers: each call is compared with all of them.
pub const API_KEYS_MAX: usize = 256;

/// Octets of the name of a token.
pub const API_KEY_NAME_LEN_MAX: usize = 64;

/// Octets of a token that an operator thought of himself. A shorter one is guessed.
pub const API_TOKEN_LEN_MIN: usize = 12;

/// Octets of a call's body.
pub const API_BODY_LEN_MAX: usize = 4 << 20;

/// Calls that wait for the control loop. At the limit a call waits.
pub const API_REQUESTS_WAITING_MAX: usize = 64;

/// Refused lines of a body of which the reason is told.
pub const API_REASONS_MAX: usize = 10;

/// How long a command waits for the server's answer: somewhat longer than the server does.
pub const API_CLIENT_WAIT_MAX: Duration = Duration::from_secs(130);

/// How often `status --watch` may ask at most.
pub const WATCH_INTERVAL_MIN: Duration = Duration::from_millis(100);

/// Names that `status --watch` shows at most; it asks for the zones of these alone.
pub const WATCHED_NAMES_MAX: usize = 100;

// ---- Measured round trips ----

/// Bits of an IPv4 address by which round trips are told apart; what comes with more is taken for
/// its block. A wider block that is given as such is kept as it is.
pub const LATENCY_V4_LEN: u8 = 24;

/// Bits of an IPv6 address by which round trips are told apart.
pub const LATENCY_V6_LEN: u8 = 48;

/// The widest IPv4 block that a sample may be of: what is wider has no round trip of its own.
pub const LATENCY_V4_LEN_MIN: u8 = 8;

/// The widest IPv6 block that a sample may be of.
pub const LATENCY_V6_LEN_MIN: u8 = 16;

/// Milliseconds of a round trip: what takes longer is a fault and not a distance.
pub const LATENCY_MS_MAX: f64 = 10_000.0;

/// Networks with round trips of their own. At the limit those with the fewest samples go, where an
/// old sample counts less than a new one: what is known well stays, and a flood of networks that
/// are seen once displaces its like.
pub const LATENCY_NETWORKS_MAX: usize = 100_000;

/// Pairs of an autonomous system and a country with round trips of their own, and countries; at
/// the limit it is as with networks.
pub const LATENCY_SYSTEMS_MAX: usize = 50_000;

/// At a limit, one in so many goes at once, so that making room is rare.
pub const LATENCY_ROOM_DIVISOR: usize = 8;

/// Samples that a smoothed round trip rests on at most. Beyond it old ones give way faster than by
/// age, so that a busy network follows within a thousand samples.
pub const LATENCY_WEIGHT_MAX: f32 = 1000.0;

/// How far above or below the smoothed round trip a sample counts in full, as a factor. What lies
/// beyond is taken for that: a lost packet is not a longer way.
pub const LATENCY_OUTLIER_FACTOR: f32 = 4.0;

/// What is left of samples when they are forgotten.
pub const LATENCY_WEIGHT_MIN: f32 = 0.5;

/// Samples that one line may stand for.
pub const LATENCY_LINE_SAMPLES_MAX: u32 = 1_000_000;

/// Least time between two publications of round trips, since each has clients looked at anew.
pub const LATENCY_PUBLISH_PAUSE: Duration = Duration::from_secs(5);

/// How often round trips are looked through when no sample came: they age even so.
pub const LATENCY_AGE_EVERY: Duration = Duration::from_mins(1);

/// Endpoints of which is told that one probe changed their verdict; of how many more, is counted.
/// Were all told when a hundred thousand names rest on one probe, the telling would keep the change
/// from being served.
pub const EVENTS_PER_CHANGE_MAX: usize = 1000;

/// Steps of a ramp.
pub const RAMP_STEPS_MAX: usize = 20;

/// The shortest step of a ramp: how often it is looked whether one is over
/// ([`SNAPSHOTS_SWEEP_EVERY`]).
pub const RAMP_EVERY_MIN: Duration = Duration::from_secs(1);

/// Names that are decided together from which on it is worth while to look which of them are alike.
pub const LIKES_NAMES_MIN: usize = 64;

/// Characters of each text that an operator says of an override or a dial.
pub const OPERATOR_TEXT_LEN_MAX: usize = 1024;

/// How long an operator's word may take to be on the disk. After that he is told that it does not
/// hold.
pub const STATE_COMMIT_WAIT_MAX: Duration = Duration::from_secs(5);

// ---- Publishing ----

/// Between two snapshots. What changes within it goes out together, and well within the 100 ms
/// in which a verdict has to be published.
pub const PUBLISH_PAUSE: Duration = Duration::from_millis(20);

/// Replaced snapshots that are kept until no packet thread holds them. At the limit the oldest is
/// let go, and a packet thread that still holds it is the one to free it: that costs it some
/// time and nothing else.
pub const SNAPSHOTS_RETIRED_MAX: usize = 256;

/// How often replaced snapshots are looked through for those that nobody holds any more.
pub const SNAPSHOTS_SWEEP_EVERY: Duration = Duration::from_secs(1);

// ---- State on disk ----

/// Names of which it is told what would follow from an act of an operator; of the others, how many
/// there are.
pub const FORESEEN_NAMES_MAX: usize = 100;

/// Acts of operators that wait for the one that is being written. At the limit a further one is
/// refused.
pub const OPERATORS_WAITING_MAX: usize = 64;

/// How long what waits to be written is collected before it is. What an operator said is written at
/// once; of the rest a crash takes at most this, and the time that a write takes.
pub const STATE_WRITE_PAUSE: Duration = Duration::from_millis(500);

/// How long a write that failed is not tried again, unless an operator has something to say.
pub const STATE_RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Acts of operators that wait to be written. At the limit a further one is refused.
pub const STATE_ACTS_WAITING_MAX: usize = 1024;

/// How often what was measured is written; between two times a crash takes it.
pub const STATE_LATENCY_EVERY: Duration = Duration::from_mins(1);

/// Octets of the file that are kept in memory.
pub const STATE_CACHE_LEN: usize = 8 << 20;

// ---- Events ----

/// Events that are kept, in memory and on disk. At the limit the oldest is let go.
pub const EVENTS_KEPT_MAX: usize = 10_000;

/// Ids that are not given after a start, so that none that a crash took is given twice: more events
/// than happen in a second.
pub const EVENTS_SKIPPED: u64 = 10_000;

/// Events that a follower may be behind. Who is slower misses some, and is told how many.
pub const EVENTS_BEHIND_MAX: usize = 1024;

/// Octets of each text of an event.
pub const EVENT_TEXT_LEN_MAX: usize = 1024;

/// Events of one page of the API, where `limit` is absent, and the most that it may ask for.
pub const API_EVENTS_DEFAULT: usize = 100;
/// See [`API_EVENTS_DEFAULT`].
pub const API_EVENTS_MAX: usize = 1000;

/// Who may follow the events at one time: each takes a connection of the API for as long.
pub const API_STREAMS_MAX: usize = 32;

/// How long a stream of events may be silent before it says that it is still there.
pub const API_STREAM_KEEP_ALIVE: Duration = Duration::from_secs(15);

// ---- Metrics ----

/// Pools of steered names that metrics tell one by one, in the order of the files, with all pools of a
/// name or none. The others are summed, by region.
pub const METRICS_POOLS_MAX: usize = 2000;

/// Zones that metrics tell one by one, in the order of the files. The others are summed.
pub const METRICS_ZONES_MAX: usize = 1000;

/// Checks whose probes metrics tell one by one: those that were executed first. The others are summed.
pub const METRICS_CHECKS_MAX: usize = 256;

/// How long metrics wait for the control loop. Beyond that they come without what it alone knows.
pub const METRICS_WAIT_MAX: Duration = Duration::from_secs(2);

// ---- Webhooks ----

/// Webhooks in all.
pub const WEBHOOKS_MAX: usize = 16;

/// Octets of a webhook's address, and of its secret.
pub const WEBHOOK_URL_LEN_MAX: usize = 2048;
/// See [`WEBHOOK_URL_LEN_MAX`].
pub const WEBHOOK_SECRET_LEN_MAX: usize = 1024;

/// Events that wait for one webhook. At the limit the oldest is let go, and counted.
pub const WEBHOOK_EVENTS_WAITING_MAX: usize = 1000;

/// Times an event is sent before it is let go. With the waits below that is five minutes.
pub const WEBHOOK_TRIES_MAX: u32 = 10;

/// How long the receiver may take.
pub const WEBHOOK_WAIT_MAX: Duration = Duration::from_secs(10);

/// Between the first two tries; twice as long between the next two, and so on.
pub const WEBHOOK_BACKOFF_MIN: Duration = Duration::from_secs(1);

/// The longest time between two tries.
pub const WEBHOOK_BACKOFF_MAX: Duration = Duration::from_mins(1);

// ---- Life ----

/// Ports tried when the kernel may choose one and gives one that is free over TCP alone.
pub const BIND_TRIES_MAX: usize = 16;

/// Threads for probes, reloads and publishing. The cores belong to the packet threads.
pub const CONTROL_THREADS: usize = 2;

/// How long the server finishes what it has begun after it was told to stop.
pub const DRAIN_WAIT_MAX: Duration = Duration::from_secs(10);

/// How often the service manager hears that the control loop still turns. The unit asks for less:
/// `WatchdogSec` is a minute.
pub const WATCHDOG_EVERY: Duration = Duration::from_secs(10);

/// Least time between two questions in the log that were lost to a bug, per packet thread.
pub const PANIC_LOG_EVERY: Duration = Duration::from_mins(1);

/// Zone files that changed which are followed one by one, on one thread; if more did, all are gone
/// through, on all.
pub const ZONES_AGAIN_MAX: usize = 64;

/// By how much threads that read files and free what was replaced give way to those that answer:
/// beside one of these on the same core they get about a tenth of it.
pub const GIVE_WAY_NICE: i32 = 10;

/// How long changes of files settle before they are read, so that a save in several steps
/// leads to one reload.
pub const RELOAD_SETTLE: Duration = Duration::from_millis(200);

/// How long changes that do not end may put a reload off.
pub const RELOAD_SETTLE_MAX: Duration = Duration::from_secs(2);

/// How long a new process that takes over may take to get ready, while the running one goes on as
/// ever. It has read the files before; a zone of ten million records is laid out in less.
pub const TAKEOVER_PREPARE_MAX: Duration = Duration::from_mins(2);

/// How long a process that takes over may hold things up: from the moment in which it has the word
/// to the one in which it answers. Questions are answered meanwhile, but verdicts stay as they are.
pub const TAKEOVER_WAIT_MAX: Duration = Duration::from_secs(10);

/// How long a new process that does not know whether there is another one waits for its answer.
pub const TAKEOVER_GREETING_WAIT_MAX: Duration = Duration::from_secs(5);

/// Sockets in one message between the two. The kernel takes 253.
pub const TAKEOVER_SOCKETS_PER_MESSAGE: usize = 64;

/// Sockets in all that one process gives to another. Beyond them the new one refuses: no machine
/// has as many cores and addresses.
pub const TAKEOVER_SOCKETS_MAX: usize = 16_384;

/// Octets of a message between the two: the state of a million probes and all the round trips and
/// events that are kept.
pub const TAKEOVER_MESSAGE_LEN_MAX: usize = 512 << 20;

// ---- The demo ----

/// Questions that the client of `evenkeel demo` asks at one go: enough for shares within a few
/// points, few enough to leave the machine to the person who watches.
pub const DEMO_QUESTIONS: usize = 1000;

/// From one go to the next.
pub const DEMO_EVERY: Duration = Duration::from_millis(500);

/// How long a question of the demo's client waits for its reply.
pub const DEMO_REPLY_WAIT_MAX: Duration = Duration::from_millis(500);

/// How long the server of the demo may take until it answers.
pub const DEMO_START_WAIT_MAX: Duration = Duration::from_secs(20);

/// Attempts at finding a port that is free on the addresses of all regions, and a folder that is
/// not there yet.
pub const DEMO_TRIES_MAX: usize = 16;

const _: () = {
    // Those who follow the events leave room for other calls.
    assert!(API_STREAMS_MAX < API_CONNECTIONS_MAX / 2);
    // A reply over UDP may not be smaller than what every client takes.
    assert!(UDP_REPLY_LEN_MIN <= UDP_REPLY_LEN_MAX);
    // The weights of a pool's endpoints are added up in a `u32`.
    assert!((POOL_ENDPOINTS_MAX as u64) * (WEIGHT_MAX as u64) <= u32::MAX as u64);
    // A pool and an endpoint are numbered in a `u16`.
    assert!(POOLS_MAX <= 1 << 16 && POOL_ENDPOINTS_MAX <= 1 << 16);
    // A name's length and its labels are counted in a `u8`.
    assert!(NAME_LEN_MAX <= u8::MAX as usize && NAME_LABELS_MAX < NAME_LEN_MAX);
    assert!(ANSWERS_DEFAULT <= ANSWERS_MAX);
    // A margin is counted in microseconds or metres in a `u32`, a trickle in a `u16`.
    assert!(MARGIN_TIME_MAX.as_micros() <= u32::MAX as u128);
    assert!(MARGIN_KM_MAX <= u32::MAX / 1000);
    assert!(TRICKLE_WHOLE <= u16::MAX as u64);
    // Weights are scaled by shares and trickles, and summed in a `u64`; those of a chain of choices
    // are multiplied with each other, and with a share (`steer::SHARE_WHOLE`, of ten thousand).
    assert!((POOLS_MAX as u64) * (WEIGHT_MAX as u64) * 10_000 <= WEIGHT_SUM_MAX);
    assert!(WEIGHT_SUM_MAX * TRICKLE_WHOLE <= u64::MAX / 2);
    assert!((WEIGHT_SUM_MAX as u128).pow(3) * 10_000 <= u128::MAX / 2);
    // A verdict is published within 100 ms, with room for the work itself.
    assert!(PUBLISH_PAUSE.as_millis() <= 50);
    // A packet thread lets go of a snapshot within its wait, so that in practice no more are
    // retired at one time than are published meanwhile.
    assert!(
        UDP_WAIT_MAX.as_millis() / PUBLISH_PAUSE.as_millis() < SNAPSHOTS_RETIRED_MAX as u128 / 2
    );
    assert!(API_CALL_WAIT_MAX.as_millis() < API_CLIENT_WAIT_MAX.as_millis());
    assert!(LATENCY_V4_LEN_MIN <= LATENCY_V4_LEN && LATENCY_V6_LEN_MIN <= LATENCY_V6_LEN);
    assert!(LATENCY_PUBLISH_PAUSE.as_millis() <= LATENCY_AGE_EVERY.as_millis());
    assert!(SNAPSHOTS_SWEEP_EVERY.as_millis() <= RAMP_EVERY_MIN.as_millis());
    assert!(RELOAD_SETTLE.as_millis() < RELOAD_SETTLE_MAX.as_millis());
};
