//! `freehold publish --wait`: follows what hosts report of a publish until it is known how it went there.
//!
//! What a report means is decided in `freehold_agent` (`verdict.rs`); here it is asked for again and again, told, and counted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use freehold_agent::{Awaited, HostReport, HostState, ReportPlace, Verdict, together};
use freehold_model::{ErrorKind, limits};
use serde_json::{Value as Json, json};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::style::{self, paint};
use crate::render::text::escape_controls;
use crate::session::Session;

/// Following hosts after a publish.
#[derive(Debug, clap::Args)]
pub(crate) struct Waiting {
    /// Wait until the hosts report that it runs and is healthy, or that it does not
    #[arg(long)]
    pub(crate) wait: bool,
    /// How long to wait for them: `90s`, `10m` [default: 10m]
    #[arg(long, value_name = "TIME", requires = "wait", value_parser = crate::commands::duration)]
    timeout: Option<Duration>,
    /// Where the hosts report to (their `--report`) [default: the bucket itself]
    #[arg(long, value_name = "URL", requires = "wait")]
    reports: Option<String>,
}

/// How a wait ended.
pub(crate) struct Waited {
    state: HostState,
    verdicts: Vec<Verdict>,
    interrupted: bool,
}

impl Waited {
    /// For programs.
    pub(crate) fn to_json(&self) -> Json {
        json!({"state": self.state, "hosts": self.verdicts})
    }

    /// How the command ends.
    pub(crate) fn exit(&self) -> Exit {
        match self.state {
            _ if self.interrupted => Exit::Interrupted,
            HostState::Healthy => Exit::Ok,
            HostState::Waiting => Exit::Failed,
            HostState::Held => Exit::Held,
            HostState::Overtaken | HostState::Failed => Exit::Unwell,
        }
    }
}

/// Waits until `awaited` is decided on the hosts that the service names, or, when it names none, on all that report.
///
/// # Errors
/// The reports cannot be read at all, or nobody can tell whose to wait for.
pub(crate) fn wait(
    args: &Waiting,
    awaited: &Awaited,
    hosts: &[String],
    bucket: ReportPlace,
    session: &Session,
) -> Result<Waited, Failure> {
    let place = args.reports.as_deref().map_or(Ok(bucket), |url| ReportPlace::open(url, None))?;
    let limit = args.timeout.unwrap_or(limits::PUBLISH_WAIT);
    let stop = session.stopper()?;
    let end = Instant::now() + limit;
    let mut told: Vec<Verdict> = Vec::new();
    let mut is_first = true;
    loop {
        let verdicts = match look(&place, awaited, hosts) {
            // A store that stumbles is asked again, as long as there is time.
            Err(failure) if failure.kind == ErrorKind::Transient && Instant::now() < end => {
                session.ui.warn(&failure.chain().join(": "));
                pause(&stop, end);
                if stop.load(Ordering::SeqCst) {
                    return Ok(Waited { state: HostState::Waiting, verdicts: told, interrupted: true });
                }
                continue;
            }
            other => other?,
        };
        for verdict in verdicts.iter().filter(|verdict| !told.contains(verdict)) {
            tell(verdict, session);
        }
        let state = together(&verdicts);
        if is_first && verdicts.iter().all(Verdict::has_not_reported) {
            session.ui.talk(&format!("no host reports yet; {HOW}"));
        }
        is_first = false;
        let interrupted = stop.load(Ordering::SeqCst);
        if state != HostState::Waiting || interrupted || Instant::now() >= end {
            if state == HostState::Waiting && !interrupted {
                give_up(&verdicts, limit, session);
            }
            return Ok(Waited { state, verdicts, interrupted });
        }
        told = verdicts;
        pause(&stop, end);
    }
}

/// How reports are turned on.
const HOW: &str =
    "agents report when they are started with `--report URL`, and `--wait` looks there with `--reports URL`";

fn look(place: &ReportPlace, awaited: &Awaited, hosts: &[String]) -> Result<Vec<Verdict>, Failure> {
    if !hosts.is_empty() {
        return hosts.iter().map(|host| Ok(awaited.verdict(host, place.read(host)?.as_ref()))).collect();
    }
    let Some(reporting) = place.hosts()? else {
        return Err(Failure::user(
            "nobody can tell which hosts to wait for: the service names none, and this server lists no reports",
        )
        .hint("name them with `--host`, or let them report to a bucket"));
    };
    let mut verdicts = Vec::new();
    for host in reporting {
        let report = place.read(&host)?.filter(is_fresh);
        verdicts.extend(report.map(|report| awaited.verdict(&host, Some(&report))));
    }
    Ok(verdicts)
}

/// Whether a host that nobody has named still lives.
fn is_fresh(report: &HostReport) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(Duration::from_millis(report.when)) < limits::REPORT_FRESH
}

fn tell(verdict: &Verdict, session: &Session) {
    let reason = verdict.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let (style, word) = match (verdict.state, verdict.action) {
        (HostState::Waiting, _) if verdict.reason.is_none() => return,
        (HostState::Waiting, _) => (style::FAINT, "not there yet".to_owned()),
        (HostState::Healthy, _) => (style::ADD, "healthy".to_owned()),
        (HostState::Overtaken, _) => (style::CHANGE, "overtaken by a newer publish".to_owned()),
        (HostState::Held, _) => (style::CHANGE, "held".to_owned()),
        (HostState::Failed, action) => {
            (style::REMOVE, action.map_or_else(|| "failed".to_owned(), |action| action.to_string()))
        }
    };
    let host = paint(style::STRONG, &verdict.host);
    session.ui.talk(&format!("{host}: {}{}", paint(style, word), escape_controls(&reason)));
}

fn give_up(verdicts: &[Verdict], limit: Duration, session: &Session) {
    let late: Vec<&str> = verdicts
        .iter()
        .filter(|verdict| verdict.state == HostState::Waiting)
        .map(|verdict| verdict.host.as_str())
        .collect();
    let who = if late.is_empty() { "any host".to_owned() } else { late.join(", ") };
    session.ui.always(&format!(
        "{} after {} s it is not known how it went on {who}\n{} {HOW}; the publish stands all the same\n",
        paint(style::ERROR, "error:"),
        limit.as_secs(),
        paint(style::HINT, "hint:"),
    ));
}

fn pause(stop: &AtomicBool, end: Instant) {
    let until = (Instant::now() + limits::PUBLISH_LOOK).min(end);
    while Instant::now() < until && !stop.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(50));
    }
}
