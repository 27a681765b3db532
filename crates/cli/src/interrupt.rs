//! Ctrl-C: once lets finish what runs, twice gives it up, a third time ends the program on the spot.

use freehold_model::ErrorKind;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::failure::Failure;

/// From now on, signals that ask to end call `interrupt`, which returns how often it was called.
///
/// # Errors
/// When the system refuses.
pub(crate) fn watch(interrupt: impl Fn() -> usize + Send + 'static) -> Result<(), Failure> {
    let refused = |e| Failure::host("cannot listen for Ctrl-C", e);
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(refused)?;
    let listen = move || {
        for signal in signals.forever() {
            if interrupt() > 2 {
                // Ends the program as if nobody had listened.
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            }
        }
    };
    let thread = std::thread::Builder::new().name("signals".into()).spawn(listen);
    thread.map(drop).map_err(|e| Failure::new(ErrorKind::Host, e))
}
