//! How long planner and executor take for many members, as milliseconds: `cargo bench -p freehold-apply`. Both must grow linearly.

#![allow(clippy::print_stdout, reason = "it is a program")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken benchmark stops")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use freehold_apply::{ApplyEffect, ApplyEvent, Executor, Outcome, RecordChange};
use freehold_model::{Attrs, Declaration, Lifecycle, MemberPath, ProviderRef, Record, Structure, Value};
use freehold_plan::{Plan, PlanEffect, PlanEvent, PlanOptions, Planner, TypeFacts};

fn main() {
    for members in [1_000, 10_000, 100_000] {
        let start = Instant::now();
        let plan = plan(members, BTreeMap::new());
        println!("plan {members} new members: {} ms", start.elapsed().as_millis());
        let start = Instant::now();
        let records = apply(plan);
        println!("execute {members} creates: {} ms", start.elapsed().as_millis());
        let start = Instant::now();
        let noop = plan_again(members, records);
        println!("plan {members} recorded members, nothing to do: {} ms", start.elapsed().as_millis());
        assert!(noop.is_noop());
    }
}

fn plan_again(members: usize, records: BTreeMap<MemberPath, Arc<Record>>) -> Plan {
    plan(members, records)
}

fn declaration(n: usize) -> Box<Declaration> {
    Box::new(Declaration {
        provider: ProviderRef::Builtin { name: "sim".into(), config: Value::Null },
        type_name: "file".into(),
        inputs: [("path".to_owned(), Value::from(format!("/{n}"))), ("content".to_owned(), Value::from("x"))].into(),
        context: BTreeSet::new(),
        outputs: ["etag".to_owned()].into(),
        holder: None,
        lifecycle: Lifecycle::default(),
        depends_on: BTreeSet::new(),
        preconditions: Vec::new(),
        postconditions: Vec::new(),
        operations: BTreeMap::new(),
    })
}

fn plan(members: usize, records: BTreeMap<MemberPath, Arc<Record>>) -> Plan {
    let facts = Arc::new(TypeFacts {
        can_update: true,
        can_delete: true,
        identity: freehold_plan::Identity { inputs: vec!["path".into()], base: "/srv".into() },
        ..TypeFacts::default()
    });
    let mut planner = Planner::new(PlanOptions::default(), records, BTreeMap::new());
    let mut effects: VecDeque<PlanEffect> = planner.start().into();
    let mut quiet = false;
    loop {
        while let Some(effect) = effects.pop_front() {
            match effect {
                PlanEffect::Evaluate(wanted) => {
                    for member in wanted {
                        let event = if member.is_root() {
                            let members = (0..members).map(|n| format!("m{n:06}")).collect();
                            PlanEvent::Structure { member, structure: Structure { members, ..Structure::default() } }
                        } else {
                            let n = member.name().unwrap()[1..].parse().unwrap();
                            let (edges, facts) = (BTreeSet::new(), Arc::clone(&facts));
                            PlanEvent::Declared { member, declaration: declaration(n), edges, facts }
                        };
                        effects.extend(planner.step(event));
                    }
                    quiet = false;
                }
                PlanEffect::Finished(plan) => return *plan,
                _ => quiet = false,
            }
        }
        assert!(!quiet, "the planner waits for something");
        quiet = true;
        effects.extend(planner.step(PlanEvent::Quiet));
    }
}

fn apply(plan: Plan) -> BTreeMap<MemberPath, Arc<Record>> {
    let mut executor = Executor::new(plan, BTreeMap::new(), 10, 1);
    let mut effects: VecDeque<ApplyEffect> = executor.start().into();
    let mut records = BTreeMap::new();
    while let Some(effect) = effects.pop_front() {
        let event = match effect {
            ApplyEffect::WriteIntent { op, .. } => ApplyEvent::IntentDurable { op },
            ApplyEffect::Call { op, .. } => {
                let outputs: Attrs = [("etag".to_owned(), Value::from("e"))].into();
                ApplyEvent::Called { op, outcome: Outcome::Made { outputs, private: None } }
            }
            ApplyEffect::WriteResult { op, member, change } => {
                if let RecordChange::Recorded(record) = *change {
                    records.insert(member, record);
                }
                ApplyEvent::ResultDurable { op }
            }
            ApplyEffect::Finished(summary) => {
                assert!(summary.is_ok());
                return records;
            }
            _ => continue,
        };
        effects.extend(executor.step(event));
    }
    panic!("the executor did not finish");
}
