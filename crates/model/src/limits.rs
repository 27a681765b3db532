//! Every wait has a limit, every queue a bound, every retry a count: this is where they have their names.

use std::time::Duration;

/// Longest line that a provider may send (a message with all its values), in bytes.
pub const PROVIDER_MESSAGE_BYTES: usize = 256 * 1024 * 1024;
/// How long a provider may take from its start to its answer to `initialize`.
pub const PROVIDER_START: Duration = Duration::from_secs(30);
/// How long one call of a provider may take before it is cancelled, unless the resource says otherwise.
pub const PROVIDER_CALL: Duration = Duration::from_secs(60 * 60);
/// How long a provider that was asked to stop may go on before it is killed.
pub const PROVIDER_STOP: Duration = Duration::from_secs(5);
/// How long the standard output of a provider that has ended in the middle of a call may be silent before it is given up: what it wrote
/// last may still be on its way, and a program that it has left behind may hold it open for ever.
pub const PROVIDER_LAST_OUTPUT: Duration = Duration::from_secs(5);
/// How long a program of the deployment (`exec`, a script of an operation) that was asked to stop may go on before it is killed.
pub const PROGRAM_STOP: Duration = Duration::from_secs(3);
/// Processes per (executable, arguments, configuration).
pub const PROVIDER_PROCESSES: usize = 4;
/// Requests that one provider process works on at once, unless its `initialize` says less.
pub const PROVIDER_CONCURRENCY: usize = 16;
/// Providers that are started at the same time to tell their schemas.
pub const SCHEMAS_AT_ONCE: usize = 16;
/// Bytes of a provider's standard error that are kept to be shown with a failure.
pub const PROVIDER_STDERR_BYTES: usize = 64 * 1024;
/// How often a transient failure of one operation is retried.
pub const OPERATION_RETRIES: u32 = 4;
/// First pause before a retry; each further one doubles, with jitter.
pub const OPERATION_BACKOFF: Duration = Duration::from_millis(250);
/// Longest pause before a retry.
pub const OPERATION_BACKOFF_MAX: Duration = Duration::from_secs(20);
/// Resources that are worked on at once, unless `--parallelism` says otherwise.
pub const PARALLELISM: usize = 10;
/// How long the evaluator may take to its first word (Nix starting, reading the root).
pub const EVALUATOR_START: Duration = Duration::from_secs(120);
/// Bytes of the evaluator's standard error kept for an error message.
pub const EVALUATOR_STDERR_BYTES: usize = 256 * 1024;
/// How deep an input is walked in search of its leaves.
pub const INPUT_DEPTH: usize = 64;
/// Longest member name in bytes.
pub const MEMBER_NAME_BYTES: usize = 1024;
/// Longest member path in segments.
pub const MEMBER_DEPTH: usize = 64;
/// Lease of the state lock: a holder that has not renewed for this long may be dispossessed.
pub const LOCK_LEASE: Duration = Duration::from_secs(60);
/// How often a holder renews its lease.
pub const LOCK_RENEW: Duration = Duration::from_secs(15);
/// Events after which the state log is given a snapshot.
pub const SNAPSHOT_EVENTS: u64 = 20_000;
/// Longest line of the state log in bytes.
pub const STATE_LINE_BYTES: usize = 256 * 1024 * 1024;
/// Bytes of a streamed operation's output that are recorded in history.
pub const HISTORY_OUTPUT_BYTES: usize = 16 * 1024;
/// Attempts of one request to a bucket, the first included.
pub const S3_ATTEMPTS: u32 = 6;
/// First pause before a request to a bucket is tried again; each further one doubles, with jitter.
pub const S3_BACKOFF: Duration = Duration::from_millis(100);
/// Longest pause before a request to a bucket is tried again.
pub const S3_BACKOFF_MAX: Duration = Duration::from_secs(5);
/// How long a bucket may take to accept a connection.
pub const S3_CONNECT: Duration = Duration::from_secs(10);
/// How long a bucket may be silent within a request before the attempt is given up.
pub const S3_SILENCE: Duration = Duration::from_secs(60);
/// How long a signature on a request is good for.
pub const S3_SIGNATURE: Duration = Duration::from_secs(15 * 60);
/// Largest object that is read into memory, in bytes.
pub const S3_OBJECT_BYTES: u64 = 1024 * 1024 * 1024;
/// Files larger than this are uploaded in parts, in bytes.
pub const S3_SINGLE_BYTES: u64 = 64 * 1024 * 1024;
/// Size of one part of a large upload, in bytes; grown when a file would need more parts than a store takes.
pub const S3_PART_BYTES: u64 = 16 * 1024 * 1024;
/// Parts that a store takes per upload.
pub const S3_PARTS: u64 = 10_000;
/// Connections to one store that are kept open between requests.
pub const S3_IDLE_CONNECTIONS: usize = 64;
/// Longest time that a gate, or the window after it, may take, in seconds.
pub const ROLLOUT_GATE_SECONDS: u32 = 24 * 60 * 60;
/// Longest pause between two looks of a gate, in seconds.
pub const ROLLOUT_INTERVAL_SECONDS: u32 = 60 * 60;
/// Most good looks in a row, or connections one after the other, that a gate may ask for.
pub const ROLLOUT_SUCCESSES: u32 = 100;
/// Longest identity of a release in bytes.
pub const ROLLOUT_RELEASE_BYTES: usize = 1024;
/// Most committed releases of a workload that can be asked to be kept.
pub const ROLLOUT_KEEP_RELEASES: u32 = 100;
/// Releases that were taken back and are remembered; the oldest is forgotten first.
pub const ROLLOUT_TAKEN_BACK: usize = 32;
/// Lines of the journal that the record of a rollout keeps, the newest.
pub const ROLLOUT_JOURNAL: usize = 100;
/// Longest reason that is kept in a record or an alert, in bytes.
pub const ROLLOUT_REASON_BYTES: usize = 4 * 1024;
/// Largest record of a rollout that is read, in bytes.
pub const ROLLOUT_RECORD_BYTES: usize = 16 * 1024 * 1024;
/// Attempts of one step that must succeed for a workload to be in order: committing, going back, stopping, writing the record.
pub const ROLLOUT_TRIES: u32 = 3;
/// Pause before such a step is tried again.
pub const ROLLOUT_PAUSE: Duration = Duration::from_secs(2);
/// Rollouts to one release that may break off before its activation, one after the other, before a person has to look.
pub const ROLLOUT_ATTEMPTS: u32 = 3;
/// How often one rollout is taken up again after a crash before its release is taken back.
pub const ROLLOUT_RESUMES: u32 = 5;
/// Most time that one step may count towards a deadline: a clock that leaps does not end a gate.
pub const ROLLOUT_LEAP: Duration = Duration::from_secs(60);
/// Longest text of a signing key or a signature in bytes.
pub const KEY_BYTES: usize = 1024;
/// Longest narinfo (a path with all its references) in bytes.
pub const NARINFO_BYTES: usize = 4 * 1024 * 1024;
/// Largest manifest that is read, in bytes.
pub const MANIFEST_BYTES: usize = 16 * 1024 * 1024;
/// Most services in one manifest.
pub const MANIFEST_SERVICES: usize = 10_000;
/// Longest name of a service in bytes: a unit's name is made of it.
pub const SERVICE_NAME_BYTES: usize = 64;
/// How long a supervisor of the runtime `process` may take from its start to its first answer.
pub const SUPERVISOR_START: Duration = Duration::from_secs(10);
/// How long a supervisor may take to answer a question; it may be ending its child meanwhile.
pub const SUPERVISOR_ANSWER: Duration = Duration::from_secs(60);
/// How long a process that was asked to end may go on before it is killed.
pub const PROCESS_STOP: Duration = Duration::from_secs(30);
/// Longest pause before a process that does not last is started again, unless its declaration says longer.
pub const PROCESS_PAUSE: Duration = Duration::from_secs(60);
/// A process that was started again counts as settled when it has run for this long since.
pub const PROCESS_SETTLED: Duration = Duration::from_secs(10);
/// A process that ran for this long is started again after the first pause, not a longer one.
pub const PROCESS_STEADY: Duration = Duration::from_secs(60);
/// Size from which on a log of the runtime `process` is moved aside at the next start.
pub const PROCESS_LOG_BYTES: u64 = 16 * 1024 * 1024;
/// Longest time that one look of a gate may take; what seems to be longer is a clock that leaps.
pub const ROLLOUT_LOOK: Duration = Duration::from_secs(60);
/// Largest object that a depot reads into memory (a manifest, a narinfo), in bytes.
pub const DEPOT_OBJECT_BYTES: u64 = 64 * 1024 * 1024;
/// How long a writer of a depot in a directory waits for the others.
pub const DEPOT_LOCK: Duration = Duration::from_secs(10);
/// Age after which an unfinished file in a depot is litter of a process that was killed.
pub const DEPOT_DRAFT_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// Questions to a cache under way at once (what is there, narinfos).
pub const CACHE_CHECKS: usize = 64;
/// NARs and narinfos on their way to or from a cache at once.
pub const CACHE_TRANSFERS: usize = 32;
/// NARs that are compressed at once, and threads that compress one large NAR, however many cores there are.
pub const CACHE_PACKERS: usize = 4;
/// NARs of at least this size are compressed by several threads, in bytes.
pub const CACHE_PARALLEL_BYTES: u64 = 32 * 1024 * 1024;
/// Memory that a decompressor may ask for, in bytes.
pub const CACHE_UNPACK_MEMORY: u64 = 128 * 1024 * 1024;
/// NARs whose file is larger are looked for before they are uploaded, in bytes: a question costs as much as a small upload.
pub const CACHE_ASK_BYTES: u64 = 1024 * 1024;
/// How long the local index may say of a path that a bucket has it before the bucket is asked again.
pub const CACHE_INDEX_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How often a push starts again because garbage was collected meanwhile.
pub const CACHE_ROUNDS: u32 = 4;
/// Paths of one pull or one verification.
pub const CACHE_PATHS: usize = 1_000_000;
/// Age below which a collection leaves alone what nobody refers to: a push may be about to.
pub const CACHE_GC_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// How often a publish is made again because a rival was faster.
pub const PUBLISH_TRIES: u32 = 12;
/// First pause before that; each further one doubles, with jitter.
pub const PUBLISH_PAUSE: Duration = Duration::from_millis(20);
/// How long a claim on the manifest holds, in stores without conditional writes.
pub const PUBLISH_CLAIM: Duration = Duration::from_secs(60);
/// How long a claim is left alone before it is read back.
pub const PUBLISH_SETTLE: Duration = Duration::from_millis(300);
/// Services that an agent rolls out at once.
pub const AGENT_ROLLOUTS: usize = 8;
/// Longest pause between two looks at a manifest that cannot be read, unless the agent looks less often anyway.
pub const AGENT_BACKOFF: Duration = Duration::from_secs(15 * 60);
/// Longest line of a unit file that systemd reads, in bytes.
pub const UNIT_LINE_BYTES: usize = 1024 * 1024;
/// How long systemd may take to answer one call; reading all units again is one.
pub const BUS_CALL: Duration = Duration::from_secs(180);
/// Signals of systemd that wait to be read.
pub const UNIT_SIGNALS: usize = 4096;
/// How long a unit may take to start or stop beyond what it says itself.
pub const UNIT_JOB: Duration = Duration::from_secs(60);
/// How long a unit may take to start or to stop when it does not say: systemd's own default.
pub const UNIT_TIMEOUT: Duration = Duration::from_secs(90);
/// How long the journal may be searched for the last words of a service.
pub const JOURNAL_WORDS: Duration = Duration::from_secs(2);
/// How long a program of the host (`systemd-sysusers`, `getent`) may take.
pub const HOST_PROGRAM: Duration = Duration::from_secs(30);
/// How long Caddy's admin API may take to accept a connection.
pub const ROUTER_CONNECT: Duration = Duration::from_secs(5);
/// How long Caddy may take for one request to its admin API; a write reloads its whole configuration.
pub const ROUTER_ANSWER: Duration = Duration::from_secs(60);
/// Largest answer of Caddy's admin API that is read, in bytes; Caddy itself takes 100 MB.
pub const ROUTER_ANSWER_BYTES: u64 = 100 * 1000 * 1000;
/// How often a look into Caddy's admin API is tried when the connection breaks.
pub const ROUTER_READS: u32 = 4;
/// How often routes are read, decided and written again because somebody else wrote meanwhile, the first time included.
pub const ROUTER_ATTEMPTS: u32 = 10;
/// First pause before that; each further one doubles, with jitter.
pub const ROUTER_PAUSE: Duration = Duration::from_millis(20);
/// Longest such pause.
pub const ROUTER_PAUSE_MAX: Duration = Duration::from_secs(1);
/// How long connections that were upgraded (such as WebSockets) live on when routes change, unless it is said otherwise.
pub const ROUTER_STREAM_CLOSE: Duration = Duration::from_secs(5 * 60);
/// Pause between two looks whether an upstream still has requests.
pub const ROUTER_DRAIN_PAUSE: Duration = Duration::from_millis(100);
/// Looks in a row that must see no request: for an instant after a change, Caddy may still take one by the routes before.
pub const ROUTER_DRAIN_LOOKS: u32 = 3;
/// Longest time that draining an upstream may be asked to take.
pub const ROUTER_DRAIN: Duration = Duration::from_secs(60 * 60);
/// Former upstreams of a service whose requests are still counted, the newest.
pub const ROUTER_FORMER: usize = 4;
/// Longest name of whom routes belong to, in bytes.
pub const ROUTER_OWNER_BYTES: usize = 32;
/// How long requests to an instance that is retired may go on.
pub const AGENT_DRAIN: Duration = Duration::from_secs(60);
