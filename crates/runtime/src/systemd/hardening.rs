//! What a unit may not do: everything that costs a service from the store little is on, and each is switched by the manifest.

use freehold_manifest::{Hardening, ProtectHome, ProtectHomeWord, ProtectSystem, ProtectSystemWord};

use super::escape::{self, refused};
use super::unit::Section;
use crate::RuntimeError;

/// Address families of a service that says nothing: Internet and Unix sockets.
const FAMILIES: [&str; 3] = ["AF_UNIX", "AF_INET", "AF_INET6"];
/// System calls of a service that says nothing.
const CALLS: &str = "@system-service";

/// Writes the hardening of a unit.
///
/// # Errors
/// Something of it cannot be written into a unit.
pub(super) fn write(section: &mut Section, hardening: &Hardening) -> Result<(), RuntimeError> {
    let on = |value: Option<bool>| if value.unwrap_or(true) { "yes" } else { "no" };
    let switches = [
        ("NoNewPrivileges", hardening.no_new_privileges),
        ("PrivateTmp", hardening.private_tmp),
        ("PrivateDevices", hardening.private_devices),
        ("ProtectKernelTunables", hardening.protect_kernel_tunables),
        ("ProtectKernelModules", hardening.protect_kernel_modules),
        ("ProtectKernelLogs", hardening.protect_kernel_logs),
        ("ProtectControlGroups", hardening.protect_control_groups),
        ("ProtectClock", hardening.protect_clock),
        ("ProtectHostname", hardening.protect_hostname),
        ("RestrictSUIDSGID", hardening.restrict_suid_sgid),
        ("RestrictRealtime", hardening.restrict_realtime),
        ("RestrictNamespaces", hardening.restrict_namespaces),
        ("LockPersonality", hardening.lock_personality),
    ];
    for (name, value) in switches {
        section.line(name, on(value));
    }
    section.line("MemoryDenyWriteExecute", on(hardening.memory_deny_write_execute.or(Some(false))));
    section.line("ProtectSystem", protect_system(hardening.protect_system));
    section.line("ProtectHome", protect_home(hardening.protect_home));
    write_lists(section, hardening)?;
    let paths = [
        ("ReadWritePaths", "hardening/readWritePaths", &hardening.read_write_paths),
        ("ReadOnlyPaths", "hardening/readOnlyPaths", &hardening.read_only_paths),
        ("InaccessiblePaths", "hardening/inaccessiblePaths", &hardening.inaccessible_paths),
    ];
    for (name, field, paths) in paths {
        section.list(name, paths.iter().flatten(), |path| escape::listed_path(field, path))?;
    }
    let umask = hardening.umask.as_deref().unwrap_or("0077");
    if umask.is_empty() || !umask.chars().all(|c| ('0'..='7').contains(&c)) {
        return Err(refused("hardening/umask", "it is not made of octal digits"));
    }
    section.line("UMask", umask);
    Ok(())
}

/// Capabilities, address families and system calls. An empty list of the latter two takes the restriction away.
fn write_lists(section: &mut Section, hardening: &Hardening) -> Result<(), RuntimeError> {
    let ambient = hardening.ambient_capabilities.as_deref().unwrap_or_default();
    // What it may have without being root it must be allowed to have at all.
    let bounding = hardening.capability_bounding_set.as_deref().unwrap_or(ambient);
    let capability = |field: &'static str| move |text: &String| escape::word(field, text);
    let bounding = words(bounding, capability("hardening/capabilityBoundingSet"))?;
    section.line("CapabilityBoundingSet", &bounding);
    if !ambient.is_empty() {
        section.line("AmbientCapabilities", &words(ambient, capability("hardening/ambientCapabilities"))?);
    }
    let families = hardening.restrict_address_families.clone();
    let families = families.unwrap_or_else(|| FAMILIES.map(str::to_owned).into());
    if !families.is_empty() {
        let family = |text: &String| escape::word("hardening/restrictAddressFamilies", text);
        section.line("RestrictAddressFamilies", &words(&families, family)?);
    }
    let calls = hardening.system_call_filter.clone().unwrap_or_else(|| vec![CALLS.to_owned()]);
    if !calls.is_empty() {
        section.line("SystemCallFilter", &words(&calls, |text| escape::word("hardening/systemCallFilter", text))?);
        // A program that tries a call and can do without is told no, not killed.
        section.line("SystemCallErrorNumber", "EPERM");
        section.line("SystemCallArchitectures", "native");
    }
    Ok(())
}

fn words(texts: &[String], write: impl Fn(&String) -> Result<String, RuntimeError>) -> Result<String, RuntimeError> {
    Ok(texts.iter().map(write).collect::<Result<Vec<_>, _>>()?.join(" "))
}

fn protect_system(value: Option<ProtectSystem>) -> &'static str {
    match value {
        None | Some(ProtectSystem::Word(ProtectSystemWord::Strict)) => "strict",
        Some(ProtectSystem::Word(ProtectSystemWord::Full)) => "full",
        Some(ProtectSystem::Flag(true)) => "yes",
        Some(ProtectSystem::Flag(false)) => "no",
    }
}

fn protect_home(value: Option<ProtectHome>) -> &'static str {
    match value {
        None | Some(ProtectHome::Flag(true)) => "yes",
        Some(ProtectHome::Flag(false)) => "no",
        Some(ProtectHome::Word(ProtectHomeWord::ReadOnly)) => "read-only",
        Some(ProtectHome::Word(ProtectHomeWord::Tmpfs)) => "tmpfs",
    }
}
