//! A provider's `state/*` methods as the state crate wants them.

use std::sync::Arc;
use std::time::Duration;

use freehold_model::{ErrorKind, MemberPath};
use freehold_provider::{Call, CallError, Launch, Object, Pool, Reply};
use freehold_state::holder::{Appended, HeldLock, HeldText};
use freehold_state::{HolderIo, Owner, StateError};

use crate::catalog::call_failure;

/// The state that one resource holds, through its provider.
pub(crate) struct ProviderIo {
    pub(crate) pool: Arc<Pool>,
    pub(crate) launch: Launch,
    pub(crate) type_name: String,
    pub(crate) object: Object,
    pub(crate) member: MemberPath,
}

impl ProviderIo {
    pub(crate) fn ask(&self, call: Call) -> Result<Reply, CallError> {
        self.pool.call(&self.launch, call.of(&self.member))
    }

    fn failed(&self, step: &'static str, error: &CallError) -> StateError {
        let failure = call_failure(error);
        StateError::Remote {
            step,
            place: self.place(),
            reason: failure.message,
            kind: failure.kind,
            hint: failure.hint,
        }
    }

    fn unexpected(&self, step: &'static str) -> StateError {
        StateError::Remote {
            step,
            place: self.place(),
            reason: "the provider answered something else than it was asked".into(),
            kind: ErrorKind::Internal,
            hint: None,
        }
    }
}

impl HolderIo for ProviderIo {
    fn place(&self) -> String {
        format!("the state held by `{}`", self.member)
    }

    fn read(&self) -> Result<HeldText, StateError> {
        let call = Call::StateRead { type_name: self.type_name.clone(), object: self.object.clone() };
        match self.ask(call) {
            Ok(Reply::State { text, version }) => Ok(HeldText { text, version }),
            Ok(_) => Err(self.unexpected("read")),
            Err(error) => Err(self.failed("read", &error)),
        }
    }

    fn append(&self, expected: &str, lines: &[String], fence: u64) -> Result<Appended, StateError> {
        let call = Call::StateAppend {
            type_name: self.type_name.clone(),
            object: self.object.clone(),
            expected_version: expected.to_owned(),
            lines: lines.to_vec(),
            fence,
        };
        match self.ask(call) {
            Ok(Reply::Appended { version }) => Ok(Appended::Done(version)),
            Ok(_) => Err(self.unexpected("append to")),
            Err(error) => {
                // Somebody else has appended, or this did and its reply was lost: the text tells.
                let now = self.read()?;
                let ours: String = lines.concat();
                // An empty line says nothing about who wrote it.
                let written = !ours.trim().is_empty() && now.text.ends_with(&ours);
                match (now.version == expected, written) {
                    (true, _) => Err(self.failed("append to", &error)),
                    (false, true) => Ok(Appended::Done(now.version)),
                    (false, false) => Ok(Appended::MovedOn),
                }
            }
        }
    }

    fn lock(&self, owner: &Owner, lease: Duration, token: Option<&str>) -> Result<HeldLock, StateError> {
        let call = Call::StateLock {
            type_name: self.type_name.clone(),
            object: self.object.clone(),
            owner: serde_json::to_value(owner).unwrap_or_default(),
            lease,
            token: token.map(ToOwned::to_owned),
        };
        match self.ask(call) {
            Ok(Reply::Locked { token, fence }) => Ok(HeldLock { token, fence }),
            Ok(_) => Err(self.unexpected("lock")),
            Err(error) => Err(self.failed("lock", &error)),
        }
    }

    fn unlock(&self, token: Option<&str>) -> Result<(), StateError> {
        let call = Call::StateUnlock {
            type_name: self.type_name.clone(),
            object: self.object.clone(),
            token: token.map(ToOwned::to_owned),
        };
        match self.ask(call) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.failed("unlock", &error)),
        }
    }
}
