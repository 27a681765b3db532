//! What a resource type is given beside its inputs: where it is, whether it should stop, and whom to tell.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use freehold_model::{Attrs, Pointer, SecretTexts, Sensitive, Value};
use freehold_protocol::WireAttrs;
use freehold_protocol::v1::{self, Id, LogLevel, Message, OutputStream, notices};
use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::serve::Sink;
use crate::Private;

/// What was told of an object before the reply.
pub(crate) type Told = Arc<Mutex<Option<(Attrs, Private)>>>;

/// The surroundings of one request.
pub struct Context {
    pub(crate) id: Id,
    pub(crate) member: String,
    pub(crate) working_directory: PathBuf,
    pub(crate) config: Arc<Value>,
    pub(crate) stateful: bool,
    pub(crate) sensitive_inputs: Vec<Pointer>,
    pub(crate) sensitive_outputs: Vec<Pointer>,
    pub(crate) secrets: SecretTexts,
    pub(crate) told: Told,
    pub(crate) cancelled: Arc<AtomicBool>,
    pub(crate) sink: Arc<Sink>,
}

impl Context {
    /// What it is about: what of it is secret, and stays so in what is said.
    pub(crate) fn given(&mut self, inputs: &Attrs) {
        self.sensitive_inputs = Value::Map(inputs.clone()).sensitive_places();
        self.secrets = SecretTexts::of(inputs);
    }

    /// Whose request it is, for logs.
    pub fn member(&self) -> &str {
        &self.member
    }

    /// What relative paths are relative to: the directory of the deployment's entry file.
    pub fn working_directory(&self) -> &Path {
        &self.working_directory
    }

    /// `path` as seen from the deployment.
    pub fn resolve(&self, path: &str) -> PathBuf {
        self.working_directory.join(path)
    }

    /// Provider-wide settings.
    pub fn config(&self) -> &Value {
        &self.config
    }

    /// A text of the provider-wide settings.
    pub fn config_text(&self, name: &str) -> Option<String> {
        fn text(value: &Value) -> Option<String> {
            match value {
                Value::String(text) => Some(text.clone()),
                Value::Sensitive(inner) => text(inner.expose()),
                _ => None,
            }
        }
        text(self.config.part(name)?)
    }

    /// Whether the outputs of this `create` will be remembered.
    pub fn is_stateful(&self) -> bool {
        self.stateful
    }

    /// Whether anything in the inputs is a secret.
    pub fn has_sensitive_inputs(&self) -> bool {
        !self.sensitive_inputs.is_empty()
    }

    /// Where in the inputs the secrets are.
    pub(crate) fn sensitive_places(&self) -> &[Pointer] {
        &self.sensitive_inputs
    }

    /// Whether the input, or something in it, is a secret.
    pub fn is_sensitive(&self, input: &str) -> bool {
        self.sensitive_inputs.iter().any(|place| place.tokens().first().is_none_or(|name| name == input))
    }

    /// Whether the request should stop; long work looks at it now and then and returns [`super::Failure::cancelled`].
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// The same as a flag, for work that is done elsewhere.
    pub fn cancelled(&self) -> &AtomicBool {
        &self.cancelled
    }

    /// The same flag, to be kept by work that outlives a borrow.
    pub fn stop(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.cancelled)
    }

    /// Tells how far it is.
    pub fn progress(&self, fraction: Option<f64>, message: impl Into<String>) {
        self.notify(notices::PROGRESS, &v1::ProgressParams { id: self.id.clone(), fraction, message: message.into() });
    }

    /// Tells something worth reading, without secrets.
    pub fn log(&self, level: LogLevel, message: impl Into<String>) {
        let params = v1::LogParams { id: Some(self.id.clone()), level, message: message.into(), fields: Map::new() };
        self.notify(notices::LOG, &params);
    }

    /// Tells that the object of this `create` exists, so that it is recorded before the reply. Outputs that are secrets by the
    /// schema, or repeat a secret input, are marked. A failure that comes after it, and says nothing else of the object, has it too.
    pub fn partial(&self, outputs: &Attrs, private: Option<Json>) {
        let mut outputs = outputs.clone();
        freehold_protocol::mark_sensitive(&mut outputs, &self.sensitive_outputs);
        self.secrets.mark(&mut outputs);
        let object =
            v1::WireObject { inputs: None, outputs: WireAttrs::from_attrs(&outputs), private: private.clone() };
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some((outputs, private.map(Sensitive::new)));
        self.notify(notices::PARTIAL, &v1::PartialParams { id: self.id.clone(), object });
    }

    /// Passes on a piece of an operation's output.
    pub fn output(&self, stream: OutputStream, data: impl Into<String>) {
        self.notify(notices::OUTPUT, &v1::OutputParams { id: self.id.clone(), stream, data: data.into() });
    }

    fn notify<T: Serialize>(&self, method: &str, params: &T) {
        // Our own parameter types have text keys only and no failing parts.
        let params = serde_json::to_value(params).unwrap_or_default();
        self.sink.send(&Message::Notification { method: method.into(), params });
    }
}
