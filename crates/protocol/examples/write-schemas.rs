//! Writes the JSON Schemas into `schemas/`: `cargo run -p freehold-protocol --example write-schemas`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a panic is the report of a test"
)]

use std::path::Path;

fn main() -> std::io::Result<()> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    fs_err::create_dir_all(&directory)?;
    for (name, schema) in freehold_protocol::schemas() {
        fs_err::write(directory.join(format!("{name}.json")), format!("{schema:#}\n"))?;
    }
    Ok(())
}
