//! What names an object in the world: so that no two members manage one object, and a renamed member keeps its own.

use std::path::{Component, Path, PathBuf};

use freehold_model::{Attrs, MemberPath, ProviderRef, Value};

/// The name of an object in the world: program and settings of its provider (credentials left out), type and identifying inputs.
/// Equal keys mean one object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectKey(String);

/// Which inputs together name an object in the world; none when the world does not name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Identity {
    /// Their names.
    pub inputs: Vec<String>,
    /// What a relative path among them is relative to: the directory of the deployment.
    pub base: PathBuf,
}

impl Identity {
    /// Whether the world does not name it.
    pub fn is_empty(&self) -> bool {
        self.inputs.is_empty()
    }

    /// The names for people.
    pub(crate) fn shown(&self) -> String {
        self.inputs.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    }

    /// What an input says, the same for all spellings of one path: `./a//b/` and `/srv/x/a/b` (from `/srv/x`) are `a/b`, and so is
    /// `c/../a/b`, although a link may stand there: taken for one, two objects are left alone; taken for two, one would be lost. Only
    /// an input that is called `path` is one.
    fn spelled_alike(&self, name: &str, value: &Value) -> Value {
        match value {
            Value::String(text) if name == "path" => {
                let mut place = PathBuf::new();
                for part in self.base.join(text).components() {
                    match part {
                        Component::CurDir => {}
                        Component::ParentDir => match place.components().next_back() {
                            Some(Component::Normal(_)) => drop(place.pop()),
                            Some(Component::RootDir) => {}
                            _ => place.push(part),
                        },
                        other => place.push(other),
                    }
                }
                Value::from(place.to_string_lossy().into_owned())
            }
            other => other.clone(),
        }
    }
}

/// The key of an object, where its type names one and every identifying input is known.
pub fn object_key(provider: &ProviderRef, type_name: &str, inputs: &Attrs, identity: &Identity) -> Option<ObjectKey> {
    if identity.is_empty() {
        return None;
    }
    let (ProviderRef::Builtin { config, .. } | ProviderRef::Stdio { config, .. }) = provider;
    if !config.is_known() {
        return None;
    }
    let place = place(config).map(|place| place.to_redacted_json()).unwrap_or_default();
    let mut key = format!("{:?}\n{place}\n{type_name}", program(provider));
    for name in &identity.inputs {
        let value = inputs.get(name).unwrap_or(&Value::Null);
        if !value.is_known() || value.has_sensitive() {
            return None;
        }
        key.push('\n');
        key.push_str(&identity.spelled_alike(name, value).to_clear_json().to_string());
    }
    Some(ObjectKey(key))
}

/// The keys of objects whose place is around that of this one: a file where this one needs a directory.
pub fn objects_around(provider: &ProviderRef, type_name: &str, inputs: &Attrs, identity: &Identity) -> Vec<ObjectKey> {
    let path = inputs.get("path").filter(|_| identity.inputs.iter().any(|name| name == "path"));
    let Some(Value::String(path)) = path.map(|path| identity.spelled_alike("path", path)) else { return Vec::new() };
    let around = Path::new(&path).ancestors().skip(1).filter(|place| place.file_name().is_some());
    let at = |place: &Path| {
        let mut inputs = inputs.clone();
        inputs.insert("path".to_owned(), Value::from(place.to_string_lossy().into_owned()));
        object_key(provider, type_name, &inputs, identity)
    };
    around.filter_map(at).collect()
}

/// What is wrong where two members manage one object, and how to mend it.
pub fn shared_object(first: &MemberPath, identity: &Identity) -> (String, String) {
    (
        format!("manages the same object as `{first}` (by {})", identity.shown()),
        "remove one of the two, or give it another name in the world".to_owned(),
    )
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
/// `tool provider notes`. Options before that, with what may be their values, are left out.
pub(crate) fn program(provider: &ProviderRef) -> Vec<&str> {
    match provider {
        ProviderRef::Builtin { name, .. } => vec![name],
        ProviderRef::Stdio { executable, args, .. } => {
            let mut may_be_value = false;
            let args = args.iter().map(String::as_str).skip_while(|arg| {
                let is_option = arg.starts_with('-');
                let skipped = is_option || may_be_value && !arg.contains(['/', '.']);
                may_be_value = is_option && arg.starts_with("--") && !arg.contains('=');
                skipped
            });
            let words = args.take_while(|arg| !arg.starts_with('-'));
            ["stdio"].into_iter().chain([executable.as_str()].into_iter().chain(words).map(name_of_file)).collect()
        }
    }
}

/// The last part of a path. A file that is itself in the Nix store is called by its name there, without the hash, which is another
/// one after each edit.
fn name_of_file(path: &str) -> &str {
    const HASH: usize = 32;
    let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
    let in_store = dir.ends_with("/store").then(|| name.split_at_checked(HASH)).flatten();
    in_store.and_then(|(hash, rest)| rest.strip_prefix('-').filter(|_| !hash.contains('-'))).unwrap_or(name)
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
pub(crate) fn is_same_object(identity: &Identity, one: &Attrs, other: &Attrs) -> bool {
    let of = |inputs: &Attrs, name: &String| identity.spelled_alike(name, inputs.get(name).unwrap_or(&Value::Null));
    identity.inputs.iter().all(|name| of(one, name).same_content(&of(other, name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(input: &str) -> Identity {
        Identity { inputs: vec![input.to_owned()], base: "/srv/x".into() }
    }

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
        let (one, two) = ("/nix/store/miv7fp3a0bcdxz3zr8zs5s1lqv2wk0bm", "/nix/store/67q0fp3a0bcdxz3zr8zs5s1lqv2wk0bm");
        let (one, two) = (format!("{one}-note.py"), format!("{two}-note.py"));
        assert!(is_same_program(&of("python3", &[&one]), &of("python3", &[&two])));
        assert!(is_same_program(&of(&one, &[]), &of(&two, &["--region", "eu"])));
        assert!(!is_same_program(&of("python3", &[&one]), &of("python3", &[&two.replace("note", "other")])));
        assert!(!is_same_program(&of("python3", &["--safe", "a/x.py"]), &of("python3", &["--safe", "a/y.py"])));
        assert!(!is_same_program(
            &of("local", &[]),
            &ProviderRef::Builtin { name: "local".into(), config: Value::Null }
        ));
    }

    #[test]
    fn the_place_that_settings_name_is_part_of_an_objects_name_and_credentials_are_not() {
        let key = |config: serde_json::Value| {
            let provider = stdio("p", &[], Value::from_json(config).unwrap());
            object_key(&provider, "object", &[("key".to_owned(), "k".into())].into(), &named("key"))
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
            object_key(&provider, "file", &[("path".to_owned(), path.into())].into(), &named("path"))
        };
        for other in ["./a//b/", "/srv/x/a/b", "c/../a/b", "/srv/x/../x/./a/b"] {
            assert_eq!(key(other), key("a/b"), "{other}");
        }
        assert_eq!(key("/../../a"), key("/a"));
        assert_ne!(key("/a"), key("a"));
    }
}
