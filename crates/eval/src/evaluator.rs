//! The handle through which the engine talks to the evaluator, and the events by which it answers.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use freehold_model::{Attrs, Declaration, MemberPath, OutputRef, Structure};

use crate::core::{Command, Core, Msg};
use crate::process::Host;
use crate::secrets::Tokens;
use crate::{EvalError, Options};

/// Number of a command, counted from 1; [`Event::Quiet`] says which it has taken in.
pub type Ticket = u64;

/// What the evaluator has to say. Events come from one thread, in order.
#[derive(Debug)]
pub enum Event {
    /// Nix runs and reads the root, which may take long. Comes again when Nix was started again.
    Begun,
    /// A composite, evaluated for good. Its checks are unknown where they need outputs that are not known yet; `want` it again for them.
    Structure {
        /// Which.
        member: MemberPath,
        /// Its members and what it says about records.
        structure: Structure,
        /// Outputs that went into it: a lower bound.
        edges: BTreeSet<OutputRef>,
    },
    /// A resource, evaluated for good. Operations and postconditions are unknown where they need outputs that are not known yet;
    /// `want` it again for them.
    Declared {
        /// Which.
        member: MemberPath,
        /// What it declares.
        declaration: Declaration,
        /// Outputs that went into it: a lower bound.
        edges: BTreeSet<OutputRef>,
    },
    /// A member that needs outputs which are not known. Sent when nothing more can be evaluated, and again when the needs change.
    Waiting {
        /// Which.
        member: MemberPath,
        /// What is known of it, unknown leaves as `Value::Unknown`.
        partial: Option<Declaration>,
        /// Its kind or structure is itself unknown.
        structure: bool,
        /// The outputs it needs.
        needs: BTreeSet<OutputRef>,
        /// The needs are a guess: what it needs could not be told apart from what others need.
        suspected: bool,
    },
    /// A member that does not evaluate, whatever outputs become known.
    Failed {
        /// Which.
        member: MemberPath,
        /// Why.
        error: EvalError,
    },
    /// Nothing more can be evaluated with what is published: after the `Waiting` events, once per change.
    Quiet {
        /// The last command that was taken in.
        seen: Ticket,
    },
    /// Nothing can be evaluated at all.
    Fatal {
        /// Why.
        error: EvalError,
    },
    /// A line of the user's own traces, or a warning of Nix.
    UserLog {
        /// The line.
        text: String,
    },
}

/// A running evaluator. Dropping it ends Nix.
#[derive(Debug)]
pub struct Evaluator {
    sender: Sender<Msg>,
    thread: Option<JoinHandle<()>>,
    tickets: AtomicU64,
}

impl Evaluator {
    /// Locks the flake if it is one, starts Nix and reads the root; `events` is called from a thread of the evaluator.
    ///
    /// # Errors
    /// When Nix cannot be started or the flake cannot be locked. What is wrong with the root comes as [`Event::Fatal`].
    pub fn start(options: Options, events: Box<dyn Fn(Event) + Send>) -> Result<Self, EvalError> {
        let nonce = format!("freehold-{}", random_hex()?);
        let tokens = Tokens::new(&random_hex()?);
        let (sender, receiver) = channel();
        let host = Host::new(options, &nonce, tokens.prefix(), sender.clone())?;
        let core = Core::new(host, tokens, events)?;
        let thread = std::thread::Builder::new().name("eval".into()).spawn(move || core.run(&receiver));
        Ok(Self { sender, thread: Some(thread.map_err(EvalError::Prepare)?), tickets: AtomicU64::new(0) })
    }

    /// Evaluate these members (the root is `.`), answered by events. `hints` says for a member whose outputs it is known to use: it
    /// is held back until those are published, unless nothing else moves. Wanting a member again repeats its event, with what has
    /// become known of checks and operations.
    pub fn want(&self, members: Vec<MemberPath>, hints: Option<BTreeMap<MemberPath, BTreeSet<MemberPath>>>) -> Ticket {
        self.send(Command::Want { members, hints: hints.unwrap_or_default() })
    }

    /// The same for a composite all of whose members will be wanted as soon as it is known which it has: up to the first that needs
    /// something that is not known yet they are evaluated with it, which saves an exchange with Nix. Those in `apart` are not: they
    /// are known to use outputs of others.
    pub fn want_whole(&self, composite: MemberPath, apart: BTreeSet<String>) -> Ticket {
        self.send(Command::WantWhole { composite, apart })
    }

    /// The outputs of a member; `Value::Unknown` for one that will not be known in this phase.
    pub fn publish(&self, member: MemberPath, outputs: Attrs) -> Ticket {
        self.send(Command::Publish { member, outputs })
    }

    /// The member is being applied: its outputs will come.
    pub fn pending(&self, member: MemberPath) -> Ticket {
        self.send(Command::Pending { member })
    }

    /// No outputs of the member will come: it failed or was skipped.
    pub fn fail(&self, member: MemberPath) -> Ticket {
        self.send(Command::Fail { member })
    }

    /// Forget what was learned of outputs and start anew with these. Wants must be given again.
    pub fn begin_phase(&self, outputs: BTreeMap<MemberPath, Attrs>) -> Ticket {
        self.send(Command::BeginPhase { outputs })
    }

    /// Ends Nix. (Dropping does the same.)
    pub fn shutdown(self) {
        drop(self);
    }

    fn send(&self, command: Command) -> Ticket {
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed) + 1;
        // The thread lives as long as this handle.
        let _ = self.sender.send(Msg::Command { ticket, command });
        ticket
    }
}

impl Drop for Evaluator {
    fn drop(&mut self) {
        let _ = self.sender.send(Msg::Shutdown);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// 128 random bits.
fn random_hex() -> Result<String, EvalError> {
    let mut bytes = [0; 16];
    let read = fs_err::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(EvalError::Prepare)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
