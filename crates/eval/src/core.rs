//! The evaluator's own thread: which query is asked when, and which answers can be trusted.
//!
//! A *generation* is one fresh application of the root function. An answer is final only when in its generation no output had been
//! missing before it was complete (a *clean prefix*): user code may have made a default of a missing output (`tryEval`) in a thunk
//! that others share, and Nix from 2.34 on remembers failures. Everything else is asked again in a later generation.

mod ahead;
mod answers;
mod turns;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use freehold_model::{Attrs, MemberPath, OutputRef, limits};

use crate::known::Known;
use crate::process::{Host, Process, Reply, error_message};
use crate::query::{Query, State};
use crate::secrets::Tokens;
use crate::wire::{Kind, Line, Question};
use crate::{EvalError, Event};

/// Deaths of Nix without a message that are survived.
const SILENT_DEATHS: u32 = 3;
/// Members that may end Nix in one phase before the rest is given up.
const FATAL_MEMBERS: u32 = 32;
/// How long the last words of a dead Nix are waited for.
const LAST_WORDS: Duration = Duration::from_secs(2);

pub(crate) enum Command {
    Want { members: Vec<MemberPath>, hints: BTreeMap<MemberPath, BTreeSet<MemberPath>> },
    WantWhole { composite: MemberPath, apart: BTreeSet<String> },
    Publish { member: MemberPath, outputs: Attrs },
    Pending { member: MemberPath },
    Fail { member: MemberPath },
    BeginPhase { outputs: BTreeMap<MemberPath, Attrs> },
}

pub(crate) enum Msg {
    Command {
        ticket: u64,
        command: Command,
    },
    Lines {
        epoch: u64,
        lines: Vec<Line>,
    },
    Question {
        epoch: u64,
        question: Question,
        reply: Reply,
    },
    Exited {
        epoch: u64,
        status: String,
    },
    StderrClosed {
        epoch: u64,
    },
    Explained {
        epoch: u64,
        id: u64,
        message: Option<String>,
    },
    /// The socket takes no calls any more.
    Deaf {
        error: std::io::Error,
    },
    Tick,
    Shutdown,
}

/// Where Nix is in its generation.
#[derive(Debug, Default)]
struct Generation {
    complete: bool,
    version: u64,
    /// Outputs in its table, unless it is complete.
    table: BTreeSet<OutputRef>,
    /// Outputs that were missing in it; it is clean while there are none.
    missing: Arc<BTreeSet<OutputRef>>,
    /// Outputs that were used in it. Nix tells of the first use alone: who uses one after that is not seen to.
    used: BTreeSet<OutputRef>,
    /// Answers given in it before the first output was missing.
    clean_answers: usize,
    /// What it was told is not true any more.
    outdated: bool,
}

/// What Nix waits for.
enum Waiting {
    /// A generation.
    Generation(Reply),
    /// A batch.
    Batch(Reply),
    /// An output that is on its way.
    Output(Reply, OutputRef),
}

/// A running Nix and what it has said.
struct Running {
    process: Process,
    started: Instant,
    /// It has given its sign of life.
    begun: bool,
    calls: u64,
    questions: VecDeque<(Question, Reply)>,
    answered: u64,
    waiting: Option<Waiting>,
    /// Its first generation, which lies ready and was not taken yet.
    offered: Option<serde_json::Value>,
    generation: Generation,
    inflight: VecDeque<u64>,
    /// It was told to answer the members of what it was asked, too.
    goes_ahead: bool,
    /// It is at those members.
    ahead: Option<ahead::Going>,
    table_bytes: usize,
    /// Lines since the last of ours that look like an error message.
    error: Vec<String>,
    exited: Option<(String, Instant)>,
    closed: bool,
}

impl Running {
    /// Whether it has answered all that it was asked, and is about to ask for more.
    fn is_done(&self) -> bool {
        self.answered > 0 && self.answered == self.calls && self.inflight.is_empty() && self.exited.is_none()
    }
}

pub(crate) struct Core {
    host: Host,
    tokens: Tokens,
    events: Box<dyn Fn(Event) + Send>,
    known: Known,
    queries: Vec<Query>,
    /// Id of the first of `queries`: ids of earlier phases mean nothing any more.
    first_id: u64,
    by_member: HashMap<(MemberPath, Kind), u64>,
    /// Queries that could be asked now.
    ready: BTreeSet<u64>,
    /// Queries neither answered for good nor failed.
    unsettled: BTreeSet<u64>,
    /// Queries that wait for any of many outputs.
    suspects: BTreeSet<u64>,
    /// Queries whose standing changed since the engine was told.
    changed: BTreeSet<u64>,
    /// Who has to be looked at again when a member's outputs come or fail to come.
    waiters: HashMap<MemberPath, BTreeSet<u64>>,
    /// Declared members of whose outputs nothing was said yet.
    unpublished: BTreeSet<MemberPath>,
    running: Option<Running>,
    epoch: u64,
    ahead: ahead::Ahead,
    explaining: answers::Explaining,
    scan: crate::scan::Scan,
    suspect_generations: u32,
    /// Tentative answers that are asked again at once, and generations spent on them at this standstill.
    tentative: turns::Tentative,
    silent_deaths: u32,
    fatal_members: u32,
    fatal: bool,
    seen: u64,
    quiet_told: bool,
}

impl Core {
    pub(crate) fn new(host: Host, tokens: Tokens, events: Box<dyn Fn(Event) + Send>) -> Result<Self, EvalError> {
        let scan = crate::scan::Scan::new(tokens.prefix());
        let mut core = Self {
            host,
            tokens,
            events,
            known: Known::default(),
            queries: Vec::new(),
            first_id: 0,
            by_member: HashMap::new(),
            ready: BTreeSet::new(),
            unsettled: BTreeSet::new(),
            suspects: BTreeSet::new(),
            changed: BTreeSet::new(),
            waiters: HashMap::new(),
            unpublished: BTreeSet::new(),
            running: None,
            epoch: 0,
            ahead: ahead::Ahead::default(),
            explaining: answers::Explaining::default(),
            scan,
            suspect_generations: 0,
            tentative: turns::Tentative::default(),
            silent_deaths: 0,
            fatal_members: 0,
            fatal: false,
            seen: 0,
            quiet_told: true,
        };
        core.start()?;
        Ok(core)
    }

    pub(crate) fn run(mut self, receiver: &Receiver<Msg>) {
        loop {
            let msg = match receiver.recv_timeout(self.patience()) {
                Ok(msg) => msg,
                Err(RecvTimeoutError::Timeout) => Msg::Tick,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if matches!(msg, Msg::Shutdown) {
                break;
            }
            self.take(msg);
            // What has arrived meanwhile is taken in before anything is decided.
            while let Ok(msg) = receiver.try_recv() {
                if matches!(msg, Msg::Shutdown) {
                    return self.end();
                }
                self.take(msg);
            }
            self.watch_process();
            self.pump();
        }
        self.end();
    }

    fn end(mut self) {
        if let Some(running) = self.running.take() {
            running.process.kill();
        }
        self.explaining.kill();
        self.host.close();
    }

    fn start(&mut self) -> Result<(), EvalError> {
        self.epoch += 1;
        let process = self.host.start(self.epoch)?;
        self.running = Some(Running {
            process,
            started: Instant::now(),
            begun: false,
            calls: 0,
            questions: VecDeque::new(),
            answered: 0,
            waiting: Some(Waiting::Generation(Reply::File(self.host.first(self.epoch)))),
            offered: None,
            generation: Generation::default(),
            inflight: VecDeque::new(),
            goes_ahead: false,
            ahead: None,
            table_bytes: 0,
            error: Vec::new(),
            exited: None,
            closed: false,
        });
        Ok(())
    }

    fn patience(&self) -> Duration {
        match &self.running {
            Some(running) if running.exited.is_some() => LAST_WORDS / 4,
            Some(running) if !running.begun => Duration::from_secs(1),
            _ => Duration::from_secs(3600),
        }
    }

    fn take(&mut self, msg: Msg) {
        let current = |running: &Option<Running>, epoch| running.as_ref().is_some_and(|r| r.process.epoch == epoch);
        match msg {
            Msg::Command { ticket, command } => {
                self.seen = ticket;
                self.quiet_told = false;
                self.command(command);
            }
            Msg::Lines { epoch, lines } if current(&self.running, epoch) => {
                lines.into_iter().for_each(|line| self.line(line))
            }
            Msg::Question { epoch, question, reply } if current(&self.running, epoch) => {
                if let Some(running) = &mut self.running {
                    running.questions.push_back((question, reply));
                }
                self.answer_questions();
            }
            Msg::Question { epoch, question, reply } => self.answer_explainer(epoch, &question, reply),
            Msg::Exited { epoch, status } if current(&self.running, epoch) => {
                if let Some(running) = &mut self.running {
                    running.exited = Some((status, Instant::now()));
                    // Bridges that are left over hold Nix's standard error open: let them go.
                    running.waiting = None;
                    running.questions.clear();
                }
            }
            Msg::StderrClosed { epoch } if current(&self.running, epoch) => {
                if let Some(running) = &mut self.running {
                    running.closed = true;
                }
            }
            Msg::Explained { epoch, id, message } => self.explained(epoch, id, message),
            Msg::Deaf { error } => self.give_up(EvalError::Deaf(error)),
            Msg::Lines { .. } | Msg::Exited { .. } | Msg::StderrClosed { .. } | Msg::Tick | Msg::Shutdown => {}
        }
    }

    fn command(&mut self, command: Command) {
        self.suspect_generations = 0;
        self.tentative = turns::Tentative::default();
        match command {
            Command::Want { members, mut hints } => {
                for member in members {
                    let hints = hints.remove(&member).unwrap_or_default();
                    self.want(Query::new(member, Kind::Main, hints));
                }
            }
            Command::WantWhole { composite, apart } => {
                self.want(Query { whole: Some(apart), ..Query::new(composite, Kind::Main, BTreeSet::new()) });
            }
            Command::Publish { member, outputs } => {
                self.known.publish(&member, outputs, &mut self.tokens, &self.host.nonce);
                self.heard_of(&member);
            }
            Command::Pending { member } => {
                self.known.pending(&member);
                self.unpublished.remove(&member);
            }
            Command::Fail { member } => {
                self.known.fail(&member);
                self.heard_of(&member);
            }
            Command::BeginPhase { outputs } => self.begin_phase(outputs),
        }
    }

    fn begin_phase(&mut self, outputs: BTreeMap<MemberPath, Attrs>) {
        self.first_id += self.queries.len() as u64;
        self.queries.clear();
        self.by_member.clear();
        self.ready.clear();
        self.unsettled.clear();
        self.suspects.clear();
        self.changed.clear();
        self.waiters.clear();
        self.unpublished.clear();
        self.explaining.kill();
        self.ahead.forget();
        (self.fatal_members, self.silent_deaths) = (0, 0);
        self.known.forget();
        for (member, outputs) in outputs {
            self.known.publish(&member, outputs, &mut self.tokens, &self.host.nonce);
        }
        if let Some(running) = &mut self.running {
            running.generation.outdated = true;
        }
    }

    /// One line of Nix's standard error.
    fn line(&mut self, line: Line) {
        if let Line::Other(text) = line {
            return self.other_line(text);
        }
        self.flush_error_lines();
        let Some(running) = &mut self.running else { return };
        let front = running.inflight.front().copied();
        match line {
            Line::Begun => {
                running.begun = true;
                (self.events)(Event::Begun);
            }
            Line::Call => {
                running.ahead = None;
                running.calls += 1;
                self.answer_questions();
            }
            Line::First => {
                // A question with its answer.
                running.offered = None;
                running.calls += 1;
                running.answered += 1;
            }
            Line::Part(part) => {
                if let Some(query) = front.and_then(|id| self.query_mut(id)) {
                    query.part = Some(part);
                }
            }
            Line::Need(output) => {
                Arc::make_mut(&mut running.generation.missing).insert(output.clone());
                if let Some(query) = front.and_then(|id| self.query_mut(id)) {
                    query.missed(output);
                }
            }
            Line::Use(output) => {
                running.generation.used.insert(output.clone());
                if let Some(going) = running.ahead.as_mut() {
                    going.uses.insert(output);
                } else if let Some(query) = front.and_then(|id| self.query_mut(id)) {
                    query.uses.insert(output);
                }
            }
            Line::Result(id, result) => {
                if front == Some(id) {
                    running.inflight.pop_front();
                    running.generation.clean_answers += usize::from(running.generation.missing.is_empty());
                    let missing = running.generation.missing.clone();
                    self.begin_ahead(id);
                    self.result(id, *result, missing);
                }
            }
            Line::Ahead(members) => self.keep_ahead(members),
            Line::Bad(text) => self.give_up(EvalError::Conversation(text)),
            Line::Other(_) => {}
        }
    }

    fn other_line(&mut self, text: String) {
        let Some(running) = &mut self.running else { return };
        if !running.error.is_empty() || text.starts_with("error:") {
            // Nix's last words, unless one of our lines follows.
            let size: usize = running.error.iter().map(String::len).sum();
            if size < limits::EVALUATOR_STDERR_BYTES {
                running.error.push(text);
            }
        } else if !text.is_empty() {
            (self.events)(Event::UserLog { text: self.tokens.shown(text) });
        }
    }

    fn flush_error_lines(&mut self) {
        let Some(running) = &mut self.running else { return };
        for text in std::mem::take(&mut running.error) {
            (self.events)(Event::UserLog { text: self.tokens.shown(text) });
        }
    }

    /// Sees to a Nix that has ended, or that never begins.
    fn watch_process(&mut self) {
        let Some(running) = &self.running else { return };
        match &running.exited {
            Some((_, when)) if running.closed || when.elapsed() > LAST_WORDS => self.bury(),
            None if !running.begun && running.started.elapsed() > limits::EVALUATOR_START => {
                self.give_up(EvalError::Silent { seconds: limits::EVALUATOR_START.as_secs() });
            }
            _ => {}
        }
    }

    /// Nix has ended: finds out on whose account, and starts it again.
    fn bury(&mut self) {
        let Some(running) = self.running.take() else { return };
        running.process.kill();
        let status = running.exited.map(|(status, _)| status).unwrap_or_default();
        let message = error_message(&running.error.join("\n"), self.host.options.show_trace);
        let front = running.inflight.front().copied().filter(|_| running.offered.is_none());
        let clean = running.generation.missing.is_empty();
        for id in running.inflight {
            self.set_state(id, if running.offered.is_some() { State::New } else { State::Tentative });
        }
        match (message, front) {
            // A member that nobody asked for by name: it will be, and is found out then.
            (Some(_), None) if running.ahead.is_some() => self.ahead.give_up(),
            (Some(message), None) => {
                return self
                    .give_up(EvalError::Root { what: self.host.what.clone(), message: self.tokens.shown(message) });
            }
            (Some(message), Some(id)) => {
                self.ended_nix(id, clean, message);
                self.fatal_members += 1;
                if self.fatal_members > FATAL_MEMBERS {
                    let message = format!("given up after {FATAL_MEMBERS} members that end the evaluation");
                    return self.give_up(EvalError::Root { what: self.host.what.clone(), message });
                }
            }
            (None, _) => {
                self.silent_deaths += 1;
                if self.silent_deaths > SILENT_DEATHS {
                    return self.give_up(EvalError::Died { times: self.silent_deaths, status });
                }
            }
        }
        if let Err(error) = self.start() {
            self.give_up(error);
        }
    }

    /// Nothing can be evaluated any more.
    fn give_up(&mut self, error: EvalError) {
        if let Some(running) = self.running.take() {
            running.process.kill();
        }
        self.explaining.kill();
        if !self.fatal {
            self.fatal = true;
            (self.events)(Event::Fatal { error });
        }
    }

    fn query(&self, id: u64) -> Option<&Query> {
        self.queries.get(usize::try_from(id.checked_sub(self.first_id)?).ok()?)
    }

    fn query_mut(&mut self, id: u64) -> Option<&mut Query> {
        self.queries.get_mut(usize::try_from(id.checked_sub(self.first_id)?).ok()?)
    }
}
