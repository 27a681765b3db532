//! What names an object in the world: so that no two members manage one object, and a renamed member keeps its own.

use std::path::{Component, Path, PathBuf};

use freehold_model::{Attrs, ProviderRef, Value};

/// The name of an object in the world: program and settings of its provider (credentials left out), type and identifying inputs.
/// Equal keys mean one object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectKey(String);

/// The key of an object, where its type names one (`identity`: the names of the inputs) and every identifying input is known.
pub fn object_key(provider: &ProviderRef, type_name: &str, inputs: &Attrs, identity: &[String]) -> Option<ObjectKey> {
    if identity.is_empty() {
        return None;
    }
    let (ProviderRef::Builtin { config, .. } | ProviderRef::Stdio { config, .. }) = provider;
    if !config.is_known() {
        return None;
    }
    let place = place(config).map(|place| place.to_redacted_json()).unwrap_or_default();
    let mut key = format!("{:?}\n{place}\n{type_name}", program(provider));
    for name in identity {
        let value = inputs.get(name).unwrap_or(&Value::Null);
        if !value.is_known() || value.has_sensitive() {
            return None;
        }
        key.push('\n');
        key.push_str(&spelled_alike(name, value).to_clear_json().to_string());
    }
    Some(ObjectKey(key))
}

/// Whether two providers are the same program, whatever its settings. Another build of it, whose path differs, is the same; another
/// script of one interpreter is not.
pub(crate) fn is_same_program(one: &ProviderRef, other: &ProviderRef) -> bool {
    program(one) == program(other)
}

/// A provider in its exact wording: those with equal ones offer the same.
pub(crate) fn wording(provider: &ProviderRef) -> Vec<String> {
    match provider {
        ProviderRef::Builtin { name, .. } => vec![name.clone()],
        ProviderRef::Stdio { executable, args, .. } => {
            ["stdio", executable].into_iter().map(str::to_owned).chain(args.iter().cloned()).collect()
        }
    }
}

/// The words that say which program it is: the name of the executable, and what follows until its options: `python3 note.py`,
/// `tool provider notes`.
pub(crate) fn program(provider: &ProviderRef) -> Vec<&str> {
    match provider {
        ProviderRef::Builtin { name, .. } => vec![name],
        ProviderRef::Stdio { executable, args, .. } => {
            let args = args.iter().map(String::as_str).skip_while(|arg| arg.starts_with('-'));
            let words = args.take_while(|arg| !arg.starts_with('-'));
            let base = |path| str::rsplit(path, '/').next().unwrap_or(path);
            ["stdio"].into_iter().chain([executable.as_str()].into_iter().chain(words).map(base)).collect()
        }
    }
}

/// What settings say of the place where objects are: all of them but secrets and where those come from.
fn place(config: &Value) -> Option<Value> {
    let is_source = |attrs: &Attrs| attrs.len() == 1 && attrs.keys().all(|k| SOURCES.contains(&k.as_str()));
    match config {
        Value::Null | Value::Sensitive(_) => None,
        Value::Map(attrs) if is_source(attrs) => None,
        Value::Map(attrs) => {
            let kept: Attrs = attrs.iter().filter_map(|(name, value)| Some((name.clone(), place(value)?))).collect();
            (!kept.is_empty()).then_some(Value::Map(kept))
        }
        Value::List(items) => Some(Value::List(items.iter().filter_map(place).collect())),
        other => Some(other.clone()),
    }
}

/// The words with which a setting says where a credential comes from.
const SOURCES: [&str; 3] = ["fromEnv", "fromFile", "fromSops"];

/// Whether two sets of inputs of one type name the same object; true where the type names none.
pub(crate) fn is_same_object(identity: &[String], one: &Attrs, other: &Attrs) -> bool {
    let of = |inputs: &Attrs, name: &String| spelled_alike(name, inputs.get(name).unwrap_or(&Value::Null));
    identity.iter().all(|name| of(one, name).same_content(&of(other, name)))
}

/// The same for all spellings of one path: `./a//b/` is `a/b`. Only an input that is called `path` is one.
fn spelled_alike(name: &str, value: &Value) -> Value {
    match value {
        Value::String(text) if name == "path" => {
            let parts = Path::new(text).components().filter(|part| *part != Component::CurDir);
            Value::from(parts.collect::<PathBuf>().to_string_lossy().into_owned())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stdio(executable: &str, args: &[&str], config: Value) -> ProviderRef {
        let args = args.iter().map(|a| (*a).to_owned()).collect();
        ProviderRef::Stdio { executable: executable.into(), args, config, context: [].into() }
    }

    #[test]
    fn another_build_is_the_same_program_and_another_script_is_not() {
        let of = |executable, args: &[&str]| stdio(executable, args, Value::Null);
        let note = of("python3", &["-u", "/nix/store/a/note.py", "--port", "1"]);
        assert!(is_same_program(&note, &of("/usr/bin/python3", &["/nix/store/b/note.py", "--port", "2"])));
        assert!(!is_same_program(&note, &of("python3", &["other.py"])));
        assert!(!is_same_program(
            &of("local", &[]),
            &ProviderRef::Builtin { name: "local".into(), config: Value::Null }
        ));
    }

    #[test]
    fn the_place_that_settings_name_is_part_of_an_objects_name_and_credentials_are_not() {
        let key = |config: serde_json::Value| {
            let provider = stdio("p", &[], Value::from_json(config).unwrap());
            object_key(&provider, "object", &[("key".to_owned(), "k".into())].into(), &["key".to_owned()])
        };
        let (east, west) = (serde_json::json!({ "at": "east" }), serde_json::json!({ "at": "west" }));
        assert_ne!(key(east.clone()), key(west));
        assert_eq!(key(east), key(serde_json::json!({ "at": "east", "token": { "fromEnv": "TOKEN" } })));
        assert_eq!(key(serde_json::json!({ "at": { "$freehold": "unknown" } })), None);
    }

    #[test]
    fn spellings_of_one_path_are_one_object() {
        let key = |path: &str| {
            let provider = ProviderRef::Builtin { name: "local".into(), config: Value::Null };
            object_key(&provider, "file", &[("path".to_owned(), path.into())].into(), &["path".to_owned()])
        };
        assert_eq!(key("./a//b/"), key("a/b"));
        assert_ne!(key("a/../b"), key("b"), "a link may stand between");
        assert_ne!(key("/a"), key("a"));
    }
}
