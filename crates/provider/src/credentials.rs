//! Where credentials come from: one way for all providers, resolved on our side before a provider is configured or called.
//!
//! In a provider's `config`, and wherever an input is a secret, a value may be written as `{ fromEnv = "NAME"; }`,
//! `{ fromFile = "path"; }` or `{ fromSops = { file = "path"; key = "a.b"; }; }`. What comes out is sensitive. Paths are relative
//! to the deployment's directory. A file's or a variable's last line end is not part of the secret.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use freehold_model::{Attrs, ErrorKind, Pointer, Value};

/// Why a credential cannot be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CredentialError {
    /// The variable is not set, or not text.
    #[error("`{at}` comes from the environment variable `{name}`, which is not set")]
    Env {
        /// Where in the settings.
        at: Pointer,
        /// Its name.
        name: String,
    },
    /// The file cannot be read.
    #[error("`{at}` comes from the file `{}`, which cannot be read", .path.display())]
    File {
        /// Where in the settings.
        at: Pointer,
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
    /// sops cannot be started.
    #[error("`{at}` comes from the sops file `{}`, but sops cannot be started", .path.display())]
    SopsStart {
        /// Where in the settings.
        at: Pointer,
        /// The encrypted file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
    /// sops has failed.
    #[error("`{at}` comes from `{key}` in the sops file `{}`, which cannot be decrypted: {message}", .path.display())]
    Sops {
        /// Where in the settings.
        at: Pointer,
        /// The encrypted file.
        path: PathBuf,
        /// Which value.
        key: String,
        /// What sops says.
        message: String,
    },
    /// The source is not written as it should be.
    #[error("`{at}` is not a credential source: {problem}")]
    Shape {
        /// Where in the settings.
        at: Pointer,
        /// What is wrong.
        problem: &'static str,
    },
}

impl CredentialError {
    /// Who has to act.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Shape { .. } => ErrorKind::User,
            _ => ErrorKind::Config,
        }
    }

    /// How to mend it.
    pub fn hint(&self) -> String {
        match self {
            Self::Env { name, .. } => format!("set it before you run freehold: export {name}=…"),
            Self::File { .. } => "the path is relative to the deployment's directory".into(),
            Self::SopsStart { .. } => "install sops, or set `$FREEHOLD_SOPS` to its path".into(),
            Self::Sops { .. } => "try `sops -d FILE` by hand".into(),
            Self::Shape { .. } => {
                "write { fromEnv = \"NAME\"; }, { fromFile = \"path\"; } or { fromSops = { file = \"path\"; key = \"a.b\"; }; }".into()
            }
        }
    }
}

/// Replaces every credential source in `value` by what it stands for, marked as sensitive.
///
/// # Errors
/// When one cannot be had; the message names its place and never its value.
pub fn resolve(value: &Value, base_dir: &Path) -> Result<Value, CredentialError> {
    walk(value, &Pointer::root(), base_dir)
}

/// [`resolve`] for named values.
///
/// # Errors
/// When one cannot be had.
pub fn resolve_attrs(attrs: &Attrs, base_dir: &Path) -> Result<Attrs, CredentialError> {
    attrs.iter().map(|(name, v)| Ok((name.clone(), walk(v, &Pointer::new([name]), base_dir)?))).collect()
}

/// Whether there is anything to resolve.
pub fn has_sources(value: &Value) -> bool {
    match value {
        Value::Map(attrs) => source_name(attrs).is_some() || attrs.values().any(has_sources),
        Value::List(items) => items.iter().any(has_sources),
        Value::Sensitive(inner) => has_sources(inner.expose()),
        _ => false,
    }
}

/// The attribute beside a source that holds a digest of what it stood for ([`crate::source_digest`]).
pub const DIGEST: &str = "digest";
/// How such a digest begins.
pub(crate) const DIGEST_PREFIX: &str = "freehold-secret-1:";

/// Which source it is, if it is one.
pub fn source_name(attrs: &Attrs) -> Option<&str> {
    let mut named = attrs.iter().filter(|(name, value)| !is_digest(name, value)).map(|(name, _)| name.as_str());
    let name = named.next()?;
    (named.next().is_none() && matches!(name, "fromEnv" | "fromFile" | "fromSops")).then_some(name)
}

/// The source alone.
pub fn without_digest(source: &Attrs) -> Attrs {
    let kept = source.iter().filter(|(name, value)| !is_digest(name, value));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// What a source stands for now.
pub(crate) fn obtain_source(source: &Attrs, at: &Pointer, base_dir: &Path) -> Result<String, CredentialError> {
    match source_name(source).and_then(|name| Some((name, source.get(name)?))) {
        Some((name, of)) => obtain(name, of, at, base_dir),
        None => Err(CredentialError::Shape { at: at.clone(), problem: "it names no source" }),
    }
}

/// Whether an attribute of a source is that digest.
pub fn is_digest(name: &str, value: &Value) -> bool {
    // One that this identity cannot open is no text.
    let is_ours = || text(value).map_or(matches!(value, Value::Sensitive(_)), |text| text.starts_with(DIGEST_PREFIX));
    name == DIGEST && is_ours()
}

fn walk(value: &Value, at: &Pointer, base_dir: &Path) -> Result<Value, CredentialError> {
    Ok(match value {
        Value::Map(attrs) if source_name(attrs).is_some() => {
            Value::String(obtain_source(attrs, at, base_dir)?).into_sensitive()
        }
        Value::Map(attrs) => Value::Map(
            attrs
                .iter()
                .map(|(name, v)| Ok((name.clone(), walk(v, &at.child(name), base_dir)?)))
                .collect::<Result<_, _>>()?,
        ),
        Value::List(items) => Value::List(
            items
                .iter()
                .enumerate()
                .map(|(i, v)| walk(v, &at.child(i.to_string()), base_dir))
                .collect::<Result<_, _>>()?,
        ),
        Value::Sensitive(inner) => walk(inner.expose(), at, base_dir)?.into_sensitive(),
        other => other.clone(),
    })
}

fn obtain(source: &str, of: &Value, at: &Pointer, base_dir: &Path) -> Result<String, CredentialError> {
    let shape = |problem| CredentialError::Shape { at: at.clone(), problem };
    match source {
        "fromEnv" => {
            let name = text(of).ok_or_else(|| shape("`fromEnv` must be the name of a variable"))?;
            let set = std::env::var(name).map_err(|_| CredentialError::Env { at: at.clone(), name: name.into() })?;
            Ok(without_line_end(set))
        }
        "fromFile" => {
            let path = base_dir.join(text(of).ok_or_else(|| shape("`fromFile` must be a path"))?);
            let read = fs_err::read_to_string(&path);
            let read = read.map_err(|e| CredentialError::File { at: at.clone(), path, source: Arc::new(e) })?;
            Ok(without_line_end(read))
        }
        _ => {
            let part = |name: &str| of.part(name).and_then(text);
            let (Some(file), Some(key)) = (part("file"), part("key")) else {
                return Err(shape("`fromSops` must have a `file` and a `key`"));
            };
            sops(&base_dir.join(file), key, at)
        }
    }
}

fn sops(path: &Path, key: &str, at: &Pointer) -> Result<String, CredentialError> {
    let program = std::env::var_os("FREEHOLD_SOPS").unwrap_or_else(|| OsString::from("sops"));
    let extract: String = key.split('.').map(|name| format!("[{}]", serde_json::Value::from(name))).collect();
    let output = Command::new(program)
        .args(["--decrypt", "--extract", &extract])
        .arg(path)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| CredentialError::SopsStart { at: at.clone(), path: path.into(), source: Arc::new(e) })?;
    let failed =
        |message: String| CredentialError::Sops { at: at.clone(), path: path.into(), key: key.into(), message };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(failed(said.trim().lines().last().unwrap_or("it said nothing").to_owned()));
    }
    String::from_utf8(output.stdout).map(without_line_end).map_err(|_| failed("the value is not UTF-8 text".into()))
}

pub(crate) fn text(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        Value::Sensitive(inner) => text(inner.expose()),
        _ => None,
    }
}

fn without_line_end(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn value(json: serde_json::Value) -> Value {
        Value::from_json(json).unwrap()
    }

    #[test]
    fn a_file_is_read_and_its_content_is_a_secret() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::write(dir.path().join("token"), "canary\n").unwrap();
        let resolved = resolve(&value(json!({ "region": "x", "token": { "fromFile": "token" } })), dir.path()).unwrap();
        assert_eq!(resolved.part("token"), Some(&Value::from("canary").into_sensitive()));
        assert_eq!(resolved.part("region"), Some(&Value::from("x")));
        assert!(!format!("{resolved:?}").contains("canary"));
    }

    #[test]
    fn what_cannot_be_had_is_named_with_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let error = resolve(&value(json!({ "a": [{ "fromEnv": "FREEHOLD_TEST_UNSET" }] })), dir.path()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`/a/0` comes from the environment variable `FREEHOLD_TEST_UNSET`, which is not set"
        );
        assert_eq!(error.kind(), ErrorKind::Config);
        let error = resolve(&value(json!({ "a": { "fromSops": { "file": "x" } } })), dir.path()).unwrap_err();
        assert_eq!(error.to_string(), "`/a` is not a credential source: `fromSops` must have a `file` and a `key`");
    }

    #[test]
    fn an_attribute_set_that_only_resembles_a_source_is_left_alone() {
        let plain = value(json!({ "fromEnv": "A", "other": 1 }));
        assert!(!has_sources(&plain));
        assert_eq!(resolve(&plain, Path::new("/")).unwrap(), plain);
    }
}
