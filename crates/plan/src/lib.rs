//! declared, recorded and observed make a plan; pure.
