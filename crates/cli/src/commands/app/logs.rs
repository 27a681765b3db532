//! `freehold app logs`: what the tasks of an app say.

use freehold_swarm::LogWish;

use super::Site;
use crate::exit::Exit;
use crate::failure::Failure;

/// Show what an app's services say
#[derive(Debug, clap::Args)]
pub(crate) struct LogsArgs {
    /// The app
    domain: String,
    /// Only this service [default: all of them, one after the other; `app` with --follow]
    service: Option<String>,
    /// The last so many lines of each task
    #[arg(long, value_name = "LINES", default_value = "100")]
    tail: u32,
    /// Begin each line with its time
    #[arg(long)]
    timestamps: bool,
    /// Go on until stopped
    #[arg(long)]
    follow: bool,
}

pub(super) fn logs(args: LogsArgs, site: &Site<'_>) -> Result<Exit, Failure> {
    let app = site.open(&args.domain)?;
    let docker = app.docker(&site.places)?;
    docker.check_manager()?;
    let running: Vec<String> = docker.services(&app.stack)?.into_iter().map(|service| service.name).collect();
    let wanted = match (&args.service, args.follow) {
        (Some(service), _) => Some(service.clone()),
        (None, true) => Some(freehold_recipe::APP_SERVICE.to_owned()),
        (None, false) => None,
    };
    if running.is_empty() || wanted.as_ref().is_some_and(|wanted| !running.contains(wanted)) {
        let domain = args.domain;
        return Err(freehold_app::AppError::NotRunning { domain, service: wanted, known: running }.into());
    }
    let names = wanted.map_or(running, |wanted| vec![wanted]);
    let mut lines = Vec::new();
    for service in names {
        let mut rest = Vec::new();
        let wish =
            LogWish { service: service.clone(), tail: args.tail, timestamps: args.timestamps, follow: args.follow };
        let stop = &site.places.stop;
        docker.logs(&app.stack, &wish, &mut |bytes| {
            match (site.session.ui.json, args.follow) {
                (false, _) => site.session.ui.raw(bytes),
                (true, follow) => each_line(&mut rest, bytes, &mut |line| {
                    let line = serde_json::json!({ "service": service, "line": line });
                    if follow { site.session.ui.json_line(&line) } else { lines.push(line) }
                }),
            }
            !stop.load(std::sync::atomic::Ordering::SeqCst)
        })?;
    }
    if site.session.ui.json && !args.follow {
        site.session
            .ui
            .json(&serde_json::json!({ "format": "freehold.app-logs/1", "domain": args.domain, "lines": lines }));
    }
    Ok(Exit::Ok)
}

/// Hands whole lines on, and keeps what is left.
fn each_line(rest: &mut Vec<u8>, bytes: &[u8], take: &mut dyn FnMut(&str)) {
    rest.extend_from_slice(bytes);
    while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
        let line: Vec<u8> = rest.drain(..=at).collect();
        take(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']));
    }
}
