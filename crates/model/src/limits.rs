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
/// Questions (reads, plans) on their way to providers: enough to keep them busy, few enough to bound the queue.
pub const QUESTIONS_AT_ONCE: usize = 256;
/// Outputs after which the evaluator is told of them although there is other work left: each telling evaluates the root again.
pub const OUTPUTS_AT_ONCE: usize = 1_000;
/// How long the engine waits for news before it looks at its timers again; nothing ends by it.
pub const MAIL: Duration = Duration::from_secs(60 * 60);
/// How often it is looked whether the operator wants to stop an operation (`run`).
pub const INTERRUPT_LOOK: Duration = Duration::from_millis(50);
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
/// How long what waits for a store may still end well after the operator asked to stop.
pub const S3_GIVE_UP: Duration = Duration::from_secs(2);
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
/// Rollouts to one release that may break off for reasons beside it, one after the other, before a person has to look.
pub const ROLLOUT_ATTEMPTS: u32 = 3;
/// How often one rollout is taken up again after a crash before its release is taken back.
pub const ROLLOUT_RESUMES: u32 = 5;
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
pub const SUPERVISOR_START: Duration = Duration::from_secs(60);
/// How long a supervisor may take to answer a question; it may be ending its child meanwhile.
pub const SUPERVISOR_ANSWER: Duration = Duration::from_secs(60);
/// How long a process that was asked to end may go on before it is killed.
pub const PROCESS_STOP: Duration = Duration::from_secs(30);
/// How long what a process has left behind may go on before it is killed, when it was asked to end.
pub const PROCESS_STRAYS: Duration = Duration::from_secs(5);
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
/// How long a writer of a depot in a directory waits for the others, each of whom may wait for a slow disk.
pub const DEPOT_LOCK: Duration = Duration::from_secs(60);
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
/// How long the mark of a collection holds without being renewed: pushes wait that long for one that was killed.
pub const CACHE_GC_LEASE: Duration = Duration::from_secs(2 * 60);
/// How often a collection renews its mark.
pub const CACHE_GC_RENEW: Duration = Duration::from_secs(10);
/// How often a push that waits for a collection looks whether it has ended.
pub const CACHE_GC_LOOK: Duration = Duration::from_millis(500);
/// How long a pull waits for another one of the same paths.
pub const CACHE_STAGING_WAIT: Duration = Duration::from_secs(60 * 60);
/// Age after which what a pull has staged is litter: nobody has come to take it up.
pub const CACHE_STAGING_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// What the compressed file of a NAR may have beyond the NAR itself and a sixteenth of it, in bytes.
pub const CACHE_FILE_SLACK: u64 = 64 * 1024;
/// Connections that a cache over HTTP serves at once, a thread each; further ones wait.
pub const CACHE_SERVE_CONNECTIONS: usize = 128;
/// How long a client of a cache over HTTP may take for a request, and be silent while it is answered.
pub const CACHE_SERVE_SILENCE: Duration = Duration::from_secs(30);
/// Bytes that a request to a cache over HTTP may have.
pub const CACHE_SERVE_HEAD_BYTES: usize = 16 * 1024;
/// How long a push waits for collections altogether.
pub const CACHE_GC_WAIT: Duration = Duration::from_secs(60 * 60);
/// How often a publish is made again because a rival was faster.
pub const PUBLISH_TRIES: u32 = 12;
/// First pause before that; each further one doubles, with jitter.
pub const PUBLISH_PAUSE: Duration = Duration::from_millis(20);
/// How long a claim on the manifest holds, in stores without conditional writes.
pub const PUBLISH_CLAIM: Duration = Duration::from_secs(60);
/// Archived manifests that a publisher asks for the highest serial.
pub const PUBLISH_ARCHIVED_ASKED: usize = 4;
/// Names that are tried for an archived manifest whose own is taken by another one.
pub const PUBLISH_ARCHIVED_BESIDE: u16 = 100;
/// How long a claim is left alone before it is read back.
pub const PUBLISH_SETTLE: Duration = Duration::from_millis(300);
/// Services that an agent rolls out at once.
pub const AGENT_ROLLOUTS: usize = 8;
/// How long a rollout that is about to start something waits for others of its round, to let systemd read their units with its own.
pub const AGENT_TOGETHER: Duration = Duration::from_secs(1);
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
pub const JOURNAL_WORDS: Duration = Duration::from_secs(10);
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
/// How long ago a file must have been changed before its times tell it from any later version: file systems stamp by the second at worst.
pub const FILE_SETTLED: Duration = Duration::from_secs(2);
/// How long a lock that somebody else has is waited for, before it counts as theirs.
pub const LOCK_PATIENCE: Duration = Duration::from_secs(2);
/// Rounds in a row without the manifest after which an alert stands.
pub const AGENT_MANIFEST_FAILURES: u32 = 3;
/// Between two looks of a waiting agent whether its routes are still there.
pub const AGENT_ROUTES_LOOK: Duration = Duration::from_secs(2);
/// How long requests to an instance that is retired may go on.
pub const AGENT_DRAIN: Duration = Duration::from_secs(60);
/// Largest text file of a recipe or an app (`.env`, `abra.sh`, compose) that is read, in bytes.
pub const RECIPE_FILE_BYTES: usize = 4 * 1024 * 1024;
/// How long one conversation of `git` with a recipe's repository may take.
pub const RECIPE_FETCH: Duration = Duration::from_secs(5 * 60);
/// How long `git` may take to answer a question about what is here already.
pub const RECIPE_READ: Duration = Duration::from_secs(60);
/// How long a fetch waits for another one of the same recipe: as long as that may take, and a little.
pub const RECIPE_LOCK: Duration = Duration::from_secs(6 * 60);
/// Largest mirror of a recipe's repository, in bytes.
pub const RECIPE_MIRROR_BYTES: u64 = 1024 * 1024 * 1024;
/// Most files of a recipe at one version.
pub const RECIPE_TREE_FILES: usize = 10_000;
/// Largest recipe at one version, all files together, in bytes.
pub const RECIPE_TREE_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes of what `git` says that are kept for a message.
pub const RECIPE_STDERR_BYTES: usize = 64 * 1024;
/// Longest time between two reports of a host that is told to report, whether or not there is news.
pub const AGENT_REPORT_EVERY: Duration = Duration::from_secs(5 * 60);
/// Age from which on a report says nothing of a host that nobody has named: it may be gone.
pub const REPORT_FRESH: Duration = Duration::from_secs(15 * 60);
/// How long a server may take for one report.
pub const REPORT_REQUEST: Duration = Duration::from_secs(30);
/// Pause before a report that could not be written is tried again.
pub const REPORT_RETRY: Duration = Duration::from_secs(10);
/// How long an agent that ends waits for its last report to be written.
pub const REPORT_LAST: Duration = Duration::from_secs(30);
/// How long `publish --wait` waits for hosts, unless it is told otherwise.
pub const PUBLISH_WAIT: Duration = Duration::from_secs(10 * 60);
/// Pause between two looks at the reports of hosts.
pub const PUBLISH_LOOK: Duration = Duration::from_secs(1);
/// How long somebody who asks an agent for its status may take to ask, and to read the answer.
pub const STATUS_REQUEST: Duration = Duration::from_secs(5);
/// Longest head of such a request, in bytes.
pub const STATUS_REQUEST_BYTES: usize = 8 * 1024;
/// Such requests at once.
pub const STATUS_CONNECTIONS: usize = 8;
/// How often a log that is followed is looked at.
pub const LOG_LOOK: Duration = Duration::from_millis(100);
/// How long one question to Docker's API may take.
pub const DOCKER_CALL: Duration = Duration::from_secs(60);
/// How long `ssh` may take to reach the host of a Docker, as the docker CLI has it.
pub const DOCKER_DIAL: Duration = Duration::from_secs(30);
/// How long `sops` may take to decrypt a value: a key service may have to be asked, and the app is locked meanwhile.
pub const SOPS: Duration = Duration::from_secs(5 * 60);
/// How long is waited for what an `ssh` that gave no connection has to say, and a service that crashed.
pub const DOCKER_LAST_WORDS: Duration = Duration::from_secs(2);
/// How long the docker CLI may take to compose a stack, or to say which endpoint a context has.
pub const DOCKER_COMPOSE: Duration = Duration::from_secs(60);
/// How long `docker stack deploy` may take to hand a stack in; it asks registries for digests.
pub const DOCKER_DEPLOY: Duration = Duration::from_secs(10 * 60);
/// How long the pull of one image may take.
pub const DOCKER_PULL: Duration = Duration::from_secs(60 * 60);
/// How long the copy of one volume may take.
pub const DOCKER_COPY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long the tasks, containers and networks of a stack may take to be gone after its services were removed.
pub const SWARM_GONE: Duration = Duration::from_secs(5 * 60);
/// How long networks of a stack that comes back soon may take to be gone; what is left then is used again.
pub const SWARM_REST: Duration = Duration::from_secs(10);
/// Between two looks at a Swarm that is waited for.
pub const SWARM_PAUSE: Duration = Duration::from_millis(200);
/// Tasks of one service that may fail since its deploy, without one that runs, before it counts as crashing for ever.
pub const SWARM_CRASHES: usize = 10;
/// How long a command that a recipe runs around a backup may take: dumps of databases.
pub const APP_HOOK: Duration = Duration::from_secs(2 * 60 * 60);
/// Most bytes of a recipe's `abra.sh` that can be handed to a shell: Linux takes 128 KiB as one argument.
pub const APP_SCRIPT_BYTES: usize = 120 * 1024;
/// How long no task may have failed before a stack that was sent counts as settled: what docker/cli waits for, too.
pub const SWARM_CALM: Duration = Duration::from_secs(5);
/// How much longer than it watches Swarm may take to say that an update is done, when all of its tasks run: it can forget to.
pub const SWARM_LATE: Duration = Duration::from_secs(10);
/// How long Swarm waits for a task that another one replaces to be gone before it starts the other (swarmkit's
/// `defaultOldTaskTimeout`); a task that found no node never goes.
pub const SWARM_OLD_TASK: Duration = Duration::from_secs(60);
/// How long a connection has to stay open to count: a proxy in front takes it also where nobody listens, and drops it at once.
pub const TCP_STAYS_OPEN: Duration = Duration::from_secs(1);
/// Bytes of what the docker CLI says that are kept for a message.
pub const DOCKER_WORDS_BYTES: usize = 16 * 1024;
/// Largest composed stack, in bytes.
pub const DOCKER_STACK_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of logs that are printed at most when they are not followed.
pub const DOCKER_LOG_BYTES: usize = 64 * 1024 * 1024;
/// Most bytes of a file with certificate authorities.
pub const AUTHORITIES_BYTES: usize = 16 * 1024 * 1024;
/// Bytes that have to be free where Docker keeps images before one is fetched.
pub const IMAGE_ROOM_BYTES: u64 = 1024 * 1024 * 1024;
/// Inodes that have to be free there.
pub const IMAGE_ROOM_INODES: u64 = 20_000;
/// Inodes that have to be free where a copy of volumes goes: a few archives.
pub const SNAPSHOT_INODES: u64 = 64;
