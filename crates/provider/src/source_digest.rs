//! Telling that what a credential source stands for has changed.
//!
//! A record keeps where a secret comes from and not the secret, so beside the source stands a digest of what it stood for. The digest is
//! itself marked as a secret: it is encrypted in the state and shown nowhere, for a short secret could be guessed from it. What is
//! declared gets the digest of what the source stands for now, and the two are compared like any other input.

use std::path::Path;

use freehold_model::{Attrs, Pointer, Value};
use sha2::{Digest as _, Sha256};

use crate::credentials::{CredentialError, DIGEST, DIGEST_PREFIX, obtain_source, source_name, text, without_digest};

/// Inputs with a digest beside each source. A source that cannot be looked at counts as what it was when it was recorded, and is listed.
pub fn stamp(inputs: &Attrs, recorded: Option<&Attrs>, base_dir: &Path) -> (Attrs, Vec<CredentialError>) {
    let mut missed = Vec::new();
    let stamped = inputs.iter().map(|(name, value)| {
        let was = recorded.and_then(|r| r.get(name));
        (name.clone(), stamp_value(value, was, &Pointer::new([name]), base_dir, &mut missed))
    });
    (stamped.collect(), missed)
}

/// Recorded inputs as they are compared with: a source that stands for something else now gives way to a secret that equals no other.
pub fn former(recorded: &Attrs, base_dir: &Path) -> Attrs {
    recorded.iter().map(|(name, value)| (name.clone(), former_value(value, &Pointer::new([name]), base_dir))).collect()
}

/// Inputs without any digest: for those who keep records in a form that has no secrets.
pub fn bare(inputs: &Attrs) -> Attrs {
    fn bare_value(value: &Value) -> Value {
        match value {
            Value::Map(attrs) if source_name(attrs).is_some() => Value::Map(without_digest(attrs)),
            Value::Map(attrs) => Value::Map(bare(attrs)),
            Value::List(items) => Value::List(items.iter().map(bare_value).collect()),
            other => other.clone(),
        }
    }
    inputs.iter().map(|(name, value)| (name.clone(), bare_value(value))).collect()
}

fn stamp_value(
    value: &Value,
    was: Option<&Value>,
    at: &Pointer,
    base_dir: &Path,
    missed: &mut Vec<CredentialError>,
) -> Value {
    match value {
        Value::Map(attrs) if source_name(attrs).is_some() => {
            let bare = without_digest(attrs);
            let was = match was {
                Some(Value::Map(was)) if source_name(was).is_some() && without_digest(was) == bare => Some(was),
                _ => None,
            };
            match (obtain_source(&bare, at, base_dir), was) {
                // Nobody here can compare with what was recorded.
                (Ok(_), Some(was)) if was.get(DIGEST).is_some_and(|digest| text(digest).is_none()) => {
                    Value::Map(was.clone())
                }
                (Ok(now), _) => Value::Map(with_digest(bare, digest(at, &now))),
                (Err(error), was) => {
                    missed.push(error);
                    Value::Map(was.cloned().unwrap_or(bare))
                }
            }
        }
        Value::Map(attrs) => {
            let of = |name: &String| was.and_then(|was| was.part(name));
            let stamped = attrs.iter().map(|(n, v)| (n.clone(), stamp_value(v, of(n), &at.child(n), base_dir, missed)));
            Value::Map(stamped.collect())
        }
        Value::List(items) => {
            let of = |i: usize| match was {
                Some(Value::List(was)) => was.get(i),
                _ => None,
            };
            let items = items.iter().enumerate();
            Value::List(items.map(|(i, v)| stamp_value(v, of(i), &at.child(i.to_string()), base_dir, missed)).collect())
        }
        Value::Sensitive(inner) => {
            let was = match was {
                Some(Value::Sensitive(was)) => Some(&**was.expose()),
                other => other,
            };
            stamp_value(inner.expose(), was, at, base_dir, missed).into_sensitive()
        }
        other => other.clone(),
    }
}

fn former_value(value: &Value, at: &Pointer, base_dir: &Path) -> Value {
    match value {
        Value::Map(attrs) if source_name(attrs).is_some() => {
            let recorded = attrs.get(DIGEST).and_then(text);
            match (recorded, obtain_source(&without_digest(attrs), at, base_dir)) {
                (Some(recorded), Ok(now)) if recorded != digest(at, &now) => {
                    Value::from(format!("(another secret, {recorded})")).into_sensitive()
                }
                _ => value.clone(),
            }
        }
        Value::Map(attrs) => Value::Map(
            attrs.iter().map(|(name, v)| (name.clone(), former_value(v, &at.child(name), base_dir))).collect(),
        ),
        Value::List(items) => {
            let items = items.iter().enumerate();
            Value::List(items.map(|(i, v)| former_value(v, &at.child(i.to_string()), base_dir)).collect())
        }
        Value::Sensitive(inner) => former_value(inner.expose(), at, base_dir).into_sensitive(),
        other => other.clone(),
    }
}

fn with_digest(mut source: Attrs, digest: String) -> Attrs {
    source.insert(DIGEST.to_owned(), Value::from(digest).into_sensitive());
    source
}

/// Of the place as well: that two inputs have one secret is not seen.
fn digest(at: &Pointer, secret: &str) -> String {
    let mut hasher = Sha256::new();
    hasher.update(format!("{at}\n"));
    hasher.update(secret);
    let hex: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{DIGEST_PREFIX}{hex}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::resolve_attrs;

    fn declared() -> Attrs {
        match Value::from_json(serde_json::json!({ "auth": [{ "fromFile": "token" }], "name": "x" })) {
            Ok(Value::Map(attrs)) => attrs,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_secret_that_changes_changes_the_inputs_and_is_never_in_them() {
        let dir = tempfile::tempdir().unwrap();
        let write = |text| fs_err::write(dir.path().join("token"), text).unwrap();
        write("canary-1");
        let (first, missed) = stamp(&declared(), None, dir.path());
        assert!(missed.is_empty() && first != declared());
        assert_eq!(stamp(&declared(), Some(&first), dir.path()).0, first);
        assert_eq!(former(&first, dir.path()), first);
        assert_eq!(bare(&first), declared());
        assert_eq!(
            resolve_attrs(&first, dir.path()).unwrap(),
            resolve_attrs(&declared(), dir.path()).unwrap(),
            "a provider is given the secret alone"
        );

        write("canary-2");
        let (second, _) = stamp(&declared(), Some(&first), dir.path());
        assert_ne!(second, first);
        let (was, now) = (former(&first, dir.path()), resolve_attrs(&second, dir.path()).unwrap());
        assert!(!was["auth"].same_content(&now["auth"]));
        assert!(!Value::Map(second).to_clear_json().to_string().contains("canary"));
    }

    #[test]
    fn a_source_that_is_not_at_hand_counts_as_unchanged() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::write(dir.path().join("token"), "canary").unwrap();
        let (recorded, _) = stamp(&declared(), None, dir.path());
        fs_err::remove_file(dir.path().join("token")).unwrap();
        let (now, missed) = stamp(&declared(), Some(&recorded), dir.path());
        assert_eq!((now, missed.len()), (recorded, 1));
        assert_eq!(stamp(&declared(), None, dir.path()).0, declared());
    }
}
