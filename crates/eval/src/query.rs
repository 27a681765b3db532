//! One question about one member, and how far its answer can be trusted.

use std::collections::BTreeSet;
use std::sync::Arc;

use freehold_model::{Declaration, MemberPath, OutputRef, Pointer, Structure, Value, limits};

use crate::decode::{Extras, Flaws, Outcome};
use crate::wire::{Kind, Part};

/// Where a query stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// Not asked yet in this phase.
    New,
    /// In the batch that Nix is working on.
    Asked,
    /// Answered after an output had been missing in the same generation: user code may have made a default of that.
    Tentative,
    /// It needs outputs that are not known.
    Unmet,
    /// Failed without a need of its own after outputs had been missing: it may have met another's failed thunk.
    Suspect(Arc<BTreeSet<OutputRef>>),
    /// Its failure is final; Nix is being asked why.
    Explaining,
    /// Answered for good in this phase.
    Done,
    /// Failed for good.
    Failed,
}

/// One question about one member.
#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) member: MemberPath,
    pub(crate) kind: Kind,
    pub(crate) state: State,
    /// Wait for the outputs of these, unless nothing else moves.
    pub(crate) hints: BTreeSet<MemberPath>,
    /// The hints still hold it back.
    pub(crate) held: bool,
    /// Its members will be wanted, too; these are to be asked for by their names.
    pub(crate) whole: Option<BTreeSet<String>>,
    /// It ended Nix in a generation that was not clean: ask it first in the next.
    pub(crate) ended_nix: bool,
    /// How often it was asked again because it failed after an output had been missing.
    pub(crate) asked_again: u32,
    /// What was known when it was last asked: [`crate::known::Known::version`].
    pub(crate) version: u64,
    /// Outputs it was ever seen to need while they were missing.
    pub(crate) history: BTreeSet<OutputRef>,
    /// Missing outputs it needed when it was last asked.
    pub(crate) needs: BTreeSet<OutputRef>,
    /// Known outputs it used when it was last asked.
    pub(crate) uses: BTreeSet<OutputRef>,
    /// Outputs of members that it used before, and of which it cannot be told whether it does again.
    pub(crate) may_use: BTreeSet<OutputRef>,
    /// Parts in which a missing output was needed when it was last asked.
    pub(crate) parts: BTreeSet<Part>,
    /// Its parts were told apart when it was last asked.
    pub(crate) detailed: bool,
    /// The part being evaluated.
    pub(crate) part: Option<Part>,
    pub(crate) answer: Option<Answer>,
    /// The needs last told to the engine.
    pub(crate) told: Option<(BTreeSet<OutputRef>, bool)>,
}

/// The last answer.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Composite { structure: Structure, extras: bool },
    Resource { declaration: Box<Declaration>, extras: bool },
    Extras(Extras),
}

impl Query {
    pub(crate) fn new(member: MemberPath, kind: Kind, hints: BTreeSet<MemberPath>) -> Self {
        Self {
            member,
            kind,
            state: State::New,
            held: !hints.is_empty(),
            hints,
            whole: None,
            ended_nix: false,
            asked_again: 0,
            version: 0,
            history: BTreeSet::new(),
            needs: BTreeSet::new(),
            uses: BTreeSet::new(),
            may_use: BTreeSet::new(),
            parts: BTreeSet::new(),
            detailed: false,
            part: None,
            answer: None,
            told: None,
        }
    }

    /// It goes into a batch.
    pub(crate) fn ask(&mut self, version: u64, detailed: bool) {
        self.detailed = detailed;
        // Asked once, it says itself what it waits for.
        self.held = false;
        self.state = State::Asked;
        self.version = version;
        self.needs.clear();
        self.uses.clear();
        self.parts.clear();
        self.part = None;
    }

    /// An output that it needed is missing.
    pub(crate) fn missed(&mut self, output: OutputRef) {
        self.parts.extend(self.part.clone());
        self.history.insert(output.clone());
        self.needs.insert(output);
    }

    /// Whether it is not yet told which of its parts wait: a part may have made a default of a missing output.
    pub(crate) fn lacks_detail(&self) -> bool {
        self.state == State::Unmet && !self.detailed && matches!(self.answer, Some(Answer::Resource { .. }))
    }

    /// Where its values come from: all that was seen, and of what it was known to use before all that it may use still.
    pub(crate) fn edges(&self) -> BTreeSet<OutputRef> {
        self.history.iter().chain(&self.uses).chain(&self.may_use).cloned().collect()
    }

    /// Order in a fresh generation: those that are likely to leave it clean first.
    pub(crate) fn rank(&self) -> u8 {
        match &self.state {
            _ if self.ended_nix => 0,
            State::Tentative => 1,
            State::Unmet => 2,
            State::New => 3,
            _ => 4,
        }
    }

    /// Takes in an answer; what is unknown of a resource because of a missing output becomes unknown even where user code made a
    /// default of it.
    pub(crate) fn keep(&mut self, outcome: Outcome) -> Verdict {
        let (answer, verdict) = match outcome {
            Outcome::Composite { structure, extras } => {
                let verdict = self.verdict_of_names(&structure.members);
                (Some(Answer::Composite { structure, extras }), verdict)
            }
            Outcome::Resource { mut declaration, extras, flaws } => {
                self.blank_parts(&mut declaration, &flaws);
                let verdict = Verdict::of_flaws(flaws);
                (Some(Answer::Resource { declaration, extras }), verdict)
            }
            Outcome::Extras { extras, flaws } => (Some(Answer::Extras(extras)), Verdict::of_flaws(flaws)),
            Outcome::Failed => (None, Verdict::Fails { at: None }),
            Outcome::Gone => (None, Verdict::Bad { at: None, why: "the deployment has no such member".to_owned() }),
            Outcome::BadExport => {
                let why = "its export is neither `{ members = …; }` nor `{ resource = …; }`".to_owned();
                (None, Verdict::Bad { at: None, why })
            }
        };
        self.answer = answer;
        verdict
    }

    /// A member that cannot be addressed could be made, but not be recorded.
    fn verdict_of_names(&self, names: &[String]) -> Verdict {
        let why = match names.iter().find(|name| !self.member.child(name).is_within_limits()) {
            None => return Verdict::Good,
            Some(name) if name.len() > limits::MEMBER_NAME_BYTES => {
                let start: String = name.chars().take(32).collect();
                format!("the member name `{start}…` is longer than {} bytes", limits::MEMBER_NAME_BYTES)
            }
            Some(_) => format!(
                "members nest deeper than {}; a composite that holds itself, by `imports` or by a function, has no end",
                limits::MEMBER_DEPTH
            ),
        };
        Verdict::Bad { at: Some("members".to_owned()), why }
    }

    fn blank_parts(&self, declaration: &mut Declaration, flaws: &Flaws) {
        for part in &self.parts {
            if flaws.failed.iter().any(|(failed, _)| failed == part) {
                continue;
            }
            match part {
                Part::Input(name) => {
                    declaration.inputs.insert(name.clone(), Value::Unknown);
                }
                Part::Config => match &mut declaration.provider {
                    freehold_model::ProviderRef::Builtin { config, .. }
                    | freehold_model::ProviderRef::Stdio { config, .. } => *config = Value::Unknown,
                },
                Part::ReplaceWhen => declaration.lifecycle.replace_when = Some(Value::Unknown),
                Part::Preconditions => {
                    declaration.preconditions.iter_mut().for_each(|check| check.assertion = Value::Unknown);
                }
                // No parts of a declaration's query.
                Part::Checks | Part::Postconditions | Part::Operation(_) => {}
            }
        }
    }
}

/// What an answer says, its trustworthiness aside.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Good,
    /// Something in it failed to evaluate: where, if not all of it.
    Fails {
        at: Option<String>,
    },
    /// It evaluates to something that cannot be.
    Bad {
        at: Option<String>,
        why: String,
    },
}

impl Verdict {
    fn of_flaws(flaws: Flaws) -> Self {
        let show = |(part, at): &(Part, Pointer)| part.show(at);
        if let Some((at, why)) = flaws.bad.into_iter().next() {
            Self::Bad { at: Some(at), why }
        } else if let Some(first) = flaws.failed.first() {
            Self::Fails { at: Some(show(first)) }
        } else {
            Self::Good
        }
    }
}
