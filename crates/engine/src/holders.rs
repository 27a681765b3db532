//! Where the state is kept when it is not a directory.

use std::sync::Arc;

use freehold_model::{ErrorKind, Value};
use freehold_state::Backend;

use crate::{EngineError, EngineOptions};

/// A log under a prefix of an S3 bucket.
pub(crate) fn s3_backend(_settings: &Value, _options: &EngineOptions) -> Result<Arc<dyn Backend>, EngineError> {
    Err(EngineError::Provider {
        provider: "s3".into(),
        kind: ErrorKind::Config,
        message: "not reachable yet".into(),
        hint: None,
    })
}
