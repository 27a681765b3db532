//! One look at a release, as its gate says: HTTP, TCP, a program. All that the gate names must be as expected.

mod exec;
mod http;
mod roots;
mod tcp;

use std::path::PathBuf;
use std::time::Duration;

use freehold_rollout::{Gate, Look};

/// Longest time that one look of each kind may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProbeTarget {
    /// The port that it listens on, on this host; what the gate means when it names none.
    pub port: Option<u16>,
    /// The directory programs are run in.
    pub dir: Option<PathBuf>,
    /// What programs get as environment beside `PATH`.
    pub env: Vec<(String, String)>,
}

/// Looks once. A gate without anything to look at is green.
pub fn look(gate: &Gate, target: &ProbeTarget) -> Look {
    let limit = PATIENCE.min(Duration::from_secs(u64::from(gate.timeout_seconds)));
    let seen = || -> Result<(), String> {
        if let Some(http) = &gate.http {
            http::look(http, target, limit)?;
        }
        if let Some(tcp) = &gate.tcp {
            tcp::look(tcp, target, limit)?;
        }
        if let Some(program) = &gate.exec {
            exec::look(program, target, limit)?;
        }
        Ok(())
    };
    match seen() {
        Ok(()) => Look::Green,
        Err(reason) => Look::Red { reason },
    }
}

fn no_port(field: &str) -> String {
    format!("the gate names no port and the service has none: say `http.internalPort`, or `gate.{field}.port`")
}
