//! What every command has at hand: the global flags, the two streams, the deployment, an engine on it.
//!
//! Nothing is looked up before it is asked for, so that `help` works anywhere.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use freehold_engine::{Engine, EngineOptions, Entry, Observer, StateLocation};
use freehold_model::{Value, limits};
use freehold_provider::credentials;
use freehold_state::{Backend, FileBackend, Keys, RECIPIENTS_FILE, S3Backend, STATE_DIRECTORY};

use serde_json::Value as Json;

use crate::failure::Failure;
use crate::grammar::Global;
use crate::render::progress::Progress;
use crate::ui::Ui;
use crate::{interrupt, library, places};

/// What a command has at hand.
pub(crate) struct Session {
    /// The two streams.
    pub(crate) ui: Arc<Ui>,
    /// Flags of every command.
    pub(crate) global: Global,
    /// How often the operator asked to stop.
    interrupts: Arc<AtomicUsize>,
}

impl Session {
    /// Nothing is looked up yet.
    pub(crate) fn new(ui: Ui, global: Global) -> Self {
        Self { ui: Arc::new(ui), global, interrupts: Arc::default() }
    }

    /// The working directory.
    ///
    /// # Errors
    /// When it is gone.
    pub(crate) fn cwd(&self) -> Result<PathBuf, Failure> {
        std::env::current_dir().map_err(|e| Failure::host("cannot tell the working directory", e))
    }

    /// The deployment.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn entry(&self) -> Result<Entry, Failure> {
        let pairs = self.global.override_input.chunks(2);
        let overrides: Vec<(String, String)> =
            pairs.filter_map(|p| Some((p.first()?.clone(), p.get(1)?.clone()))).collect();
        Ok(Entry::discover(&self.cwd()?, self.global.file.as_deref(), &overrides)?)
    }

    /// The deployment, or, where there is a state and nothing else, a place for it: enough for what needs no evaluation.
    ///
    /// # Errors
    /// When there is neither.
    pub(crate) fn entry_or_state(&self) -> Result<Entry, Failure> {
        let found = self.entry();
        let cwd = self.cwd()?;
        if found.is_err()
            && self.global.file.is_none()
            && (self.global.state.is_some() || cwd.join(STATE_DIRECTORY).exists())
        {
            let file = cwd.join("freehold.nix");
            return Ok(Entry { dir: cwd, source: freehold_eval::Source::File(file) });
        }
        found
    }

    /// Where the state of the deployment in `dir` is: `--state`, else what the file `freehold.state` says, else `None` for the
    /// directory of that name.
    ///
    /// # Errors
    /// When one of them cannot be understood.
    pub(crate) fn state_location(&self, dir: &Path) -> Result<Option<StateLocation>, Failure> {
        if let Some(text) = &self.global.state {
            return parse_location(text, &self.cwd()?).map(Some);
        }
        let file = dir.join(STATE_DIRECTORY);
        if !file.is_file() {
            return Ok(None);
        }
        let text = fs_err::read_to_string(&file)?;
        read_location_file(&text, dir).map(Some).map_err(|why| {
            Failure::user(format!("`{}` does not say where the state is: {why}", file.display()))
                .hint("write { \"s3\": { \"bucket\": …, \"prefix\": …, \"endpoint\": … } } or { \"directory\": … }")
        })
    }

    /// An engine that tells `observer` what goes on.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub(crate) fn engine_on(
        &self,
        entry: Entry,
        observer: Arc<dyn Observer>,
        options: Tuning,
    ) -> Result<Engine, Failure> {
        let dir = entry.dir.clone();
        let options = EngineOptions {
            state: self.state_location(&dir)?,
            entry,
            program: places::program()?,
            library: library::directory()?,
            parallelism: options.parallelism,
            show_trace: self.global.show_trace,
            confine: !self.global.no_confine,
            command: command_line(std::env::args()),
            single_writer: self.global.single_writer,
            identity: places::identity(),
            work_dir: places::work_dir(&dir),
        };
        Ok(Engine::open(options, observer)?)
    }

    /// An engine with the progress that is fit for standard error, which Ctrl-C stops.
    ///
    /// # Errors
    /// When there is no deployment, or its state cannot be read.
    pub(crate) fn engine(&self, tuning: Tuning) -> Result<(Engine, Stage), Failure> {
        let stage = Stage(Progress::new(Arc::clone(&self.ui), tuning.events));
        let engine = self.engine_on(self.entry()?, Arc::clone(&stage.0) as Arc<dyn Observer>, tuning)?;
        let handle = engine.interrupt_handle();
        let count = Arc::clone(&self.interrupts);
        interrupt::watch(move || {
            count.fetch_add(1, Ordering::SeqCst);
            handle.interrupt()
        })?;
        Ok((engine, stage))
    }

    /// Whether the operator asked to stop.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupts.load(Ordering::SeqCst) > 0
    }

    /// What is set when the operator asks to stop, for work without an engine.
    ///
    /// # Errors
    /// When signals cannot be heard.
    pub(crate) fn stopper(&self) -> Result<Arc<AtomicBool>, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let (count, flag) = (Arc::clone(&self.interrupts), Arc::clone(&stop));
        interrupt::watch(move || {
            flag.store(true, Ordering::SeqCst);
            count.fetch_add(1, Ordering::SeqCst) + 1
        })?;
        Ok(stop)
    }

    /// Refuses now what would have to ask later and cannot.
    ///
    /// # Errors
    /// Without `--yes` and without a terminal.
    pub(crate) fn need_consent(&self, what: &str) -> Result<(), Failure> {
        if self.global.yes || self.ui.can_ask() {
            return Ok(());
        }
        Err(Failure::usage(format!("{what} asks first, and there is no terminal to ask on")).hint("say `--yes`"))
    }

    /// Asks, unless `--yes` was given.
    pub(crate) fn consents(&self, question: &str) -> bool {
        self.global.yes || self.ui.ask(question, &|| self.is_interrupted())
    }

    /// An engine for looking at the state: the deployment need not be there.
    ///
    /// # Errors
    /// When there is neither deployment nor state, or it cannot be read.
    pub(crate) fn reader(&self) -> Result<Engine, Failure> {
        let progress = Progress::new(Arc::clone(&self.ui), false);
        self.engine_on(self.entry_or_state()?, progress, Tuning::default())
    }

    /// The keys of the deployment in `dir`.
    ///
    /// # Errors
    /// When a file of keys cannot be understood.
    pub(crate) fn keys(&self, dir: &Path) -> Result<Keys, Failure> {
        let identity = places::identity().filter(|p| p.exists());
        Ok(Keys::load(&dir.join(RECIPIENTS_FILE), identity.as_deref())?)
    }

    /// Where the state of the deployment in `dir` is kept, without reading it.
    ///
    /// # Errors
    /// When it cannot be told where that is.
    pub(crate) fn backend(&self, dir: &Path) -> Result<Arc<dyn Backend>, Failure> {
        match self.state_location(dir)? {
            None => Ok(Arc::new(FileBackend::new(dir.join(STATE_DIRECTORY)))),
            Some(place) => self.backend_of(place),
        }
    }

    /// The state at a place that is written as for `--state`.
    ///
    /// # Errors
    /// When the place cannot be understood.
    pub(crate) fn backend_at(&self, text: &str) -> Result<Arc<dyn Backend>, Failure> {
        self.backend_of(parse_location(text, &self.cwd()?)?)
    }

    fn backend_of(&self, place: StateLocation) -> Result<Arc<dyn Backend>, Failure> {
        match place {
            StateLocation::Directory(dir) => Ok(Arc::new(FileBackend::new(dir))),
            StateLocation::S3(settings) => Ok(Arc::new(S3Backend::from_json(&settings, self.global.single_writer)?)),
        }
    }
}

/// The progress of a command, taken off the screen when the command is done with it, however that comes about.
pub(crate) struct Stage(Arc<Progress>);

impl std::ops::Deref for Stage {
    type Target = Progress;

    fn deref(&self) -> &Progress {
        &self.0
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.0.pause();
    }
}

/// What a command says about the engine it wants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tuning {
    /// Resources worked on at once.
    pub(crate) parallelism: usize,
    /// Events go to standard output, a line of JSON each.
    pub(crate) events: bool,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { parallelism: limits::PARALLELISM, events: false }
    }
}

/// A directory, or `s3://BUCKET/PREFIX?name=value&…`.
fn parse_location(text: &str, cwd: &Path) -> Result<StateLocation, Failure> {
    if text.is_empty() {
        return Err(Failure::usage("the place of the state is empty")
            .hint("write s3://BUCKET/PREFIX?endpoint=https://…, file:///DIRECTORY, or the path of a directory"));
    }
    if let Some(path) = text.strip_prefix("file://").filter(|path| path.starts_with('/')) {
        return Ok(StateLocation::Directory(path.into()));
    }
    let Some(rest) = text.strip_prefix("s3://") else {
        return match text.split_once("://") {
            Some((scheme, _)) if !scheme.contains('/') => {
                Err(Failure::usage(format!("`{scheme}://` is no place for a state that freehold knows"))
                    .hint("write s3://BUCKET/PREFIX?endpoint=https://…, file:///DIRECTORY, or the path of a directory"))
            }
            _ => Ok(StateLocation::Directory(cwd.join(text))),
        };
    };
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    if bucket.is_empty() {
        return Err(Failure::usage(format!("`--state {text}` names no bucket"))
            .hint("write s3://BUCKET/PREFIX?endpoint=https://…&region=…"));
    }
    let mut settings = serde_json::Map::new();
    settings.insert("bucket".into(), bucket.into());
    if !prefix.is_empty() {
        settings.insert("prefix".into(), prefix.into());
    }
    for pair in query.split('&').filter(|p| !p.is_empty()) {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(Failure::usage(format!("`{pair}` in `--state {text}` is not NAME=VALUE")));
        };
        let value = match value {
            "true" => Json::Bool(true),
            "false" => Json::Bool(false),
            text => text.into(),
        };
        settings.insert(name.into(), value);
    }
    Ok(StateLocation::S3(Json::Object(settings)))
}

/// The file `freehold.state`: `{"s3": {…}}` or `{"directory": "…"}`.
fn read_location_file(text: &str, dir: &Path) -> Result<StateLocation, String> {
    let json: Json = serde_json::from_str(text).map_err(|e| e.to_string())?;
    match (json.get("s3"), json.get("directory").and_then(Json::as_str)) {
        (Some(settings), None) => {
            // Credentials are written as for providers: { "fromEnv": … } and its kin.
            let settings = Value::from_json(settings.clone()).map_err(|e| e.to_string())?;
            let settings = credentials::resolve(&settings, dir).map_err(|e| e.to_string())?;
            Ok(StateLocation::S3(settings.to_clear_json()))
        }
        (None, Some(place)) => Ok(StateLocation::Directory(dir.join(place))),
        _ => Err("it has neither `s3` nor `directory`".to_owned()),
    }
}

/// The command line as it is kept in lock and history. What could hold a secret is left out: the arguments of an operation, and
/// user information in URLs.
fn command_line(args: impl Iterator<Item = String>) -> String {
    let mut words = vec!["freehold".to_owned()];
    let mut left = usize::MAX;
    for arg in args.skip(1) {
        if left == 0 {
            words.push("…".to_owned());
            break;
        }
        left = match arg.as_str() {
            // `run MEMBER OPERATION …`
            "run" if left == usize::MAX => 2,
            _ if left == usize::MAX || arg.starts_with('-') => left,
            _ => left - 1,
        };
        words.push(without_user_info(&arg));
    }
    words.join(" ")
}

fn without_user_info(arg: &str) -> String {
    match arg.split_once("://") {
        Some((scheme, rest)) => {
            let end = rest.find('/').unwrap_or(rest.len());
            match rest[..end].rfind('@') {
                Some(at) => format!("{scheme}://…{}", &rest[at..]),
                None => arg.to_owned(),
            }
        }
        None => arg.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(words: &[&str]) -> String {
        command_line(words.iter().map(|w| (*w).to_owned()))
    }

    #[test]
    fn the_recorded_command_line_has_no_secrets() {
        assert_eq!(line(&["/bin/freehold", "apply", "--yes", "site"]), "freehold apply --yes site");
        assert_eq!(line(&["f", "run", "id", "rotate", "--to", "canary"]), "freehold run id rotate …");
        assert_eq!(
            line(&["f", "plan", "--override-input", "x", "git+https://me:canary@host/x"]),
            "freehold plan --override-input x git+https://…@host/x"
        );
    }

    #[test]
    fn a_state_location_is_a_directory_or_a_prefix_in_a_bucket() {
        let cwd = Path::new("/d");
        assert_eq!(parse_location("s", cwd).unwrap(), StateLocation::Directory("/d/s".into()));
        let StateLocation::S3(settings) = parse_location("s3://b/p/q?endpoint=http://h:1&pathStyle=true", cwd).unwrap()
        else {
            panic!("a directory");
        };
        insta::assert_snapshot!(settings, @r#"{"bucket":"b","endpoint":"http://h:1","pathStyle":true,"prefix":"p/q"}"#);
        assert_eq!(parse_location("s3:///p", cwd).unwrap_err().exit.code(), 64);
        assert_eq!(parse_location("file:///srv/s", cwd).unwrap(), StateLocation::Directory("/srv/s".into()));
        assert_eq!(parse_location("./a://b", cwd).unwrap(), StateLocation::Directory("/d/./a://b".into()));
        for unknown in ["http://x/y", "S3://b/p", "gs://b", "file://s"] {
            assert_eq!(parse_location(unknown, cwd).unwrap_err().exit.code(), 64, "{unknown}");
        }
    }

    #[test]
    fn a_file_beside_the_deployment_says_where_the_state_is() {
        let read = |text| read_location_file(text, Path::new("/d"));
        assert_eq!(read(r#"{"directory": "../s"}"#), Ok(StateLocation::Directory("/d/../s".into())));
        assert!(matches!(read(r#"{"s3": {"bucket": "b"}}"#), Ok(StateLocation::S3(_))));
        assert_eq!(read("{}"), Err("it has neither `s3` nor `directory`".to_owned()));
    }
}
