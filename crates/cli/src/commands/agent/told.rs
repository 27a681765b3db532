//! How rounds are told: lines for people, `freehold.round/1` for programs.

use freehold_agent::{Round, ServiceState};
use freehold_rollout::Outcome;

use crate::exit::Exit;
use crate::render::style::{self, paint};
use crate::render::table::table;
use crate::render::text::escape_controls;

/// A line of what goes on.
pub(super) fn line(workload: Option<&str>, text: &str) -> String {
    let text = escape_controls(text);
    match workload {
        Some(workload) => format!("{}: {text}", paint(style::STRONG, workload)),
        None => text.into_owned(),
    }
}

/// A round as a table.
pub(super) fn round(round: &Round) -> String {
    let generation =
        round.generation.as_deref().map_or_else(|| "no manifest".to_owned(), |g| format!("generation {g}"));
    let head = format!("{} follows {generation}\n", round.host);
    head + &services(&round.services)
}

/// Services as a table, and why they are as they are.
pub(super) fn services(services: &[ServiceState]) -> String {
    if services.is_empty() {
        return "nothing is to run here\n".to_owned();
    }
    let rows: Vec<Vec<String>> = services
        .iter()
        .map(|service| {
            let style = match service.action {
                Outcome::None | Outcome::Stopped => style::FAINT,
                Outcome::Deployed | Outcome::Upgraded => style::ADD,
                Outcome::Held => style::CHANGE,
                Outcome::RolledBack | Outcome::Failed => style::REMOVE,
            };
            let health = match (&service.running, service.healthy) {
                (None, _) => "not running",
                (Some(_), true) => "healthy",
                (Some(_), false) => "unhealthy",
            };
            let running = service.running.clone().unwrap_or_default();
            vec![service.name.clone(), paint(style, service.action), health.to_owned(), running]
        })
        .collect();
    let reasons = services.iter().filter_map(|service| {
        let reason = service.reason.as_ref()?;
        Some(format!("{} {}: {}\n", paint(style::WARN, "note:"), service.name, escape_controls(reason)))
    });
    table(&["service", "action", "health", "running"], &rows) + &reasons.collect::<String>()
}

/// How `agent once` ends with it.
pub(super) fn exit(round: &Round, detailed: bool) -> Exit {
    match () {
        () if !round.is_well() => Exit::Unwell,
        () if detailed && round.has_changed() => Exit::Changes,
        () => Exit::Ok,
    }
}
