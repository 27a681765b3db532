//! `freehold agent run`.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::{Told, told};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Follow the manifest until told to stop
///
/// Looks at the manifest at intervals; `freehold agent poke` and SIGHUP make it look at once. A manifest that cannot be read changes
/// nothing: what ran goes on, and the next looks come less often.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    told: Told,
    /// Time between two looks: `30s`, `5m`, `1h`
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration)]
    poll: Duration,
    /// Leave services of the runtime `process` running when the agent is told to stop
    #[arg(long)]
    leave_running: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let number: u64 = digits.parse().map_err(|_| "write a number and a unit: 30s, 5m, 1h".to_owned())?;
    let seconds = match &text[digits.len()..] {
        "ms" => return Ok(Duration::from_millis(number.max(1))),
        "s" | "" => number,
        "m" => number.saturating_mul(60),
        "h" => number.saturating_mul(3600),
        "d" => number.saturating_mul(24 * 3600),
        other => return Err(format!("`{other}` is no unit of time: there are ms, s, m, h and d")),
    };
    Ok(Duration::from_secs(seconds.max(1)))
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let (stop, wake) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let listen = || -> std::io::Result<()> {
        for signal in [SIGINT, SIGTERM] {
            // Asked twice, it ends on the spot.
            signal_hook::flag::register_conditional_default(signal, Arc::clone(&stop))?;
            signal_hook::flag::register(signal, Arc::clone(&stop))?;
        }
        signal_hook::flag::register(SIGHUP, Arc::clone(&wake)).map(drop)
    };
    listen().map_err(|e| Failure::host("cannot listen for signals", e))?;
    let mut agent = args.told.agent(args.poll, &stop, session)?;
    let mut last = None;
    agent.run(&wake, &mut |result| match result {
        Ok(round) if session.ui.json => session.ui.json_line(round),
        // The same again is not worth a line.
        Ok(round) if last.as_ref() == Some(round) => {}
        Ok(round) => {
            session.ui.data(&told::round(round));
            last = Some(round.clone());
        }
        Err(error) => session.ui.warn(&crate::failure::text_of(error)),
    });
    if !args.leave_running {
        agent.stop_services()?;
    }
    Ok(Exit::Ok)
}
