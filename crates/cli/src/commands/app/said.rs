//! Options that say how an app is rolled out. What is given is remembered beside the app's record.

use std::path::PathBuf;

use clap::ValueHint;
use freehold_app::{App, AppSettings};
use freehold_rollout::{Gate, Http, Policy, Tcp};

use super::Site;
use crate::exit::Exit;
use crate::failure::Failure;

/// How an app is looked at, and which versions may come by themselves.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Health and policy, remembered for the next time")]
pub(crate) struct Said {
    /// All of it from a file, `freehold.app-settings/1`, as the NixOS modules write it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    settings: Option<PathBuf>,
    /// The path that must answer
    #[arg(long, value_name = "PATH", conflicts_with = "no_health")]
    health_path: Option<String>,
    /// Status codes that count as healthy [default: 200]
    #[arg(long, value_name = "CODES", value_delimiter = ',')]
    health_ok: Vec<u16>,
    /// Seconds that it may take to answer so
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    health_timeout: Option<u32>,
    /// Where that path is [default: https://DOMAIN, at this machine's own proxy first]
    #[arg(long, value_name = "URL")]
    health_origin: Option<String>,
    /// A port of this machine that must take connections
    #[arg(long, value_name = "PORT", conflicts_with = "no_health")]
    health_tcp: Option<u16>,
    /// Seconds for which a healthy version is watched before it counts [default: 5]
    #[arg(long, value_name = "SECONDS")]
    health_window: Option<u32>,
    /// Ask nothing: healthy is what the Swarm says of the tasks
    #[arg(long)]
    no_health: bool,
    /// It has data: copy its volumes before an upgrade, and put them back when that fails
    #[arg(long, overrides_with = "stateless")]
    stateful: bool,
    /// It has no data that an upgrade changes
    #[arg(long)]
    stateless: bool,
    /// Newer patch and minor versions come by themselves
    #[arg(long, overrides_with = "pinned")]
    auto_update: bool,
    /// Exactly the declared version
    #[arg(long)]
    pinned: bool,
    /// Seconds that the tasks may take to run [default: 600]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    timeout: Option<u32>,
    /// A unit that it comes after; told for people
    #[arg(long, value_name = "UNIT")]
    after: Vec<String>,
}

impl Said {
    /// The app, with what is said of it and what was said before.
    pub(crate) fn open(&self, domain: &str, site: &Site<'_>) -> Result<App, Failure> {
        let server = site.server.as_deref();
        let settings = match &self.settings {
            Some(file) => AppSettings::read(file)?,
            None => App::open(&site.places, domain, server, None)?.settings,
        };
        Ok(App::declare(&site.places, domain, server, self.checked(settings, domain)?)?)
    }

    /// What is said over what was said before. When that cannot be used and what was said before could, the command line is wrong.
    fn checked(&self, before: AppSettings, domain: &str) -> Result<AppSettings, Failure> {
        let was_good = before.rollout(domain).is_ok();
        let settings = self.over(before, domain);
        match settings.rollout(domain) {
            Err(error) if was_good => Err(Failure { exit: Exit::Usage, ..error.into() }),
            Err(error) => Err(error.into()),
            Ok(_) => Ok(settings),
        }
    }

    fn over(&self, mut settings: AppSettings, domain: &str) -> AppSettings {
        let gate = &mut settings.gate;
        if self.no_health {
            *gate = Gate { timeout_seconds: gate.timeout_seconds, ..Gate::default() };
            settings.probes.clear();
        }
        let says_http = self.health_path.is_some() || self.health_origin.is_some() || !self.health_ok.is_empty();
        if says_http && !self.no_health {
            let http = gate.http.get_or_insert_with(|| Http { url: None, ..Http::default() });
            let (origin, path) = split(http.url.as_deref(), domain);
            let origin = self.health_origin.as_deref().map_or(origin, |origin| origin.trim_end_matches('/').to_owned());
            let path = self.health_path.clone().unwrap_or(path);
            let slash = if path.starts_with('/') { "" } else { "/" };
            http.url = Some(format!("{origin}{slash}{path}"));
            if !self.health_ok.is_empty() {
                http.expect = self.health_ok.clone();
            }
        }
        if let Some(port) = self.health_tcp {
            gate.tcp = Some(Tcp { port: Some(port), ..Tcp::default() });
        }
        gate.timeout_seconds = self.health_timeout.unwrap_or(gate.timeout_seconds);
        gate.window_seconds = self.health_window.unwrap_or(gate.window_seconds);
        settings.stateful = (settings.stateful || self.stateful) && !self.stateless;
        if self.auto_update {
            settings.policy = Some(Policy::AUTO);
        }
        if self.pinned {
            settings.policy = Some(Policy::PINNED);
        }
        settings.timeout_seconds = self.timeout.unwrap_or(settings.timeout_seconds);
        if !self.after.is_empty() {
            settings.after.clone_from(&self.after);
        }
        settings
    }
}

/// Origin and path of an address; of the app's own when there is none.
fn split(url: Option<&str>, domain: &str) -> (String, String) {
    let own = || (format!("https://{domain}"), "/".to_owned());
    let Some(url) = url else { return own() };
    let Some(host) = url.find("://").map(|at| at + 3) else { return own() };
    let end = url.get(host..).and_then(|rest| rest.find('/')).map_or(url.len(), |at| host + at);
    let path = url.get(end..).filter(|path| !path.is_empty()).unwrap_or("/");
    (url.get(..end).unwrap_or(url).to_owned(), path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_goes_over_what_was_said_before() {
        let said = Said { health_path: Some("/health".to_owned()), stateful: true, ..Said::default() };
        let first = said.over(AppSettings::default(), "blog.example.org");
        let url = |settings: &AppSettings| settings.gate.http.as_ref().unwrap().url.clone().unwrap();
        assert_eq!(url(&first), "https://blog.example.org/health");
        let origin = Some("http://127.0.0.1:8080/".to_owned());
        let said = Said { health_origin: origin, health_ok: vec![200, 301], ..Said::default() };
        let second = said.over(first, "blog.example.org");
        assert_eq!((url(&second).as_str(), second.stateful), ("http://127.0.0.1:8080/health", true));
        let probed = AppSettings { probes: vec![second.gate.clone()], ..second };
        let none = Said { no_health: true, stateless: true, ..Said::default() }.over(probed, "blog.example.org");
        assert_eq!((none.gate.http, none.probes, none.stateful), (None, Vec::new(), false));
    }

    #[test]
    fn what_cannot_be_used_is_the_fault_of_who_says_it_last() {
        let said = Said { health_ok: vec![999], ..Said::default() };
        let exit =
            |said: &Said, before| said.checked(before, "blog.example.org").map(drop).map_err(|failure| failure.exit);
        assert_eq!(exit(&said, AppSettings::default()), Err(Exit::Usage));
        let bad = said.over(AppSettings::default(), "blog.example.org");
        assert_eq!(exit(&Said::default(), bad.clone()), Err(Exit::Failed));
        let mends = Said { health_ok: vec![200], ..Said::default() };
        assert_eq!(exit(&mends, bad), Ok(()));
        let long = Said { timeout: Some(99_999_999), ..Said::default() };
        assert_eq!(exit(&long, AppSettings::default()), Err(Exit::Usage));
        let origin = Some("ftp://x".to_owned());
        let elsewhere = Said { health_path: Some("no-slash".to_owned()), health_origin: origin, ..Said::default() };
        assert_eq!(exit(&elsewhere, AppSettings::default()), Err(Exit::Usage));
    }
}
