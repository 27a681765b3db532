//! Secrets that went to a provider, or came from one, are taken out of what it says for people: messages, logs and its last words.
//!
//! Nobody can promise that for a program of somebody else, which may print a secret in another form; what it prints as it is does not
//! get further than here. The output of an operation is not touched: whoever runs it asked for it.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use aho_corasick::AhoCorasick;
use freehold_model::{Attrs, Value};
use serde_json::Value as Json;

use crate::{Call, CallError, CallEvent, ProviderError, Reply, Scene};

/// Shorter texts would be found everywhere.
const SHORTEST: usize = 4;
/// Lines of a secret (a key) from this length on are secrets of their own.
const SHORTEST_LINE: usize = 16;
/// A longer text is looked for by its lines alone.
const LONGEST: usize = 16 * 1024;
/// Secrets that are looked for one by one before a new automaton is made of all.
const RECENT: usize = 256;
/// Longest excerpt of a line that is no message.
const SHOWN_CHARS: usize = 160;
/// What of such a line is looked at. A secret that lies across its end is not found, and never shown: all before it would have to be
/// secrets, and a mark for each of the longest already fills the excerpt.
const EXCERPTED_BYTES: usize = 32 * LONGEST;
const MARK: &str = "(secret)";

/// What is secret, and how it is found.
#[derive(Default)]
pub(crate) struct Redactor {
    secrets: BTreeSet<String>,
    /// Of all secrets but the recent ones.
    matcher: Option<AhoCorasick>,
    recent: Vec<String>,
}

impl Redactor {
    /// Learns what a call says.
    pub(crate) fn learn_call(&mut self, call: &Call) {
        match call {
            Call::Plan { inputs, prior, .. } => {
                self.learn_attrs(inputs);
                prior.iter().for_each(|object| self.learn_object(object));
            }
            Call::Validate { inputs, .. } | Call::Create { inputs, .. } => self.learn_attrs(inputs),
            Call::Update { inputs, prior, .. } => {
                self.learn_attrs(inputs);
                self.learn_object(prior);
            }
            Call::Read { object, .. } | Call::Delete { object, .. } | Call::Run { object, .. } => {
                self.learn_object(object);
            }
            _ => {}
        }
    }

    fn learn_object(&mut self, object: &crate::Object) {
        self.learn_attrs(&object.inputs);
        self.learn_attrs(&object.outputs);
    }

    fn learn_attrs(&mut self, attrs: &Attrs) {
        attrs.values().for_each(|value| self.learn(value));
    }

    /// Learns the sensitive parts of a value.
    pub(crate) fn learn(&mut self, value: &Value) {
        match value {
            Value::Sensitive(secret) => self.learn_secret(&secret.expose().to_clear_json()),
            Value::List(items) => items.iter().for_each(|item| self.learn(item)),
            Value::Map(attrs) => self.learn_attrs(attrs),
            _ => {}
        }
    }

    fn learn_secret(&mut self, json: &Json) {
        match json {
            Json::String(text) => {
                if text.len() <= LONGEST {
                    self.add(text.trim());
                }
                if text.contains('\n') {
                    text.lines()
                        .map(str::trim)
                        .filter(|line| line.len() >= SHORTEST_LINE)
                        .for_each(|line| self.add(line));
                }
            }
            Json::Array(items) => items.iter().for_each(|item| self.learn_secret(item)),
            Json::Object(map) => map.values().for_each(|item| self.learn_secret(item)),
            Json::Number(number) => self.add(&number.to_string()),
            Json::Null | Json::Bool(_) => {}
        }
    }

    fn add(&mut self, text: &str) {
        if text.len() < SHORTEST || text.len() > LONGEST || !self.secrets.insert(text.to_owned()) {
            return;
        }
        self.recent.push(text.to_owned());
    }

    /// An event as it may be shown; what it holds of secrets is learned first.
    pub(crate) fn event(&mut self, mut event: CallEvent) -> CallEvent {
        match &mut event {
            CallEvent::Progress { message, .. } => self.redact(message),
            CallEvent::Log { message, fields, .. } => {
                self.redact(message);
                fields.values_mut().for_each(|field| self.redact_json(field));
            }
            CallEvent::Partial { outputs, .. } => self.learn_attrs(outputs),
            CallEvent::Output { .. } => {}
            CallEvent::Done(Ok(reply)) => self.reply(reply),
            CallEvent::Done(Err(error)) => self.error(error),
        }
        event
    }

    fn reply(&mut self, reply: &mut Reply) {
        match reply {
            Reply::Object { outputs, .. } => self.learn_attrs(outputs),
            Reply::Ran { outputs: Some(outputs), .. } => self.learn_attrs(outputs),
            Reply::Plan { reasons, .. } => reasons.iter_mut().for_each(|reason| self.redact(reason)),
            Reply::Validated(diagnostics) => diagnostics.iter_mut().for_each(|d| self.redact(&mut d.message)),
            _ => {}
        }
    }

    fn error(&mut self, error: &mut CallError) {
        if let Some(scene) = error.scene_mut() {
            self.redact(&mut scene.stderr);
        }
        match error {
            CallError::Rubbish { line, .. } => self.redact(line),
            CallError::Unasked { id, .. } => self.redact(id),
            CallError::Failed { error, .. } | CallError::Configure { error, .. } => self.provider_error(error),
            CallError::BadReply { source, .. } => {
                let mut text = freehold_model::chain(&**source);
                self.redact(&mut text);
                *source = Arc::from(Box::<dyn std::error::Error + Send + Sync>::from(text));
            }
            _ => {}
        }
    }

    fn provider_error(&mut self, error: &mut ProviderError) {
        self.redact(&mut error.message);
        error.hint.iter_mut().for_each(|hint| self.redact(hint));
        error.diagnostics.iter_mut().for_each(|diagnostic| self.redact(&mut diagnostic.message));
    }

    fn redact_json(&mut self, json: &mut Json) {
        match json {
            Json::String(text) => self.redact(text),
            Json::Array(items) => items.iter_mut().for_each(|item| self.redact_json(item)),
            Json::Object(map) => map.values_mut().for_each(|item| self.redact_json(item)),
            _ => {}
        }
    }

    /// The beginning of a line that is no message, for people. What is secret goes before anything is cut or replaced: a part of a
    /// secret is not found any more.
    pub(crate) fn excerpt(&mut self, line: &[u8]) -> String {
        let looked_at = &line[..line.len().min(EXCERPTED_BYTES)];
        let mut text = String::from_utf8_lossy(looked_at).into_owned();
        self.redact(&mut text);
        excerpt(&text)
    }

    fn redact(&mut self, text: &mut String) {
        if self.secrets.is_empty() || text.len() < SHORTEST {
            return;
        }
        if self.recent.len() > RECENT {
            self.matcher = AhoCorasick::new(&self.secrets).ok();
            if self.matcher.is_none() {
                // More than can be looked for: nothing is shown.
                return MARK.clone_into(text);
            }
            self.recent.clear();
        }
        let found = self.find(text);
        if found.is_empty() {
            return;
        }
        let mut shown = String::with_capacity(text.len());
        let mut from = 0;
        for place in found {
            shown.push_str(&text[from..place.start]);
            shown.push_str(MARK);
            from = place.end;
        }
        shown.push_str(&text[from..]);
        *text = shown;
    }

    /// Where secrets are in the text as it was said. Those that overlap are one place: each may be known from another call.
    fn find(&self, text: &str) -> Vec<Range<usize>> {
        let recent = self.recent.iter().flat_map(|secret| text.match_indices(secret.as_str()));
        let mut all: Vec<Range<usize>> = recent.map(|(at, secret)| at..at + secret.len()).collect();
        if let Some(matcher) = &self.matcher {
            all.extend(matcher.find_overlapping_iter(text).map(|found| found.range()));
        }
        all.sort_by_key(|place| place.start);
        let mut places: Vec<Range<usize>> = Vec::new();
        for place in all {
            match places.last_mut() {
                Some(last) if place.start < last.end => last.end = last.end.max(place.end),
                _ => places.push(place),
            }
        }
        places
    }
}

/// The beginning of a text, on one line.
pub(crate) fn excerpt(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(SHOWN_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

impl CallError {
    fn scene_mut(&mut self) -> Option<&mut Scene> {
        match self {
            Self::Spawn { scene, .. }
            | Self::ExitedEarly { scene }
            | Self::StartTimedOut { scene, .. }
            | Self::Version { scene, .. }
            | Self::Rubbish { scene, .. }
            | Self::Unasked { scene, .. }
            | Self::LineTooLong { scene, .. }
            | Self::DiedMidway { scene, .. }
            | Self::TimedOut { scene, .. }
            | Self::BadReply { scene, .. }
            | Self::Configure { scene, .. }
            | Self::Failed { scene, .. }
            | Self::Unsupported { scene, .. }
            | Self::Killed { scene, .. } => Some(scene),
            Self::Cancelled { .. } | Self::PoolClosed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn secret(text: &str) -> Value {
        Value::from(text).into_sensitive()
    }

    #[test]
    fn what_was_sent_is_taken_out_of_what_is_said() {
        let mut redactor = Redactor::default();
        let inputs: Attrs = [("user".into(), "ada".into()), ("password".into(), secret("canary-4711"))].into();
        redactor.learn_call(&Call::Create { type_name: "db".into(), inputs, stateful: false });
        redactor.learn(&Value::List(vec![secret("-----BEGIN KEY-----\nabcdefghijklmnopqrstuvw\n-----END KEY-----\n")]));
        let mut text = "ada may not log in with `canary-4711` and abcdefghijklmnopqrstuvw".to_owned();
        redactor.redact(&mut text);
        assert_eq!(text, "ada may not log in with `(secret)` and (secret)");
        let mut fields = json!({ "tried": ["canary-4711", 1] });
        redactor.redact_json(&mut fields);
        assert_eq!(fields, json!({ "tried": ["(secret)", 1] }));
    }

    #[test]
    fn many_secrets_are_found() {
        let mut redactor = Redactor::default();
        for number in 0..3 * RECENT {
            redactor.learn(&secret(&format!("canary-{number:05}")));
            let mut text = format!("it said canary-{number:05} and canary-00000");
            redactor.redact(&mut text);
            assert_eq!(text, "it said (secret) and (secret)");
        }
    }

    #[test]
    fn a_secret_that_is_part_of_another_hides_no_part_of_it() {
        let mut redactor = Redactor::default();
        redactor.learn(&secret("canary-4711-of-the-old"));
        redactor.learn(&secret("old-and-new"));
        for number in 0..=RECENT {
            redactor.learn(&secret(&format!("other-{number:05}")));
        }
        redactor.redact(&mut "some text".to_owned());
        redactor.learn(&secret("4711"));
        let mut text = "it said canary-4711-of-the-old, 4711 and canary-4711-of-the-old-and-new".to_owned();
        redactor.redact(&mut text);
        assert_eq!(text, "it said (secret), (secret) and (secret)");
    }

    #[test]
    fn short_texts_and_what_is_no_secret_stay() {
        let mut redactor = Redactor::default();
        redactor.learn(&secret("no"));
        redactor.learn(&"public".into());
        let mut text = "no public text".to_owned();
        redactor.redact(&mut text);
        assert_eq!(text, "no public text");
    }
}
