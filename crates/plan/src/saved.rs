//! A plan that is kept in a file: bound to the records it touches, not to the whole state.

use std::collections::{BTreeMap, BTreeSet};

use freehold_model::{MemberPath, Record};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::{Action, Move, Plan, PlanOptions, Step};

/// What is kept of a plan. Secrets are left out: `apply` evaluates again and compares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedPlan {
    /// `freehold.saved-plan/1`.
    pub format: String,
    /// Lineage of the state it was made against.
    pub lineage: String,
    /// What was asked.
    pub options: PlanOptions,
    /// What was planned, by member (deposed objects as `member#key`).
    pub steps: BTreeMap<String, SavedStep>,
    /// Records that were to move.
    pub moves: Vec<Move>,
    /// What was left to be decided at apply.
    pub open: BTreeSet<MemberPath>,
    /// Operations of interrupted runs whose objects were found.
    pub found: BTreeSet<String>,
    /// The whole plan as `plan --json` shows it.
    pub plan: Json,
}

/// One step of a saved plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedStep {
    /// What was to be done.
    pub action: Action,
    /// Inputs without secrets; unknown places are marked.
    pub inputs: Json,
    /// When the record that it started from was last written; `None` when there was none.
    pub recorded: Option<u64>,
}

/// Why a saved plan no longer holds for a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stale {
    /// Whose step.
    pub member: String,
    /// What is different now.
    pub why: String,
}

impl SavedPlan {
    /// The format's name and version.
    pub const FORMAT: &'static str = "freehold.saved-plan/1";

    /// Keeps what is needed of `plan`.
    pub fn new(plan: &Plan, lineage: String) -> Self {
        let steps = plan.steps.iter().filter(|s| s.action != Action::None || s.is_undecided()).map(|step| {
            let saved = SavedStep {
                action: step.action,
                inputs: inputs_of(step),
                recorded: step.prior.as_deref().map(recorded_at),
            };
            (key_of(step), saved)
        });
        Self {
            format: Self::FORMAT.to_owned(),
            lineage,
            options: plan.options.clone(),
            steps: steps.collect(),
            moves: plan.moves.clone(),
            open: plan.open.iter().map(|o| o.member.clone()).collect(),
            found: plan.found.iter().map(|f| f.op.clone()).collect(),
            plan: plan.to_json(),
        }
    }

    /// Compares with the plan as it is made now: on success it is reduced to the saved steps.
    ///
    /// # Errors
    /// Lists every saved step that would be another one now.
    pub fn restrict(&self, mut now: Plan) -> Result<Plan, Vec<Stale>> {
        let mut stale = Vec::new();
        let steps: BTreeMap<String, &Step> = now.steps.iter().map(|s| (key_of(s), s)).collect();
        for (key, saved) in &self.steps {
            let member = key.clone();
            match steps.get(key) {
                None if saved.action == Action::Delete => {
                    stale.push(Stale { member, why: "would not be deleted now".into() });
                }
                None => stale.push(Stale { member, why: "is not part of the deployment any more".into() }),
                Some(step) if step.action != saved.action => stale.push(Stale {
                    member,
                    why: format!("was to be `{}`, would be `{}` now", saved.action.as_str(), step.action.as_str()),
                }),
                Some(step) if inputs_of(step) != saved.inputs => {
                    stale.push(Stale { member, why: "has other inputs now".into() });
                }
                Some(step) if step.prior.as_deref().map(recorded_at) != saved.recorded => {
                    stale.push(Stale { member, why: "was changed by another run".into() });
                }
                Some(_) => {}
            }
        }
        for step in now.moves.iter().filter(|step| !self.moves.contains(step)) {
            stale.push(Stale { member: step.from.to_string(), why: format!("would be moved to `{}` now", step.to) });
        }
        for open in now.open.iter().filter(|open| !self.open.contains(&open.member)) {
            stale.push(Stale { member: open.member.to_string(), why: "would be decided at apply now".into() });
        }
        for step in now.steps.iter().filter(|s| s.is_undecided() && !self.steps.contains_key(&key_of(s))) {
            stale.push(Stale { member: key_of(step), why: "would be decided at apply now".into() });
        }
        for found in now.found.iter().filter(|found| !self.found.contains(&found.op)) {
            let why = "was left open by a run that was interrupted".to_owned();
            stale.push(Stale { member: found.member.to_string(), why });
        }
        if !stale.is_empty() {
            return Err(stale);
        }
        now.steps.retain(|s| s.action == Action::None || self.steps.contains_key(&key_of(s)));
        Ok(now)
    }
}

fn key_of(step: &Step) -> String {
    match &step.deposed {
        Some(key) => format!("{}#{key}", step.member),
        None => step.member.to_string(),
    }
}

fn inputs_of(step: &Step) -> Json {
    step.declaration
        .as_ref()
        .map(|d| freehold_model::Value::Map(d.inputs.clone()).to_redacted_json())
        .unwrap_or(Json::Null)
}

fn recorded_at(record: &Record) -> u64 {
    record.interval.ended
}
