//! What names an object in the world: so that no two members manage one object, and a renamed member keeps its own.

use std::path::{Component, Path, PathBuf};

use freehold_model::{Attrs, ProviderRef, Value};

use crate::plan::provider_text;

/// The name of an object in the world: provider, type and identifying inputs. Equal keys mean one object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectKey(String);

/// The key of an object, where its type names one (`identity`: the names of the inputs) and every identifying input is known.
pub fn object_key(provider: &ProviderRef, type_name: &str, inputs: &Attrs, identity: &[String]) -> Option<ObjectKey> {
    if identity.is_empty() {
        return None;
    }
    let mut key = format!("{}\n{type_name}", provider_text(provider));
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
