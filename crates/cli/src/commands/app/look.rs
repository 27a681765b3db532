//! `freehold app diff`, `env`, `config`, `lint`, `versions`: looks that change nothing.

use freehold_recipe::Severity;
use serde_json::json;

use super::Site;
use crate::exit::Exit;
use crate::failure::Failure;

/// Show how the stack that a deploy would send differs from the one that was sent last
#[derive(Debug, clap::Args)]
pub(crate) struct DiffArgs {
    /// The app
    domain: String,
    /// This version [default: the pinned one]
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// End with 2 when there is a difference
    #[arg(long)]
    detailed_exitcode: bool,
}

/// Show an app's .env as it is evaluated; with NAME=VALUE, set values in place
#[derive(Debug, clap::Args)]
pub(crate) struct EnvArgs {
    /// The app
    domain: String,
    /// A value to set; the next deploy uses it
    #[arg(value_name = "NAME=VALUE", value_parser = super::super::publish::variable)]
    set: Vec<(String, String)>,
}

/// Print the stack that a deploy would send, as Docker composes it
#[derive(Debug, clap::Args)]
pub(crate) struct ConfigArgs {
    /// The app
    domain: String,
    /// This version [default: the pinned one]
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
}

/// Tell what of an app breaks, or may
#[derive(Debug, clap::Args)]
pub(crate) struct LintArgs {
    /// The app
    domain: String,
    /// This version [default: the pinned one]
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
}

/// List the versions of an app's recipe, the newest first
#[derive(Debug, clap::Args)]
pub(crate) struct VersionsArgs {
    /// The app, or a recipe
    domain: String,
}

pub(super) fn diff(args: DiffArgs, site: &Site<'_>) -> Result<Exit, Failure> {
    let app = site.open(&args.domain)?;
    let (sent, wanted) = freehold_app::sent_and_declared(&site.places, &app, args.version.as_deref())?;
    let diff = similar::TextDiff::from_lines(&sent, &wanted);
    let text = diff.unified_diff().context_radius(3).header("sent", "declared").to_string();
    if site.session.ui.json {
        site.session.ui.json(
            &json!({ "format": "freehold.app-diff/1", "domain": args.domain, "differs": !text.is_empty(), "diff": text }),
        );
    } else {
        site.session.ui.data(&text);
    }
    Ok(if args.detailed_exitcode && !text.is_empty() { Exit::Changes } else { Exit::Ok })
}

pub(super) fn env(args: EnvArgs, site: &Site<'_>) -> Result<Exit, Failure> {
    if !args.set.is_empty() {
        // Without opening the app: a value that keeps it from being opened is mended so.
        let path = site.places.abra.find(&args.domain, site.server.as_deref()).map_err(freehold_app::AppError::from)?;
        site.places.set(&path, &args.set.into_iter().collect())?;
        if !site.session.ui.json {
            site.session.ui.talk(&format!("the next `freehold app deploy {}` uses it", args.domain));
            return Ok(Exit::Ok);
        }
    }
    let variables = site.open(&args.domain)?.env.variables();
    if site.session.ui.json {
        site.session.ui.json(&json!({ "format": "freehold.app-env/1", "domain": args.domain, "env": variables }));
    } else {
        let lines = variables.into_iter().map(|(name, value)| format!("{name}={value}\n"));
        site.session.ui.data(&lines.collect::<String>());
    }
    Ok(Exit::Ok)
}

pub(super) fn config(args: ConfigArgs, site: &Site<'_>) -> Result<Exit, Failure> {
    let app = site.open(&args.domain)?;
    let composed = freehold_app::compose_pinned(&site.places, &app, args.version.as_deref())?;
    site.session.ui.data(&pretty(composed.stack.json()));
    Ok(Exit::Ok)
}

pub(super) fn lint(args: LintArgs, site: &Site<'_>) -> Result<Exit, Failure> {
    let app = site.open(&args.domain)?;
    let findings = freehold_app::lint_pinned(&site.places, &app, args.version.as_deref())?;
    if site.session.ui.json {
        let all: Vec<_> = findings
            .iter()
            .map(|one| {
                json!({ "severity": one.severity.as_str(), "code": one.code, "at": one.at.as_ref().map(ToString::to_string),
                    "message": one.message, "hint": one.hint })
            })
            .collect();
        site.session.ui.json(&json!({ "format": "freehold.app-lint/1", "domain": args.domain, "findings": all }));
    } else {
        let lines = findings.iter().map(|one| format!("{one}\n  hint: {}\n", one.hint));
        site.session.ui.data(&lines.collect::<String>());
    }
    let is_bad = findings.iter().any(|one| one.severity == Severity::Error);
    Ok(if is_bad { Exit::Failed } else { Exit::Ok })
}

pub(super) fn versions(args: VersionsArgs, site: &Site<'_>) -> Result<Exit, Failure> {
    let app = site.places.abra.find(&args.domain, site.server.as_deref()).is_ok();
    let (recipe, pinned) = if app {
        let app = site.open(&args.domain)?;
        (app.kind.recipe, app.kind.pin.map(|pin| pin.to_string()))
    } else {
        (args.domain.clone(), None)
    };
    let mirror = site.places.mirror(&recipe)?;
    let releases = mirror.releases();
    for light in mirror.versions().iter().filter(|version| !releases.contains(version)) {
        site.session.ui.talk(&format!("`{light}` is a lightweight tag, which is no release"));
    }
    let versions: Vec<String> = releases.iter().rev().map(ToString::to_string).collect();
    if site.session.ui.json {
        site.session.ui.json(
            &json!({ "format": "freehold.app-versions/1", "recipe": recipe, "pinned": pinned, "versions": versions }),
        );
        return Ok(Exit::Ok);
    }
    let line = |version: &String| {
        let mark = if Some(version) == pinned.as_ref() { " (pinned)" } else { "" };
        format!("{version}{mark}\n")
    };
    site.session.ui.data(&versions.iter().map(line).collect::<String>());
    Ok(Exit::Ok)
}

fn pretty(json: &serde_json::Value) -> String {
    format!("{json:#}\n")
}
