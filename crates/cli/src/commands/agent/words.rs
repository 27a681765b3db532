//! What an agent is told, as the words of a command line again: for units that start one.

use std::path::Path;

use clap::ValueEnum as _;
use freehold_nar::TrustedKeys;

use super::{How, Told, host_name};
use crate::commands::cache::keys;
use crate::failure::Failure;

impl Told {
    /// The words from `--from` on. Nothing depends on the directory or the files at hand now: paths are absolute, keys are spelt out.
    ///
    /// # Errors
    /// A key that cannot be read, nobody to trust, addresses that cannot be used.
    pub(super) fn words(&self, state: &Path) -> Result<Vec<String>, Failure> {
        let mut words = Vec::new();
        let mut say = |name: &str, value: String| words.extend([name.to_owned(), value]);
        say("--from", self.from.clone());
        say("--host", self.host.clone().map_or_else(host_name, Ok)?);
        for key in self.keys()?.keys() {
            say("--trusted-key", key.to_string());
        }
        say("--state", state.display().to_string());
        if let Some(runtime) = self.runtime {
            say("--runtime", super::word_of(runtime));
        }
        match &self.caddy {
            Some(caddy) if !self.no_routes => {
                say("--caddy", caddy.to_string());
                self.caddy_listen.iter().for_each(|listen| say("--caddy-listen", listen.clone()));
                let how = self.caddy_https.to_possible_value().map(|value| value.get_name().to_owned());
                if let Some(how) = how.filter(|_| self.caddy_https != How::Automatic) {
                    say("--caddy-https", how);
                }
            }
            _ => {}
        }
        if let Some(report) = &self.report {
            say("--report", report.clone());
        }
        if let Some(file) = &self.report_token_file {
            let file = std::path::absolute(file).map_err(|e| Failure::host("cannot tell where the token is", e))?;
            say("--report-token-file", file.display().to_string());
        }
        let flags = [
            ("--no-routes", self.caddy.is_none() || self.no_routes),
            ("--create-users", self.create_users),
            ("--allow-unsigned", self.allow_unsigned),
            ("--allow-rollback", self.allow_rollback),
            ("--retry", self.retry),
        ];
        words.extend(flags.iter().filter(|(_, is_set)| *is_set).map(|(name, _)| (*name).to_owned()));
        Ok(words)
    }

    /// The keys that are trusted; none only where that is said.
    ///
    /// # Errors
    /// As [`Told::words`].
    pub(super) fn keys(&self) -> Result<TrustedKeys, Failure> {
        let trusted = keys::trusted(&self.trusted_key)?;
        if trusted.is_empty() && !self.allow_unsigned {
            return Err(Failure::usage("nobody's manifest is trusted")
                .hint("say `--trusted-key KEY`, which `freehold cache keygen` has printed, or `--allow-unsigned`"));
        }
        Ok(trusted)
    }
}
