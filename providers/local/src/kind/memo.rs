//! `memo`: remembers the value it was given first.

use freehold_model::Attrs;
use freehold_protocol::v1::PlanAction;
use freehold_provider::sdk::{Context, Existing, Failure, Made, ResourceType, Traits};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

pub(crate) struct Memo;

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Inputs {
    /// The value to remember; later values are not looked at.
    initialize_with: Json,
}

#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Outputs {
    /// The value that was given first.
    #[schemars(extend("x-stable" = true))]
    value: Json,
}

impl ResourceType for Memo {
    type Inputs = Inputs;
    type Outputs = Outputs;
    const NAME: &'static str = "memo";
    const DESCRIPTION: &'static str = "Remembers the value it was given first.";

    fn traits(&self) -> Traits {
        let aliases = vec![("initializeWith", "initialize_with")];
        Traits { stateful: true, repeatable: true, can_update: true, aliases, ..Traits::default() }
            .examples_from(include_str!("../../examples/memo.json"))
    }

    fn planned_outputs(&self, _: &Context, inputs: &Attrs) -> Attrs {
        inputs.get("initialize_with").map(|value| ("value".to_owned(), value.clone())).into_iter().collect()
    }

    fn plan(
        &self,
        _: &Context,
        _: &Existing<Self>,
        _: &Attrs,
        _: PlanAction,
    ) -> Result<(PlanAction, Vec<String>), Failure> {
        Ok((PlanAction::None, Vec::new()))
    }

    fn create(&self, ctx: &Context, inputs: Inputs) -> Result<Made<Outputs>, Failure> {
        if !ctx.is_stateful() {
            return Err(Failure::user("a memo without state would forget at once").hint("give it a `state`"));
        }
        Ok(Made::new(Outputs { value: inputs.initialize_with }).sensitive_as("value", ctx, "initialize_with"))
    }

    fn update(&self, _: &Context, prior: &Existing<Self>, _: Inputs) -> Result<Made<Outputs>, Failure> {
        let made = Made::new(prior.typed_outputs()?);
        Ok(match prior.outputs.get("value") {
            Some(value) => made.sensitive_like("value", value),
            None => made,
        })
    }
}
