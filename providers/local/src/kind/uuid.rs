//! `uuid`: a random UUID (version 4) that stays as it is.

use freehold_provider::sdk::{Context, Existing, Failure, Made, Ran, ResourceType, Traits};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::secret;

pub(crate) struct Uuid;

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Inputs {
    /// Any values; when one changes there is a new UUID.
    #[schemars(extend("x-force-new" = true))]
    #[allow(dead_code, reason = "only its change matters")]
    keepers: Option<Json>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Outputs {
    /// The UUID, in lower case with hyphens.
    uuid: String,
}

impl ResourceType for Uuid {
    type Inputs = Inputs;
    type Outputs = Outputs;
    const NAME: &'static str = "uuid";
    const DESCRIPTION: &'static str = "A random UUID that stays as it is.";

    fn traits(&self) -> Traits {
        let operations = vec![secret::rotate("makes a new UUID")];
        Traits { stateful: true, repeatable: true, operations, ..Traits::default() }
            .examples_from(include_str!("../../examples/uuid.json"))
    }

    fn create(&self, _: &Context, _: Inputs) -> Result<Made<Outputs>, Failure> {
        make()
    }

    fn run(&self, _: &Context, _: &Existing<Self>, _: &str, _: &[String]) -> Result<Ran<Outputs>, Failure> {
        Ok(Ran { exit_code: 0, made: Some(make()?) })
    }
}

fn make() -> Result<Made<Outputs>, Failure> {
    let mut bytes = secret::bytes(16)?;
    // Version 4, variant 1 (RFC 9562).
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = secret::hex(&bytes);
    let uuid = format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
    Ok(Made::new(Outputs { uuid }))
}
