//! The unit of a service, as text. Pure: the same release gives the same bytes.
//!
//! What a manifest's fields mean is systemd.unit(5), systemd.service(5), systemd.exec(5). Every value is written so that systemd reads
//! back exactly what was meant (`escape.rs`); what cannot be written so is refused here, because systemd itself would only warn and
//! leave the line out. Read on in `marker.rs` (the line by which it is ours) and `hardening.rs`.

use freehold_manifest::{Restart, StartType, Systemd};
use freehold_model::limits;
use freehold_rollout::Release;
use sha2::{Digest as _, Sha256};

use super::escape::{self, refused};
use super::hardening;
use super::marker::Mark;
use crate::environment::PORT;
use crate::{RuntimeError, ServiceRelease};

/// Variable in which a process is told which release it is; what runs is read back from it.
pub(super) const RELEASE_VARIABLE: &str = "FREEHOLD_RELEASE";

/// Waited for before a service that names nothing else.
const ONLINE: &str = "network-online.target";

/// The unit file that starts this release of `workload`, listening on `port` when it takes requests.
///
/// # Errors
/// The release is not one of a service, or says what a unit cannot hold.
pub fn render(workload: &str, release: &Release, port: Option<u16>) -> Result<String, RuntimeError> {
    let service = ServiceRelease::from_release(release)?;
    let mark = Mark { workload: workload.to_owned(), release: release.clone(), port };
    let mut text = format!(
        "# Written by freehold for the service `{workload}`; changes here are lost. Yours go into a drop-in: \
         systemctl edit UNIT\n{}\n",
        mark.to_line()
    );
    for section in [unit_section(workload, &service)?, service_section(workload, &service, release, port)?] {
        text += &format!("\n{}", section.text);
    }
    text += "\n[Install]\nWantedBy=multi-user.target\n";
    if let Some(line) = text.lines().find(|line| line.len() >= limits::UNIT_LINE_BYTES) {
        let reason =
            format!("it makes a line of {} bytes; systemd reads less than {}", line.len(), limits::UNIT_LINE_BYTES);
        return Err(refused("env", &reason));
    }
    Ok(text)
}

/// The user that a service of this name has when systemd makes one for it: the same for all its units, so that both of two instances
/// can use its directories.
pub(super) fn dynamic_user(workload: &str) -> String {
    let name = format!("freehold-{workload}");
    if name.len() <= 31 && !name.contains('.') {
        return name;
    }
    let digest = Sha256::digest(workload);
    format!("freehold-{}", digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// Whether systemd makes its user.
pub(super) fn has_dynamic_user(service: &ServiceRelease) -> bool {
    service.hardening.dynamic_user.unwrap_or(service.exec.user.is_none())
}

/// Lines `Name=value` below a header.
pub(super) struct Section {
    text: String,
}

impl Section {
    fn new(name: &str) -> Self {
        Self { text: format!("[{name}]\n") }
    }

    /// A line; the value is written already.
    pub(super) fn line(&mut self, name: &str, value: &str) {
        self.text += &format!("{name}={value}\n");
    }

    /// One line with all of a list; none for an empty one.
    pub(super) fn list<'a>(
        &mut self,
        name: &str,
        values: impl Iterator<Item = &'a String>,
        write: impl Fn(&str) -> Result<String, RuntimeError>,
    ) -> Result<(), RuntimeError> {
        let values = values.map(|value| write(value)).collect::<Result<Vec<_>, _>>()?;
        if !values.is_empty() {
            self.line(name, &values.join(" "));
        }
        Ok(())
    }
}

fn unit_section(workload: &str, service: &ServiceRelease) -> Result<Section, RuntimeError> {
    let systemd = &service.systemd;
    let mut section = Section::new("Unit");
    section.line("Description", &format!("{} (freehold)", escape::word("name", workload)?));
    let after = systemd.after.clone().unwrap_or_else(|| vec![ONLINE.to_owned()]);
    let mut wants = systemd.wants.clone().unwrap_or_default();
    // To come after it means nothing while nobody asks for it.
    if after.iter().any(|unit| unit == ONLINE) && !wants.iter().any(|unit| unit == ONLINE) {
        wants.push(ONLINE.to_owned());
    }
    let lists = [
        ("After", "systemd/after", Some(&after)),
        ("Before", "systemd/before", systemd.before.as_ref()),
        ("Wants", "systemd/wants", Some(&wants)),
        ("Requires", "systemd/requires", systemd.requires.as_ref()),
    ];
    for (name, field, units) in lists {
        section.list(name, units.into_iter().flatten(), |unit| escape::word(field, unit))?;
    }
    Ok(section)
}

fn service_section(
    workload: &str,
    service: &ServiceRelease,
    release: &Release,
    port: Option<u16>,
) -> Result<Section, RuntimeError> {
    let systemd = &service.systemd;
    let mut section = Section::new("Service");
    section.line("Type", start_type(systemd.start_type));
    if systemd.start_type == Some(StartType::Oneshot) {
        // What has done its work is there, not gone.
        section.line("RemainAfterExit", "yes");
    }
    let words = service.words()?;
    let (program, arguments) = words.split_first().ok_or_else(|| refused("exec/command", "it is empty"))?;
    let mut command = vec![escape::program(program)?];
    for argument in arguments {
        if argument.contains('\0') {
            return Err(refused("exec/command", "it holds a zero byte"));
        }
        command.push(escape::quoted(argument));
    }
    section.line("ExecStart", &command.join(" "));
    section.line("Restart", restart(systemd.restart));
    section.line("RestartSec", &systemd.restart_sec.unwrap_or(5).to_string());
    for (name, seconds) in
        [("TimeoutStartSec", systemd.timeout_start_sec), ("TimeoutStopSec", systemd.timeout_stop_sec)]
    {
        if let Some(seconds) = seconds {
            // 0 would mean to wait for ever.
            section.line(name, &seconds.max(1).to_string());
        }
    }
    write_user(&mut section, workload, service)?;
    write_environment(&mut section, service, release, port)?;
    write_directories(&mut section, workload, systemd)?;
    write_resources(&mut section, systemd)?;
    hardening::write(&mut section, &service.hardening)?;
    Ok(section)
}

fn write_user(section: &mut Section, workload: &str, service: &ServiceRelease) -> Result<(), RuntimeError> {
    let dynamic = has_dynamic_user(service);
    section.line("DynamicUser", if dynamic { "yes" } else { "no" });
    match &service.exec.user {
        Some(user) => section.line("User", &escape::word("exec/user", user)?),
        None if dynamic => section.line("User", &dynamic_user(workload)),
        None => {
            return Err(refused("hardening/dynamicUser", "it is false, and no user is named: it would run as root"));
        }
    }
    if let Some(group) = &service.exec.group {
        section.line("Group", &escape::word("exec/group", group)?);
    }
    let groups = service.systemd.supplementary_groups.iter().flatten();
    section.list("SupplementaryGroups", groups, |group| escape::word("systemd/supplementaryGroups", group))
}

fn write_environment(
    section: &mut Section,
    service: &ServiceRelease,
    release: &Release,
    port: Option<u16>,
) -> Result<(), RuntimeError> {
    for (name, value) in &service.env {
        section.line("Environment", &escape::variable(name, value)?);
    }
    // After its own: these are not for the manifest to say.
    if let Some(port) = port.filter(|_| service.blue_green) {
        section.line("Environment", &escape::variable(PORT, &port.to_string())?);
    }
    section.line("Environment", &escape::variable(RELEASE_VARIABLE, release.id())?);
    if let Some(file) = &service.env_file {
        let (prefix, path) = file.strip_prefix('-').map_or(("", file.as_str()), |path| ("-", path));
        section.line("EnvironmentFile", &format!("{prefix}{}", escape::pattern("envFile", path)?));
    }
    for (name, path) in service.systemd.load_credential.iter().flatten() {
        const FIELD: &str = "systemd/loadCredential";
        let is_name = !name.is_empty()
            && !name.starts_with('.')
            && name.chars().all(|c| c.is_ascii_graphic() && !matches!(c, ':' | '/' | '\\' | '"' | '\''));
        if !is_name {
            return Err(refused(FIELD, &format!("`{}` is no name of a credential", name.escape_debug())));
        }
        if path.contains(char::is_whitespace) {
            // systemd 257 reads such a line, and then cannot tell it to the process that it starts.
            return Err(refused(FIELD, &format!("`{}` holds a blank", path.escape_debug())));
        }
        section.line("LoadCredential", &format!("{}:{}", name.replace('%', "%%"), escape::raw_path(FIELD, path)?));
    }
    Ok(())
}

/// Directories below `/var/lib` that it owns: somewhere it can write, in spite of all the hardening. Without a word of its own it gets one
/// that no other program of the host has: systemd gives the directory to the service, with all that lies in it.
pub(super) fn state_directories(workload: &str, systemd: &Systemd) -> Vec<String> {
    systemd.state_directory.clone().unwrap_or_else(|| vec![format!("freehold-{workload}")])
}

fn write_directories(section: &mut Section, workload: &str, systemd: &Systemd) -> Result<(), RuntimeError> {
    let state = state_directories(workload, systemd);
    let lists = [
        ("StateDirectory", "systemd/stateDirectory", Some(&state)),
        ("CacheDirectory", "systemd/cacheDirectory", systemd.cache_directory.as_ref()),
        ("LogsDirectory", "systemd/logsDirectory", systemd.logs_directory.as_ref()),
        ("RuntimeDirectory", "systemd/runtimeDirectory", systemd.runtime_directory.as_ref()),
    ];
    for (name, field, paths) in lists {
        section.list(name, paths.into_iter().flatten(), |path| escape::directory(field, path))?;
    }
    match (&systemd.working_directory, state.first()) {
        (Some(path), _) => section.line("WorkingDirectory", &escape::raw_path("systemd/workingDirectory", path)?),
        (None, Some(own)) => {
            section
                .line("WorkingDirectory", &format!("/var/lib/{}", escape::directory("systemd/stateDirectory", own)?));
        }
        (None, None) => {}
    }
    Ok(())
}

fn write_resources(section: &mut Section, systemd: &Systemd) -> Result<(), RuntimeError> {
    if let Some(size) = &systemd.memory_max {
        section.line("MemoryMax", &percentage("systemd/memoryMax", size)?);
    }
    if let Some(quota) = &systemd.cpu_quota {
        section.line("CPUQuota", &percentage("systemd/cpuQuota", quota)?);
    }
    if let Some(tasks) = systemd.tasks_max {
        section.line("TasksMax", &tasks.to_string());
    }
    Ok(())
}

/// `512M`, `50%`: values in which `%` is a percentage and never a specifier.
fn percentage(field: &str, text: &str) -> Result<String, RuntimeError> {
    let number = text.trim_end_matches(|c: char| c == '%' || c.is_ascii_uppercase());
    let is_size = !number.is_empty() && number.chars().all(|c| c.is_ascii_digit());
    match is_size || text == "infinity" {
        true => Ok(text.to_owned()),
        false => Err(refused(field, &format!("`{}` is no size", text.escape_debug()))),
    }
}

fn start_type(value: Option<StartType>) -> &'static str {
    match value {
        None | Some(StartType::Simple) => "simple",
        Some(StartType::Exec) => "exec",
        Some(StartType::Notify) => "notify",
        Some(StartType::Forking) => "forking",
        Some(StartType::Oneshot) => "oneshot",
    }
}

fn restart(value: Option<Restart>) -> &'static str {
    match value {
        None | Some(Restart::OnFailure) => "on-failure",
        Some(Restart::No) => "no",
        Some(Restart::Always) => "always",
        Some(Restart::OnSuccess) => "on-success",
        Some(Restart::OnAbnormal) => "on-abnormal",
        Some(Restart::OnAbort) => "on-abort",
        Some(Restart::OnWatchdog) => "on-watchdog",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is the report of a test")]

    use serde_json::{Value as Json, json};

    use super::*;

    const PATH: &str = "/nix/store/0c2mn5xhkzyyx7hbcmxgjvwqyxf1x7bd-web";

    /// A release of a service that says this beside its artifact.
    fn release(fields: &Json) -> Release {
        let mut payload = json!({
            "runtime": "systemd",
            "artifact": {"type": "nix-closure", "storePath": PATH},
            "exec": {"command": "web"},
        });
        for (name, value) in fields.as_object().unwrap() {
            payload[name] = value.clone();
        }
        Release::new(format!("{PATH}#0123456789ab"), payload).unwrap()
    }

    /// The unit without the two lines of its header.
    fn unit(fields: &Json) -> String {
        let text = render("web", &release(fields), Some(8000)).unwrap();
        text.splitn(3, '\n').nth(2).unwrap().trim().to_owned()
    }

    fn refusal(fields: &Json) -> String {
        render("web", &release(fields), None).unwrap_err().to_string()
    }

    #[test]
    fn a_service_that_says_nothing_is_hardened_and_has_a_directory() {
        insta::assert_snapshot!(unit(&json!({})), @r#"
        [Unit]
        Description=web (freehold)
        After=network-online.target
        Wants=network-online.target

        [Service]
        Type=simple
        ExecStart=":/nix/store/0c2mn5xhkzyyx7hbcmxgjvwqyxf1x7bd-web/bin/web"
        Restart=on-failure
        RestartSec=5
        DynamicUser=yes
        User=freehold-web
        Environment="FREEHOLD_RELEASE=/nix/store/0c2mn5xhkzyyx7hbcmxgjvwqyxf1x7bd-web#0123456789ab"
        StateDirectory=freehold-web
        WorkingDirectory=/var/lib/freehold-web
        NoNewPrivileges=yes
        PrivateTmp=yes
        PrivateDevices=yes
        ProtectKernelTunables=yes
        ProtectKernelModules=yes
        ProtectKernelLogs=yes
        ProtectControlGroups=yes
        ProtectClock=yes
        ProtectHostname=yes
        RestrictSUIDSGID=yes
        RestrictRealtime=yes
        RestrictNamespaces=yes
        LockPersonality=yes
        MemoryDenyWriteExecute=no
        ProtectSystem=strict
        ProtectHome=yes
        CapabilityBoundingSet=
        RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
        SystemCallFilter=@system-service
        SystemCallErrorNumber=EPERM
        SystemCallArchitectures=native
        UMask=0077

        [Install]
        WantedBy=multi-user.target
        "#);
    }

    #[test]
    fn every_field_is_written() {
        let fields = json!({
            "exec": {"command": "serve --all 'the things'", "user": "web", "group": "www"},
            "env": {"A": "1"},
            "envFile": "-/etc/web.env",
            "systemd": {
                "after": ["network-online.target", "postgresql.service"], "before": ["nginx.service"],
                "requires": ["postgresql.service"], "wants": ["redis.service"],
                "restart": "always", "restartSec": 1, "type": "notify", "timeoutStartSec": 20, "timeoutStopSec": 0,
                "workingDirectory": "/srv/my web", "stateDirectory": ["web", "web/more"], "cacheDirectory": ["web"],
                "logsDirectory": ["web"], "runtimeDirectory": ["web"],
                "loadCredential": {"key": "/etc/keys/web.pem"}, "supplementaryGroups": ["ssl", "mail"],
                "memoryMax": "512M", "cpuQuota": "150%", "tasksMax": 64,
            },
            "hardening": {
                "dynamicUser": false, "privateTmp": false, "protectSystem": "full", "protectHome": "read-only",
                "noNewPrivileges": false, "privateDevices": false, "protectKernelTunables": false,
                "protectKernelModules": false, "protectKernelLogs": false, "protectControlGroups": false,
                "protectClock": false, "protectHostname": false, "restrictSUIDSGID": false, "restrictRealtime": false,
                "restrictNamespaces": false, "lockPersonality": false, "memoryDenyWriteExecute": true,
                "ambientCapabilities": ["CAP_NET_BIND_SERVICE"],
                "restrictAddressFamilies": [], "systemCallFilter": [],
                "readWritePaths": ["/srv/web data", "-/srv/more"], "readOnlyPaths": ["/srv/a"],
                "inaccessiblePaths": ["/root"], "umask": "0022",
            },
        });
        insta::assert_snapshot!(unit(&fields), @r#"
        [Unit]
        Description=web (freehold)
        After=network-online.target postgresql.service
        Before=nginx.service
        Wants=redis.service network-online.target
        Requires=postgresql.service

        [Service]
        Type=notify
        ExecStart=":/nix/store/0c2mn5xhkzyyx7hbcmxgjvwqyxf1x7bd-web/bin/serve" "--all" "the things"
        Restart=always
        RestartSec=1
        TimeoutStartSec=20
        TimeoutStopSec=1
        DynamicUser=no
        User=web
        Group=www
        SupplementaryGroups=ssl mail
        Environment="A=1"
        Environment="FREEHOLD_RELEASE=/nix/store/0c2mn5xhkzyyx7hbcmxgjvwqyxf1x7bd-web#0123456789ab"
        EnvironmentFile=-/etc/web.env
        LoadCredential=key:/etc/keys/web.pem
        StateDirectory=web web/more
        CacheDirectory=web
        LogsDirectory=web
        RuntimeDirectory=web
        WorkingDirectory=/srv/my web
        MemoryMax=512M
        CPUQuota=150%
        TasksMax=64
        NoNewPrivileges=no
        PrivateTmp=no
        PrivateDevices=no
        ProtectKernelTunables=no
        ProtectKernelModules=no
        ProtectKernelLogs=no
        ProtectControlGroups=no
        ProtectClock=no
        ProtectHostname=no
        RestrictSUIDSGID=no
        RestrictRealtime=no
        RestrictNamespaces=no
        LockPersonality=no
        MemoryDenyWriteExecute=yes
        ProtectSystem=full
        ProtectHome=read-only
        CapabilityBoundingSet=CAP_NET_BIND_SERVICE
        AmbientCapabilities=CAP_NET_BIND_SERVICE
        ReadWritePaths="/srv/web data" "-/srv/more"
        ReadOnlyPaths="/srv/a"
        InaccessiblePaths="/root"
        UMask=0022

        [Install]
        WantedBy=multi-user.target
        "#);
    }

    #[test]
    fn every_nasty_character_is_escaped_where_it_stands() {
        let fields = json!({
            "exec": {"command": r#"/opt/a%b/run '100%' '$HOME ${PATH}' "say \"no\"" "it's" 'back\slash\' '' ';' 'grün 🌱'"#},
            "env": {"NASTY": "a\"b'c\\d%e$f ${g} \n\th#;i\\", "EMPTY": ""},
            "envFile": "/etc/my web/50%*.env",
            "systemd": {"stateDirectory": ["a%b"], "loadCredential": {"k%": "/k%/a"}},
            "hardening": {"readWritePaths": ["/srv/\"quoted\" %"]},
        });
        let text = unit(&fields);
        let nasty = ["Exec", "Env", "State", "Load", "Working", "ReadWrite"];
        let lines: Vec<&str> = text.lines().filter(|line| nasty.iter().any(|name| line.starts_with(name))).collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        ExecStart=":/opt/a%%b/run" "100%%" "$HOME ${PATH}" "say \"no\"" "it's" "back\\slash\\" "" ";" "grün 🌱"
        Environment="EMPTY="
        Environment="NASTY=a\"b'c\\d%%e$f ${g} \n\th#;i\\"
        Environment="FREEHOLD_RELEASE=/nix/store/0c2mn5xhkzyyx7hbcmxgjvwqyxf1x7bd-web#0123456789ab"
        EnvironmentFile=/etc/my web/50%%\*.env
        LoadCredential=k%%:/k%%/a
        StateDirectory=a%%b
        WorkingDirectory=/var/lib/a%%b
        ReadWritePaths="/srv/\"quoted\" %%"
        "#);
    }

    #[test]
    fn nothing_runs_as_root_unless_that_is_said() {
        let group = unit(&json!({"exec": {"command": "web", "group": "www-data"}}));
        assert!(group.contains("\nDynamicUser=yes\nUser=freehold-web\nGroup=www-data\n"), "{group}");
        let said = refusal(&json!({"hardening": {"dynamicUser": false}}));
        assert!(said.ends_with("it is false, and no user is named: it would run as root"), "{said}");
        let root = unit(&json!({"exec": {"command": "web", "user": "root"}}));
        assert!(root.contains("\nDynamicUser=no\nUser=root\n"), "{root}");
    }

    #[test]
    fn two_instances_are_told_their_ports_and_share_a_user() {
        let both = unit(&json!({"blueGreen": true, "env": {"PORT": "1"}}));
        assert!(both.contains("\nEnvironment=\"PORT=1\"\nEnvironment=\"PORT=8000\"\n"), "{both}");
        assert!(both.contains("\nUser=freehold-web\n"), "{both}");
        assert!(!unit(&json!({})).contains("PORT"));
        assert_eq!(dynamic_user("a.b").len(), 25);
        assert_ne!(dynamic_user(&"a".repeat(40)), dynamic_user(&"a".repeat(41)));
    }

    #[test]
    fn what_runs_is_read_back_from_the_unit() {
        let release = release(&json!({"env": {"A": "line\nend \\"}}));
        let text = render("web", &release, Some(8000)).unwrap();
        let mark = Mark { workload: "web".to_owned(), release, port: Some(8000) };
        assert_eq!(Mark::of(&text), Some(mark));
        assert_eq!(Mark::of("[Service]\nExecStart=/bin/true\n"), None);
        assert_eq!(Mark::of("# freehold-release: {\"id\":\n"), None);
    }

    #[test]
    fn what_a_unit_cannot_hold_is_refused_and_not_left_out() {
        let long = "x".repeat(limits::UNIT_LINE_BYTES);
        let refusals = [
            refusal(&json!({"env": {"A": "\u{1b}[1m"}})),
            refusal(&json!({"exec": {"command": "\"it's\""}})),
            refusal(&json!({"envFile": "/etc/web\\.env"})),
            refusal(&json!({"systemd": {"loadCredential": {"a:b": "/x"}}})),
            refusal(&json!({"systemd": {"loadCredential": {"a": "/x y"}}})),
            refusal(&json!({"systemd": {"stateDirectory": ["../etc"]}})),
            refusal(&json!({"systemd": {"after": ["a.service\nExecStartPre=/bin/sh"]}})),
            refusal(&json!({"systemd": {"memoryMax": "1\nUser=root"}})),
            refusal(&json!({"env": {"A": long}})),
        ];
        insta::assert_snapshot!(refusals.join("\n"), @r#"
        `env/A` cannot be written into a unit: it holds the control character `\u{1b}`
        `exec/command` cannot be written into a unit: the program's path holds a quote, a backslash or a control character
        `envFile` cannot be written into a unit: `/etc/web\\.env` holds a backslash or a control character, or ends in a blank
        `systemd/loadCredential` cannot be written into a unit: `a:b` is no name of a credential
        `systemd/loadCredential` cannot be written into a unit: `/x y` holds a blank
        `systemd/stateDirectory` cannot be written into a unit: `../etc` leaves the directory that systemd puts it in
        `systemd/after` cannot be written into a unit: `a.service\nExecStartPre=/bin/sh` is not a word
        `systemd/memoryMax` cannot be written into a unit: `1\nUser=root` is no size
        `env` cannot be written into a unit: it makes a line of 1048850 bytes; systemd reads less than 1048576
        "#);
    }
}
