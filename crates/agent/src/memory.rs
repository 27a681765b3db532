//! What an agent remembers between rounds: the manifest that it follows, and how the last round went. Not what runs: that is asked.

use std::io::ErrorKind;
use std::path::Path;

use freehold_manifest::Manifest;
use freehold_runtime::{RuntimeError, write_durably};
use serde::{Deserialize, Serialize};

use crate::Round;

/// What an agent remembers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Memory {
    /// [`Memory::FORMAT`].
    pub format: String,
    /// The name of this host in manifests.
    pub host: String,
    /// Names the bytes of the manifest that is followed.
    pub etag: Option<String>,
    /// The generation that is followed.
    pub generation: Option<String>,
    /// The serial of the manifest that was followed last; none that is lower is followed unasked.
    pub serial: u64,
    /// When a round began last, in milliseconds since 1970, UTC.
    pub last_round: Option<u64>,
    /// Rounds in a row in which the manifest could not be read.
    pub failures: u32,
    /// Why, in the last of them.
    pub failure: Option<String>,
    /// How the last round went.
    pub round: Option<Round>,
}

/// The file of the memory, and that of the manifest that is followed.
pub(crate) const MEMORY: &str = "state.json";
pub(crate) const MANIFEST: &str = "manifest.json";

impl Memory {
    /// The name of the format and its version.
    pub const FORMAT: &'static str = "freehold.agent/1";

    /// What it says of the manifest that is followed, and of looks at it that failed.
    pub(crate) fn followed(&self) -> impl PartialEq + use<> {
        (self.etag.clone(), self.generation.clone(), self.serial, self.failures, self.failure.clone())
    }

    /// How it goes, in a line.
    pub(crate) fn summary(&self) -> String {
        let services = self.round.as_ref().map_or(&[][..], |round| &round.services);
        let well = services.iter().filter(|service| service.is_well()).count();
        let generation = self.generation.as_deref().unwrap_or("no manifest");
        let failure = self.failure.as_ref().map(|failure| format!("; {failure}")).unwrap_or_default();
        format!("{generation}: {well} of {} services as declared{failure}", services.len())
    }

    pub(crate) fn write(&self, state: &Path) -> Result<(), RuntimeError> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        write_durably(&state.join(MEMORY), &bytes)
    }
}

/// What the agent with this state remembers; nothing when there is no file. A damaged one is as good as none: all of it is found out
/// again; the serial is that of the manifest that was kept beside it.
///
/// # Errors
/// The file is there and cannot be read.
pub fn read_memory(state: &Path) -> Result<Memory, RuntimeError> {
    match fs_err::read(state.join(MEMORY)) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Memory { serial: kept_serial(state), ..Memory::default() })),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Memory::default()),
        Err(source) => Err(RuntimeError::File { action: "read", path: state.join(MEMORY), source }),
    }
}

fn kept_serial(state: &Path) -> u64 {
    let kept = fs_err::read(state.join(MANIFEST)).ok().and_then(|bytes| Manifest::parse(&bytes).ok());
    kept.and_then(|manifest| manifest.serial).unwrap_or(0)
}
