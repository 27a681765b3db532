//! the Nix store: realising paths, GC roots.
