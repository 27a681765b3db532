# `just` alone lists everything one can do here. `./x` does the same without just.

# list the recipes
default:
    @just --list --unsorted

# all tests, as CI runs them (add --interop for the programs of others)
test *flags:
    ./x test {{ flags }}

# the tests of one crate: just check model
check crate *args:
    cargo test --package {{ if crate == "xtask" { crate } else { "freehold-" + crate } }} {{ args }}

# plan, apply, drift and destroy of an example
demo:
    ./x demo

# format, lint, and the house rules
tidy:
    cargo fmt --all
    cargo clippy --workspace --all-targets -- -D warnings
    cargo run --quiet --package xtask -- tidy

# write what is generated: reference docs, JSON schemas, provider tables for Nix
generate:
    cargo run --quiet --package xtask -- generate
    nix/tests/coop-cloud-docs.sh --update

# a static release binary, with its size
release:
    cargo run --quiet --package xtask -- release

# the budgets of docs/performance.md, as figures
bench *args:
    ./x bench {{ args }}

# kill `freehold apply` again and again and check that nothing is forgotten
kill-test *args:
    ./x kill-test {{ args }}

# run the fuzzers for some seconds each
fuzz seconds="30":
    scripts/fuzz --seconds {{ seconds }}

# the Nix versions that tests run on
nix-roots:
    scripts/nix-roots

# licences, banned crates, sources (cargo-deny)
deny:
    cargo deny check licenses bans sources

# spelling (typos)
typos:
    typos
