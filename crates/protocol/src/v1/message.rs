//! The envelope: requests, notifications and responses of JSON-RPC 2.0, and what an error says.

use freehold_model::ErrorKind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::methods::{Diagnostic, WireObject};

/// Codes of errors: JSON-RPC's own, and ours.
pub mod codes {
    /// The line was not JSON.
    pub const PARSE: i64 = -32700;
    /// The line was not a message.
    pub const INVALID_REQUEST: i64 = -32600;
    /// No such method.
    pub const METHOD_NOT_FOUND: i64 = -32601;
    /// The parameters have another shape.
    pub const INVALID_PARAMS: i64 = -32602;
    /// The provider is at fault.
    pub const INTERNAL: i64 = -32603;
    /// The request was cancelled.
    pub const CANCELLED: i64 = -32800;
    /// The work itself failed; `data.kind` says who has to act.
    pub const FAILED: i64 = 1;
    /// To `state/read`: this object holds no state, although others of its type may. Nothing else is taken for that.
    pub const HOLDS_NO_STATE: i64 = 2;
}

/// What tells requests apart. The client uses whole numbers up to [`Id::LARGEST`]; a provider sends back what it was given.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Id {
    /// A number.
    Number(u64),
    /// A text.
    Text(String),
}

impl Id {
    /// Largest number that the client uses. Languages whose only numbers are doubles (JavaScript, Lua, jq) send back a larger one changed.
    pub const LARGEST: u64 = (1 << 53) - 1;
}

/// One message. No `Debug`: it may hold secrets in clear.
#[derive(Clone, PartialEq)]
pub enum Message {
    /// Wants a response.
    Request {
        /// To be sent back.
        id: Id,
        /// What is asked.
        method: String,
        /// Its parameters; `null` when none were given.
        params: Json,
    },
    /// Wants none.
    Notification {
        /// What is said.
        method: String,
        /// Its parameters; `null` when none were given.
        params: Json,
    },
    /// Answers a request.
    Response {
        /// Which one; `None` when the request could not be read.
        id: Option<Id>,
        /// The result, or why there is none.
        outcome: Result<Json, ErrorObject>,
    },
}

/// A failed request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorObject {
    /// One of [`codes`].
    pub code: i64,
    /// What went wrong: lower case, no secrets.
    pub message: String,
    /// More about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<ErrorData>,
}

/// What is said about a failure beside its message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorData {
    /// Who has to act; only `transient` is tried again.
    #[schemars(with = "KindWord")]
    pub kind: ErrorKind,
    /// How to mend it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Which inputs are at fault.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<Diagnostic>,
    /// What exists in the world although a create failed: recorded as tainted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<WireObject>,
}

/// The schema of [`ErrorKind`], which lives in a crate without schemas.
#[derive(JsonSchema)]
#[schemars(rename = "ErrorKind", rename_all = "lowercase")]
#[allow(dead_code, reason = "only its schema is used")]
enum KindWord {
    User,
    Config,
    Transient,
    Host,
    Internal,
}

/// Why a line is not a message. It shows no part of the line, which may hold secrets.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// Not JSON, or a member of the envelope has another type.
    #[error("not a JSON-RPC message")]
    Json(#[source] serde_json::Error),
    /// JSON, but neither request, notification nor response.
    #[error("not a JSON-RPC 2.0 message: {0}")]
    Envelope(&'static str),
}

#[derive(Deserialize)]
struct Envelope {
    jsonrpc: Option<String>,
    #[serde(default, deserialize_with = "some")]
    id: Option<Json>,
    method: Option<String>,
    #[serde(default)]
    params: Json,
    #[serde(default, deserialize_with = "some")]
    result: Option<Json>,
    error: Option<Json>,
}

/// Tells a `null` from an absent member.
fn some<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(deserializer).map(Some)
}

/// Reads one line.
///
/// # Errors
/// When it is not a JSON-RPC 2.0 message. Never panics, whatever the bytes.
pub fn parse_message(line: &[u8]) -> Result<Message, ParseError> {
    let envelope: Envelope = serde_json::from_slice(line).map_err(ParseError::Json)?;
    if envelope.jsonrpc.as_deref() != Some("2.0") {
        return Err(ParseError::Envelope("`jsonrpc` must be \"2.0\""));
    }
    let had_id = envelope.id.is_some();
    let error = envelope.error.map(|json| error_object(&json)).transpose()?;
    let id = match envelope.id {
        None | Some(Json::Null) => None,
        Some(Json::String(text)) => Some(Id::Text(text)),
        Some(Json::Number(n)) => match whole(&n) {
            Some(n) => Some(Id::Number(n)),
            None => return Err(ParseError::Envelope("`id` must be a whole number or a text")),
        },
        Some(_) => return Err(ParseError::Envelope("`id` must be a whole number or a text")),
    };
    match (envelope.method, envelope.result, error) {
        (Some(method), None, None) => Ok(match id {
            Some(id) => Message::Request { id, method, params: envelope.params },
            None if had_id => return Err(ParseError::Envelope("the `id` of a request must not be null")),
            None => Message::Notification { method, params: envelope.params },
        }),
        (None, Some(result), None) if id.is_some() => Ok(Message::Response { id, outcome: Ok(result) }),
        (None, None, Some(error)) if had_id => Ok(Message::Response { id, outcome: Err(error) }),
        (None, ..) => Err(ParseError::Envelope("it has no `method`, and no `id` with either `result` or `error`")),
        (Some(_), ..) => Err(ParseError::Envelope("it has a `method` and a `result` or `error`")),
    }
}

/// A whole number, also as languages without whole numbers write it (`3.0`).
fn whole(number: &serde_json::Number) -> Option<u64> {
    let written_as_double = || number.as_f64().filter(|n| n.fract() == 0.0 && (0.0..=Id::LARGEST as f64).contains(n));
    number.as_u64().or_else(|| written_as_double().map(|n| n as u64))
}

/// What an error says, as far as it can be read: a provider in trouble is understood even if it does not say it as it should. Only
/// of an object that exists all must be right.
fn error_object(json: &Json) -> Result<ErrorObject, ParseError> {
    let Some(message) = json.get("message").and_then(Json::as_str) else {
        return Err(ParseError::Envelope("`error` must have a `message`"));
    };
    let code = json.get("code").and_then(Json::as_i64).unwrap_or(codes::INTERNAL);
    let data = json.get("data").filter(|data| data.is_object()).map(|data| {
        fn read<T: serde::de::DeserializeOwned>(data: &Json, name: &str) -> Option<T> {
            T::deserialize(data.get(name)?).ok()
        }
        let partial = match data.get("partial") {
            None | Some(Json::Null) => None,
            Some(_) => {
                Some(read(data, "partial").ok_or(ParseError::Envelope("`error.data.partial` is not an object"))?)
            }
        };
        Ok(ErrorData {
            kind: read(data, "kind").unwrap_or(ErrorKind::Internal),
            hint: read(data, "hint"),
            diagnostics: read(data, "diagnostics").unwrap_or_default(),
            partial,
        })
    });
    Ok(ErrorObject { code, message: message.to_owned(), data: data.transpose()? })
}

impl Message {
    /// The message as one line, with its line end. Secrets are in it in clear.
    pub fn to_line(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Out<'a> {
            jsonrpc: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            id: Option<Option<&'a Id>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            method: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            params: Option<&'a Json>,
            #[serde(skip_serializing_if = "Option::is_none")]
            result: Option<&'a Json>,
            #[serde(skip_serializing_if = "Option::is_none")]
            error: Option<&'a ErrorObject>,
        }
        let mut out = Out { jsonrpc: "2.0", id: None, method: None, params: None, result: None, error: None };
        match self {
            Self::Request { id, method, params } => {
                out.id = Some(Some(id));
                out.method = Some(method);
                out.params = Some(params);
            }
            Self::Notification { method, params } => {
                out.method = Some(method);
                out.params = Some(params);
            }
            Self::Response { id, outcome } => {
                out.id = Some(id.as_ref());
                match outcome {
                    Ok(result) => out.result = Some(result),
                    Err(error) => out.error = Some(error),
                }
            }
        }
        // Serialising JSON values into memory has no way to fail.
        let mut line = serde_json::to_vec(&out).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

impl ErrorObject {
    /// A failure of the work, with who has to act.
    pub fn failed(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::with_code(codes::FAILED, kind, message)
    }

    /// A failure with a code of its own.
    pub fn with_code(code: i64, kind: ErrorKind, message: impl Into<String>) -> Self {
        let data = ErrorData { kind, hint: None, diagnostics: Vec::new(), partial: None };
        Self { code, message: message.into(), data: Some(data) }
    }

    /// Who has to act: what it says, or what its code implies.
    pub fn kind(&self) -> ErrorKind {
        match &self.data {
            Some(data) => data.kind,
            None if self.code == codes::CANCELLED => ErrorKind::User,
            None => ErrorKind::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn refuses(line: &str, expected: &str) {
        match parse_message(line.as_bytes()) {
            Err(error) => assert_eq!(error.to_string(), expected),
            Ok(_) => panic!("`{line}` was taken for a message"),
        }
    }

    #[test]
    fn what_is_no_message_is_refused_with_the_reason() {
        refuses("rubbish", "not a JSON-RPC message");
        refuses("{}", "not a JSON-RPC 2.0 message: `jsonrpc` must be \"2.0\"");
        refuses(
            r#"{"jsonrpc":"2.0","id":1.5,"method":"x"}"#,
            "not a JSON-RPC 2.0 message: `id` must be a whole number or a text",
        );
        refuses(
            r#"{"jsonrpc":"2.0","id":1}"#,
            "not a JSON-RPC 2.0 message: it has no `method`, and no `id` with either `result` or `error`",
        );
        refuses(
            r#"{"jsonrpc":"2.0","id":1,"method":"x","result":1}"#,
            "not a JSON-RPC 2.0 message: it has a `method` and a `result` or `error`",
        );
    }

    #[test]
    fn a_null_result_is_a_result() {
        let Ok(Message::Response { id, outcome }) = parse_message(br#"{"jsonrpc":"2.0","id":7,"result":null}"#) else {
            panic!("not a response")
        };
        assert_eq!((id, outcome), (Some(Id::Number(7)), Ok(Json::Null)));
    }

    #[test]
    fn an_error_is_understood_as_far_as_it_can_be_read() {
        for (said, kind) in [
            (r#"{"code":1,"message":"no","data":{"kind":"fatal","hint":7}}"#, ErrorKind::Internal),
            (r#"{"code":1,"message":"no","data":"more words"}"#, ErrorKind::Internal),
            (r#"{"message":"no","data":{"kind":"user"}}"#, ErrorKind::User),
        ] {
            let line = format!(r#"{{"jsonrpc":"2.0","id":1,"error":{said}}}"#);
            let Ok(Message::Response { outcome: Err(error), .. }) = parse_message(line.as_bytes()) else {
                panic!("{said}")
            };
            assert_eq!((error.message.as_str(), error.kind()), ("no", kind));
        }
        refuses(r#"{"jsonrpc":"2.0","id":1,"error":{}}"#, "not a JSON-RPC 2.0 message: `error` must have a `message`");
        refuses(
            r#"{"jsonrpc":"2.0","id":1,"error":{"message":"no","data":{"partial":1}}}"#,
            "not a JSON-RPC 2.0 message: `error.data.partial` is not an object",
        );
    }

    #[test]
    fn an_id_may_come_back_as_a_double() {
        for (id, number) in [("3.0", 3), ("3e0", 3), ("9007199254740991.0", Id::LARGEST)] {
            let line = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":1}}"#);
            let Ok(Message::Response { id, .. }) = parse_message(line.as_bytes()) else { panic!("not a response") };
            assert_eq!(id, Some(Id::Number(number)));
        }
        refuses(
            r#"{"jsonrpc":"2.0","id":-1.0,"result":1}"#,
            "not a JSON-RPC 2.0 message: `id` must be a whole number or a text",
        );
    }

    #[test]
    fn every_kind_of_message_survives_its_line() {
        for message in [
            Message::Request { id: Id::Number(1), method: "read".into(), params: json!({ "a": 1 }) },
            Message::Notification { method: "log".into(), params: json!({}) },
            Message::Response { id: Some(Id::Text("x".into())), outcome: Ok(json!(1)) },
            Message::Response { id: None, outcome: Err(ErrorObject::failed(ErrorKind::User, "no")) },
        ] {
            assert!(parse_message(&message.to_line()).unwrap() == message);
        }
    }
}
