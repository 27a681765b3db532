//! What names an object in the world: so that no two members manage one object, and a renamed member keeps its own.

use freehold_model::{Attrs, ProviderRef};

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
        let value = inputs.get(name).unwrap_or(&freehold_model::Value::Null);
        if !value.is_known() || value.has_sensitive() {
            return None;
        }
        key.push('\n');
        key.push_str(&value.to_clear_json().to_string());
    }
    Some(ObjectKey(key))
}
