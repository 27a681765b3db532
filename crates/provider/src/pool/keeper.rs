//! The keeper: the one thread that owns processes and calls, and decides who does what when.
//!
//! `run` waits for an order (from the pool's users and from the processes' threads) or for the next deadline. A *group* is
//! all that shares one launch. Every call ends exactly once, in [`Keeper::finish`].

mod ends;
mod time;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use freehold_model::ErrorKind;
use freehold_protocol::v1::{self, ErrorObject, Id, LogLevel, Message};
use freehold_protocol::{ProviderSchema, v0};
use serde_json::{Map, Value as Json};

use super::process::{Heard, Outgoing, Process, ProcessId};
use super::{CallId, Callback, v0 as old, v1 as wire};
use crate::redact::Redactor;
use crate::{Call, CallError, CallEvent, Launch, PoolOptions, ProtocolChoice, ProviderError, Reply, Request, Scene};

/// How long the pipes of a process that has ended and owes no answer may still bring something (a grandchild may hold them open for ever).
/// On a busy machine its last words are read a good while after its end is known.
const PIPES_AFTER_EXIT: Duration = Duration::from_secs(2);
/// Ids of the handshake.
const INITIALIZE: u64 = 1;
const CONFIGURE: u64 = 2;
/// Ids of calls start here. One that is counted up never gets to [`Id::LARGEST`].
pub(super) const FIRST_CALL: u64 = 3;

/// What the keeper is told.
#[allow(clippy::large_enum_variant, reason = "it is moved once, through a channel")]
pub(crate) enum Order {
    Submit { id: CallId, launch: Box<Launch>, request: Box<Request>, on_event: Callback },
    Cancel(CallId),
    KillAll,
    Shutdown,
    Heard(ProcessId, Heard),
}

pub(crate) struct Keeper {
    options: PoolOptions,
    orders: Sender<Order>,
    inbox: Receiver<Order>,
    groups: Vec<Group>,
    running: BTreeMap<ProcessId, Running>,
    calls: HashMap<CallId, Pending>,
    next_process: u64,
    closing: Option<Instant>,
    redactor: Redactor,
}

/// All that shares one launch.
struct Group {
    launch: Launch,
    cwd: PathBuf,
    queue: VecDeque<CallId>,
    protocol: ProtocolChoice,
    schema: Option<Arc<ProviderSchema>>,
    /// It has answered in protocol v0 once, or is said to speak it.
    is_known_as_old: bool,
}

/// A process and what it is doing.
struct Running {
    group: usize,
    process: Process,
    phase: Phase,
    /// Calls it works on, and until when each may take.
    calls: BTreeMap<CallId, Instant>,
    concurrency: usize,
    identity: v1::Program,
    /// When the present phase (starting, closing, exited) is over, or since when it is idle.
    since: Instant,
    output_open: bool,
    talk_open: bool,
    /// Whether it has been through the handshake (always, for v0).
    was_ready: bool,
    /// It was started for one request of v0.
    is_old: bool,
    /// What ends its calls when it ends, if it is not simply its end.
    verdict: Option<Verdict>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Phase {
    /// Waiting for the answer to `initialize`.
    Starting,
    /// Waiting for the answer to `configure`.
    Configuring,
    /// Working.
    Ready,
    /// Speaks v0 and works on its one request.
    Old,
    /// Asked to end.
    Closing,
    /// Ended; its pipes may still bring something.
    Exited,
}

#[derive(Clone)]
enum Verdict {
    Rubbish(String),
    Unasked(String),
    TooLong,
    StartTimedOut,
    Version(u32),
    Configure(Box<ProviderError>),
    Killed(&'static str),
    NotOurs,
}

struct Pending {
    request: Arc<Request>,
    on_event: Callback,
    group: usize,
    process: Option<ProcessId>,
    stopping: Option<Stop>,
}

/// Why a call was asked to stop.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    Cancelled,
    TimedOut(Duration),
}

impl Keeper {
    pub(crate) fn new(options: PoolOptions, orders: Sender<Order>, inbox: Receiver<Order>) -> Self {
        Self {
            options,
            orders,
            inbox,
            groups: Vec::new(),
            running: BTreeMap::new(),
            calls: HashMap::new(),
            next_process: 0,
            closing: None,
            redactor: Redactor::default(),
        }
    }

    pub(crate) fn run(mut self) {
        loop {
            let now = Instant::now();
            self.keep_time(now);
            if self.closing.is_some() && self.running.is_empty() {
                break;
            }
            let order = match self.next_deadline() {
                Some(deadline) => self.inbox.recv_timeout(deadline.saturating_duration_since(now)),
                None => self.inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match order {
                Ok(order) => self.obey(order),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        // What was submitted after the shutdown is told so.
        for order in self.inbox.try_iter() {
            if let Order::Submit { on_event, .. } = order {
                on_event(CallEvent::Done(Err(CallError::PoolClosed)));
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Submit { id, launch, request, on_event } => self.submit(id, *launch, *request, on_event),
            Order::Cancel(call) => self.stop_call(call, Stop::Cancelled),
            Order::KillAll => self.kill_all(),
            Order::Shutdown => self.shut_down(),
            Order::Heard(process, heard) => self.hear(process, heard),
        }
    }

    fn submit(&mut self, id: CallId, launch: Launch, request: Request, on_event: Callback) {
        if self.closing.is_some() {
            on_event(CallEvent::Done(Err(CallError::PoolClosed)));
            return;
        }
        self.redactor.learn(&launch.config);
        self.redactor.learn_call(&request.call);
        let group = self.group_of(launch);
        if let (Call::Schema, Some(schema)) = (&request.call, &self.groups[group].schema) {
            on_event(CallEvent::Done(Ok(Reply::Schema(Arc::clone(schema)))));
            return;
        }
        let pending = Pending { request: Arc::new(request), on_event, group, process: None, stopping: None };
        self.calls.insert(id, pending);
        self.groups[group].queue.push_back(id);
        self.hand_out(group);
    }

    fn group_of(&mut self, launch: Launch) -> usize {
        if let Some(known) = self.groups.iter().position(|group| group.launch == launch) {
            return known;
        }
        let cwd = launch.cwd.clone().or_else(|| std::env::current_dir().ok()).unwrap_or_else(|| PathBuf::from("/"));
        let protocol = launch.protocol;
        let is_known_as_old = protocol == ProtocolChoice::V0;
        self.groups.push(Group { launch, cwd, queue: VecDeque::new(), protocol, schema: None, is_known_as_old });
        self.groups.len() - 1
    }

    /// Gives waiting calls to processes, and starts processes where that helps.
    fn hand_out(&mut self, group: usize) {
        while let Some(&call) = self.groups[group].queue.front() {
            if self.groups[group].protocol == ProtocolChoice::V0 {
                if !self.hand_out_old(group, call) {
                    return;
                }
                continue;
            }
            let free = self
                .running
                .iter()
                .filter(|(_, r)| r.group == group && r.phase == Phase::Ready && r.calls.len() < r.concurrency)
                .min_by_key(|(_, r)| r.calls.len())
                .map(|(id, _)| *id);
            if let Some(free) = free {
                self.groups[group].queue.pop_front();
                self.send_call(free, call);
                continue;
            }
            let of_group = self.running.values().filter(|r| r.group == group && r.phase < Phase::Closing);
            let (mut processes, mut coming) = (0, 0);
            for running in of_group {
                processes += 1;
                coming += usize::from(running.phase < Phase::Ready);
            }
            let wanted = coming * self.options.concurrency < self.groups[group].queue.len();
            if processes >= self.options.processes || !wanted || self.start(group, None).is_err() {
                return;
            }
        }
    }

    /// A v0 provider gets a process of its own for each request. False when no more can be started now.
    fn hand_out_old(&mut self, group: usize, call: CallId) -> bool {
        let Some(pending) = self.calls.get(&call) else {
            self.groups[group].queue.pop_front();
            return true;
        };
        match old::encode(&pending.request.call, &self.groups[group].launch) {
            old::Asked::Known(reply) => {
                self.groups[group].queue.pop_front();
                self.finish(call, Ok(reply));
            }
            old::Asked::Unsupported => {
                self.groups[group].queue.pop_front();
                let method = pending.request.call.method();
                let scene = Box::new(self.bare_scene(group));
                self.finish(call, Err(CallError::Unsupported { scene, protocol: 0, method }));
            }
            old::Asked::Send(line) => {
                if self.running.values().filter(|r| r.group == group).count() >= self.options.processes {
                    return false;
                }
                self.groups[group].queue.pop_front();
                if self.start(group, Some(call)).is_ok()
                    && let Some((id, running)) = self.running.iter_mut().next_back()
                {
                    running.process.send(Outgoing::Line(line));
                    let id = *id;
                    self.note_sent(id, call);
                }
            }
        }
        true
    }

    /// Starts a process: for v1, or (with a call) for one request of v0.
    fn start(&mut self, group: usize, old_call: Option<CallId>) -> Result<(), ()> {
        self.next_process += 1;
        let id = ProcessId(self.next_process);
        let Group { launch, cwd, .. } = &self.groups[group];
        let process = match Process::start(launch, cwd, id, self.options.message_bytes, &self.orders) {
            Ok(process) => process,
            Err(source) => {
                let scene = Box::new(self.bare_scene(group));
                let error = CallError::Spawn { scene, source: Arc::new(source) };
                match old_call {
                    Some(call) => self.finish(call, Err(error)),
                    None => self.fail_queue(group, &error),
                }
                return Err(());
            }
        };
        let phase = if old_call.is_some() { Phase::Old } else { Phase::Starting };
        if phase == Phase::Starting {
            let hello = wire::initialize(INITIALIZE, &self.options.client_version, cwd);
            process.send(Outgoing::Message(hello));
        }
        let running = Running {
            group,
            process,
            phase,
            calls: BTreeMap::new(),
            concurrency: self.options.concurrency,
            identity: v1::Program::default(),
            since: Instant::now(),
            output_open: true,
            talk_open: true,
            was_ready: phase == Phase::Old,
            is_old: phase == Phase::Old,
            verdict: None,
        };
        self.running.insert(id, running);
        Ok(())
    }

    fn send_call(&mut self, process: ProcessId, call: CallId) {
        let (Some(pending), Some(running)) = (self.calls.get(&call), self.running.get(&process)) else { return };
        if matches!(pending.request.call, Call::StateEvent { .. }) {
            let scene = Box::new(self.scene(running));
            let method = pending.request.call.method();
            self.finish(call, Err(CallError::Unsupported { scene, protocol: v1::VERSION, method }));
            return;
        }
        running.process.send(Outgoing::Call(call.0, Arc::clone(&pending.request)));
        self.note_sent(process, call);
    }

    fn note_sent(&mut self, process: ProcessId, call: CallId) {
        if let (Some(pending), Some(running)) = (self.calls.get_mut(&call), self.running.get_mut(&process)) {
            pending.process = Some(process);
            let limit = pending.request.limit(self.options.call_timeout);
            running.calls.insert(call, Instant::now() + limit);
        }
    }

    // ---- what processes say -------------------------------------------------------------------------------------

    fn hear(&mut self, id: ProcessId, heard: Heard) {
        let Some(running) = self.running.get_mut(&id) else { return };
        match heard {
            Heard::Message(Message::Response { id: Some(Id::Number(answered)), outcome }) => {
                self.hear_response(id, answered, outcome);
            }
            Heard::Message(Message::Response { id: other, outcome }) => {
                // A v1 provider that could not read our line says so without an id: it is of no use to anybody.
                let said = match (other, outcome) {
                    (Some(Id::Text(text)), _) => text,
                    (_, Err(error)) => format!("null ({})", error.message),
                    _ => "null".into(),
                };
                self.condemn(id, Verdict::Unasked(said));
            }
            Heard::Message(Message::Notification { method, params }) => self.hear_notice(id, &method, params),
            Heard::Message(Message::Request { method, .. }) => {
                self.condemn(id, Verdict::Rubbish(format!("a request (`{method}`)")));
            }
            Heard::V0(response) => self.hear_old(id, response),
            Heard::Rubbish(line) => {
                let shown = match line.first() {
                    // An answer that is broken: nobody knows which of what is in it are secrets.
                    Some(b'{' | b'[') => wire::describe_broken(&line),
                    _ => format!("`{}`", self.redactor.excerpt(&line)),
                };
                self.condemn(id, Verdict::Rubbish(shown));
            }
            Heard::TooLong => self.condemn(id, Verdict::TooLong),
            Heard::Talk(line) => {
                if let [call] = running.calls.keys().copied().collect::<Vec<_>>()[..] {
                    let event = CallEvent::Log { level: LogLevel::Info, message: line, fields: Map::new() };
                    self.tell(call, event);
                }
            }
            Heard::OutputEnded => self.hear_end(id, true),
            Heard::TalkEnded => self.hear_end(id, false),
            Heard::NotReading => {
                running.process.close();
                if running.phase < Phase::Closing {
                    running.phase = Phase::Closing;
                    running.since = Instant::now();
                }
            }
            Heard::Exited => {
                running.process.reap();
                running.process.close();
                running.phase = Phase::Exited;
                running.since = Instant::now();
                if !running.output_open && !running.talk_open {
                    self.bury(id);
                }
            }
        }
    }

    /// The end of what it answers, or of what it talks.
    fn hear_end(&mut self, id: ProcessId, of_output: bool) {
        let Some(running) = self.running.get_mut(&id) else { return };
        match of_output {
            true => running.output_open = false,
            false => running.talk_open = false,
        }
        // From now on nothing but last words is waited for.
        let is_exited = running.phase == Phase::Exited;
        if is_exited && of_output {
            running.since = Instant::now();
        }
        if is_exited && !running.output_open && !running.talk_open {
            self.bury(id);
        } else if of_output && !is_exited {
            // Nothing more can be heard from it: give it a moment to end by itself.
            running.process.close();
            if running.phase < Phase::Closing {
                running.phase = Phase::Closing;
                running.since = Instant::now();
            }
        }
    }

    fn hear_response(&mut self, id: ProcessId, answered: u64, outcome: Result<Json, ErrorObject>) {
        let Some(running) = self.running.get_mut(&id) else { return };
        match (answered, running.phase) {
            (INITIALIZE, Phase::Starting) => self.hear_hello(id, outcome),
            (CONFIGURE, Phase::Configuring) => match outcome {
                Ok(_) => {
                    running.phase = Phase::Ready;
                    running.was_ready = true;
                    running.since = Instant::now();
                    let group = running.group;
                    self.hand_out(group);
                }
                Err(error) => self.condemn(id, Verdict::Configure(Box::new(wire::error(error)))),
            },
            // A provider that answers and ends at once may be seen to have ended before its answers are heard.
            (INITIALIZE, Phase::Closing | Phase::Exited) if !running.was_ready => {
                self.groups[running.group].protocol = ProtocolChoice::V1;
            }
            (CONFIGURE, Phase::Closing | Phase::Exited) if !running.was_ready => {
                if let Err(error) = outcome {
                    running.verdict.get_or_insert(Verdict::Configure(Box::new(wire::error(error))));
                }
            }
            _ if running.calls.contains_key(&CallId(answered)) => self.hear_reply(id, CallId(answered), outcome),
            _ => self.condemn(id, Verdict::Unasked(answered.to_string())),
        }
    }

    fn hear_hello(&mut self, id: ProcessId, outcome: Result<Json, ErrorObject>) {
        let Some(running) = self.running.get_mut(&id) else { return };
        let hello = outcome.map_err(|said| Box::new(wire::error(said))).and_then(|json| {
            wire::shape::<v1::InitializeResult>(json).map_err(|error| {
                Box::new(ProviderError {
                    code: v1::codes::INTERNAL,
                    kind: ErrorKind::Internal,
                    message: format!("the answer to `initialize` has the wrong shape: {error}"),
                    hint: None,
                    diagnostics: Vec::new(),
                    partial: None,
                })
            })
        });
        match hello {
            Ok(hello) if hello.protocol_version != v1::VERSION => {
                self.condemn(id, Verdict::Version(hello.protocol_version));
            }
            Ok(hello) => {
                if let Some(limit) = hello.concurrency {
                    running.concurrency = running.concurrency.min(limit.max(1) as usize);
                }
                running.identity = hello.provider;
                running.phase = Phase::Configuring;
                let group = &mut self.groups[running.group];
                group.protocol = ProtocolChoice::V1;
                running.process.send(Outgoing::Message(wire::configure(CONFIGURE, &group.launch)));
            }
            Err(error) => self.condemn(id, Verdict::Configure(error)),
        }
    }

    fn hear_reply(&mut self, id: ProcessId, call: CallId, outcome: Result<Json, ErrorObject>) {
        let Some(running) = self.running.get_mut(&id) else { return };
        let Some(pending) = self.calls.get(&call) else { return };
        running.calls.remove(&call);
        running.since = Instant::now();
        let group = running.group;
        let method = pending.request.call.method();
        let stopped = pending.stopping;
        let identity = running.identity.clone();
        let result = outcome.map_err(wire::error).map(|json| wire::decode(&pending.request.call, &identity, json));
        let scene = || Box::new(self.scene(&self.running[&id]));
        let result = match (result, stopped) {
            (Ok(Ok(reply)), _) => Ok(reply),
            (Ok(Err(source)), _) => Err(CallError::BadReply { scene: scene(), method, source: Arc::new(source) }),
            (Err(error), Some(Stop::TimedOut(after))) if error.code == v1::codes::CANCELLED => {
                Err(CallError::TimedOut { scene: scene(), method, after })
            }
            (Err(error), Some(Stop::Cancelled)) if error.code == v1::codes::CANCELLED => {
                Err(CallError::Cancelled { method, sent: true })
            }
            (Err(error), _) => Err(CallError::Failed { scene: scene(), error: Box::new(error) }),
        };
        if let Ok(Reply::Schema(schema)) = &result {
            self.groups[group].schema = Some(Arc::clone(schema));
        }
        self.finish(call, result);
        self.hand_out(group);
    }

    fn hear_notice(&mut self, id: ProcessId, method: &str, params: Json) {
        let Some(running) = self.running.get(&id) else { return };
        match wire::notice(method, params) {
            Ok((Some(call), Some(event))) if running.calls.contains_key(&CallId(call)) => {
                self.tell(CallId(call), event);
            }
            // About a call that is over, or about none: nobody to tell.
            Ok(_) => {}
            Err(_) => self.condemn(id, Verdict::Rubbish(format!("`{method}` with parameters of the wrong shape"))),
        }
    }

    fn hear_old(&mut self, id: ProcessId, response: v0::Response) {
        let Some(running) = self.running.get_mut(&id) else { return };
        self.groups[running.group].is_known_as_old = true;
        // It may have ended before its answer is heard.
        let unheard = running.phase == Phase::Starting
            || running.phase >= Phase::Closing
                && !running.was_ready
                && self.groups[running.group].protocol == ProtocolChoice::Auto;
        if unheard && self.groups[running.group].launch.protocol == ProtocolChoice::Auto {
            // Its way of saying that it does not know `initialize`.
            self.groups[running.group].protocol = ProtocolChoice::V0;
            self.condemn(id, Verdict::NotOurs);
            return;
        }
        // A provider that answers and ends at once may be seen to have ended before its answer is heard.
        let old = running.phase == Phase::Old
            || running.phase >= Phase::Closing && self.groups[running.group].protocol == ProtocolChoice::V0;
        let Some(call) = running.calls.keys().next().copied().filter(|_| old) else {
            self.condemn(id, Verdict::Rubbish("a response of protocol v0".into()));
            return;
        };
        running.calls.clear();
        if running.phase == Phase::Old {
            running.process.close();
            running.phase = Phase::Closing;
            running.since = Instant::now();
        }
        let Some(pending) = self.calls.get(&call) else { return };
        let method = pending.request.call.method();
        let result = match response {
            v0::Response::ErrorResponse(v0::ErrorResponse { message }) => {
                let error = ProviderError {
                    code: v1::codes::FAILED,
                    kind: ErrorKind::User,
                    message,
                    hint: None,
                    diagnostics: Vec::new(),
                    partial: None,
                };
                Err(CallError::Failed { scene: Box::new(self.scene(&self.running[&id])), error: Box::new(error) })
            }
            response => old::decode(&pending.request.call, response).ok_or_else(|| CallError::Rubbish {
                scene: Box::new(self.scene(&self.running[&id])),
                line: format!("a response to another request than `{method}`"),
            }),
        };
        self.finish(call, result);
    }
}
