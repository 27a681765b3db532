//! What a unit is doing, as systemd says, and what that means for a rollout. Pure.

use std::time::Duration;

use freehold_model::limits;
use freehold_rollout::Settling;

/// What systemd says of a unit; words are its own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct State {
    /// Its file; empty when there is none.
    pub(super) file: String,
    /// `loaded`, `not-found`, `bad-setting`, `masked`.
    pub(super) load: String,
    /// `active`, `activating`, `inactive`, `failed`.
    pub(super) active: String,
    /// `running`, `exited`, `auto-restart`.
    pub(super) sub: String,
    /// `success`, `exit-code`, `signal`.
    pub(super) result: String,
    /// How often it was started again by itself.
    pub(super) restarts: u64,
    /// Its main process; 0 when there is none.
    pub(super) pid: u64,
    /// How its main process ended last: 1 by itself, 2 and 3 by a signal.
    pub(super) exit_code: u64,
    /// Its exit code, or its signal.
    pub(super) exit_status: u64,
    /// How long it has been active.
    pub(super) active_for: Duration,
    /// Which start of it this is, by which the journal knows it.
    pub(super) invocation: String,
}

impl State {
    /// Whether it runs, or is about to, or will by itself.
    pub(super) fn is_running(&self) -> bool {
        matches!(self.active.as_str(), "active" | "activating" | "reloading" | "refreshing")
    }

    /// Whether systemd has something of it in its hands.
    pub(super) fn is_stopped(&self) -> bool {
        matches!(self.active.as_str(), "inactive" | "failed" | "")
    }

    /// Whether a rollout can go on: a release that ends by itself has not settled, however often it is started again. One that was
    /// started again and has lasted since has.
    pub(super) fn settling(&self) -> Settling {
        let has_lasted = self.active_for >= limits::PROCESS_SETTLED;
        match (self.active.as_str(), self.sub.as_str()) {
            ("active", _) if self.restarts == 0 || has_lasted => Settling::Settled,
            ("active", _) => broken(format!("it ended and was started again ({} times)", self.restarts)),
            (_, "auto-restart" | "auto-restart-queued") => broken(format!("it ended ({})", self.ending())),
            ("activating", _) if self.restarts > 0 => {
                broken(format!("it ended ({}) and is started again", self.ending()))
            }
            ("activating" | "reloading" | "refreshing" | "deactivating", sub) => {
                Settling::Busy { reason: format!("systemd says `{}` ({sub})", self.active) }
            }
            ("inactive", _) if self.load != "loaded" => broken(format!("systemd says `{}` of its unit", self.load)),
            _ => broken(format!("it ended ({})", self.ending())),
        }
    }

    /// How it ended, in words.
    pub(super) fn ending(&self) -> String {
        let process = match self.exit_code {
            1 => format!("exit code {}", self.exit_status),
            2 | 3 => format!("signal {}", self.exit_status),
            _ => String::new(),
        };
        // What systemd itself could not do for it has exit codes of its own: systemd.exec(5), "Process Exit Codes".
        let step = match (self.exit_code, self.exit_status) {
            (1, 200) => " (its working directory)",
            (1, 203) => " (its program)",
            (1, 216) => " (its group)",
            (1, 217) => " (its user)",
            (1, 226) => " (its namespace: a path of its hardening)",
            (1, 238) => " (its state directory)",
            (1, 243) => " (its credentials)",
            _ => "",
        };
        match (process.as_str(), self.result.as_str()) {
            ("", result) => result.to_owned(),
            (process, "success" | "exit-code" | "signal" | "") => format!("{process}{step}"),
            (process, result) => format!("{result}, {process}{step}"),
        }
    }
}

fn broken(reason: String) -> Settling {
    Settling::Broken { reason }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.active, self.sub)?;
        match self.pid {
            0 => {}
            pid => write!(f, ", process {pid}")?,
        }
        match self.restarts {
            0 => Ok(()),
            restarts => write!(f, ", started again {restarts} times"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is made of a state; `exit` as `code/status`.
    fn check(active: &str, sub: &str, restarts: u64, seconds: u64, exit: (u64, u64), result: &str) -> String {
        let state = State {
            load: "loaded".to_owned(),
            active: active.to_owned(),
            sub: sub.to_owned(),
            result: result.to_owned(),
            restarts,
            exit_code: exit.0,
            exit_status: exit.1,
            active_for: Duration::from_secs(seconds),
            ..State::default()
        };
        match state.settling() {
            Settling::Settled => "settled".to_owned(),
            Settling::Busy { reason } => format!("busy: {reason}"),
            Settling::Broken { reason } => format!("broken: {reason}"),
        }
    }

    #[test]
    fn what_systemd_says_is_settled_busy_or_broken() {
        let looks = [
            check("active", "running", 0, 0, (0, 0), "success"),
            check("active", "exited", 0, 0, (1, 0), "success"),
            check("active", "running", 2, 1, (0, 0), "success"),
            check("active", "running", 2, 10, (0, 0), "success"),
            check("activating", "start", 0, 0, (0, 0), "success"),
            check("activating", "auto-restart", 1, 0, (1, 7), "exit-code"),
            check("activating", "start", 3, 0, (2, 9), "signal"),
            check("deactivating", "stop-sigterm", 0, 0, (0, 0), "success"),
            check("failed", "failed", 5, 0, (1, 217), "exit-code"),
            check("failed", "failed", 5, 0, (1, 1), "start-limit-hit"),
            check("failed", "failed", 0, 0, (0, 0), "timeout"),
            check("inactive", "dead", 0, 0, (1, 0), "success"),
        ];
        insta::assert_snapshot!(looks.join("\n"), @r#"
        settled
        settled
        broken: it ended and was started again (2 times)
        settled
        busy: systemd says `activating` (start)
        broken: it ended (exit code 7)
        broken: it ended (signal 9) and is started again
        busy: systemd says `deactivating` (stop-sigterm)
        broken: it ended (exit code 217 (its user))
        broken: it ended (start-limit-hit, exit code 1)
        broken: it ended (timeout)
        broken: it ended (exit code 0)
        "#);
    }
}
