//! `state_file`: a file that holds the state of other resources.
//!
//! It keeps lines and knows nothing of what they say: Freehold's own log, or NixOps4's events when the file begins so.
//! Nothing is appended to a file that has moved on since it was read, nor by somebody with an old fence.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use freehold_model::Attrs;
use freehold_provider::sdk::{Context, Existing, Failure, Made, ReadBack, ResourceType, StateLock, StateText, Traits};
use rustix::fs::{FlockOperation, flock};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use super::file;
use crate::{atomic, place, secret};

/// The end of the file that goes into its version.
const TAIL_BYTES: u64 = 256;
/// The beginning of the file that tells whether it holds state.
const BEGINNING_BYTES: u64 = 4096;

pub(crate) struct StateFile;

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Inputs {
    /// Where it is, relative to the deployment's directory. NixOps4's `name` is the same.
    #[schemars(length(min = 1), extend("x-force-new" = true, "x-identity" = true))]
    path: String,
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
}

/// What stands in the lock file.
#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Lock {
    /// None when nobody holds it.
    token: Option<String>,
    owner: Json,
    /// Seconds since 1970.
    expires: i64,
    fence: u64,
    /// Something was appended: a file without anything in it has lost that.
    begun: bool,
}

impl ResourceType for StateFile {
    type Inputs = Inputs;
    type Outputs = Outputs;
    const NAME: &'static str = "state_file";
    const DESCRIPTION: &'static str = "A file that holds the state of other resources: `state = members.x;`.";

    fn traits(&self) -> Traits {
        let aliases = vec![("name", "path")];
        Traits { can_read: true, holds_state: true, repeatable: true, aliases, ..Traits::default() }
            .examples_from(include_str!("../../examples/state_file.json"))
    }

    fn check(&self, inputs: &Attrs) -> Result<(), Failure> {
        place::check(inputs)
    }

    fn planned_outputs(&self, ctx: &Context, inputs: &Attrs) -> Attrs {
        let mut told = Attrs::new();
        if let Some(freehold_model::Value::String(path)) = inputs.get("path") {
            told.insert("path".into(), path.as_str().into());
            told.insert("absolutePath".into(), ctx.resolve(path).to_string_lossy().into_owned().into());
        }
        told
    }

    /// A file that is there already is taken as it is: its state is what one wants to go on with.
    fn create(&self, ctx: &Context, inputs: Inputs) -> Result<Made<Outputs>, Failure> {
        place::check_at(ctx, &inputs.path)?;
        let path = ctx.resolve(&inputs.path);
        let directories = atomic::make_parents(&path)?;
        match open(&path) {
            Ok(mut file) => check_beginning(&mut file, &path)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Whoever makes it anew knows that what it held is gone.
                let lock = read_lock(&path)?;
                if lock.begun {
                    write_lock(&path, &Lock { begun: false, ..lock })?;
                }
                atomic::write_new(&path, b"", 0o600)?;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(Made { private: file::note(&directories), ..Made::new(outputs(inputs.path, &path)) })
    }

    fn read(&self, ctx: &Context, object: &Existing<Self>) -> Result<ReadBack<Outputs>, Failure> {
        let (given, path) = place(ctx, object)?;
        Ok(if path.is_file() {
            let made = Made { private: file::note(&file::directories(object)), ..Made::new(outputs(given, &path)) };
            ReadBack::Here { made, inputs: None }
        } else {
            ReadBack::Gone
        })
    }

    fn delete(&self, ctx: &Context, object: &Existing<Self>) -> Result<(), Failure> {
        let (_, path) = place(ctx, object)?;
        atomic::remove(&path)?;
        atomic::remove(&lock_path(&path))?;
        atomic::remove_empty(&file::directories(object));
        Ok(())
    }

    fn state_read(&self, ctx: &Context, object: &Existing<Self>) -> Result<StateText, Failure> {
        let (_, path) = place(ctx, object)?;
        let mut file = match open(&path) {
            // It is to be made: there is no state yet. One that was made and is not there is lost.
            Err(e) if e.kind() == io::ErrorKind::NotFound && object.output_text("path").is_none() => {
                return Ok(StateText { text: String::new(), version: version(0, &[]) });
            }
            opened => opened?,
        };
        flock(&file, FlockOperation::LockShared).map_err(io::Error::from)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        if bytes.trim_ascii().is_empty() && read_lock(&path)?.begun {
            let lock = lock_path(&path);
            return Err(Failure::config(format!("`{}` is empty, and state was kept in it", path.display())).hint(
                format!(
                    "restore it from a copy; or remove `{}` as well, and what it recorded is no longer known",
                    lock.display()
                ),
            ));
        }
        let version = version(bytes.len() as u64, &bytes[bytes.len().saturating_sub(TAIL_BYTES as usize)..]);
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            Failure::config(format!("`{}` is not UTF-8 text at byte {at}", path.display()))
                .hint("the file is damaged: restore it from a copy")
        })?;
        Ok(StateText { text, version })
    }

    fn state_append(
        &self,
        ctx: &Context,
        object: &Existing<Self>,
        expected: &str,
        lines: &[String],
        fence: u64,
    ) -> Result<String, Failure> {
        let (_, path) = place(ctx, object)?;
        let mut file = atomic::open_file(&path, fs_err::OpenOptions::new().read(true).append(true))?;
        flock(&file, FlockOperation::LockExclusive).map_err(io::Error::from)?;
        let lock = read_lock(&path)?;
        let newest = lock.fence;
        if fence < newest {
            return Err(Failure::config(format!("the state has been locked by somebody else since (fence {newest})"))
                .hint("plan and apply again"));
        }
        let length = file.metadata()?.len();
        if version(length, &tail(&mut file, length)?) != expected {
            return Err(Failure::config("the state has moved on since it was read").hint("plan and apply again"));
        }
        let mut text = String::new();
        for line in lines {
            text.push_str(line);
            // A line comes with its end.
            if !line.ends_with('\n') {
                text.push('\n');
            }
        }
        if let Err(error) = file.write_all(text.as_bytes()).and_then(|()| file.sync_all()) {
            // Nothing but whole appends may stay.
            let _ = file.set_len(length);
            return Err(error.into());
        }
        if !lock.begun && !text.trim_ascii().is_empty() {
            write_lock(&path, &Lock { begun: true, ..lock })?;
        }
        let length = length + text.len() as u64;
        let tail = tail(&mut file, length)?;
        Ok(version(length, &tail))
    }

    fn state_lock(
        &self,
        ctx: &Context,
        object: &Existing<Self>,
        owner: &Json,
        lease_seconds: u64,
        token: Option<&str>,
    ) -> Result<StateLock, Failure> {
        let (_, path) = place(ctx, object)?;
        let guard = open(&path)?;
        flock(&guard, FlockOperation::LockExclusive).map_err(io::Error::from)?;
        let mut lock = read_lock(&path)?;
        let now = jiff::Timestamp::now().as_second();
        let ours = token.is_some() && lock.token.as_deref() == token;
        if token.is_some() && !ours {
            return Err(Failure::config("the lock was lost").hint("somebody else has taken it: plan again"));
        }
        if !ours && lock.token.is_some() && lock.expires > now && !has_ended(&lock.owner, owner) {
            return Err(Failure::config(format!("the state is locked by {}", lock.owner))
                .hint("wait for it, or break the lock with `freehold state unlock`"));
        }
        if !ours {
            lock.fence += 1;
            lock.token = Some(secret::hex(&secret::bytes(16)?));
        }
        lock.owner = owner.clone();
        lock.expires = now.saturating_add(i64::try_from(lease_seconds).unwrap_or(i64::MAX));
        write_lock(&path, &lock)?;
        Ok(StateLock { token: lock.token.unwrap_or_default(), fence: lock.fence })
    }

    fn state_unlock(&self, ctx: &Context, object: &Existing<Self>, token: Option<&str>) -> Result<(), Failure> {
        let (_, path) = place(ctx, object)?;
        let guard = open(&path)?;
        flock(&guard, FlockOperation::LockExclusive).map_err(io::Error::from)?;
        let mut lock = read_lock(&path)?;
        if token.is_some() && lock.token.as_deref() != token {
            return Err(Failure::config("the lock is held by somebody else"));
        }
        // The fence stays, so that the next one is greater; who loses the lock to somebody else cannot write from now on.
        lock.fence += u64::from(token.is_none());
        lock.token = None;
        write_lock(&path, &lock)
    }
}

fn outputs(given: String, path: &Path) -> Outputs {
    Outputs { path: given, absolute_path: path.to_string_lossy().into_owned() }
}

fn place(ctx: &Context, object: &Existing<StateFile>) -> Result<(String, PathBuf), Failure> {
    let given = object.output_text("path").or_else(|| object.input_text("path"));
    let given = given.ok_or_else(|| Failure::internal("the record has no path"))?;
    Ok((given.to_owned(), ctx.resolve(given)))
}

/// Refuses a file that is something else: neither empty, nor a log of Freehold's (however short it was cut), nor events of NixOps4's.
fn check_beginning(file: &mut fs_err::File, path: &Path) -> Result<(), Failure> {
    const LOG: &str = "{\"format\":\"freehold.state/";
    let mut beginning = Vec::new();
    file.take(BEGINNING_BYTES).read_to_end(&mut beginning)?;
    let beginning = String::from_utf8_lossy(&beginning);
    let beginning = beginning.trim_start();
    let is_log = beginning.starts_with('{') && beginning.contains(LOG) || LOG.starts_with(beginning);
    let is_events = beginning.starts_with('{') && ["\"index\"", "\"meta\""].iter().all(|w| beginning.contains(w));
    if is_log || is_events {
        return Ok(());
    }
    Err(Failure::user(format!("`{}` exists and holds no state", path.display()))
        .hint("move it out of the way, or give the resource another path")
        .at("path"))
}

fn open(path: &Path) -> io::Result<fs_err::File> {
    atomic::open_file(path, fs_err::OpenOptions::new().read(true))
}

fn tail(file: &mut fs_err::File, length: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut tail = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut tail)?;
    Ok(tail)
}

/// The length alone would not tell a file from another that was put in its place.
fn version(length: u64, tail: &[u8]) -> String {
    format!("{length}-{}", &secret::hex(&Sha256::digest(tail))[..16])
}

/// Whether the owner of a lock was a process of the machine of whoever asks, by the name space of process ids in which both live, and is
/// no more. The name of the host alone says nothing: containers share one.
fn has_ended(owner: &Json, asking: &Json) -> bool {
    let is_same = |name: &str| owner[name].as_str().is_some_and(|is| !is.is_empty() && asking[name] == is);
    is_same("host")
        && is_same("machine")
        && owner["pid"].as_u64().is_some_and(|pid| {
            // `PID (name) STATE …`: one that its parent has not asked after yet has ended, too.
            let stat = fs_err::read_to_string(format!("/proc/{pid}/stat"));
            stat.map_or(Path::new("/proc/self").exists(), |stat| {
                stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['Z', 'X']))
            })
        })
}

fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

fn read_lock(path: &Path) -> Result<Lock, Failure> {
    let read = open(&lock_path(path)).and_then(|mut file| {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map(|_| bytes)
    });
    match read {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| {
            Failure::config(format!("the lock file `{}` cannot be read", lock_path(path).display()))
                .because(&e)
                .hint("remove it when nobody is at work")
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Lock::default()),
        Err(error) => Err(error.into()),
    }
}

fn write_lock(path: &Path, lock: &Lock) -> Result<(), Failure> {
    let bytes = serde_json::to_vec(lock).map_err(|e| Failure::internal("the lock cannot be written").because(&e))?;
    Ok(atomic::write(&lock_path(path), &bytes, 0o600)?)
}
