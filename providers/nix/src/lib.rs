//! built-in provider nix: builds kept alive by GC roots.
