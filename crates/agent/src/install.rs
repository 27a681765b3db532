//! The agent as a service of a host with plain systemd: which files that takes, as text. Writing them is the program's affair.
//!
//! It is what the NixOS module does (`nix/nixos/agent.nix`), for other distributions. What the agent has to do itself sets the limits of
//! its hardening: it writes units, Nix's directories and, if asked to, users, and talks to systemd; what the runtime `process` starts
//! lives in the same confines, so it gets none that a service would feel. Facts from systemd.service(5) and systemd.exec(5).

use std::path::{Path, PathBuf};

use freehold_runtime::RuntimeError;
use freehold_runtime::systemd::command_line;

/// The unit's name, without its ending.
pub const UNIT: &str = "freehold-agent";
/// How files begin that are ours to replace.
const MARK: &str = "# Written by `freehold agent install`";
/// How long the agent may give no sign of life, in seconds.
const WATCHDOG_SECONDS: u32 = 120;

/// When the agent works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schedule {
    /// All the time, with this pause between two looks (`5m`).
    Always {
        /// As `--poll` reads it.
        poll: String,
    },
    /// A round at these times, as `OnCalendar=` reads them.
    At {
        /// `*:0/5`.
        calendar: String,
    },
}

/// An agent to be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// The program, by its absolute path.
    pub program: PathBuf,
    /// What every form of the agent is told, from `--from` on.
    pub arguments: Vec<String>,
    /// What it is told when it runs all the time.
    pub running_arguments: Vec<String>,
    /// When it works.
    pub schedule: Schedule,
    /// Where it remembers.
    pub state: PathBuf,
    /// A file with `AWS_ACCESS_KEY_ID` and its like.
    pub environment_file: Option<PathBuf>,
    /// The directory of Nix's programs.
    pub nix: PathBuf,
    /// Whether the runtime `process` is what runs services.
    pub runs_processes: bool,
    /// Whether routes are set in Caddy.
    pub has_caddy: bool,
}

/// Whether a file with this text was written by an installation, so that another may replace it.
pub fn is_ours(text: &str) -> bool {
    text.starts_with(MARK)
}

impl Installation {
    /// The files, by their names in systemd's directory.
    ///
    /// # Errors
    /// A path that systemd cannot be told of, or a schedule of more than a line.
    pub fn files(&self) -> Result<Vec<(String, String)>, RuntimeError> {
        let mut files = vec![(format!("{UNIT}.service"), self.service()?)];
        if let Schedule::At { calendar } = &self.schedule {
            let calendar = line("--timer", calendar)?;
            let text = format!(
                "{MARK}; `freehold agent uninstall` takes it away\n[Unit]\nDescription=Rounds of the Freehold agent\n\n\
                 [Timer]\nOnCalendar={calendar}\nOnBootSec=30s\nPersistent=true\n\n[Install]\nWantedBy=timers.target\n"
            );
            files.push((format!("{UNIT}.timer"), text));
        }
        Ok(files)
    }

    /// The unit that is started, and started at boot.
    pub fn enabled_unit(&self) -> String {
        match self.schedule {
            Schedule::Always { .. } => format!("{UNIT}.service"),
            Schedule::At { .. } => format!("{UNIT}.timer"),
        }
    }

    fn service(&self) -> Result<String, RuntimeError> {
        let caddy = if self.has_caddy { " caddy.service" } else { "" };
        let mut text = format!(
            "{MARK}; `freehold agent uninstall` takes it away\n[Unit]\nDescription=Freehold agent\n\
             After=network-online.target nix-daemon.socket{caddy}\nWants=network-online.target\n\n[Service]\n"
        );
        let (verb, more) = match &self.schedule {
            Schedule::Always { poll } => {
                let mut more = vec!["--poll".to_owned(), poll.clone(), "--leave-running".to_owned()];
                more.extend(self.running_arguments.iter().cloned());
                ("run", more)
            }
            Schedule::At { .. } => ("once", Vec::new()),
        };
        let mut words = vec![self.program.display().to_string(), "agent".to_owned(), verb.to_owned()];
        words.extend(self.arguments.iter().cloned());
        words.extend(more);
        // Not every host has a program `kill`.
        let program = self.program.display().to_string();
        let state = self.state.display().to_string();
        let poke = command_line(&[program, "agent".to_owned(), "poke".to_owned(), "--state".to_owned(), state])?;
        let mut set = |name: &str, value: &str| text.push_str(&format!("{name}={value}\n"));
        match self.schedule {
            Schedule::Always { .. } => {
                set("Type", "notify");
                set("NotifyAccess", "main");
                // It is ready after its first round, which pulls whatever is missing.
                set("TimeoutStartSec", "infinity");
                set("WatchdogSec", &WATCHDOG_SECONDS.to_string());
                set("Restart", "always");
                set("RestartSec", "5");
                set("ExecReload", &poke);
            }
            Schedule::At { .. } => {
                set("Type", "oneshot");
                // Held: an alert stands, and nothing has failed.
                set("SuccessExitStatus", "4");
            }
        }
        set("ExecStart", &command_line(&words)?);
        // Credentials of buckets are looked up below the home, as the tools of AWS do.
        set("Environment", "HOME=/root XDG_CACHE_HOME=/var/cache/freehold");
        let path = line(
            "PATH",
            &format!("{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", self.nix.display()),
        )?;
        set("Environment", &format!("\"PATH={}\"", path.replace('%', "%%")));
        if let Some(file) = &self.environment_file {
            set("EnvironmentFile", &line("--environment-file", &file.display().to_string())?.replace('%', "%%"));
        }
        set("CacheDirectory", "freehold");
        if let Some(below) = below_var_lib(&self.state) {
            set("StateDirectory", below);
            set("StateDirectoryMode", "0700");
        }
        if self.runs_processes {
            // Supervisors of services are children of the agent that started them, and outlive it.
            set("KillMode", "process");
        } else {
            HARDENING.iter().for_each(|name| set(name, "yes"));
            set("SystemCallArchitectures", "native");
        }
        if matches!(self.schedule, Schedule::Always { .. }) {
            text.push_str("\n[Install]\nWantedBy=multi-user.target\n");
        }
        Ok(text)
    }
}

/// What is switched on where all services are units of their own.
const HARDENING: [&str; 9] = [
    "NoNewPrivileges",
    "ProtectClock",
    "ProtectControlGroups",
    "ProtectKernelLogs",
    "ProtectKernelModules",
    "ProtectKernelTunables",
    "RestrictRealtime",
    "LockPersonality",
    "PrivateMounts",
];

/// The part of a state below `/var/lib`, where systemd makes the directory itself.
fn below_var_lib(state: &Path) -> Option<&str> {
    let below = state.strip_prefix("/var/lib").ok()?.to_str()?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.');
    (!below.is_empty() && below.chars().all(is_plain) && !below.contains("..")).then_some(below)
}

/// A text that fits on a line of a unit file.
fn line(field: &str, text: &str) -> Result<String, RuntimeError> {
    if text.is_empty() || text.contains(|c: char| c.is_control() || c == '"' || c == '\\') {
        let reason = "it is empty, or holds a quote, a backslash or a control character".to_owned();
        return Err(RuntimeError::Unwritable { field: field.to_owned(), reason });
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is the report of a test")]

    use super::*;

    fn installation() -> Installation {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        Installation {
            program: "/usr/local/bin/freehold".into(),
            arguments: words("--from s3://shop?region=eu%20$1 --host web1 --trusted-key k:1="),
            running_arguments: words("--metrics 127.0.0.1:9464"),
            schedule: Schedule::Always { poll: "5m".to_owned() },
            state: "/var/lib/freehold".into(),
            environment_file: None,
            nix: "/nix/var/nix/profiles/default/bin".into(),
            runs_processes: false,
            has_caddy: true,
        }
    }

    fn text(installation: &Installation) -> String {
        installation.files().unwrap().iter().map(|(name, text)| format!("--- {name}\n{text}")).collect()
    }

    #[test]
    fn an_agent_that_runs_all_the_time_is_a_hardened_service_that_is_watched() {
        insta::assert_snapshot!(text(&installation()), @r#"
        --- freehold-agent.service
        # Written by `freehold agent install`; `freehold agent uninstall` takes it away
        [Unit]
        Description=Freehold agent
        After=network-online.target nix-daemon.socket caddy.service
        Wants=network-online.target

        [Service]
        Type=notify
        NotifyAccess=main
        TimeoutStartSec=infinity
        WatchdogSec=120
        Restart=always
        RestartSec=5
        ExecReload=":/usr/local/bin/freehold" "agent" "poke" "--state" "/var/lib/freehold"
        ExecStart=":/usr/local/bin/freehold" "agent" "run" "--from" "s3://shop?region=eu%%20$1" "--host" "web1" "--trusted-key" "k:1=" "--poll" "5m" "--leave-running" "--metrics" "127.0.0.1:9464"
        Environment=HOME=/root XDG_CACHE_HOME=/var/cache/freehold
        Environment="PATH=/nix/var/nix/profiles/default/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        CacheDirectory=freehold
        StateDirectory=freehold
        StateDirectoryMode=0700
        NoNewPrivileges=yes
        ProtectClock=yes
        ProtectControlGroups=yes
        ProtectKernelLogs=yes
        ProtectKernelModules=yes
        ProtectKernelTunables=yes
        RestrictRealtime=yes
        LockPersonality=yes
        PrivateMounts=yes
        SystemCallArchitectures=native

        [Install]
        WantedBy=multi-user.target
        "#);
    }

    #[test]
    fn an_agent_with_a_timer_does_rounds_and_lets_its_processes_live() {
        let schedule = Schedule::At { calendar: "*:0/5".to_owned() };
        let environment_file = Some("/etc/freehold/agent.env".into());
        let other = Installation {
            schedule,
            environment_file,
            runs_processes: true,
            has_caddy: false,
            state: "/srv/state".into(),
            ..installation()
        };
        insta::assert_snapshot!(text(&other), @r#"
        --- freehold-agent.service
        # Written by `freehold agent install`; `freehold agent uninstall` takes it away
        [Unit]
        Description=Freehold agent
        After=network-online.target nix-daemon.socket
        Wants=network-online.target

        [Service]
        Type=oneshot
        SuccessExitStatus=4
        ExecStart=":/usr/local/bin/freehold" "agent" "once" "--from" "s3://shop?region=eu%%20$1" "--host" "web1" "--trusted-key" "k:1="
        Environment=HOME=/root XDG_CACHE_HOME=/var/cache/freehold
        Environment="PATH=/nix/var/nix/profiles/default/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        EnvironmentFile=/etc/freehold/agent.env
        CacheDirectory=freehold
        KillMode=process
        --- freehold-agent.timer
        # Written by `freehold agent install`; `freehold agent uninstall` takes it away
        [Unit]
        Description=Rounds of the Freehold agent

        [Timer]
        OnCalendar=*:0/5
        OnBootSec=30s
        Persistent=true

        [Install]
        WantedBy=timers.target
        "#);
        assert_eq!(other.enabled_unit(), "freehold-agent.timer");
    }

    #[test]
    fn what_systemd_would_read_otherwise_is_refused() {
        let evil = Schedule::At { calendar: "daily\nOnBootSec=0".to_owned() };
        let refused = Installation { schedule: evil, ..installation() }.files().unwrap_err();
        assert!(refused.to_string().contains("--timer"), "{refused}");
        assert!(Installation { program: "freehold".into(), ..installation() }.files().is_err());
    }

    #[test]
    fn only_files_of_an_installation_are_ours() {
        let files = installation().files().unwrap();
        assert!(files.iter().all(|(_, text)| is_ours(text)));
        assert!(!is_ours("[Unit]\nDescription=mine\n"));
    }
}
