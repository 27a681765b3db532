//! The resource types, one file each.

pub(crate) mod exec;
pub(crate) mod file;
pub(crate) mod http;
pub(crate) mod key;
pub(crate) mod memo;
pub(crate) mod password;
pub(crate) mod random;
pub(crate) mod state_file;
pub(crate) mod timestamp;
pub(crate) mod uuid;
