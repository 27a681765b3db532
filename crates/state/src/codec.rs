//! Values and records as JSON of the log: secrets encrypted, everything else as it is.
//!
//! A secret is `{"$freehold":"encrypted","data":"<base64 of nonce and ciphertext>"}`. Without a key it is read as a locked
//! value: sensitive, unequal to anything a deployment could declare, and refused when it is to be written again.

use std::collections::{BTreeMap, BTreeSet};

use freehold_model::{
    Attrs, Deposed, Interval, MARK, MemberPath, ProviderIdentity, ProviderRef, Record, Sensitive, Status, Value,
};
use serde_json::{Map, Value as Json, json};

use crate::error::StateError;
use crate::seal::Seal;

/// The attribute that marks a secret whose key is not at hand. Not a name that a deployment could use by accident.
const LOCKED: &str = "\0freehold-locked";

type Reason = String;

/// Whether some part of the value is a secret that could not be opened.
pub(crate) fn is_locked(value: &Value) -> bool {
    match value {
        Value::Sensitive(inner) => {
            matches!(inner.expose().as_ref(), Value::Map(attrs) if attrs.contains_key(LOCKED))
        }
        Value::List(items) => items.iter().any(is_locked),
        Value::Map(attrs) => attrs.values().any(is_locked),
        _ => false,
    }
}

/// Whether some part of the record is a secret that could not be opened.
pub(crate) fn has_locked(record: &Record) -> bool {
    record.inputs.values().chain(record.outputs.values()).chain(&record.replace_when).any(is_locked)
        || record.private.as_ref().is_some_and(|p| p.expose().get(LOCKED).is_some())
        || provider_config(&record.provider.provider).is_some_and(is_locked)
        || record.deposed.iter().any(|d| has_locked(&d.record))
}

fn provider_config(provider: &ProviderRef) -> Option<&Value> {
    match provider {
        ProviderRef::Builtin { config, .. } | ProviderRef::Stdio { config, .. } => Some(config),
    }
}

/// Turns nouns into JSON, encrypting what is secret.
pub(crate) struct Encoder<'a> {
    pub(crate) seal: &'a Seal,
    /// Named in errors.
    pub(crate) member: &'a MemberPath,
}

impl Encoder<'_> {
    pub(crate) fn value(&self, value: &Value) -> Result<Json, StateError> {
        let mut failed = None;
        let json = value.to_json(&mut |secret| {
            if matches!(secret, Value::Map(attrs) if attrs.contains_key(LOCKED)) {
                failed = Some(StateError::Locked { member: self.member.to_string() });
                return Json::Null;
            }
            self.secret(&secret.to_clear_json()).unwrap_or_else(|e| {
                failed = Some(e);
                Json::Null
            })
        });
        failed.map_or(Ok(json), Err)
    }

    pub(crate) fn attrs(&self, attrs: &Attrs) -> Result<Json, StateError> {
        // Attribute names of the outermost level are names, not marks: they are escaped as those within.
        attrs
            .iter()
            .map(|(name, value)| Ok((escape(name), self.value(value)?)))
            .collect::<Result<Map<_, _>, StateError>>()
            .map(Json::Object)
    }

    pub(crate) fn private(&self, private: &Sensitive<Json>) -> Result<Json, StateError> {
        if private.expose().get(LOCKED).is_some() {
            return Err(StateError::Locked { member: self.member.to_string() });
        }
        self.secret(private.expose())
    }

    fn secret(&self, clear: &Json) -> Result<Json, StateError> {
        let text = zeroize::Zeroizing::new(clear.to_string());
        Ok(json!({ MARK: "encrypted", "data": self.seal.seal(text.as_bytes())? }))
    }

    pub(crate) fn identity(&self, identity: &ProviderIdentity) -> Result<Json, StateError> {
        let how = match &identity.provider {
            ProviderRef::Builtin { name, config } => json!({ "builtin": name, "config": self.value(config)? }),
            ProviderRef::Stdio { executable, args, config, context } => {
                json!({ "executable": executable, "args": args, "config": self.value(config)?, "context": context })
            }
        };
        Ok(json!({ "provider": how, "name": identity.name, "version": identity.version }))
    }

    /// The record; what is absent, false or empty is left out.
    pub(crate) fn record(&self, record: &Record) -> Result<Json, StateError> {
        let mut out = Map::new();
        out.insert("provider".to_owned(), self.identity(&record.provider)?);
        out.insert("type".to_owned(), record.type_name.clone().into());
        out.insert("inputs".to_owned(), self.attrs(&record.inputs)?);
        out.insert("outputs".to_owned(), self.attrs(&record.outputs)?);
        let mut set = |name: &str, present: bool, value: &dyn Fn() -> Result<Json, StateError>| {
            if present {
                out.insert(name.to_owned(), value()?);
            }
            Ok::<(), StateError>(())
        };
        if let Some(private) = &record.private {
            set("private", true, &|| self.private(private))?;
        }
        set("edges", !record.edges.is_empty(), &|| Ok(json!(record.edges)))?;
        set("interval", record.interval != Interval::default(), &|| Ok(json!(record.interval)))?;
        set("status", record.status != Status::Ok, &|| Ok(json!(record.status)))?;
        set("deposed", !record.deposed.is_empty(), &|| {
            record
                .deposed
                .iter()
                .map(|d| Ok(json!({ "key": d.key, "record": self.record(&d.record)? })))
                .collect::<Result<Vec<_>, StateError>>()
                .map(Json::Array)
        })?;
        set("protect", record.protect, &|| Ok(Json::Bool(true)))?;
        set("keep", record.keep, &|| Ok(Json::Bool(true)))?;
        set("createBeforeDestroy", record.create_before_destroy, &|| Ok(Json::Bool(true)))?;
        if let Some(value) = &record.replace_when {
            set("replaceWhen", true, &|| self.value(value))?;
        }
        set("holder", record.holder.is_some(), &|| Ok(json!(record.holder)))?;
        Ok(Json::Object(out))
    }
}

/// Turns JSON back into nouns, decrypting what can be decrypted.
pub(crate) struct Decoder<'a> {
    pub(crate) seal: &'a Seal,
}

impl Decoder<'_> {
    pub(crate) fn value(&self, json: Json) -> Result<Value, Reason> {
        let mut failed = None;
        let value = Value::from_json_with(json, &mut |word, object| {
            let data = object.get("data").and_then(Json::as_str).filter(|_| word == "encrypted")?;
            match self.secret(data) {
                Ok(value) => Some(value),
                Err(reason) => {
                    failed = Some(reason);
                    Some(Value::Null)
                }
            }
        });
        match failed {
            Some(reason) => Err(reason),
            None => value.map_err(|e| e.to_string()),
        }
    }

    fn secret(&self, data: &str) -> Result<Value, Reason> {
        let Some(clear) = self.seal.open(data)? else {
            let locked = Value::Map([(LOCKED.to_owned(), data.into())].into());
            return Ok(locked.into_sensitive());
        };
        let json = serde_json::from_slice(&clear).map_err(|_| "encrypted value is not JSON".to_owned())?;
        let value = Value::from_json(json).map_err(|e| e.to_string())?;
        Ok(Value::Sensitive(Sensitive::new(Box::new(value))))
    }

    pub(crate) fn attrs(&self, json: Json) -> Result<Attrs, Reason> {
        match self.value(json)? {
            Value::Map(attrs) => Ok(attrs),
            _ => Err("inputs and outputs must be objects".to_owned()),
        }
    }

    pub(crate) fn private(&self, json: &Json) -> Result<Sensitive<Json>, Reason> {
        let data = json.get("data").and_then(Json::as_str).ok_or("`private` is not an encrypted value")?;
        let clear = match self.seal.open(data)? {
            Some(clear) => serde_json::from_slice(&clear).map_err(|_| "`private` is not JSON")?,
            None => json!({ LOCKED: data }),
        };
        Ok(Sensitive::new(clear))
    }

    pub(crate) fn identity(&self, json: Json) -> Result<ProviderIdentity, Reason> {
        let mut fields = Fields::new(json, "provider identity")?;
        let mut how = Fields::new(fields.take("provider")?, "provider")?;
        let config = how.optional("config").map(|c| self.value(c)).transpose()?.unwrap_or(Value::Null);
        let provider = match how.optional("builtin") {
            Some(name) => ProviderRef::Builtin { name: parse(name)?, config },
            None => ProviderRef::Stdio {
                executable: how.parse("executable")?,
                args: how.parse("args")?,
                config,
                context: how.parse_or_default::<BTreeSet<String>>("context")?,
            },
        };
        Ok(ProviderIdentity { provider, name: fields.parse("name")?, version: fields.parse("version")? })
    }

    pub(crate) fn record(&self, json: Json) -> Result<Record, Reason> {
        let mut fields = Fields::new(json, "record")?;
        let deposed = match fields.optional("deposed") {
            None => Vec::new(),
            Some(Json::Array(items)) => {
                items.into_iter().map(|item| self.deposed(item)).collect::<Result<Vec<_>, Reason>>()?
            }
            Some(_) => return Err("`deposed` is not a list".to_owned()),
        };
        Ok(Record {
            provider: self.identity(fields.take("provider")?)?,
            type_name: fields.parse("type")?,
            inputs: self.attrs(fields.take("inputs")?)?,
            outputs: self.attrs(fields.take("outputs")?)?,
            private: fields.optional("private").map(|p| self.private(&p)).transpose()?,
            edges: fields.parse_or_default("edges")?,
            interval: fields.parse_or_default("interval")?,
            status: fields.parse_or_default("status")?,
            deposed,
            protect: fields.parse_or_default("protect")?,
            keep: fields.parse_or_default("keep")?,
            create_before_destroy: fields.parse_or_default("createBeforeDestroy")?,
            replace_when: fields.present("replaceWhen").map(|v| self.value(v)).transpose()?,
            holder: fields.parse_or_default("holder")?,
        })
    }

    fn deposed(&self, json: Json) -> Result<Deposed, Reason> {
        let mut fields = Fields::new(json, "deposed record")?;
        Ok(Deposed { key: fields.parse("key")?, record: Box::new(self.record(fields.take("record")?)?) })
    }
}

/// The attributes of an object, taken out one by one.
pub(crate) struct Fields {
    map: BTreeMap<String, Json>,
    what: &'static str,
}

impl Fields {
    pub(crate) fn new(json: Json, what: &'static str) -> Result<Self, Reason> {
        match json {
            Json::Object(map) => Ok(Self { map: map.into_iter().collect(), what }),
            _ => Err(format!("{what} is not an object")),
        }
    }

    pub(crate) fn take(&mut self, name: &str) -> Result<Json, Reason> {
        self.map.remove(name).ok_or_else(|| format!("{} lacks `{name}`", self.what))
    }

    /// `null` counts as a value.
    pub(crate) fn present(&mut self, name: &str) -> Option<Json> {
        self.map.remove(name)
    }

    /// `null` counts as absent.
    pub(crate) fn optional(&mut self, name: &str) -> Option<Json> {
        self.map.remove(name).filter(|v| !v.is_null())
    }

    pub(crate) fn parse<T: serde::de::DeserializeOwned>(&mut self, name: &str) -> Result<T, Reason> {
        parse(self.take(name)?).map_err(|e| format!("`{name}` of {}: {e}", self.what))
    }

    pub(crate) fn parse_or_default<T: serde::de::DeserializeOwned + Default>(
        &mut self,
        name: &str,
    ) -> Result<T, Reason> {
        match self.optional(name) {
            None => Ok(T::default()),
            Some(json) => parse(json).map_err(|e| format!("`{name}` of {}: {e}", self.what)),
        }
    }
}

pub(crate) fn parse<T: serde::de::DeserializeOwned>(json: Json) -> Result<T, Reason> {
    serde_json::from_value(json).map_err(|e| e.to_string())
}

/// As `Value::to_json` escapes the names of a map.
fn escape(name: &str) -> String {
    if name.starts_with('$') && name.trim_start_matches('$') == &MARK[1..] {
        format!("${name}")
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::seal::new_data_key;
    use proptest::prelude::*;

    pub(crate) fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            Just(Value::Unknown),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            prop_oneof!["[a-z]{0,8}", Just("$freehold".to_owned()), any::<String>()].prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
                any_names(inner.clone()).prop_map(Value::Map),
                // A secret within a secret is the same secret, so the inner marks do not survive.
                inner.prop_map(|v| Value::from_json(v.to_clear_json()).unwrap().into_sensitive()),
            ]
        })
    }

    fn any_names(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Attrs> {
        let name = prop_oneof!["[a-z]{1,4}", Just("$freehold".to_owned()), Just("$$freehold".to_owned())];
        prop::collection::btree_map(name, value, 0..4)
    }

    pub(crate) fn any_record() -> impl Strategy<Value = Record> {
        let attrs = || any_names(any_value());
        (attrs(), attrs(), any::<(bool, bool, bool, bool, bool)>(), any_value(), "[a-z]{1,5}").prop_map(
            |(inputs, outputs, (a, b, c, d, e), extra, word)| {
                let config = extra.clone();
                let provider = if a {
                    ProviderRef::Builtin { name: word.clone(), config }
                } else {
                    ProviderRef::Stdio {
                        executable: "/bin/p".into(),
                        args: vec![word.clone()],
                        config,
                        context: [word.clone()].into(),
                    }
                };
                let mut record = Record {
                    provider: ProviderIdentity { provider, name: word.clone(), version: "1".into() },
                    type_name: word.clone(),
                    inputs,
                    outputs,
                    private: b.then(|| Sensitive::new(json!({ "note": word }))),
                    edges: [MemberPath::new(["a", "b.c"])].into(),
                    interval: Interval { began: 3, ended: 9 },
                    status: if c { Status::Tainted } else { Status::Ok },
                    deposed: Vec::new(),
                    protect: d,
                    keep: e,
                    create_before_destroy: a && b,
                    replace_when: c.then_some(extra),
                    holder: d.then(|| MemberPath::new(["holder"])),
                };
                if e {
                    record.deposed = vec![Deposed { key: "k".into(), record: Box::new(record.clone()) }];
                }
                record
            },
        )
    }

    fn seal() -> Seal {
        Seal::new(Some(&new_data_key().unwrap()), "test/1".to_owned())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn every_record_survives_being_written_and_read(record in any_record()) {
            let seal = seal();
            let json = Encoder { seal: &seal, member: &MemberPath::root() }.record(&record).unwrap();
            let text = json.to_string();
            let back = Decoder { seal: &seal }.record(serde_json::from_str(&text).unwrap()).unwrap();
            prop_assert_eq!(back, record);
        }
    }

    #[test]
    fn without_a_key_everything_but_secrets_is_read_and_secrets_are_not_written_again() {
        let seal = seal();
        let member = MemberPath::new(["db"]);
        let attrs: Attrs =
            [("user".to_owned(), "ada".into()), ("password".to_owned(), Value::from("canary").into_sensitive())].into();
        let json = Encoder { seal: &seal, member: &member }.attrs(&attrs).unwrap();
        assert!(!json.to_string().contains("canary"));
        let closed = Seal::new(None, "test/1".to_owned());
        let read = Decoder { seal: &closed }.attrs(json).unwrap();
        assert_eq!(read["user"], "ada".into());
        assert!(is_locked(&read["password"]));
        let error = Encoder { seal: &seal, member: &member }.attrs(&read).unwrap_err();
        assert_eq!(error.to_string(), "the secrets of `db` cannot be read: no identity at hand opens them");
    }

    #[test]
    fn a_secret_does_not_open_in_another_segment() {
        let key = new_data_key().unwrap();
        let (one, two) = (Seal::new(Some(&key), "l/1".into()), Seal::new(Some(&key), "l/2".into()));
        let sealed = one.seal(b"canary").unwrap();
        assert!(two.open(&sealed).is_err());
        assert_eq!(one.open(&sealed).unwrap().unwrap().as_slice(), b"canary");
    }
}
