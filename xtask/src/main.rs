//! Housekeeping of the project.

fn main() {}
