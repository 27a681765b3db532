//! The one error of the command line: what went wrong, who has to act, and what would mend it.
//!
//! Every other crate's errors become a [`Failure`] here and nowhere else. Rendering: `error:` with the chain once, then `hint:` lines.

use std::error::Error;

use freehold_model::ErrorKind;
use serde_json::{Value as Json, json};

use crate::exit::Exit;
use crate::render::style::{self, paint};
use crate::render::text::{escape_controls, indent};

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Who has to act.
    pub(crate) kind: ErrorKind,
    /// What went wrong, with its causes.
    pub(crate) source: Box<dyn Error + Send + Sync>,
    /// What would mend it.
    pub(crate) hints: Vec<String>,
    /// How the command ends.
    pub(crate) exit: Exit,
}

/// A message without a cause.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Plain(String);

/// A message with a cause.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct While {
    message: String,
    #[source]
    source: Box<dyn Error + Send + Sync>,
}

impl Failure {
    /// From any error.
    pub(crate) fn new(kind: ErrorKind, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind, source: source.into(), hints: Vec::new(), exit: Exit::Failed }
    }

    /// The operator asks for something that cannot be.
    pub(crate) fn user(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::User, Plain(message.into()))
    }

    /// The command line is understood by clap and makes no sense all the same.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, ..Self::user(message) }
    }

    /// Something about a file or a program of this machine.
    pub(crate) fn host(message: impl Into<String>, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(ErrorKind::Host, While { message: message.into(), source: source.into() })
    }

    /// Adds what would mend it.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The message and its causes, each text once.
    pub(crate) fn chain(&self) -> Vec<String> {
        let mut chain: Vec<String> = Vec::new();
        let mut next: Option<&dyn Error> = Some(self.source.as_ref());
        while let Some(error) = next {
            let text = escape_controls(&error.to_string()).trim_end().to_owned();
            if !chain.iter().any(|shown| shown.contains(&text)) {
                chain.push(text);
            }
            next = error.source();
        }
        chain
    }

    /// For people, with colours, with an end of line.
    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        for (index, cause) in self.chain().iter().enumerate() {
            let label = if index == 0 { paint(style::ERROR, "error:") } else { paint(style::FAINT, "  because:") };
            let by = if index == 0 { "  " } else { "    " };
            text += &format!("{label} {}\n", indent(cause, by));
        }
        for hint in &self.hints {
            text += &format!("{} {}\n", paint(style::HINT, "hint:"), indent(&escape_controls(hint), "  "));
        }
        text
    }

    /// For programs: `freehold.error/1`.
    pub(crate) fn to_json(&self) -> Json {
        let mut chain = self.chain().into_iter();
        let mut said = json!({
            "format": "freehold.error/1",
            "error": {
                "kind": self.kind,
                "message": chain.next(),
                "causes": chain.collect::<Vec<_>>(),
                "hints": self.hints,
            },
        });
        let places = self.places();
        if !places.is_empty() {
            let places = places.iter().map(|(at, code)| json!({ "at": at, "code": code })).collect();
            said["error"]["places"] = Json::Array(places);
        }
        said
    }

    /// The places of a manifest that are wrong, when it is about one.
    fn places(&self) -> Vec<(String, &'static str)> {
        let mut next: Option<&(dyn Error + 'static)> = Some(self.source.as_ref());
        while let Some(error) = next {
            if let Some(error) = error.downcast_ref::<freehold_manifest::ManifestError>() {
                return error.places();
            }
            next = error.source();
        }
        Vec::new()
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(ErrorKind::Host, error)
    }
}

impl From<freehold_state::StateError> for Failure {
    fn from(error: freehold_state::StateError) -> Self {
        let hints = error.hint().into_iter().collect();
        Self { hints, ..Self::new(error.kind(), error) }
    }
}

impl From<freehold_engine::EngineError> for Failure {
    fn from(error: freehold_engine::EngineError) -> Self {
        use freehold_engine::EngineError::{Interrupted, Stopped};
        let exit = if matches!(error, Interrupted | Stopped { .. }) { Exit::Interrupted } else { Exit::Failed };
        Self { hints: error.hints(), exit, ..Self::new(error.kind(), error) }
    }
}

impl From<freehold_eval::EvalError> for Failure {
    fn from(error: freehold_eval::EvalError) -> Self {
        let hints = error.hint().into_iter().collect();
        Self { hints, ..Self::new(error.kind(), error) }
    }
}

impl From<freehold_store::StoreError> for Failure {
    fn from(error: freehold_store::StoreError) -> Self {
        let hints = error.hint().into_iter().collect();
        Self { hints, ..Self::new(error.kind(), error) }
    }
}

impl From<freehold_nar::NarError> for Failure {
    fn from(error: freehold_nar::NarError) -> Self {
        let hints = error.hint().into_iter().collect();
        Self { hints, ..Self::new(error.kind(), error) }
    }
}

impl From<freehold_publish::PublishError> for Failure {
    fn from(error: freehold_publish::PublishError) -> Self {
        let hints = error.hint().into_iter().collect();
        Self { hints, ..Self::new(error.kind(), error) }
    }
}

impl From<freehold_manifest::ManifestError> for Failure {
    fn from(error: freehold_manifest::ManifestError) -> Self {
        let hints = error.hint().into_iter().collect();
        Self { hints, ..Self::new(error.kind(), error) }
    }
}

impl From<freehold_agent::AgentError> for Failure {
    fn from(error: freehold_agent::AgentError) -> Self {
        let hints = error.hint().into_iter().collect();
        Self { hints, ..Self::new(error.kind(), error) }
    }
}

impl From<freehold_agent::ReportError> for Failure {
    fn from(error: freehold_agent::ReportError) -> Self {
        let hints = error.hint().into_iter().collect();
        Self { hints, ..Self::new(error.kind(), error) }
    }
}

impl From<freehold_app::AppError> for Failure {
    fn from(error: freehold_app::AppError) -> Self {
        let hints = error.hint().into_iter().collect();
        Self { hints, ..Self::new(error.kind(), error) }
    }
}

impl From<freehold_swarm::SwarmError> for Failure {
    fn from(error: freehold_swarm::SwarmError) -> Self {
        let hints = error.hint().into_iter().collect();
        Self { hints, ..Self::new(error.kind(), error) }
    }
}

impl From<freehold_recipe_source::SourceError> for Failure {
    fn from(error: freehold_recipe_source::SourceError) -> Self {
        let hints = error.hint().into_iter().collect();
        Self { hints, ..Self::new(error.kind(), error) }
    }
}

impl From<freehold_recipe::RecipeError> for Failure {
    fn from(error: freehold_recipe::RecipeError) -> Self {
        let hints = error.hint().into_iter().collect();
        Self { hints, ..Self::new(error.kind(), error) }
    }
}

impl From<freehold_router::RouterError> for Failure {
    fn from(error: freehold_router::RouterError) -> Self {
        let hints = error.hint().into_iter().collect();
        Self { hints, ..Self::new(error.kind(), error) }
    }
}

impl From<freehold_runtime::RuntimeError> for Failure {
    fn from(error: freehold_runtime::RuntimeError) -> Self {
        let hints = error.hint().into_iter().collect();
        Self { hints, ..Self::new(error.kind(), error) }
    }
}

impl From<freehold_cache::CacheError> for Failure {
    fn from(error: freehold_cache::CacheError) -> Self {
        use freehold_cache::CacheError::{Stopped, Store};
        use freehold_store::StoreError;
        let stopped = matches!(error, Stopped | Store(StoreError::Stopped { .. }));
        let exit = if stopped { Exit::Interrupted } else { Exit::Failed };
        Self { hints: error.hint().into_iter().collect(), exit, ..Self::new(error.kind(), error) }
    }
}

impl From<freehold_provider::CallError> for Failure {
    fn from(error: freehold_provider::CallError) -> Self {
        let hints = error.hint().into_iter().collect();
        let tail = error.stderr_tail().trim().to_owned();
        let kind = error.kind();
        if tail.is_empty() {
            return Self { hints, ..Self::new(kind, error) };
        }
        let message = format!("{error}\nits standard error ends with:\n  {}", indent(&tail, "  "));
        Self { hints, ..Self::new(kind, Plain(message)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn the_chain_is_shown_once_and_the_hint_last() {
        let cause = std::io::Error::new(std::io::ErrorKind::PermissionDenied, "permission denied");
        let failure = Failure::host("cannot read `x`", cause).hint("check its mode");
        insta::assert_snapshot!(plain(&failure.render()), @r"
        error: cannot read `x`
          because: permission denied
        hint: check its mode
        ");
    }

    #[test]
    fn an_escape_sequence_in_a_message_does_not_reach_the_terminal() {
        let failure = Failure::user("a provider says \u{1b}]0;owned\u{7}");
        insta::assert_snapshot!(plain(&failure.render()), @r"error: a provider says \u{1b}]0;owned\u{7}");
    }

    #[test]
    fn programs_get_the_kind_and_the_hints() {
        let failure = Failure::usage("`--out` makes no sense here").hint("leave it out");
        assert_eq!(failure.exit.code(), 64);
        insta::assert_snapshot!(failure.to_json(), @r#"{"error":{"causes":[],"hints":["leave it out"],"kind":"user","message":"`--out` makes no sense here"},"format":"freehold.error/1"}"#);
    }
}
