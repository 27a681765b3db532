//! provider client (spawn, pool, time-outs) and SDK (one trait and serve).
