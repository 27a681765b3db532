//! What the evaluation is told while a plan is followed, and how often.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a panic is the report of a test"
)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use freehold_apply::{ApplyEffect, ApplyEvent, Executor, Outcome};
use freehold_model::{Attrs, Declaration, Lifecycle, MemberPath, ProviderRef, Value};
use freehold_plan::{Action, Old, OpenStructure, Plan, Reason, Step};

#[test]
fn outputs_are_told_together_while_others_wait_for_their_turn() {
    // 300 known members, and a composite whose members the evaluation has yet to find.
    let steps = (0..300).map(create).collect();
    let open = vec![OpenStructure { member: MemberPath::new(["later"]), needs: BTreeSet::new() }];
    let plan = Plan { steps, open, ..Plan::default() };
    let mut executor = Executor::new(plan, BTreeMap::new(), 10, 1);

    let mut effects: VecDeque<ApplyEffect> = executor.start().into();
    let (mut done, mut published, mut done_at_first_word) = (0, 0, None);
    while let Some(effect) = effects.pop_front() {
        let event = match effect {
            ApplyEffect::WriteIntent { op, .. } => ApplyEvent::IntentDurable { op },
            ApplyEffect::Call { op, .. } => {
                ApplyEvent::Called { op, outcome: Outcome::Made { outputs: Attrs::new(), private: None } }
            }
            ApplyEffect::WriteResult { op, .. } => {
                done += 1;
                // A word about what it was told before must not end the run.
                effects.extend(executor.step(ApplyEvent::Quiet));
                ApplyEvent::ResultDurable { op }
            }
            ApplyEffect::Publish { .. } => {
                published += 1;
                done_at_first_word.get_or_insert(done);
                continue;
            }
            ApplyEffect::Finished(_) => break,
            _ => continue,
        };
        effects.extend(executor.step(event));
    }
    assert_eq!((done, published), (300, 300), "all of them, sooner or later");
    assert!(done_at_first_word > Some(200), "told one by one: the first after {done_at_first_word:?}");
}

fn create(n: usize) -> Step {
    Step {
        member: MemberPath::new([format!("m{n:03}")]),
        deposed: None,
        action: Action::Create,
        create_first: false,
        reasons: vec![Reason::New],
        provider: "sim".into(),
        type_name: "file".into(),
        changes: Vec::new(),
        declaration: Some(declaration().into()),
        exact: true,
        identity: freehold_plan::Identity::default(),
        told: false,
        recovery: freehold_plan::Recovery::default(),
        old: Old::Deleted,
        open: false,
        outputs: Attrs::new(),
        edges: BTreeSet::new(),
        prior: None,
        resumes: None,
    }
}

fn declaration() -> Declaration {
    Declaration {
        provider: ProviderRef::Builtin { name: "sim".into(), config: Value::Null },
        type_name: "file".into(),
        inputs: Attrs::new(),
        context: BTreeSet::new(),
        outputs: BTreeSet::new(),
        holder: None,
        lifecycle: Lifecycle::default(),
        depends_on: BTreeSet::new(),
        preconditions: Vec::new(),
        postconditions: Vec::new(),
        operations: BTreeMap::new(),
    }
}
