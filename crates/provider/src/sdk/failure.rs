//! How a resource type says that something failed.

use std::error::Error;

use freehold_model::{Attrs, ErrorKind, Pointer, SecretTexts, Sensitive};
use freehold_protocol::v1::{Diagnostic, ErrorData, ErrorObject, WireObject, codes};
use freehold_protocol::{TypeSchema, WireAttrs};
use serde_json::Value as Json;

use crate::Private;

/// A failure, with who has to act and how to mend it. Its texts must not hold secrets.
#[derive(Debug, Clone)]
pub struct Failure(Box<Details>);

#[derive(Debug, Clone)]
struct Details {
    code: i64,
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    diagnostics: Vec<Diagnostic>,
    partial: Option<(Attrs, Private)>,
}

impl Failure {
    /// A failure of the given kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let message = message.into();
        Self(Box::new(Details {
            code: codes::FAILED,
            kind,
            message,
            hint: None,
            diagnostics: Vec::new(),
            partial: None,
        }))
    }

    /// The deployment asks for something that cannot be.
    pub fn user(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::User, message)
    }

    /// Something is set up wrongly.
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    /// Trying again may help.
    pub fn transient(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Transient, message)
    }

    /// The machine lacks something.
    pub fn host(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Host, message)
    }

    /// A broken invariant.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// The request was cancelled and what it did, if anything, is undone.
    pub fn cancelled() -> Self {
        Self::new(ErrorKind::User, "cancelled").code(codes::CANCELLED)
    }

    /// With a JSON-RPC code of its own.
    #[must_use]
    pub fn code(mut self, code: i64) -> Self {
        self.0.code = code;
        self
    }

    /// With its causes, which are appended to the message.
    #[must_use]
    pub fn because(mut self, source: &dyn Error) -> Self {
        let mut next = Some(source);
        while let Some(cause) = next {
            self.0.message.push_str(&format!(": {cause}"));
            next = cause.source();
        }
        self
    }

    /// With the way to mend it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// With the input that is at fault.
    #[must_use]
    pub fn at(mut self, input: &str) -> Self {
        let pointer = Pointer::new([input]);
        self.0.diagnostics.push(Diagnostic { pointer, message: self.0.message.clone(), hint: self.0.hint.clone() });
        self
    }

    /// With several inputs that are at fault.
    #[must_use]
    pub fn diagnostics(mut self, found: Vec<Diagnostic>) -> Self {
        self.0.diagnostics.extend(found);
        self
    }

    /// With what exists in the world all the same: recorded as tainted.
    #[must_use]
    pub fn partial(mut self, outputs: Attrs, private: Option<Json>) -> Self {
        self.0.partial = Some((outputs, private.map(Sensitive::new)));
        self
    }

    /// Who has to act.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What went wrong.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// With what was told of the object before it failed, unless it says itself what there is; what was cancelled is undone.
    pub(crate) fn or_told(mut self, told: Option<(Attrs, Private)>) -> Self {
        if self.0.partial.is_none() && self.0.code != codes::CANCELLED {
            self.0.partial = told;
        }
        self
    }

    /// With secrets marked in what exists all the same.
    pub(crate) fn mark_partial(mut self, schema: &TypeSchema, secrets: &SecretTexts) -> Self {
        if let Some((outputs, _)) = &mut self.0.partial {
            schema.mark_sensitive_outputs(outputs);
            secrets.mark(outputs);
        }
        self
    }

    pub(crate) fn into_error(self) -> ErrorObject {
        let partial = self.0.partial.map(|(outputs, private)| WireObject {
            inputs: None,
            outputs: WireAttrs::from_attrs(&outputs),
            private: private.map(Sensitive::into_exposed),
        });
        let data = ErrorData { kind: self.0.kind, hint: self.0.hint, diagnostics: self.0.diagnostics, partial };
        ErrorObject { code: self.0.code, message: self.0.message, data: Some(data) }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let kind = match error.kind() {
            Io::TimedOut | Io::Interrupted | Io::ConnectionReset | Io::ConnectionAborted => ErrorKind::Transient,
            _ => ErrorKind::Host,
        };
        let message = error.to_string();
        let failure = Self::new(kind, message);
        match error.kind() {
            Io::StorageFull => failure.hint("make room on that disk and apply again"),
            Io::PermissionDenied => failure.hint("check who owns it and who runs freehold"),
            _ => failure,
        }
    }
}
