//! From what the driver says of a member to the model's `Structure` and `Declaration`.

use std::collections::{BTreeMap, BTreeSet};

use freehold_model::{
    Attrs, Check, Declaration, Lifecycle, MemberPath, Pointer, ProviderRef, ScriptOperation, Structure, Value,
};
use serde_json::Value as Json;

use crate::secrets::{CUT, Tokens};
use crate::wire::{Part, QueryResult, read_context};

/// What a query for a member came to.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A composite; `extras` when it has checks.
    Composite { structure: Structure, extras: bool },
    /// A resource; `extras` when it has operations or postconditions.
    Resource { declaration: Box<Declaration>, extras: bool, flaws: Flaws },
    /// The parts that may depend on a resource's own outputs.
    Extras { extras: Extras, flaws: Flaws },
    /// Its kind or its structure failed.
    Failed,
    /// It is no longer there.
    Gone,
    /// Its export is neither a composite nor a resource.
    BadExport,
}

/// What is not fine about a member's values.
#[derive(Debug, Default)]
pub(crate) struct Flaws {
    /// Leaves that failed: those that became unknown, by part.
    pub(crate) failed: Vec<(Part, Pointer)>,
    /// Leaves that cannot be values at all: where, and why.
    pub(crate) bad: Vec<(String, String)>,
}

/// Checks and operations, unknown where they could not be evaluated.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Extras {
    pub(crate) checks: Vec<Check>,
    pub(crate) postconditions: Vec<Check>,
    pub(crate) operations: BTreeMap<String, ScriptOperation>,
}

/// Reads a query's result.
pub(crate) fn outcome(result: QueryResult, nonce: &str, tokens: &Tokens) -> Result<Outcome, String> {
    if result.not_utf8 {
        return Err("it holds a text that is not UTF-8".to_owned());
    }
    let mut reader = Reader { nonce, tokens, flaws: Flaws::default(), part: Part::Config, context: result.context };
    let mut value = result.value;
    Ok(match value["k"].as_str() {
        Some("c") => Outcome::Composite { structure: composite(&value, tokens)?, extras: value["x"] == true },
        Some("r") => {
            let launch = Launch { provider: &result.launch, context: result.launch_context };
            let declaration = Box::new(reader.resource(&mut value, launch)?);
            Outcome::Resource { declaration, extras: value["x"] == true, flaws: reader.flaws }
        }
        Some("x") => {
            let extras = reader.extras(&mut value);
            Outcome::Extras { extras, flaws: reader.flaws }
        }
        Some("f") => Outcome::Failed,
        Some("g") => Outcome::Gone,
        Some("b") => Outcome::BadExport,
        _ => return Err("a result of no known kind".to_owned()),
    })
}

struct Launch<'a> {
    provider: &'a Json,
    context: BTreeSet<String>,
}

fn composite(value: &Json, tokens: &Tokens) -> Result<Structure, String> {
    for (name, field) in [("moved", "m"), ("removed", "r")] {
        refuse_secret(tokens, name, &value[field], NOT_IN_THE_RECORD)?;
    }
    let moved = list(&value["m"]).map(|step| Some((path(&step["from"])?, path(&step["to"])?))).collect::<Option<_>>();
    let removed = list(&value["r"]).map(path).collect::<Option<_>>();
    let members = strings(&value["n"]).ok_or("`members` is not an attribute set")?;
    if members.iter().any(|name| tokens.are_in(name)) {
        return Err("the name of a member cannot be a secret".to_owned());
    }
    Ok(Structure {
        members,
        moved: moved.ok_or("`moved` is not a list of `{ from = [ … ]; to = [ … ]; }`")?,
        removed: removed.ok_or("`removed` is not a list of member paths")?,
        checks: Vec::new(),
    })
}

struct Reader<'a> {
    nonce: &'a str,
    tokens: &'a Tokens,
    flaws: Flaws,
    part: Part,
    context: BTreeSet<String>,
}

impl Reader<'_> {
    fn resource(&mut self, value: &mut Json, launch: Launch<'_>) -> Result<Declaration, String> {
        let mut inputs = Attrs::new();
        self.refuse_secrets(value, &launch)?;
        let Json::Object(given) = value["v"].take() else { return Err("`inputs` is not an attribute set".to_owned()) };
        for (name, json) in given {
            self.part = Part::Input(name.clone());
            if self.tokens.are_in(&name) {
                self.bad(&Pointer::root(), "the name of an input cannot be a secret");
            }
            inputs.insert(name, self.value(json, &Pointer::root()));
        }
        self.part = Part::Config;
        let config = self.value(value["a"].take(), &Pointer::root());
        self.part = Part::ReplaceWhen;
        let replace_when = Some(self.value(value["w"].take(), &Pointer::root())).filter(|when| *when != Value::Null);
        self.part = Part::Preconditions;
        let preconditions = self.checks(value["b"].take());
        Ok(Declaration {
            provider: provider(&value["n"], launch, config)?,
            type_name: value["t"].as_str().ok_or("`type` is not a string")?.to_owned(),
            inputs,
            context: std::mem::take(&mut self.context),
            outputs: strings(&value["o"]).ok_or("`outputsSkeleton` is not an attribute set")?.into_iter().collect(),
            holder: match &value["s"] {
                Json::Null => None,
                names => Some(path(names).ok_or("`state` is not a member path (a list of names)")?),
            },
            lifecycle: lifecycle(&value["l"], replace_when)?,
            depends_on: list(&value["d"])
                .map(path)
                .collect::<Option<_>>()
                .ok_or("`dependsOn` is not a list of member paths")?,
            preconditions,
            postconditions: Vec::new(),
            operations: BTreeMap::new(),
        })
    }

    /// What is compared, shown and recorded as it stands must not hold the tokens that stand for secrets, which differ in each run.
    fn refuse_secrets(&self, value: &Json, launch: &Launch<'_>) -> Result<(), String> {
        for name in ["executable", "args"] {
            refuse_secret(self.tokens, &format!("provider.{name}"), &launch.provider[name], SEEN_BY_ALL)?;
        }
        let lifecycle = &value["l"];
        let plain = [
            ("provider.name", &value["n"]),
            ("type", &value["t"]),
            ("state", &value["s"]),
            ("dependsOn", &value["d"]),
            ("lifecycle.moved", &lifecycle["moved"]),
            ("lifecycle.ignoreChanges", &lifecycle["ignoreChanges"]),
        ];
        plain.into_iter().try_for_each(|(name, json)| refuse_secret(self.tokens, name, json, NOT_IN_THE_RECORD))
    }

    fn extras(&mut self, value: &mut Json) -> Extras {
        self.part = Part::Checks;
        let checks = self.checks(value["c"].take());
        self.part = Part::Postconditions;
        let postconditions = self.checks(value["b"].take());
        let mut operations = BTreeMap::new();
        if let Json::Object(all) = value["o"].take() {
            for (name, mut operation) in all {
                self.part = Part::Operation(name.clone());
                let command = self.value(operation["v"].take(), &Pointer::root());
                let description = operation["d"].as_str().unwrap_or_default().to_owned();
                let context = read_context(&operation["c"]);
                operations.insert(name, ScriptOperation { command, description, context });
            }
        }
        Extras { checks, postconditions, operations }
    }

    fn checks(&mut self, json: Json) -> Vec<Check> {
        let Json::Array(items) = json else { return Vec::new() };
        let mut checks = Vec::new();
        for (index, mut check) in items.into_iter().enumerate() {
            let at = Pointer::new([index.to_string()]);
            let assertion = self.value(check["a"].take(), &at);
            let message = match self.value(check["m"].take(), &at) {
                Value::String(text) => text,
                Value::Sensitive(_) => "(the message holds a secret)".to_owned(),
                _ => "(the message is not known yet)".to_owned(),
            };
            checks.push(Check { assertion, message });
        }
        checks
    }

    fn value(&mut self, json: Json, at: &Pointer) -> Value {
        match json {
            Json::Null => Value::Null,
            Json::Bool(b) => Value::Bool(b),
            Json::Number(n) => Value::Number(n),
            Json::String(text) if self.tokens.is_mangled(&text) => {
                self.bad(at, CUT);
                Value::Null
            }
            Json::String(text) => self.tokens.resolve(text),
            Json::Array(items) => Value::List(
                items.into_iter().enumerate().map(|(i, item)| self.value(item, &at.child(i.to_string()))).collect(),
            ),
            Json::Object(object) => match object.get(self.nonce).and_then(Json::as_str) {
                Some(word) => self.mark(word, at),
                None => self.attrs(object, at),
            },
        }
    }

    fn attrs(&mut self, object: serde_json::Map<String, Json>, at: &Pointer) -> Value {
        let mut attrs = Attrs::new();
        for (name, json) in object {
            if self.tokens.are_in(&name) {
                self.bad(at, "the name of an attribute cannot be a secret");
            }
            let value = self.value(json, &at.child(&name));
            attrs.insert(name, value);
        }
        Value::Map(attrs)
    }

    fn mark(&mut self, word: &str, at: &Pointer) -> Value {
        match word.split_once(' ') {
            _ if word == "failed" => self.flaws.failed.push((self.part.clone(), at.clone())),
            _ if word == "function" => match self.part {
                Part::Input(_) => self.bad(at, "a function cannot be an input"),
                _ => self.bad(at, "a function is no value"),
            },
            _ if word == "deep" => self.bad(at, &format!("deeper than {} levels", freehold_model::limits::INPUT_DEPTH)),
            Some(("no-path", path)) => self.bad(at, &format!("the path `{path}` does not exist")),
            _ => self.bad(at, "a value that cannot be read"),
        }
        Value::Unknown
    }

    fn bad(&mut self, at: &Pointer, why: &str) {
        self.flaws.bad.push((self.part.show(at), why.to_owned()));
    }
}

impl Part {
    /// As a place in the member: `inputs.contents/0`.
    pub(crate) fn show(&self, at: &Pointer) -> String {
        match self {
            Self::Input(name) => format!("inputs.{name}{at}"),
            Self::Config => format!("provider.config{at}"),
            Self::Preconditions => format!("preconditions{at}"),
            Self::ReplaceWhen => format!("lifecycle.replaceWhen{at}"),
            Self::Checks => format!("checks{at}"),
            Self::Postconditions => format!("postconditions{at}"),
            Self::Operation(name) => format!("operations.{name}{at}"),
        }
    }
}

const SEEN_BY_ALL: &str =
    "everybody on the machine can see what programs are called with: hand it over in the provider's `config`";
const NOT_IN_THE_RECORD: &str = "it stands in plans and in the state in clear";

fn refuse_secret(tokens: &Tokens, name: &str, json: &Json, why: &str) -> Result<(), String> {
    match secret_place(tokens, json, &Pointer::root()) {
        Some(place) => Err(format!("`{name}{place}` is a secret, and {why}")),
        None => Ok(()),
    }
}

/// Where a text with a token, or a piece of one, is.
fn secret_place(tokens: &Tokens, json: &Json, at: &Pointer) -> Option<Pointer> {
    match json {
        Json::String(text) => tokens.are_in(text).then(|| at.clone()),
        Json::Array(items) => {
            items.iter().enumerate().find_map(|(i, item)| secret_place(tokens, item, &at.child(i.to_string())))
        }
        Json::Object(attrs) => attrs.iter().find_map(|(name, item)| secret_place(tokens, item, &at.child(name))),
        _ => None,
    }
}

/// A built-in one by its name, any other by how it is started.
fn provider(name: &Json, launch: Launch<'_>, config: Value) -> Result<ProviderRef, String> {
    if launch.provider.is_null() {
        let name = name.as_str().ok_or("`provider.name` is not a string")?.to_owned();
        return Ok(ProviderRef::Builtin { name, config });
    }
    let text = |name: &str| launch.provider[name].as_str().map(str::to_owned);
    match launch.provider["type"].as_str() {
        Some("stdio") => Ok(ProviderRef::Stdio {
            executable: text("executable").ok_or("`provider.executable` is not a string, a path or a derivation")?,
            args: strings(&launch.provider["args"]).ok_or("`provider.args` is not a list of strings")?,
            config,
            context: launch.context,
        }),
        Some(other) => Err(format!("`provider.type` is `{other}`, neither `builtin` nor `stdio`")),
        None => Err("`provider.type` is missing".to_owned()),
    }
}

fn lifecycle(json: &Json, replace_when: Option<Value>) -> Result<Lifecycle, String> {
    let flag = |name: &str| match &json[name] {
        Json::Null => Ok(false),
        Json::Bool(flag) => Ok(*flag),
        _ => Err(format!("`lifecycle.{name}` is not true or false")),
    };
    let is_list = |name: &str| json[name].is_null() || json[name].is_array();
    let moved = list(&json["moved"]).map(path).collect::<Option<_>>().filter(|_| is_list("moved"));
    let ignored = list(&json["ignoreChanges"]).map(|place| place.as_str().map(input_place)).collect::<Option<_>>();
    let ignored = ignored.filter(|_| is_list("ignoreChanges"));
    Ok(Lifecycle {
        protect: flag("protect")?,
        ignore_changes: ignored.ok_or("`lifecycle.ignoreChanges` is not a list of strings")?,
        replace_when,
        create_before_destroy: flag("createBeforeDestroy")?,
        moved: moved.ok_or("`lifecycle.moved` is not a list of member paths")?,
        keep: flag("keep")?,
    })
}

/// `a.b` or, where a name has a dot, the pointer `/a.b/c`.
fn input_place(text: &str) -> Pointer {
    match text.strip_prefix('/').and_then(|_| Pointer::parse(text)) {
        Some(pointer) => pointer,
        None => Pointer::new(text.split('.')),
    }
}

fn list(json: &Json) -> impl Iterator<Item = &Json> {
    json.as_array().into_iter().flatten()
}

fn strings(json: &Json) -> Option<Vec<String>> {
    json.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}

fn path(json: &Json) -> Option<MemberPath> {
    strings(json).map(MemberPath::new)
}
