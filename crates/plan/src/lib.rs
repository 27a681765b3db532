//! Declared + recorded + observed → [`Plan`]. Pure: no IO, no async, no clock.
//!
//! [`decide`] says what happens to one member; [`Planner`] is the machine that walks a deployment as it is evaluated, asks for
//! what it has to know (evaluations, reads, proposals of providers) and ends with a plan. `freehold-engine` carries out what it asks for;
//! `freehold-apply` follows the plan. This crate never talks to the world and never decides *how* a step is carried out.

mod decide;
mod deletion;
mod diff;
mod facts;
mod identity;
mod json;
mod lint;
mod moves;
mod options;
mod plan;
mod planner;
mod saved;

pub use decide::{
    Considered, Decision, can_create_first, decide, effective_inputs, is_same_type, kept_in_the_way, life_differs,
    note_difference, tells_inputs, unkeepable,
};
pub use deletion::DeletionOrder;
pub use diff::{Change, diff_attrs};
pub use facts::{Observation, OpenIntent, Proposal, ProposedAction, Recovery, TypeFacts};
pub use identity::{Identity, ObjectKey, object_key, objects_around, shared_object};
pub use moves::{moved_in_a_circle, moved_path, moved_together};
pub use options::{Mode, PlanOptions};
pub use plan::{Action, Drift, Found, Move, Old, OpenStructure, Plan, Problem, Reason, Step, Summary};
pub use planner::{PlanEffect, PlanEvent, Planner};
pub use saved::{SavedPlan, Stale};
