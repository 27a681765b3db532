//! Random deployments and operations: the quick part is in `tests/simulate.rs`.
