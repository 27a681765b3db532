//! The machine that makes a plan: it is told what was evaluated, observed and proposed, and says what it has to know next.
//!
//! It asks through [`PlanEffect`]s and is answered with [`PlanEvent`]s in any order; it ends with [`PlanEffect::Finished`].
//! Reading order: this file (the conversation), [`members`] (one member from its declaration to its step),
//! [`interrupted`] (what an interrupted run left open), [`quiet`] (what is done when the evaluation can go no further), [`order`]
//! (what cannot come after what), [`removals`] (what is recorded and no longer declared), [`beside`] (who else may want that),
//! [`objects`] (who has which object).

mod beside;
mod interrupted;
mod members;
mod objects;
mod order;
mod quiet;
mod removals;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use freehold_model::{Attrs, Declaration, MemberPath, OutputRef, Record, Structure};

use crate::{
    Drift, Found, Mode, Move, Observation, OpenIntent, OpenStructure, Plan, PlanOptions, Problem, Proposal, Step,
    TypeFacts, moved_in_a_circle, moved_together,
};

/// What the planner is told.
#[derive(Debug, Clone)]
pub enum PlanEvent {
    /// A composite was evaluated.
    Structure {
        /// Which.
        member: MemberPath,
        /// Its members.
        structure: Structure,
    },
    /// A resource was wholly evaluated.
    Declared {
        /// Which.
        member: MemberPath,
        /// What it declares; every value known.
        declaration: Box<Declaration>,
        /// Outputs that were seen to flow in.
        edges: BTreeSet<OutputRef>,
        /// Its type.
        facts: Arc<TypeFacts>,
    },
    /// A member cannot be evaluated further with the outputs that are published. Sent before each [`PlanEvent::Quiet`].
    Waiting {
        /// Which.
        member: MemberPath,
        /// What is known of it; `None` when not even its kind is.
        partial: Option<(Box<Declaration>, Arc<TypeFacts>)>,
        /// What it waits for.
        needs: BTreeSet<OutputRef>,
    },
    /// A member cannot be evaluated at all.
    EvalFailed {
        /// Which.
        member: MemberPath,
        /// What is wrong.
        message: String,
        /// How to mend it.
        hint: Option<String>,
    },
    /// The evaluation can go no further with the outputs that are published.
    Quiet,
    /// Answer to [`PlanEffect::Read`].
    Observed {
        /// Whose object.
        member: MemberPath,
        /// What was seen, or why nothing could be.
        result: Result<Observation, Problem>,
    },
    /// Answer to [`PlanEffect::Propose`].
    Proposed {
        /// Whose change.
        member: MemberPath,
        /// What the provider says, or what is wrong with the inputs.
        result: Result<Proposal, Vec<Problem>>,
    },
    /// Answer to [`PlanEffect::Describe`].
    Described {
        /// Whose record.
        member: MemberPath,
        /// Its type, or why the provider could not be asked.
        result: Result<Arc<TypeFacts>, Problem>,
    },
}

/// What the planner asks for.
#[derive(Debug, Clone)]
pub enum PlanEffect {
    /// Evaluate these members.
    Evaluate(Vec<MemberPath>),
    /// Look at an object.
    Read {
        /// Whose.
        member: MemberPath,
        /// What is known of it.
        record: Arc<Record>,
    },
    /// Ask the provider what a change means.
    Propose {
        /// Whose.
        member: MemberPath,
        /// What is declared; its inputs may be unknown in part.
        declaration: Box<Declaration>,
        /// What there is; `None` for a new object.
        prior: Option<Arc<Record>>,
        /// Whether the object is replaced whatever the provider says.
        replace: bool,
    },
    /// Say what is known of a recorded type.
    Describe {
        /// A member of that type.
        member: MemberPath,
        /// Its record.
        record: Arc<Record>,
    },
    /// Hand outputs to the evaluation; an unknown one will not be known in this plan.
    Publish {
        /// Whose.
        member: MemberPath,
        /// Which.
        outputs: Attrs,
    },
    /// Tell the evaluation that this member's outputs will never come.
    Fail {
        /// Whose.
        member: MemberPath,
    },
    /// The plan is made.
    Finished(Box<Plan>),
}

/// Makes one plan.
#[derive(Debug)]
pub struct Planner {
    options: PlanOptions,
    records: BTreeMap<MemberPath, Arc<Record>>,
    /// What was left open, oldest first.
    intents: BTreeMap<MemberPath, Vec<OpenIntent>>,
    /// Operations whose object is being looked for.
    looking: BTreeMap<MemberPath, OpenIntent>,
    /// How many of a member's open operations are looked into.
    looked: BTreeMap<MemberPath, usize>,
    /// Members with an object that an open operation had made: the operation.
    found: BTreeMap<MemberPath, String>,
    /// Members for which a type is being asked for.
    describing: BTreeMap<MemberPath, (Vec<String>, String)>,
    structures: BTreeMap<MemberPath, Vec<String>>,
    /// Members that composites name.
    declared: BTreeSet<MemberPath>,
    members: BTreeMap<MemberPath, Member>,
    waiting: BTreeMap<MemberPath, Waiting>,
    failed: BTreeSet<MemberPath>,
    skipped: BTreeSet<MemberPath>,
    open: BTreeMap<MemberPath, BTreeSet<OutputRef>>,
    /// What the members with unknown inputs wait for.
    open_needs: BTreeMap<MemberPath, BTreeSet<OutputRef>>,
    /// Members that targets need.
    needed: BTreeSet<MemberPath>,
    forgotten: BTreeSet<MemberPath>,
    known_types: BTreeMap<(Vec<String>, String), Arc<TypeFacts>>,
    removals: BTreeMap<MemberPath, Removal>,
    /// Members of open composites whose open operations were looked into: the last one.
    left_open: BTreeMap<MemberPath, String>,
    /// What was seen of records within open composites; `None` while it is being looked at.
    seen_late: BTreeMap<MemberPath, Option<Observation>>,
    /// Planned outputs that are held back until everything that needs none of them is evaluated.
    provisional: Vec<(MemberPath, Attrs)>,
    /// Whether members that are no part of the plan were asked what they take over.
    asks_beside: bool,
    /// What they said.
    moves_beside: Vec<(MemberPath, MemberPath)>,
    /// Whether evaluation still rests on nothing that this plan changes.
    exact: bool,
    /// Questions without an answer yet.
    outstanding: usize,
    quiet: bool,
    finished: bool,
    moves: Vec<Move>,
    /// Old names, with the member that is to take over the record of each.
    claims: BTreeMap<MemberPath, MemberPath>,
    drift: Vec<Drift>,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    effects: Vec<PlanEffect>,
}

/// A declared member on its way to a step.
#[derive(Debug)]
struct Member {
    declaration: Arc<Declaration>,
    facts: Arc<TypeFacts>,
    edges: BTreeSet<MemberPath>,
    exact: bool,
    open: bool,
    observed: Option<Observation>,
    decision: Option<crate::Decision>,
    step: Option<Step>,
}

#[derive(Debug)]
struct Waiting {
    partial: Option<(Box<Declaration>, Arc<TypeFacts>)>,
    needs: BTreeSet<OutputRef>,
}

/// What becomes of a record without a declaration.
#[derive(Debug)]
enum Removal {
    /// Its type is being asked for, or its object is being looked at.
    Asking,
    /// Settled.
    Step(Box<Step>),
    /// It cannot be decided; a problem says why.
    Stuck,
}

impl Planner {
    /// Starts from what is recorded and from the operations that were left unfinished, of which a member may have several.
    pub fn new(
        options: PlanOptions,
        records: BTreeMap<MemberPath, Arc<Record>>,
        unfinished: impl IntoIterator<Item = (MemberPath, OpenIntent)>,
    ) -> Self {
        let mut intents: BTreeMap<MemberPath, Vec<OpenIntent>> = BTreeMap::new();
        for (member, intent) in unfinished {
            intents.entry(member).or_default().push(intent);
        }
        intents.values_mut().for_each(|all| all.sort_by_key(|i| i.began));
        Self {
            options,
            records,
            intents,
            looking: BTreeMap::new(),
            looked: BTreeMap::new(),
            found: BTreeMap::new(),
            describing: BTreeMap::new(),
            structures: BTreeMap::new(),
            declared: BTreeSet::new(),
            members: BTreeMap::new(),
            waiting: BTreeMap::new(),
            failed: BTreeSet::new(),
            skipped: BTreeSet::new(),
            open: BTreeMap::new(),
            open_needs: BTreeMap::new(),
            needed: BTreeSet::new(),
            forgotten: BTreeSet::new(),
            known_types: BTreeMap::new(),
            removals: BTreeMap::new(),
            left_open: BTreeMap::new(),
            seen_late: BTreeMap::new(),
            provisional: Vec::new(),
            asks_beside: false,
            moves_beside: Vec::new(),
            exact: true,
            outstanding: 0,
            quiet: false,
            finished: false,
            moves: Vec::new(),
            claims: BTreeMap::new(),
            drift: Vec::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
            effects: Vec::new(),
        }
    }

    /// Records that became known on the way (another member holds them); one that is known already stays, also by another name.
    pub fn add_records(&mut self, records: BTreeMap<MemberPath, Arc<Record>>) {
        let moved = |member: &MemberPath| self.moves.iter().any(|m| m.from == *member);
        let unknown: Vec<_> = records.into_iter().filter(|(member, _)| !moved(member)).collect();
        for (member, record) in unknown {
            self.records.entry(member).or_insert(record);
        }
    }

    /// The first questions.
    pub fn start(&mut self) -> Vec<PlanEffect> {
        if self.options.mode == Mode::Normal {
            self.evaluate(vec![MemberPath::root()]);
        } else {
            self.quiet = true;
            self.advance();
        }
        std::mem::take(&mut self.effects)
    }

    /// Takes an answer and asks what follows from it.
    pub fn step(&mut self, event: PlanEvent) -> Vec<PlanEffect> {
        match event {
            PlanEvent::Structure { member, structure } if self.options.excludes(&member) => {
                self.take_excluded(&member, &structure);
            }
            PlanEvent::Declared { member, declaration, .. }
            | PlanEvent::Waiting { member, partial: Some((declaration, _)), .. }
                if self.options.excludes(&member) =>
            {
                for old in &declaration.lifecycle.moved {
                    self.move_records(old, &member);
                }
            }
            PlanEvent::Structure { member, structure } if self.is_beside(&member) => {
                self.take_structure_beside(&member, &structure);
            }
            PlanEvent::Declared { member, declaration, .. }
            | PlanEvent::Waiting { member, partial: Some((declaration, _)), .. }
                if self.is_beside(&member) =>
            {
                self.take_declaration_beside(&member, &declaration.lifecycle);
            }
            // Whatever is wrong with it is none of this plan's business.
            PlanEvent::Waiting { member, .. } | PlanEvent::EvalFailed { member, .. }
                if self.options.excludes(&member) || self.is_beside(&member) => {}
            PlanEvent::Structure { member, structure } => self.take_structure(&member, structure),
            PlanEvent::Declared { member, declaration, edges, facts } => {
                self.waiting.remove(&member);
                let edges = edges.into_iter().map(|e| e.member).collect();
                self.take_declaration(&member, declaration, facts, edges, false);
            }
            PlanEvent::Waiting { member, partial, needs } => {
                let settled = self.members.contains_key(&member)
                    || [&self.failed, &self.skipped].iter().any(|s| s.contains(&member))
                    || self.open.contains_key(&member);
                if !settled {
                    self.waiting.insert(member, Waiting { partial, needs });
                }
            }
            PlanEvent::EvalFailed { member, message, hint } => {
                self.problems.push(Problem { member: member.clone(), message, hint });
                self.fail(member);
            }
            PlanEvent::Quiet => self.quiet = true,
            PlanEvent::Observed { member, result } => {
                self.outstanding -= 1;
                self.take_observation(&member, result);
            }
            PlanEvent::Proposed { member, result } => {
                self.outstanding -= 1;
                self.take_proposal(&member, result);
            }
            PlanEvent::Described { member, result } => {
                self.outstanding -= 1;
                self.take_description(&member, result);
            }
        }
        self.advance();
        std::mem::take(&mut self.effects)
    }

    fn take_structure(&mut self, member: &MemberPath, structure: Structure) {
        self.waiting.remove(member);
        let children: Vec<MemberPath> = structure.members.iter().map(|name| member.child(name)).collect();
        self.take_moves(member, &structure, &children);
        self.forgotten.extend(structure.removed);
        for check in &structure.checks {
            self.require(member, "check", check);
        }
        self.structures.insert(member.clone(), structure.members);
        self.declared.extend(children.iter().cloned());
        for child in &children {
            if self.options.excludes(child) {
                self.publish_recorded_within(child);
            }
        }
        // What is excluded may say that it has the records of others.
        let wanted = children.into_iter().filter(|c| self.is_wanted(c)).collect();
        self.evaluate(wanted);
    }

    /// Nothing is done about an excluded composite, but records follow it.
    fn take_excluded(&mut self, member: &MemberPath, structure: &Structure) {
        let children: Vec<MemberPath> = structure.members.iter().map(|name| member.child(name)).collect();
        self.take_moves(member, structure, &children);
        self.structures.insert(member.clone(), structure.members.clone());
        self.declared.extend(children.iter().cloned());
        self.evaluate(children);
    }

    /// What can be done when an answer has come and, possibly, nothing is outstanding.
    fn advance(&mut self) {
        while self.outstanding == 0 && self.quiet && !self.finished && self.effects.is_empty() {
            if self.options.mode == Mode::Normal && self.move_on() {
                continue;
            }
            if self.look_beside() {
                continue;
            }
            self.settle_removals();
        }
    }

    fn evaluate(&mut self, members: Vec<MemberPath>) {
        if !members.is_empty() {
            self.quiet = false;
            self.effects.push(PlanEffect::Evaluate(members));
        }
    }

    fn publish(&mut self, member: MemberPath, outputs: Attrs) {
        if self.options.mode == Mode::Normal {
            self.quiet = false;
            self.effects.push(PlanEffect::Publish { member, outputs });
        }
    }

    fn fail(&mut self, member: MemberPath) {
        self.waiting.remove(&member);
        self.failed.insert(member.clone());
        if self.options.mode == Mode::Normal {
            self.quiet = false;
            self.effects.push(PlanEffect::Fail { member });
        }
    }

    fn problem(&mut self, member: &MemberPath, message: impl Into<String>, hint: Option<String>) {
        self.problems.push(Problem { member: member.clone(), message: message.into(), hint });
    }

    fn require(&mut self, member: &MemberPath, what: &str, check: &freehold_model::Check) {
        if let Some(message) = check.refusal(what) {
            let is_no_answer = check.assertion != freehold_model::Value::Bool(false);
            self.problem(member, message, is_no_answer.then(|| "let `assertion` be a comparison".to_owned()));
        }
    }

    fn interrupted_by(&self, path: &MemberPath) -> impl Iterator<Item = &OpenIntent> {
        self.intents.get(path).into_iter().flatten()
    }

    /// Moves every record within `from`; a record that is at its new place already is left alone.
    fn move_records(&mut self, from: &MemberPath, to: &MemberPath) {
        // One word leads in no circle.
        let _ = self.move_together(&[(from.clone(), to.clone())], &[]);
    }

    /// Moves all records that a composite speaks of.
    fn take_moves(&mut self, member: &MemberPath, structure: &Structure, children: &[MemberPath]) {
        if let Err(circle) = self.move_together(&structure.moved, children) {
            let (message, hint) = moved_in_a_circle(&circle);
            self.problem(member, message, Some(hint));
        }
    }

    fn move_together(
        &mut self,
        words: &[(MemberPath, MemberPath)],
        declared: &[MemberPath],
    ) -> Result<(), Vec<MemberPath>> {
        let mut old: BTreeSet<MemberPath> = BTreeSet::new();
        for (from, _) in words {
            let within = |p: &&MemberPath| p.is_within(from);
            let recorded = self.records.range(from.clone()..).map(|(p, _)| p).take_while(within);
            let unfinished = self.intents.range(from.clone()..).map(|(p, _)| p).take_while(within);
            old.extend(recorded.chain(unfinished).filter(|path| !self.members.contains_key(*path)).cloned());
        }
        let is_taken = |path: &MemberPath| self.records.contains_key(path);
        let moves = moved_together(words, &old, is_taken, |path| declared.contains(path))?;
        moves.into_iter().for_each(|mv| self.move_record(mv));
        Ok(())
    }

    /// Moves a record with what was left open of it.
    fn move_record(&mut self, mv: Move) {
        if let Some(record) = self.records.remove(&mv.from) {
            self.records.insert(mv.to.clone(), record);
        }
        if let Some(moved) = self.intents.remove(&mv.from) {
            let all = self.intents.entry(mv.to.clone()).or_default();
            all.extend(moved);
            all.sort_by_key(|i| i.began);
            // Those that were looked into are known now.
            self.looked.remove(&mv.to);
        }
        if let Some(op) = self.found.remove(&mv.from) {
            self.found.insert(mv.to.clone(), op);
        }
        self.moves.push(mv);
    }

    fn publish_recorded_within(&mut self, top: &MemberPath) {
        let recorded: Vec<(MemberPath, Attrs)> = self
            .records
            .range(top.clone()..)
            .take_while(|(p, _)| p.is_within(top))
            .map(|(p, r)| (p.clone(), r.outputs.clone()))
            .collect();
        for (member, outputs) in recorded {
            self.publish(member, outputs);
        }
    }

    fn finish(&mut self, mut removals: Vec<Step>) {
        self.finished = true;
        self.propagate_create_first();
        let mut steps: Vec<Step> = std::mem::take(&mut self.members).into_values().filter_map(|m| m.step).collect();
        steps.append(&mut removals);
        let open = std::mem::take(&mut self.open);
        let found = std::mem::take(&mut self.found).into_iter().filter_map(|(member, op)| {
            let record = self.records.get(&member)?.clone();
            Some(Found { member, op, record })
        });
        let found = found.collect();
        self.problems.sort_by(|a, b| a.member.cmp(&b.member));
        self.effects.push(PlanEffect::Finished(Box::new(Plan {
            options: self.options.clone(),
            moves: std::mem::take(&mut self.moves),
            found,
            steps,
            drift: std::mem::take(&mut self.drift),
            open: open.into_iter().map(|(member, needs)| OpenStructure { member, needs }).collect(),
            needed: std::mem::take(&mut self.needed),
            left_open: std::mem::take(&mut self.left_open),
            observed: std::mem::take(&mut self.seen_late)
                .into_iter()
                .filter_map(|(member, observed)| Some((member, observed?)))
                .collect(),
            structures: std::mem::take(&mut self.structures),
            problems: std::mem::take(&mut self.problems),
            warnings: std::mem::take(&mut self.warnings),
        })));
    }
}
