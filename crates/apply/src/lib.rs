//! The executor: follows a plan as `step(event) -> effects`. No IO, no async, no clock, no threads.
//!
//! `freehold-engine` carries the effects out for real; the simulator in `tests/` carries them out in a world that a seed owns, with
//! crashes at every effect. The executor makes no choice that the plan did not make or explicitly leave open.

mod executor;
mod messages;

pub use executor::Executor;
pub use messages::{
    ApplyEffect, ApplyEvent, ApplySummary, Call, Failure, Intent, IntentAction, Outcome, RecordChange, Report, Skip,
};
