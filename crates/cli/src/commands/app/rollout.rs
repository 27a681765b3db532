//! What changes what runs: deploy, reconcile, upgrade, rollback, restart, undeploy; and the look that changes nothing.

use freehold_app::{App, Converged, Talk, Verb, converge, workload_of};
use freehold_recipe_source::Wanted;
use freehold_rollout::{Exit as RolloutExit, Outcome};
use serde_json::{Value as Json, json};

use super::Site;
use super::said::Said;
use crate::exit::Exit;
use crate::failure::Failure;

/// Deploy an app: what is declared of it, and nothing newer
///
/// It stays only if it is healthy; else what ran before is put back, with its data. An app that runs as declared is looked at once
/// and not touched.
#[derive(Debug, clap::Args)]
pub(crate) struct DeployArgs {
    /// The app
    domain: String,
    /// This version or commit [default: the declared one, the pinned one, the newest]
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// Deploy abra's work tree of the recipe as it lies in `$ABRA_DIR/recipes`, changes included
    #[arg(long, conflicts_with = "version")]
    chaos: bool,
    #[command(flatten)]
    said: Said,
    #[command(flatten)]
    way: Way,
}

/// Bring an app to what is declared, or to a newer version that may come by itself
///
/// The loop of every night: what runs is healthy, or is mended; a newer patch or minor version is tried, and taken back when it is not
/// healthy; a major one, or one whose notes ask for a person, is held and alerts. What was taken back is not tried again.
#[derive(Debug, clap::Args)]
pub(crate) struct ReconcileArgs {
    /// The app
    #[arg(required_unless_present = "all")]
    domain: Option<String>,
    /// Every app that was ever deployed from here, one after the other; one failure stops no other
    #[arg(long, conflicts_with = "domain")]
    all: bool,
    #[command(flatten)]
    said: Said,
    #[command(flatten)]
    way: Way,
}

/// Look whether an app runs as declared and is healthy; change nothing
#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// The app
    domain: String,
}

/// Move an app to a version that a person wants, majors and what was held included
#[derive(Debug, clap::Args)]
pub(crate) struct UpgradeArgs {
    /// The app
    domain: String,
    /// The version [default: the newest]
    version: Option<String>,
    #[command(flatten)]
    said: Said,
    #[command(flatten)]
    way: Way,
}

/// Move an app back to the version before, or to an older one; its data stay as they are
///
/// What it leaves is not tried again by any timer; `freehold app upgrade` goes there again. `freehold app restore` puts data back.
#[derive(Debug, clap::Args)]
pub(crate) struct RollbackArgs {
    /// The app
    domain: String,
    /// The version [default: the one that was good before]
    version: Option<String>,
    #[command(flatten)]
    said: Said,
    #[command(flatten)]
    way: Way,
}

/// Start the tasks of an app anew
#[derive(Debug, clap::Args)]
pub(crate) struct RestartArgs {
    /// The app
    domain: String,
    /// Only this service
    service: Option<String>,
}

/// Take an app's stack away and wait until it is gone; volumes and secrets stay
#[derive(Debug, clap::Args)]
pub(crate) struct UndeployArgs {
    /// The app
    domain: String,
    /// Take a stack of that name away that was not deployed as this app, too
    #[arg(long)]
    take_over: bool,
}

/// How a run goes.
#[derive(Debug, Clone, Default, clap::Args)]
struct Way {
    /// Try a version again that was taken back
    #[arg(long)]
    retry: bool,
    /// Replace a stack of that name that was not deployed as this app
    #[arg(long)]
    take_over: bool,
    /// Deploy what lint finds wrong all the same
    #[arg(long)]
    no_lint: bool,
    /// End with 2 when something changed
    #[arg(long)]
    detailed_exitcode: bool,
}

pub(super) fn deploy(args: DeployArgs, site: &Site<'_>) -> Result<Exit, Failure> {
    let mut app = args.said.open(&args.domain, site)?;
    let verb = if args.chaos { Verb::Chaos } else { Verb::Deploy { version: args.version } };
    one(&mut app, &verb, &args.way, site)
}

pub(super) fn reconcile(args: ReconcileArgs, site: &Site<'_>) -> Result<Exit, Failure> {
    match args.domain {
        Some(domain) => one(&mut args.said.open(&domain, site)?, &Verb::Reconcile, &args.way, site),
        None => all(&args, site),
    }
}

pub(super) fn upgrade(args: UpgradeArgs, site: &Site<'_>) -> Result<Exit, Failure> {
    let mut app = args.said.open(&args.domain, site)?;
    let mirror = site.places.mirror(&app.kind.recipe)?;
    let version = match args.version {
        // The left half is enough; what is no version is a commit.
        Some(version) => match mirror.resolve(&Wanted::Version(version.clone())) {
            Ok(known) => known.pin.to_string(),
            Err(_) => version,
        },
        None => mirror.resolve(&Wanted::Newest)?.pin.to_string(),
    };
    let record = site.places.records().read(&app.workload())?;
    if let Some(running) = record.last_good.as_ref().and_then(|release| version_of(release.id()))
        && is_older(&version, Some(&running))
        && version.parse::<freehold_recipe::Version>().is_ok()
    {
        return Err(freehold_app::AppError::NotNewer { version, running, domain: args.domain }.into());
    }
    one(&mut app, &Verb::Upgrade { version }, &Way { retry: true, ..args.way }, site)
}

pub(super) fn rollback(args: RollbackArgs, site: &Site<'_>) -> Result<Exit, Failure> {
    let mut app = args.said.open(&args.domain, site)?;
    let record = site.places.records().read(&app.workload())?;
    let now = record.last_good.as_ref().and_then(|release| version_of(release.id()));
    let is_older = |version: &str| is_older(version, now.as_deref());
    let mut before = record.previous.iter().filter_map(|release| version_of(release.id()));
    let version = match args.version {
        Some(version) => {
            let known = site.places.mirror(&app.kind.recipe)?.resolve(&Wanted::Version(version));
            Some(known?.pin.to_string())
        }
        None => before.find(|version| is_older(version)),
    };
    let Some(version) = version else {
        return Err(Failure::user(format!("no version of `{}` was good before this one", args.domain))
            .hint("name a version; `freehold app versions` lists them"));
    };
    if !is_older(&version) {
        let running = now.unwrap_or_default();
        return Err(freehold_app::AppError::NotOlder { version, running }.into());
    }
    one(&mut app, &Verb::Rollback { version }, &Way { retry: true, ..args.way }, site)
}

/// The version that a release has by its identity.
fn version_of(id: &str) -> Option<String> {
    freehold_app::AppRelease::parse(id).map(|release| release.version)
}

/// Whether a version comes before another; what is no version (a commit) has no order, and a person may go there.
fn is_older(version: &str, now: Option<&str>) -> bool {
    let parse = |text: &str| text.parse::<freehold_recipe::Version>().ok();
    match (parse(version), now.and_then(parse)) {
        (Some(version), Some(now)) => version < now,
        _ => now != Some(version),
    }
}

pub(super) fn undeploy(args: UndeployArgs, site: &Site<'_>) -> Result<Exit, Failure> {
    let mut app = site.open(&args.domain)?;
    let way = Way { take_over: args.take_over, ..Way::default() };
    let line = |line: &str| say(site, &app_line(&args.domain, line));
    let done = freehold_app::undeploy(&site.places, &mut app, &talk(&way, &line))?;
    tell(&done, site);
    Ok(exit(done.exit))
}

pub(super) fn check(args: CheckArgs, site: &Site<'_>) -> Result<Exit, Failure> {
    let mut app = site.open(&args.domain)?;
    let done = freehold_app::check(&site.places, &mut app)?;
    tell(&done, site);
    Ok(exit(done.exit))
}

pub(super) fn restart(args: RestartArgs, site: &Site<'_>) -> Result<Exit, Failure> {
    let mut app = site.open(&args.domain)?;
    let line = |line: &str| say(site, &app_line(&args.domain, line));
    freehold_app::restart(&site.places, &mut app, args.service.as_deref(), &line)?;
    // What runs again is not yet healthy.
    let limit = std::time::Duration::from_secs(u64::from(app.settings.gate.timeout_seconds));
    let end = std::time::Instant::now() + limit;
    loop {
        let done = freehold_app::check(&site.places, &mut app)?;
        if done.healthy || std::time::Instant::now() >= end {
            tell(&done, site);
            return Ok(exit(done.exit));
        }
        std::thread::sleep(freehold_model::limits::SWARM_PAUSE);
    }
}

fn one(app: &mut App, verb: &Verb, way: &Way, site: &Site<'_>) -> Result<Exit, Failure> {
    let done = run(app, verb, way, site)?;
    tell(&done, site);
    Ok(exit(done.exit))
}

fn run(app: &mut App, verb: &Verb, way: &Way, site: &Site<'_>) -> Result<Converged, Failure> {
    let domain = app.domain().to_owned();
    let tell = |line: &str| say(site, &app_line(&domain, line));
    Ok(converge(&site.places, app, verb, &talk(way, &tell))?)
}

/// Every app of which there is a record.
fn all(args: &ReconcileArgs, site: &Site<'_>) -> Result<Exit, Failure> {
    let known = site.places.records().workloads()?;
    let mut results = Vec::new();
    let mut worst = Exit::Ok;
    for path in site.places.abra.apps()? {
        let reconciled = || -> Result<Option<Converged>, Failure> {
            // The directory is shared with others: what they have there and was never deployed from here need not even be readable.
            let workload = workload_of(&path);
            if !known.contains(&workload) || site.places.records().read(&workload)?.outcome == Outcome::Stopped {
                return Ok(None);
            }
            let mut app = App::open(&site.places, &path.domain, Some(&path.server), None)?;
            run(&mut app, &Verb::Reconcile, &args.way, site).map(Some)
        };
        let (json, exit) = match reconciled() {
            Ok(None) => continue,
            Ok(Some(done)) => {
                people(&done, site);
                (to_json(&done), exit(done.exit))
            }
            Err(failure) => {
                site.session.ui.always(&failure.render());
                (
                    json!({ "domain": path.domain, "action": "failed", "healthy": false, "reason": failure.chain().join(": ") }),
                    Exit::Failed,
                )
            }
        };
        results.push(json);
        worst = if rank(exit) > rank(worst) { exit } else { worst };
        if site.places.stop.load(std::sync::atomic::Ordering::SeqCst) {
            return Ok(Exit::Interrupted);
        }
    }
    if site.session.ui.json {
        site.session.ui.json(&json!({ "format": "freehold.app-sweep/1", "apps": results }));
    }
    Ok(worst)
}

fn rank(exit: Exit) -> u8 {
    match exit {
        Exit::Ok => 0,
        Exit::Changes => 1,
        Exit::Held => 2,
        Exit::Failed => 3,
        _ => 4,
    }
}

fn talk<'a>(way: &Way, tell: &'a dyn Fn(&str)) -> Talk<'a> {
    Talk { tell, retry: way.retry, take_over: way.take_over, no_lint: way.no_lint, detailed: way.detailed_exitcode }
}

fn app_line(domain: &str, line: &str) -> String {
    format!("{domain}: {line}")
}

fn say(site: &Site<'_>, line: &str) {
    site.session.ui.talk(&crate::render::text::escape_controls(line));
}

fn exit(exit: RolloutExit) -> Exit {
    match exit {
        RolloutExit::Well => Exit::Ok,
        RolloutExit::NotDone => Exit::Failed,
        RolloutExit::Changed => Exit::Changes,
        RolloutExit::Unwell => Exit::Unwell,
        RolloutExit::Held => Exit::Held,
    }
}

fn tell(done: &Converged, site: &Site<'_>) {
    if site.session.ui.json {
        let mut json = to_json(done);
        json["format"] = json!("freehold.app/1");
        site.session.ui.json(&json);
        if let Some(hint) = &done.hint {
            say(site, &format!("hint: {hint}"));
        }
    } else {
        people(done, site);
    }
}

fn people(done: &Converged, site: &Site<'_>) {
    let versions = match (&done.from, &done.to) {
        (Some(from), Some(to)) if from != to => format!(" from {from} to {to}"),
        (_, Some(to)) => format!(" {to}"),
        _ => String::new(),
    };
    let health = if done.healthy { "healthy" } else { "not healthy" };
    let reason = done.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let word = match done.action {
        Outcome::None => "unchanged".to_owned(),
        other => other.to_string(),
    };
    let health = if done.action == Outcome::Stopped { String::new() } else { format!(", {health}") };
    say(site, &format!("{}: {word}{versions}{health}{reason}", done.domain));
    if let Some(hint) = &done.hint {
        say(site, &format!("hint: {hint}"));
    }
}

fn to_json(done: &Converged) -> Json {
    json!({
        "domain": done.domain,
        "action": done.action,
        "from": done.from,
        "to": done.to,
        "healthy": done.healthy,
        "reason": done.reason,
    })
}
