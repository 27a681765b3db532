//! `timestamp`: the time at which it was made.

use freehold_provider::sdk::{Context, Existing, Failure, Made, Ran, ResourceType, Traits};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::secret;

pub(crate) struct Timestamp;

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Inputs {
    /// Any values; when one changes there is a new time.
    #[schemars(extend("x-force-new" = true))]
    #[allow(dead_code, reason = "only its change matters")]
    keepers: Option<Json>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Outputs {
    /// The time in UTC, to the second: `2026-11-21T12:00:00Z`.
    rfc3339: String,
    /// Seconds since 1970.
    unix: i64,
}

impl ResourceType for Timestamp {
    type Inputs = Inputs;
    type Outputs = Outputs;
    const NAME: &'static str = "timestamp";
    const DESCRIPTION: &'static str = "The time at which it was made, which stays as it is.";

    fn traits(&self) -> Traits {
        let operations = vec![secret::rotate("takes the time again")];
        Traits { stateful: true, repeatable: true, operations, ..Traits::default() }
            .examples_from(include_str!("../../examples/timestamp.json"))
    }

    fn create(&self, _: &Context, _: Inputs) -> Result<Made<Outputs>, Failure> {
        Ok(now())
    }

    fn run(&self, _: &Context, _: &Existing<Self>, _: &str, _: &[String]) -> Result<Ran<Outputs>, Failure> {
        Ok(Ran { exit_code: 0, made: Some(now()) })
    }
}

fn now() -> Made<Outputs> {
    let now = jiff::Timestamp::now();
    let unix = now.as_second();
    let whole = jiff::Timestamp::from_second(unix).unwrap_or(now);
    Made::new(Outputs { rfc3339: whole.to_string(), unix })
}
