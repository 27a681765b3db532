//! Objects, and providers that make, change and delete them, well or badly.
//!
//! | type | named by | read | update | delete | unknown outcome |
//! |---|---|---|---|---|---|
//! | `random` | nothing (lives in the record) | – | – | yes | in the record |
//! | `hook` | `path`; making it twice does no harm | – | makes it again; not `path` | yes | again |
//! | `file` | `path` | with inputs | yes, but `path` | yes | read |
//! | `db` | `name`; plans itself, announces `url`, does not mind a `note` | with inputs | yes, but `name` | yes | read |
//! | `server` | an id of the world's choice | outputs only | `size` only | yes | ask |
//! | `relic` | `path` | – | yes | no | ask |
//! | `shy` | `path`; never gives its `norm` | outputs only | – | yes | read |

use std::collections::BTreeMap;
use std::sync::Arc;

use freehold_apply::{Call, Failure, Outcome};
use freehold_model::{Attrs, Declaration, ErrorKind, ProviderRef, Record, Value};
use freehold_plan::{Identity, Observation, Proposal, ProposedAction, Recovery, TypeFacts, diff_attrs};

use super::deployment::plain_text;

/// What exists.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct World {
    pub objects: BTreeMap<String, Object>,
    next_id: u64,
    next_random: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    pub type_name: String,
    pub inputs: Attrs,
    pub made_by: u64,
}

/// What a provider does when it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    Well,
    /// Fails and has done nothing.
    FailsBefore,
    /// Has done it, says that it failed, and tells of the object.
    FailsAfter,
    /// Has done it, told of the object on the way, and then says only that it failed.
    TellsThenFails,
    /// As that, and that another try may help.
    TellsThenBusy,
    /// Is busy; worth another try.
    Busy,
    /// Dies without having done anything.
    DiesBefore,
    /// Dies after it has done it.
    DiesAfter,
}

impl Behaviour {
    pub const BAD: [Self; 7] = [
        Self::FailsBefore,
        Self::FailsAfter,
        Self::TellsThenFails,
        Self::TellsThenBusy,
        Self::Busy,
        Self::DiesBefore,
        Self::DiesAfter,
    ];

    pub fn parse(word: &str) -> Self {
        match word {
            "fails-before" => Self::FailsBefore,
            "fails-after" => Self::FailsAfter,
            "tells-then-fails" => Self::TellsThenFails,
            "tells-then-busy" => Self::TellsThenBusy,
            "busy" => Self::Busy,
            "dies-before" => Self::DiesBefore,
            "dies-after" => Self::DiesAfter,
            other => panic!("no behaviour {other}"),
        }
    }
}

pub fn outputs(type_name: &str) -> &'static [&'static str] {
    match type_name {
        "random" => &["value"],
        "file" => &["path", "etag"],
        "db" => &["url", "version"],
        "server" => &["id", "size"],
        "relic" | "hook" => &["path"],
        "shy" => &["path", "norm"],
        other => panic!("no type {other}"),
    }
}

pub fn facts(type_name: &str) -> Arc<TypeFacts> {
    let set = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
    let named =
        |names: &[&str]| Identity { inputs: names.iter().map(|n| (*n).to_owned()).collect(), base: "/srv".into() };
    let all = TypeFacts { can_read: true, can_update: true, can_delete: true, ..TypeFacts::default() };
    Arc::new(match type_name {
        "random" => TypeFacts { can_read: false, can_update: false, recovery: Recovery::InRecord, ..all },
        "hook" => TypeFacts {
            can_read: false,
            force_new: set(&["path"]),
            identity: named(&["path"]),
            recovery: Recovery::Again,
            ..all
        },
        "file" => TypeFacts {
            force_new: set(&["path"]),
            stable_outputs: set(&["path"]),
            identity: named(&["path"]),
            recovery: Recovery::Read,
            ..all
        },
        "db" => TypeFacts {
            force_new: set(&["name"]),
            identity: named(&["name"]),
            recovery: Recovery::Read,
            can_plan: true,
            ..all
        },
        "server" => TypeFacts { force_new: set(&["image"]), stable_outputs: set(&["id"]), ..all },
        "shy" => TypeFacts { can_update: false, identity: named(&["path"]), recovery: Recovery::Read, ..all },
        "relic" => TypeFacts { can_read: false, can_delete: false, identity: named(&["path"]), ..all },
        other => panic!("no type {other}"),
    })
}

impl World {
    /// The name of the object that a record is about; `None` when it has none in the world.
    pub fn name(type_name: &str, inputs: &Attrs, outputs: &Attrs) -> Option<String> {
        let of = |attrs: &Attrs, key: &str| attrs.get(key).map(plain_text);
        match type_name {
            "file" | "relic" | "hook" | "shy" => {
                Some(format!("{type_name}:{}", tidy(&of(inputs, "path").unwrap_or_default())))
            }
            "db" => Some(format!("db:{}", of(inputs, "name").unwrap_or_default())),
            "server" => of(outputs, "id"),
            _ => None,
        }
    }

    pub fn name_of(record: &Record) -> Option<String> {
        let name = Self::name(&record.type_name, &record.inputs, &record.outputs)?;
        Some(at(&record.provider.provider, &name))
    }

    pub fn read(&self, record: &Record) -> Observation {
        let object = Self::name_of(record).and_then(|name| Some((name.clone(), self.objects.get(&name)?)));
        let Some((name, object)) = object else { return Observation::Gone };
        let inputs = (object.type_name != "server").then(|| object.inputs.clone());
        Observation::Object { inputs, outputs: describe(&name, object), private: None }
    }

    /// The object that an operation made and nobody knows of.
    pub fn made_by(&self, op: u64) -> Option<(&String, &Object)> {
        self.objects.iter().find(|(_, o)| o.made_by == op)
    }

    /// Carries out a call. The effect is there when this returns; the answer may never arrive.
    pub fn call(&mut self, op: u64, call: &Call, behaviour: Behaviour) -> Outcome {
        match behaviour {
            Behaviour::FailsBefore => failed(ErrorKind::User, "refused"),
            Behaviour::Busy => failed(ErrorKind::Transient, "busy"),
            Behaviour::DiesBefore => lost(),
            Behaviour::Well => self.carry_out(op, call),
            Behaviour::DiesAfter => {
                self.carry_out(op, call);
                lost()
            }
            Behaviour::FailsAfter | Behaviour::TellsThenFails | Behaviour::TellsThenBusy => {
                match self.carry_out(op, call) {
                    Outcome::Made { outputs, private } => {
                        let kind =
                            if behaviour == Behaviour::TellsThenBusy { ErrorKind::Transient } else { ErrorKind::User };
                        Outcome::Failed { failure: failure(kind, "half done"), partial: Some((outputs, private)) }
                    }
                    _ => failed(ErrorKind::User, "half done"),
                }
            }
        }
    }

    fn carry_out(&mut self, op: u64, call: &Call) -> Outcome {
        match call {
            Call::Create { declaration } => self.create(op, declaration),
            Call::Update { declaration, prior } => self.update(op, declaration, prior),
            Call::Delete { prior } if !facts(&prior.type_name).can_delete => {
                failed(ErrorKind::Internal, &format!("a {} cannot be deleted", prior.type_name))
            }
            Call::Delete { prior } => {
                if let Some(name) = Self::name_of(prior) {
                    self.objects.remove(&name);
                }
                Outcome::Deleted
            }
        }
    }

    fn create(&mut self, op: u64, d: &Declaration) -> Outcome {
        let object = Object { type_name: d.type_name.clone(), inputs: d.inputs.clone(), made_by: op };
        let name = match d.type_name.as_str() {
            "random" => {
                self.next_random += 1;
                let value = d.inputs.get("of").map_or_else(|| format!("r{}", self.next_random), plain_text);
                return made([("value".to_owned(), Value::from(value))].into());
            }
            "server" => {
                self.next_id += 1;
                format!("server-{}", self.next_id)
            }
            _ => at(&d.provider, &Self::name(&d.type_name, &d.inputs, &Attrs::new()).unwrap()),
        };
        let outputs = describe(&name, &object);
        self.objects.insert(name, object);
        made(outputs)
    }

    fn update(&mut self, op: u64, d: &Declaration, prior: &Record) -> Outcome {
        if d.type_name == "hook" {
            return self.create(op, d);
        }
        let Some((name, object)) =
            Self::name_of(prior).and_then(|name| Some((name.clone(), self.objects.get_mut(&name)?)))
        else {
            return failed(ErrorKind::User, "there is no such object to update");
        };
        object.inputs.clone_from(&d.inputs);
        made(describe(&name, object))
    }

    /// What a provider that plans itself says.
    pub fn propose(declaration: &Declaration, prior: Option<&Record>) -> Proposal {
        let name = declaration.inputs.get("name").cloned().unwrap_or(Value::Null);
        let known = if name.is_known() { Value::from(format!("db://{}", plain_text(&name))) } else { Value::Unknown };
        let action = match prior {
            None => ProposedAction::Update,
            Some(p) if !p.inputs.get("name").is_some_and(|n| n.same_content(&name)) => ProposedAction::Replace,
            Some(p) if without_note(&p.inputs, &declaration.inputs) => ProposedAction::None,
            Some(_) => ProposedAction::Update,
        };
        Proposal { action, outputs: [("url".to_owned(), known)].into(), reasons: Vec::new() }
    }
}

/// Whether nothing differs but a `note`, which means nothing to a `db`.
fn without_note(before: &Attrs, after: &Attrs) -> bool {
    diff_attrs(before, after).iter().all(|change| change.at.tokens().first().is_some_and(|input| input == "note"))
}

/// Where the settings of the provider say that its objects are; those with an id of their own are everywhere the same.
fn at(provider: &ProviderRef, name: &str) -> String {
    let (ProviderRef::Builtin { config, .. } | ProviderRef::Stdio { config, .. }) = provider;
    if *config == Value::Null || name.starts_with("server") {
        name.to_owned()
    } else {
        format!("{}/{name}", plain_text(config))
    }
}

/// A path has many spellings: `//a/./b` is `/a/b`.
fn tidy(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !["", "."].contains(part)).collect();
    format!("{}{}", if path.starts_with('/') { "/" } else { "" }, parts.join("/"))
}

/// The outputs of an object follow from its inputs.
fn describe(name: &str, object: &Object) -> Attrs {
    let of = |key: &str| object.inputs.get(key).cloned().unwrap_or(Value::Null);
    let pairs = match object.type_name.as_str() {
        "file" => vec![("path", of("path")), ("etag", Value::from(format!("e:{}", digest(&of("content")))))],
        "db" => vec![
            ("url", Value::from(format!("db://{}", plain_text(&of("name"))))),
            ("version", Value::from(format!("v:{}", digest(&of("version"))))),
        ],
        "server" => vec![("id", Value::from(name)), ("size", of("size"))],
        "relic" | "hook" | "shy" => vec![("path", of("path"))],
        other => panic!("no type {other}"),
    };
    pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
}

/// What an output may tell of an input: all of it, but nothing of a secret.
fn digest(value: &Value) -> String {
    let text = plain_text(value);
    if !value.has_sensitive() {
        return text;
    }
    format!("{:x}", text.bytes().fold(7_u64, |h, b| h.wrapping_mul(31).wrapping_add(u64::from(b))))
}

fn made(outputs: Attrs) -> Outcome {
    Outcome::Made { outputs, private: None }
}

pub fn failure(kind: ErrorKind, message: &str) -> Failure {
    Failure { kind, message: message.to_owned(), hint: None }
}

fn failed(kind: ErrorKind, message: &str) -> Outcome {
    Outcome::Failed { failure: failure(kind, message), partial: None }
}

pub fn lost() -> Outcome {
    Outcome::Lost { failure: failure(ErrorKind::Host, "the provider died") }
}
