//! `file`: a text file. It is written wholly or not at all, and another content or mode found later is drift.

use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use freehold_model::{Attrs, Value};
use freehold_protocol::v1::PlanAction;
use freehold_provider::sdk::{Context, Existing, Failure, Found, Made, ReadBack, ResourceType, Traits};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{atomic, place, secret};

/// Content found in the world is shown in a diff up to this size.
const SHOWN_BYTES: u64 = 1024 * 1024;

pub(crate) struct File;

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Inputs {
    /// Where it is, relative to the deployment's directory. NixOps4's `name` is the same.
    #[schemars(length(min = 1), extend("x-force-new" = true, "x-identity" = true))]
    path: String,
    /// What is in it.
    contents: String,
    /// Permissions in octal, `0644`; without it 0644, or 0600 when the contents are a secret.
    mode: Option<String>,
    /// Whether a file that is there already may be replaced. Without this, one with the same contents and mode is taken over and any
    /// other is an error.
    overwrite: Option<bool>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outputs {
    /// As given.
    #[schemars(extend("x-stable" = true))]
    path: String,
    /// From the root of the file system.
    #[schemars(extend("x-stable" = true))]
    absolute_path: String,
    /// SHA-256 of the contents, in hexadecimal digits.
    sha256: String,
    /// Permissions in octal.
    mode: String,
}

impl ResourceType for File {
    type Inputs = Inputs;
    type Outputs = Outputs;
    const NAME: &'static str = "file";
    const DESCRIPTION: &'static str = "A text file. Directories above it are made, and removed with it when empty.";

    fn traits(&self) -> Traits {
        let aliases = vec![("name", "path")];
        Traits { can_read: true, can_update: true, can_import: true, repeatable: true, aliases, ..Traits::default() }
            .examples_from(include_str!("../../examples/file.json"))
    }

    fn check(&self, inputs: &Attrs) -> Result<(), Failure> {
        place::check(inputs)?;
        match inputs.get("mode") {
            Some(Value::String(mode)) => parse_mode(mode).map(drop),
            _ => Ok(()),
        }
    }

    fn planned_outputs(&self, ctx: &Context, inputs: &Attrs) -> Attrs {
        let mut told = Attrs::new();
        if let Some(Value::String(path)) = inputs.get("path") {
            told.insert("path".into(), path.as_str().into());
            told.insert("absolutePath".into(), ctx.resolve(path).to_string_lossy().into_owned().into());
        }
        let (contents, secret) = match inputs.get("contents") {
            Some(Value::String(contents)) => (Some(contents), false),
            Some(Value::Sensitive(inner)) => match &**inner.expose() {
                Value::String(contents) => (Some(contents), true),
                _ => (None, true),
            },
            _ => (None, false),
        };
        if let Some(contents) = contents {
            let digest = Value::from(digest(contents.as_bytes()));
            told.insert("sha256".into(), if secret { digest.into_sensitive() } else { digest });
        }
        match inputs.get("mode") {
            Some(Value::String(mode)) => {
                if let Ok(mode) = parse_mode(mode) {
                    told.insert("mode".into(), format_mode(mode).into());
                }
            }
            // Contents that are not known may turn out to be a secret.
            None | Some(Value::Null) if contents.is_some() => {
                told.insert("mode".into(), format_mode(default_mode(secret)).into());
            }
            _ => {}
        }
        told
    }

    fn plan(
        &self,
        ctx: &Context,
        prior: &Existing<Self>,
        inputs: &Attrs,
        proposed: PlanAction,
    ) -> Result<(PlanAction, Vec<String>), Failure> {
        if proposed != PlanAction::None {
            return Ok((proposed, Vec::new()));
        }
        // The inputs are as recorded; what was found in the world may not be as they want it.
        let told = self.planned_outputs(ctx, inputs);
        let changed: Vec<String> = ["sha256", "mode"]
            .into_iter()
            .filter(|name| match (prior.outputs.get(*name), told.get(*name)) {
                (Some(found), Some(wanted)) => !found.same_content(wanted),
                _ => false,
            })
            .map(|name| format!("`{name}` is not as declared"))
            .collect();
        Ok((if changed.is_empty() { PlanAction::None } else { PlanAction::Update }, changed))
    }

    fn create(&self, ctx: &Context, inputs: Inputs) -> Result<Made<Outputs>, Failure> {
        let how = if inputs.overwrite == Some(true) { atomic::write } else { atomic::write_new };
        make(ctx, &inputs, how)
    }

    fn read(&self, ctx: &Context, object: &Existing<Self>) -> Result<ReadBack<Outputs>, Failure> {
        let Some(given) = object.output_text("path").or_else(|| object.input_text("path")) else {
            return Err(Failure::internal("the record has no path"));
        };
        let path = ctx.resolve(given);
        let Some(seen) = look(&path)? else { return Ok(ReadBack::Gone) };
        // Of an interrupted creation nothing is recorded but what was wanted. A file comes whole, so another one was not made by it.
        if object.outputs.is_empty() && !is_as_wanted(ctx, &seen, &object.typed_inputs()?) {
            return Ok(ReadBack::Gone);
        }
        let outputs = Outputs {
            path: given.to_owned(),
            absolute_path: path.to_string_lossy().into_owned(),
            sha256: seen.sha256,
            mode: format_mode(seen.mode),
        };
        let mut inputs = object.inputs.clone();
        let secret = ctx.is_sensitive("contents");
        if object.input_text("contents").is_some_and(|c| digest(c.as_bytes()) != outputs.sha256) {
            let contents = Value::from(seen.contents.unwrap_or_else(|| format!("(sha256 {})", outputs.sha256)));
            inputs.insert("contents".into(), if secret { contents.into_sensitive() } else { contents });
        }
        if object.output_text("mode").is_some_and(|mode| mode != outputs.mode) {
            inputs.insert("mode".into(), outputs.mode.as_str().into());
        }
        let inputs = (inputs != object.inputs).then_some(inputs);
        // After an interrupted creation there are no notes yet.
        let private = match &object.private {
            Some(notes) => Some(notes.expose().clone()),
            None => note(&atomic::made_above(&path)),
        };
        let made = Made { private, ..Made::new(outputs) };
        Ok(ReadBack::Here { made: made.sensitive_if(secret, &["sha256"]), inputs })
    }

    fn update(&self, ctx: &Context, prior: &Existing<Self>, inputs: Inputs) -> Result<Made<Outputs>, Failure> {
        let mut made = make(ctx, &inputs, atomic::write)?;
        let mut directories = directories(prior);
        if let Some(again) = made.private.take() {
            directories.extend(paths_in(&again).into_iter().filter(|d| !directories.contains(d)).collect::<Vec<_>>());
        }
        made.private = note(&directories);
        Ok(made)
    }

    fn delete(&self, ctx: &Context, object: &Existing<Self>) -> Result<(), Failure> {
        if let Some(path) = object.output_text("path").or_else(|| object.input_text("path")) {
            let path = ctx.resolve(path);
            atomic::remove(&path)?;
            atomic::remove_empty(&directories(object));
        }
        Ok(())
    }

    fn import(&self, ctx: &Context, id: &str) -> Result<Vec<Found<Outputs>>, Failure> {
        let path = ctx.resolve(id);
        let Some(seen) = look(&path)? else {
            return Err(Failure::user(format!("there is no file `{id}`")));
        };
        let Some(contents) = seen.contents else {
            return Err(Failure::user(format!("`{id}` is no text of at most {SHOWN_BYTES} bytes")));
        };
        let mode = format_mode(seen.mode);
        let inputs = [("path", id), ("contents", contents.as_str()), ("mode", mode.as_str())];
        let inputs = inputs.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        let absolute_path = path.to_string_lossy().into_owned();
        let outputs = Outputs { path: id.to_owned(), absolute_path, sha256: seen.sha256, mode };
        Ok(vec![Found { inputs, made: Made::new(outputs) }])
    }
}

struct Seen {
    sha256: String,
    mode: u32,
    contents: Option<String>,
}

/// What is at `path`; none when nothing is.
fn look(path: &Path) -> Result<Option<Seen>, Failure> {
    let mut file = match atomic::open_file(path, fs_err::OpenOptions::new().read(true)) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            return Err(
                Failure::user(error.to_string()).hint("move it out of the way, or give the resource another path")
            );
        }
        Err(error) => return Err(error.into()),
    };
    let metadata = file.metadata()?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut kept = Vec::new();
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        if metadata.len() <= SHOWN_BYTES {
            kept.extend_from_slice(&buffer[..read]);
        }
    }
    let contents = if metadata.len() <= SHOWN_BYTES { String::from_utf8(kept).ok() } else { None };
    Ok(Some(Seen { sha256: secret::hex(&hasher.finalize()), mode: metadata.permissions().mode() & 0o7777, contents }))
}

/// How a file is put in its place.
type Write = fn(&Path, &[u8], u32) -> io::Result<()>;

fn make(ctx: &Context, inputs: &Inputs, write: Write) -> Result<Made<Outputs>, Failure> {
    place::check_at(ctx, &inputs.path)?;
    let path = ctx.resolve(&inputs.path);
    let mode = wanted_mode(ctx, inputs)?;
    if path.is_dir() {
        return Err(Failure::host(format!("`{}` is a directory", path.display())).at("path"));
    }
    // A file beside may be deleted at this moment together with the directory: then make it again.
    for attempt in 1.. {
        let made = atomic::make_parents(&path)?;
        match write(&path, inputs.contents.as_bytes(), mode) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => take_over(ctx, inputs, &path)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound && attempt < 5 => continue,
            Err(error) => return Err(error.into()),
        }
        let outputs = Outputs {
            path: inputs.path.clone(),
            absolute_path: path.to_string_lossy().into_owned(),
            sha256: digest(inputs.contents.as_bytes()),
            mode: format_mode(mode),
        };
        return Ok(noted(ctx, outputs, &made));
    }
    Err(Failure::internal("the file could not be written"))
}

/// A file that is there already counts as made if it is as it would be made.
fn take_over(ctx: &Context, inputs: &Inputs, path: &Path) -> Result<(), Failure> {
    let is_link = fs_err::symlink_metadata(path)?.is_symlink();
    let seen = if is_link { None } else { look(path)? };
    let differs = match seen {
        _ if is_link => "and is a link".to_owned(),
        Some(seen) if is_as_wanted(ctx, &seen, inputs) => return Ok(()),
        Some(seen) if seen.sha256 == digest(inputs.contents.as_bytes()) => {
            format!("with the mode {}", format_mode(seen.mode))
        }
        _ => "with other contents".to_owned(),
    };
    let (member, given) = (ctx.member(), &inputs.path);
    let member = if member.is_empty() { "MEMBER" } else { member };
    Err(Failure::user(format!("`{given}` exists already, {differs}"))
        .hint(format!(
            "take it over with `freehold import {member} {given}`, let it be replaced with `inputs.overwrite = true`, or choose another path"
        ))
        .at("path"))
}

fn is_as_wanted(ctx: &Context, seen: &Seen, inputs: &Inputs) -> bool {
    let has_mode = wanted_mode(ctx, inputs).is_ok_and(|mode| mode == seen.mode);
    inputs.overwrite == Some(true) || (has_mode && seen.sha256 == digest(inputs.contents.as_bytes()))
}

fn wanted_mode(ctx: &Context, inputs: &Inputs) -> Result<u32, Failure> {
    match &inputs.mode {
        Some(mode) => parse_mode(mode),
        None => Ok(default_mode(ctx.is_sensitive("contents"))),
    }
}

fn noted(ctx: &Context, outputs: Outputs, made: &[PathBuf]) -> Made<Outputs> {
    Made { private: note(made), ..Made::new(outputs) }.sensitive_if(ctx.is_sensitive("contents"), &["sha256"])
}

/// What is noted of directories that were made for an object.
pub(super) fn note(directories: &[PathBuf]) -> Option<serde_json::Value> {
    let list: Vec<_> = directories.iter().map(|d| d.to_string_lossy()).collect();
    (!list.is_empty()).then(|| json!({ "madeDirectories": list }))
}

/// The directories that were made for an object.
pub(super) fn directories<T>(object: &Existing<T>) -> Vec<PathBuf> {
    object.private.as_ref().map(|p| paths_in(p.expose())).unwrap_or_default()
}

fn paths_in(note: &serde_json::Value) -> Vec<PathBuf> {
    let list = note.get("madeDirectories").and_then(serde_json::Value::as_array);
    list.into_iter().flatten().filter_map(serde_json::Value::as_str).map(PathBuf::from).collect()
}

fn digest(contents: &[u8]) -> String {
    secret::hex(&Sha256::digest(contents))
}

fn default_mode(secret: bool) -> u32 {
    if secret { 0o600 } else { 0o644 }
}

fn format_mode(mode: u32) -> String {
    format!("{mode:04o}")
}

fn parse_mode(text: &str) -> Result<u32, Failure> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o7777 && !text.starts_with('+') => Ok(mode),
        _ => Err(Failure::user(format!("`{text}` is not a file mode")).hint("four octal digits: \"0644\"").at("mode")),
    }
}
