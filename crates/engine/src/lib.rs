//! plan and apply driven with real effects.
