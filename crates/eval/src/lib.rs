//! stock Nix as one persistent, lazy evaluator.
