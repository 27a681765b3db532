//! Built-in provider `local`: files, programs, random values, keys, state files and gates of this machine.
//!
//! One file per resource type. To add one: write `src/kind/NAME.rs` after `src/kind/uuid.rs` (the smallest), give it an
//! example in `examples/NAME.json`, list both below, and add the type to `tests/types.rs`. What a resource type is stands in
//! `freehold_provider::sdk::ResourceType`.

mod atomic;
mod kind;
mod place;
mod process;
mod secret;

use freehold_provider::sdk::Provider;

/// The provider, to be given to `freehold_provider::sdk::serve`.
pub fn provider() -> Provider {
    Provider::new("local", env!("CARGO_PKG_VERSION"))
        .with(kind::file::File)
        .with(kind::exec::Exec)
        .with(kind::memo::Memo)
        .with(kind::random::Random)
        .with(kind::password::Password)
        .with(kind::uuid::Uuid)
        .with(kind::key::Key)
        .with(kind::key::SshKeypair)
        .with(kind::key::AgeKeypair)
        .with(kind::key::NixKeypair)
        .with(kind::state_file::StateFile)
        .with(kind::http::Http)
        .with(kind::timestamp::Timestamp)
}
