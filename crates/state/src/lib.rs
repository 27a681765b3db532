//! the log, intents, locks and backends of what Freehold remembers.
