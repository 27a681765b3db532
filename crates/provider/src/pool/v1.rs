//! Calls as messages of protocol v1, and back.

use std::path::Path;
use std::sync::Arc;

use freehold_model::Attrs;
use freehold_protocol::v1::{self, ErrorObject, Id, Message, notices};
use freehold_protocol::{ProviderSchema, WireAttrs, WireError, WireValue};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::marks::read_marks;
use crate::{Call, CallEvent, ImportedObject, Launch, Object, Private, ProviderError, Reply, Request};

/// Why a result cannot be understood.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplyError {
    #[error("{0}")]
    Shape(String),
    #[error("a value in it cannot be read")]
    Value(#[source] WireError),
}

pub(crate) fn initialize(id: u64, client_version: &str, cwd: &Path) -> Message {
    let params = v1::InitializeParams {
        protocol_versions: vec![v1::VERSION],
        client: v1::Program { name: "freehold".into(), version: client_version.into() },
        working_directory: cwd.to_string_lossy().into_owned(),
    };
    request(id, v1::names::INITIALIZE, &params)
}

pub(crate) fn configure(id: u64, launch: &Launch) -> Message {
    request(id, v1::names::CONFIGURE, &v1::ConfigureParams { config: WireValue::from_value(&launch.config) })
}

pub(crate) fn cancel(id: u64) -> Message {
    let params = to_json(&v1::CancelParams { id: Id::Number(id) });
    Message::Notification { method: v1::names::CANCEL.into(), params }
}

/// The message of a call; `None` for a call that only protocol v0 has.
pub(crate) fn encode(id: u64, asked: &Request) -> Option<Message> {
    let member = asked.member.clone();
    let method = asked.call.method();
    Some(match &asked.call {
        Call::Schema => request(id, method, &v1::SchemaParams {}),
        Call::Validate { type_name, inputs } => {
            request(id, method, &v1::ValidateParams { member, type_name: type_name.clone(), inputs: wire(inputs) })
        }
        Call::Plan { type_name, prior, inputs, replace } => {
            let prior = prior.as_ref().map(object);
            let params =
                v1::PlanParams { member, type_name: type_name.clone(), prior, inputs: wire(inputs), replace: *replace };
            request(id, method, &params)
        }
        Call::Create { type_name, inputs, stateful } => {
            let params =
                v1::CreateParams { member, type_name: type_name.clone(), inputs: wire(inputs), stateful: *stateful };
            request(id, method, &params)
        }
        Call::Update { type_name, prior, inputs } => {
            let params =
                v1::UpdateParams { member, type_name: type_name.clone(), prior: object(prior), inputs: wire(inputs) };
            request(id, method, &params)
        }
        Call::Read { type_name, object: o }
        | Call::Delete { type_name, object: o }
        | Call::StateRead { type_name, object: o } => {
            request(id, method, &v1::ObjectParams { member, type_name: type_name.clone(), object: object(o) })
        }
        Call::Import { type_name, id: external } => {
            request(id, method, &v1::ImportParams { member, type_name: type_name.clone(), id: external.clone() })
        }
        Call::Run { type_name, operation, args, object: o } => {
            let params = v1::RunParams {
                member,
                type_name: type_name.clone(),
                operation: operation.clone(),
                args: args.clone(),
                object: object(o),
            };
            request(id, method, &params)
        }
        Call::StateAppend { .. } | Call::StateLock { .. } | Call::StateUnlock { .. } => encode_state(id, asked)?,
        Call::StateEvent { .. } => return None,
    })
}

fn encode_state(id: u64, asked: &Request) -> Option<Message> {
    let member = asked.member.clone();
    let method = asked.call.method();
    Some(match &asked.call {
        Call::StateAppend { type_name, object: o, expected_version, lines, fence } => {
            let params = v1::StateAppendParams {
                member,
                type_name: type_name.clone(),
                object: object(o),
                expected_version: expected_version.clone(),
                lines: lines.clone(),
                fence: *fence,
            };
            request(id, method, &params)
        }
        Call::StateLock { type_name, object: o, owner, lease, token } => {
            let params = v1::StateLockParams {
                member,
                type_name: type_name.clone(),
                object: object(o),
                owner: owner.clone(),
                lease_seconds: lease.as_secs(),
                token: token.clone(),
            };
            request(id, method, &params)
        }
        Call::StateUnlock { type_name, object: o, token } => {
            let params =
                v1::StateUnlockParams { member, type_name: type_name.clone(), object: object(o), token: token.clone() };
            request(id, method, &params)
        }
        _ => return None,
    })
}

/// The reply in a result.
pub(crate) fn decode(call: &Call, identity: &v1::Program, result: Json) -> Result<Reply, ReplyError> {
    Ok(match call {
        Call::Schema => {
            let mut schema: v1::SchemaResult = shape(result)?;
            schema.types.values_mut().for_each(read_marks);
            Reply::Schema(Arc::new(ProviderSchema {
                name: identity.name.clone(),
                version: identity.version.clone(),
                protocol: v1::VERSION,
                types: schema.types,
                config: schema.config,
            }))
        }
        Call::Validate { .. } => Reply::Validated(shape::<v1::ValidateResult>(result)?.diagnostics),
        Call::Plan { .. } => {
            let plan: v1::PlanResult = shape(result)?;
            Reply::Plan {
                action: plan.action,
                planned_outputs: attrs(plan.planned_outputs)?,
                reasons: plan.reasons,
                private: private(plan.private),
            }
        }
        Call::Create { .. } | Call::Update { .. } => object_reply(shape(result)?)?,
        Call::Read { .. } => match shape::<v1::ReadResult>(result)?.object {
            Some(object) => object_reply(object)?,
            None => Reply::Gone,
        },
        Call::Delete { .. } => {
            shape::<v1::Done>(result)?;
            Reply::Gone
        }
        Call::Import { .. } => {
            let found: v1::ImportResult = shape(result)?;
            let objects = found.objects.into_iter().map(|found| {
                let Object { inputs, outputs, private } = read_object(found)?;
                Ok(ImportedObject { inputs, outputs, private })
            });
            Reply::Imported(objects.collect::<Result<_, _>>()?)
        }
        Call::Run { .. } => {
            let ran: v1::RunResult = shape(result)?;
            let object = ran.object.map(read_object).transpose()?;
            let (outputs, private) = object.map_or((None, None), |o| (Some(o.outputs), o.private));
            Reply::Ran { exit_code: ran.exit_code, outputs, private }
        }
        Call::StateRead { .. } => {
            let state: v1::StateReadResult = shape(result)?;
            Reply::State { text: state.text, version: state.version }
        }
        Call::StateAppend { .. } | Call::StateEvent { .. } => {
            Reply::Appended { version: shape::<v1::StateAppendResult>(result)?.version }
        }
        Call::StateLock { .. } => {
            let lock: v1::StateLockResult = shape(result)?;
            Reply::Locked { token: lock.token, fence: lock.fence }
        }
        Call::StateUnlock { .. } => {
            shape::<v1::Done>(result)?;
            Reply::Unlocked
        }
    })
}

/// What a notification says, and about which request.
pub(crate) fn notice(method: &str, params: Json) -> Result<(Option<u64>, Option<CallEvent>), ReplyError> {
    Ok(match method {
        notices::PROGRESS => {
            let said: v1::ProgressParams = shape(params)?;
            (number(&said.id), Some(CallEvent::Progress { fraction: said.fraction, message: said.message }))
        }
        notices::LOG => {
            let said: v1::LogParams = shape(params)?;
            let event = CallEvent::Log { level: said.level, message: said.message, fields: said.fields };
            (said.id.as_ref().and_then(number), Some(event))
        }
        notices::PARTIAL => {
            let said: v1::PartialParams = shape(params)?;
            let Object { outputs, private, .. } = read_object(said.object)?;
            (number(&said.id), Some(CallEvent::Partial { outputs, private }))
        }
        notices::OUTPUT => {
            let said: v1::OutputParams = shape(params)?;
            (number(&said.id), Some(CallEvent::Output { stream: said.stream, data: said.data }))
        }
        // A later version may say more; what is not understood is not needed.
        _ => (None, None),
    })
}

/// What a provider's error says.
pub(crate) fn error(error: ErrorObject) -> ProviderError {
    let kind = error.kind();
    let data = error.data;
    let (hint, diagnostics, partial) = match data {
        Some(data) => (data.hint, data.diagnostics, data.partial.and_then(|p| read_object(p).ok())),
        None => (None, Vec::new(), None),
    };
    ProviderError { code: error.code, kind, message: error.message, hint, diagnostics, partial }
}

pub(crate) fn shape<T: DeserializeOwned>(json: Json) -> Result<T, ReplyError> {
    serde_path_to_error::deserialize(json).map_err(|error| ReplyError::Shape(describe_shape(&error)))
}

/// Where something has the wrong shape and what it should be; not what it is, which may be secret.
fn describe_shape(error: &serde_path_to_error::Error<serde_json::Error>) -> String {
    let path = error.path().to_string();
    let at = if path == "." { String::new() } else { format!("`{path}`: ") };
    let text = error.inner().to_string();
    if text.starts_with("missing field") {
        return format!("{at}{text}");
    }
    let is = text.split(['"', '`', ',']).next().unwrap_or_default().trim_end();
    match text.rsplit_once(", expected ") {
        Some((_, expected)) => format!("{at}{is}, expected {expected}"),
        None => format!("{at}it does not match the method's result"),
    }
}

/// What is wrong with a line that begins like a message and is none, without any of it.
pub(crate) fn describe_broken(line: &[u8]) -> String {
    let why = match v1::parse_message(line) {
        Err(v1::ParseError::Envelope(why)) => why.to_owned(),
        Err(v1::ParseError::Json(error)) if error.is_eof() => "it breaks off".to_owned(),
        Err(v1::ParseError::Json(error)) if error.is_data() => "a part of it is of another type".to_owned(),
        Err(v1::ParseError::Json(error)) => format!("it is not JSON at column {}", error.column()),
        Ok(_) => "it is of no use here".to_owned(),
    };
    format!("{} bytes of JSON, not shown for the secrets that may be in them; {why}", line.len())
}

fn object_reply(object: v1::WireObject) -> Result<Reply, ReplyError> {
    Ok(Reply::Object {
        inputs: object.inputs.map(attrs).transpose()?,
        outputs: attrs(object.outputs)?,
        private: private(object.private),
    })
}

fn read_object(object: v1::WireObject) -> Result<Object, ReplyError> {
    Ok(Object {
        inputs: object.inputs.map(attrs).transpose()?.unwrap_or_default(),
        outputs: attrs(object.outputs)?,
        private: private(object.private),
    })
}

fn object(object: &Object) -> v1::WireObject {
    v1::WireObject {
        inputs: Some(wire(&object.inputs)),
        outputs: wire(&object.outputs),
        private: object.private.as_ref().map(|p| p.expose().clone()),
    }
}

fn request<T: Serialize>(id: u64, method: &str, params: &T) -> Message {
    Message::Request { id: Id::Number(id), method: method.into(), params: to_json(params) }
}

fn to_json<T: Serialize>(params: &T) -> Json {
    // Our own parameter types have text keys only and no failing parts.
    serde_json::to_value(params).unwrap_or_default()
}

fn wire(values: &Attrs) -> WireAttrs {
    WireAttrs::from_attrs(values)
}

fn attrs(wire: WireAttrs) -> Result<Attrs, ReplyError> {
    wire.into_attrs().map_err(ReplyError::Value)
}

fn private(json: Option<Json>) -> Private {
    json.map(freehold_model::Sensitive::new)
}

fn number(id: &Id) -> Option<u64> {
    match id {
        Id::Number(n) => Some(*n),
        Id::Text(_) => None,
    }
}
