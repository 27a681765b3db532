//! What was seen of an app, and how that is other than what is declared.

use freehold_app::{App as Deployed, AppError, AppRelease, AppSettings, Converged, Places};
use freehold_model::limits;
use freehold_provider::sdk::{Existing, Failure};
use freehold_recipe::Version;
use freehold_rollout::Mode;
use serde::{Deserialize, Serialize};

use super::App;
use super::places::failed;

/// What is handed back to us.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// How it is other than declared, in words.
    pub(crate) drift: Option<String>,
}

impl Seen {
    pub(crate) fn of(object: &Existing<App>) -> Self {
        let notes = object.private.as_ref().map(|private| private.expose().clone()).unwrap_or_default();
        serde_json::from_value(notes).unwrap_or_default()
    }
}

/// How what was found is other than what is declared; the first thing that a person would want to know.
pub(crate) fn drift(
    places: &Places,
    app: &Deployed,
    declared: &AppSettings,
    found: &Converged,
) -> Result<Option<String>, Failure> {
    if found.from.is_none() {
        return Ok(Some(found.reason.clone().unwrap_or_else(|| "it does not run".to_owned())));
    }
    if let (Some(wanted), Some(runs)) = (&declared.version, &found.from)
        && !satisfies(runs, wanted, declared)
    {
        return Ok(Some(format!("{runs} runs, and {wanted} is declared")));
    }
    if !found.healthy {
        return Ok(Some(format!("it is not healthy: {}", found.reason.as_deref().unwrap_or("no reason was told"))));
    }
    let differs = |(name, value): &(&String, &String)| app.env.get(name) != Some(value.as_str());
    if let Some((name, _)) = declared.env.iter().find(differs) {
        return Ok(Some(format!("its .env says otherwise of {name}")));
    }
    let record = places.records().read(&app.workload()).map_err(|error| failed(&error.into()))?;
    let good = record.last_good.as_ref().and_then(|release| AppRelease::parse(release.id()));
    if let Some(good) = good
        && good.env != env_now(app, &good)
    {
        return Ok(Some("its .env was changed after it was deployed".to_owned()));
    }
    if app.settings != *declared {
        return Ok(Some("how it is rolled out was said otherwise since".to_owned()));
    }
    Ok(None)
}

fn env_now(app: &Deployed, good: &AppRelease) -> String {
    match good.version.parse() {
        Ok(pin) => AppRelease::of(&pin, &good.commit, &app.env).env,
        Err(_) => good.env.clone(),
    }
}

/// Whether what runs is what is declared, or with `auto` something newer.
fn satisfies(runs: &str, wanted: &str, declared: &AppSettings) -> bool {
    let is_auto = declared.policy.is_some_and(|policy| policy.mode == Mode::Auto);
    match (runs.parse::<Version>(), wanted.parse::<Version>()) {
        (Ok(runs), Ok(wanted)) if is_auto => runs >= wanted,
        (Ok(runs), Ok(wanted)) => runs == wanted,
        // Commits may be shortened.
        _ => runs.starts_with(wanted) || wanted.starts_with(runs),
    }
}

const OWNER: &str = "member";

/// Remembers which member an app is.
pub(crate) fn own(app: &Deployed, member: &str) -> Result<(), AppError> {
    Ok(freehold_runtime::write_durably(&app.dir.join(OWNER), member.as_bytes())?)
}

/// Whether it was this member that declared the app last.
pub(crate) fn is_ours(app: &Deployed, member: &str) -> bool {
    fs_err::read(app.dir.join(OWNER))
        .is_ok_and(|bytes| bytes.len() < limits::MEMBER_NAME_BYTES * 64 && bytes == member.as_bytes())
}

/// Forgets whose it was.
pub(crate) fn disown(app: &Deployed) -> Result<(), AppError> {
    let path = app.dir.join(OWNER);
    if path.exists() { Ok(freehold_runtime::remove_durably(&path)?) } else { Ok(()) }
}

/// Whether the Swarm has nothing under the app's name.
pub(crate) fn runs_nothing(places: &Places, app: &Deployed) -> Result<bool, AppError> {
    Ok(app.docker(places)?.services(&app.stack)?.is_empty())
}
