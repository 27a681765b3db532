//! Calls as requests of protocol v0 (NixOps4's), and what is answered for it because it has no such request.

use std::sync::Arc;

use freehold_model::{Attrs, Sensitive, Value};
use freehold_protocol::ProviderSchema;
use freehold_protocol::v0;
use freehold_protocol::v1::PlanAction;
use serde_json::{Map, Value as Json};

use crate::sdk::erased;
use crate::{Call, Launch, Object, Reply};

/// What a call becomes.
pub(crate) enum Asked {
    /// One line to a process of its own.
    Send(Vec<u8>),
    /// The answer is known without asking.
    Known(Reply),
    /// There is no such request.
    Unsupported,
}

pub(crate) fn encode(call: &Call, launch: &Launch) -> Asked {
    let request = match call {
        Call::Schema => return Asked::Known(Reply::Schema(Arc::new(schema(launch)))),
        Call::Validate { .. } => return Asked::Known(Reply::Validated(Vec::new())),
        Call::Plan { prior, inputs, replace, .. } => return Asked::Known(plan(prior.as_ref(), inputs, *replace)),
        Call::Create { type_name, inputs, stateful } => v0::Request::CreateResourceRequest(v0::CreateRequest {
            type_name: type_name.clone(),
            input_properties: plain(inputs),
            is_stateful: *stateful,
        }),
        Call::Update { type_name, prior, inputs } => v0::Request::UpdateResourceRequest(v0::UpdateRequest {
            resource: resource(type_name, prior),
            input_properties: plain(inputs),
        }),
        Call::StateRead { type_name, object } => {
            v0::Request::StateResourceReadRequest(v0::StateReadRequest { resource: resource(type_name, object) })
        }
        Call::StateEvent { type_name, object, event, patch } => {
            v0::Request::StateResourceEvent(v0::StateEventRequest {
                resource: resource(type_name, object),
                event: event.clone(),
                nixops_version: env!("CARGO_PKG_VERSION").into(),
                patch: patch.expose().clone(),
            })
        }
        _ => return Asked::Unsupported,
    };
    // Our own request types have text keys only and no failing parts.
    let mut line = serde_json::to_vec(&request).unwrap_or_default();
    line.push(b'\n');
    Asked::Send(line)
}

/// The reply in a response; `None` when it answers another request.
pub(crate) fn decode(call: &Call, response: v0::Response) -> Option<Reply> {
    Some(match (call, response) {
        (Call::Create { .. }, v0::Response::CreateResourceResponse(made))
        | (Call::Update { .. }, v0::Response::UpdateResourceResponse(made)) => {
            Reply::Object { outputs: literal(made.output_properties), private: None, inputs: None }
        }
        (Call::StateRead { .. }, v0::Response::StateResourceReadResponse(read)) => {
            Reply::StateDocument(Sensitive::new(read.state))
        }
        (Call::StateEvent { .. }, v0::Response::StateResourceEventResponse(_)) => {
            Reply::Appended { version: String::new() }
        }
        _ => return None,
    })
}

fn schema(launch: &Launch) -> ProviderSchema {
    let name = launch.program.file_name().map_or_else(|| launch.name.clone(), |n| n.to_string_lossy().into_owned());
    ProviderSchema { name, version: String::new(), protocol: 0, types: Default::default(), config: None }
}

/// Equal inputs mean no change, as in NixOps4; nothing is known of the outputs of a change.
fn plan(prior: Option<&Object>, inputs: &Attrs, replace: bool) -> Reply {
    let same = prior.is_some_and(|prior| {
        prior.inputs.len() == inputs.len()
            && prior.inputs.iter().zip(inputs).all(|((a, x), (b, y))| a == b && y.is_known() && x.same_content(y))
    });
    let (action, outputs) = match prior {
        Some(prior) if same && !replace => (PlanAction::None, prior.outputs.clone()),
        Some(prior) => {
            let unknown = prior.outputs.keys().map(|name| (name.clone(), Value::Unknown)).collect();
            (if replace { PlanAction::Replace } else { PlanAction::Update }, unknown)
        }
        None => (PlanAction::Update, Attrs::new()),
    };
    Reply::Plan { action, planned_outputs: outputs, reasons: Vec::new(), private: None }
}

fn resource(type_name: &str, object: &Object) -> v0::Resource {
    v0::Resource {
        type_name: type_name.to_owned(),
        input_properties: plain(&object.inputs),
        output_properties: Some(plain(&object.outputs)),
    }
}

/// v0 knows no marks: a literal `$freehold` goes as it is, and nothing is unknown when it is applied.
fn plain(attrs: &Attrs) -> Map<String, Json> {
    attrs.iter().map(|(name, value)| (name.clone(), erased::plain(value))).collect()
}

fn literal(object: Map<String, Json>) -> Attrs {
    object.into_iter().map(|(name, json)| (name, erased::literal(json))).collect()
}
