//! `freehold app secret`: what the Swarm keeps for an app. Values come from files or stdin, and are never shown.

use std::io::Read as _;
use std::path::PathBuf;

use clap::{Subcommand, ValueHint};
use freehold_app::{App, Composed, Inserted};
use freehold_model::Sensitive;
use serde_json::json;

use super::Site;
use super::new::composed;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::table::table;

/// Make, insert, rotate, list and remove an app's secrets
#[derive(Debug, clap::Args)]
pub(crate) struct SecretArgs {
    #[command(subcommand)]
    command: SecretCommand,
}

#[derive(Debug, Subcommand)]
enum SecretCommand {
    /// Make up the secrets that are missing, or the one that is named
    Generate {
        /// The app
        domain: String,
        /// The secret, by its name in the recipe
        name: Option<String>,
        #[command(flatten)]
        version: VersionArgs,
    },
    /// Put a value into the Swarm; one that is there is never overwritten
    Insert {
        /// The app
        domain: String,
        /// The secret, by its name in the recipe
        name: String,
        #[command(flatten)]
        value: Value,
        #[command(flatten)]
        version: VersionArgs,
    },
    /// Put a new version into the Swarm, and name it in the .env; the next deploy uses it
    Rotate {
        /// The app
        domain: String,
        /// The secret, by its name in the recipe
        name: String,
        #[command(flatten)]
        value: Value,
    },
    /// List the secrets that an app needs, and whether they are there
    #[command(alias = "list")]
    Ls {
        /// The app
        domain: String,
    },
    /// Print the age recipient of this host's SSH key: files that are encrypted for it can be read here
    Recipient,
    /// Remove versions that nothing uses; with a name, or --all, the current ones, too
    #[command(alias = "remove")]
    Rm {
        /// The app
        domain: String,
        /// The secret, by its name in the recipe
        name: Option<String>,
        /// All of them
        #[arg(long, conflicts_with = "name")]
        all: bool,
    },
}

/// Which version of the recipe is meant.
#[derive(Debug, clap::Args)]
struct VersionArgs {
    /// The version of the recipe that needs it [default: the pinned one]
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
}

/// Where a value comes from.
#[derive(Debug, clap::Args)]
struct Value {
    /// The file that holds it, to its last byte
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: Option<PathBuf>,
    /// The file that is encrypted with sops; this host's SSH key is offered as an age identity
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "file")]
    sops: Option<PathBuf>,
    /// The value's key in that file, `a/b` for a nested one [default: the secret's name]
    #[arg(long, value_name = "KEY", requires = "sops")]
    sops_key: Option<String>,
    /// `-` reads it from standard input; the end of its last line is left out
    #[arg(value_name = "-", conflicts_with_all = ["file", "sops"])]
    stdin: Option<Word>,
    /// What comes after it; nothing may
    #[arg(hide = true)]
    more: Vec<Word>,
}

/// Where `-` is meant. Who comes from abra writes the value there: it is taken by us, so that no complaint repeats it.
#[derive(Debug, Clone)]
struct Word(Sensitive<String>);

impl From<String> for Word {
    fn from(word: String) -> Self {
        Self(Sensitive::new(word))
    }
}

impl Value {
    fn read(&self, name: &str) -> Result<Option<Sensitive<Vec<u8>>>, Failure> {
        let is_stdin = match (&self.stdin, self.more.as_slice()) {
            (None, []) => false,
            (Some(Word(word)), []) if word.expose() == "-" => true,
            _ => {
                return Err(Failure::usage(
                    "a secret's value is not taken from the command line, which others can read",
                )
                .hint("give `-` and the value on standard input, or `--file FILE`; the version stands in the .env"));
            }
        };
        if let Some(file) = &self.sops {
            return Ok(Some(freehold_app::decrypt(file, Some(self.sops_key.as_deref().unwrap_or(name)))?));
        }
        let mut bytes = Vec::new();
        match &self.file {
            Some(file) if file.as_os_str() != "-" => bytes = fs_err::read(file)?,
            None if !is_stdin => return Ok(None),
            _ => {
                std::io::stdin().lock().read_to_end(&mut bytes)?;
                if bytes.last() == Some(&b'\n') {
                    bytes.pop();
                }
            }
        }
        Ok(Some(Sensitive::new(bytes)))
    }
}

pub(super) fn run(args: SecretArgs, site: &Site<'_>) -> Result<Exit, Failure> {
    match args.command {
        SecretCommand::Generate { domain, name, version } => {
            let app = site.open(&domain)?;
            let composed = composed_at(&app, site, &version)?;
            let made = app.generate_secrets(&composed, &app.docker(&site.places)?, name.as_deref())?;
            if made.is_empty() {
                site.session.ui.talk("no secret is missing that can be made up");
            }
            tell(&domain, &made, site);
        }
        SecretCommand::Insert { domain, name, value, version } => {
            let Some(value) = value.read(&name)? else {
                return Err(Failure::usage("there is no value")
                    .hint("give `--file FILE`, `--sops FILE`, or `-` for standard input"));
            };
            let app = site.open(&domain)?;
            let composed = composed_at(&app, site, &version)?;
            tell(&domain, &[app.insert_secret(&composed, &app.docker(&site.places)?, &name, &value)?], site);
        }
        SecretCommand::Rotate { domain, name, value } => {
            let value = value.read(&name)?;
            let mut app = site.open(&domain)?;
            let (composed, docker) = (composed(&app, site)?, app.docker(&site.places)?);
            let made = app.rotate_secret(&site.places, &composed, &docker, &name, value.as_ref())?;
            tell(&domain, &[made], site);
            site.session.ui.talk(&format!("the next `freehold app deploy {domain}` uses it"));
        }
        SecretCommand::Ls { domain } => ls(&domain, site)?,
        SecretCommand::Recipient => recipient(site)?,
        SecretCommand::Rm { domain, name, all } => rm(&domain, name.as_deref(), all, site)?,
    }
    Ok(Exit::Ok)
}

fn composed_at(app: &App, site: &Site<'_>, version: &VersionArgs) -> Result<Composed, Failure> {
    Ok(freehold_app::compose_pinned(&site.places, app, version.version.as_deref())?)
}

fn recipient(site: &Site<'_>) -> Result<(), Failure> {
    let recipient = freehold_app::recipient_of_host()?;
    if site.session.ui.json {
        site.session.ui.json(&json!({ "format": "freehold.app-recipient/1", "recipient": recipient }));
    } else {
        site.session.ui.data(&format!("{recipient}\n"));
    }
    Ok(())
}

fn ls(domain: &str, site: &Site<'_>) -> Result<(), Failure> {
    let app = site.open(domain)?;
    let states = app.secrets(&composed(&app, site)?, &app.docker(&site.places)?)?;
    if site.session.ui.json {
        let all: Vec<_> = states
            .iter()
            .map(|state| {
                json!({ "name": state.secret.key, "version": state.secret.version, "inSwarm": state.secret.name,
                    "exists": state.exists, "generated": state.secret.generate, "others": state.others })
            })
            .collect();
        site.session.ui.json(&json!({ "format": "freehold.app-secrets/1", "domain": domain, "secrets": all }));
        return Ok(());
    }
    let rows: Vec<Vec<String>> = states
        .into_iter()
        .map(|state| {
            let there = if state.exists { "yes" } else { "no" };
            vec![state.secret.key, state.secret.version, there.to_owned(), state.others.join(", ")]
        })
        .collect();
    if !rows.is_empty() {
        site.session.ui.data(&table(&["secret", "version", "exists", "others"], &rows));
    }
    Ok(())
}

fn rm(domain: &str, name: Option<&str>, all: bool, site: &Site<'_>) -> Result<(), Failure> {
    let mut app = site.open(domain)?;
    let docker = app.docker(&site.places)?;
    let removed = match (name, all) {
        (Some(name), _) => {
            let composed = composed(&app, site)?;
            app.remove_secret(&site.places, &composed, &docker, name)?
        }
        // Without the recipe: it may be gone, and what is left of older versions goes as well.
        (None, true) => {
            let _lock = app.lock(&site.places)?;
            app.remove_all(&docker, app.all_secrets(&site.places, &docker)?)?
        }
        (None, false) => {
            let composed = composed(&app, site)?;
            app.prune_secrets(&site.places, &composed, &docker)?
        }
    };
    if removed.is_empty() {
        site.session.ui.talk("there is nothing to remove");
    }
    for name in &removed {
        site.session.ui.talk(&format!("removed the secret `{name}`"));
    }
    if site.session.ui.json {
        site.session
            .ui
            .json(&json!({ "format": "freehold.app-secrets-removed/1", "domain": domain, "removed": removed }));
    }
    Ok(())
}

fn tell(domain: &str, made: &[Inserted], site: &Site<'_>) {
    for secret in made {
        site.session.ui.talk(&format!("the Swarm has `{}` as `{}`", secret.key, secret.name));
    }
    if site.session.ui.json {
        let all: Vec<_> = made.iter().map(|secret| json!({ "name": secret.key, "inSwarm": secret.name })).collect();
        site.session.ui.json(&json!({ "format": "freehold.app-secrets-made/1", "domain": domain, "secrets": all }));
    }
}
