//! `freehold agent run`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use freehold_agent::{Notify, Server};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::{Told, directory, told};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Follow the manifest until told to stop
///
/// Looks at the manifest at intervals; `freehold agent poke` and SIGHUP make it look at once. A manifest that cannot be read changes
/// nothing: what ran goes on, and the next looks come less often. How it stands is answered over HTTP on the socket `agent.sock` in its
/// state: `/metrics` for Prometheus, `/status` as JSON.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    told: Told,
    /// Time between two looks: `30s`, `5m`, `1h`
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = crate::commands::duration)]
    poll: Duration,
    /// Answer `/metrics` and `/status` here, too, beside the socket `agent.sock` in the state: `127.0.0.1:9464`
    #[arg(long, value_name = "ADDRESS", value_parser = loopback)]
    metrics: Option<SocketAddr>,
    /// Leave services of the runtime `process` running when the agent is told to stop
    #[arg(long)]
    leave_running: bool,
}

pub(super) fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| "write ADDRESS:PORT, such as 127.0.0.1:9464".to_owned())?;
    if !address.ip().is_loopback() {
        return Err("it would be open to others: only addresses of the loopback interface are taken".to_owned());
    }
    Ok(address)
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
    let notify = Notify::from_environment();
    let mut agent = args.told.agent(args.poll, notify.clone(), &stop, session)?;
    let _server = Server::start(&directory(session)?, args.metrics)?;
    let mut last = None;
    agent.run(&wake, &mut |result| match result {
        Ok(round) if session.ui.json => session.ui.json_line(round),
        // The same again is not worth a line.
        Ok(round) if last.as_ref() == Some(round) => {}
        Ok(round) => {
            session.ui.data(&told::round(round));
            last = Some(round.clone());
        }
        Err(error) => session.ui.warn(&freehold_model::chain(error)),
    });
    if let Some(notify) = &notify {
        notify.stopping();
    }
    if !args.leave_running {
        agent.stop_services()?;
    }
    Ok(Exit::Ok)
}
