//! the executor as step(event) -> effects, and its simulator; pure.
