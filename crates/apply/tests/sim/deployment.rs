//! Deployments as text, one member per line.
//!
//! ```text
//! id: random length=8
//! page: file path=/www content=hello-$id.value @protect      $member.output is a reference
//! site.index: file path=/i content=1                          dots make composites
//! pool: each $names.value file path=/p/$item content=1        members are known when the value is
//! moved old -> new
//! removed gone
//! ```
//! Flags: `@at=PLACE` (a setting of the provider) `@protect @keep @cbd @ignore=INPUT @when=VALUE @moved=PATH @after=PATH @check=VALUE`; of an `each` also
//! `@from=OLD>NEW @gone=OLD`.

use std::collections::{BTreeMap, BTreeSet};

use freehold_model::{MemberPath, OutputRef, Structure, Value};

/// A deployment before it is evaluated.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Deployment {
    pub members: BTreeMap<MemberPath, Resource>,
    pub moved: Vec<(MemberPath, MemberPath)>,
    pub removed: Vec<MemberPath>,
}

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// `each`: the value whose comma-separated parts are the members' names.
    pub each: Option<Expr>,
    pub type_name: String,
    pub inputs: BTreeMap<String, Expr>,
    pub flags: Vec<(String, Expr)>,
}

/// Text with references in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    pub parts: Vec<Part>,
    pub secret: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    Text(String),
    Item,
    Ref(OutputRef),
}

impl Expr {
    pub fn parse(text: &str) -> Self {
        let (secret, mut rest) = match text.strip_prefix("secret:") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let mut parts = Vec::new();
        while let Some(at) = rest.find('$') {
            if at > 0 {
                parts.push(Part::Text(rest[..at].to_owned()));
            }
            rest = &rest[at + 1..];
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '.').unwrap_or(rest.len());
            let name = &rest[..end];
            rest = &rest[end..];
            parts.push(match name.rsplit_once('.') {
                Some((member, output)) => {
                    Part::Ref(OutputRef { member: member.parse().unwrap(), output: output.to_owned() })
                }
                None => Part::Item,
            });
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Self { parts, secret }
    }

    pub fn refs(&self) -> impl Iterator<Item = &OutputRef> {
        self.parts.iter().filter_map(|p| match p {
            Part::Ref(r) => Some(r),
            _ => None,
        })
    }

    /// Its value; `Err` names the outputs that are missing.
    pub fn eval(
        &self,
        item: Option<&str>,
        lookup: &mut dyn FnMut(&OutputRef) -> Option<Value>,
    ) -> Result<Value, BTreeSet<OutputRef>> {
        let mut missing = BTreeSet::new();
        let mut values = Vec::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => values.push(Value::from(text.as_str())),
                Part::Item => values.push(Value::from(item.unwrap_or("item"))),
                Part::Ref(r) => match lookup(r) {
                    Some(value) if value.is_known() => values.push(value),
                    _ => drop(missing.insert(r.clone())),
                },
            }
        }
        if !missing.is_empty() {
            return Err(missing);
        }
        let secret = self.secret || values.iter().any(Value::has_sensitive);
        let value = match values.len() {
            1 => values.remove(0),
            _ => Value::from(values.iter().map(plain_text).collect::<String>()),
        };
        Ok(if secret { value.into_sensitive() } else { value })
    }
}

/// A value as text, secrets in clear.
pub fn plain_text(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        Value::Sensitive(s) => plain_text(s.expose()),
        other => other.to_clear_json().to_string(),
    }
}

impl std::fmt::Display for Expr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.secret {
            f.write_str("secret:")?;
        }
        for part in &self.parts {
            match part {
                Part::Text(text) => f.write_str(text)?,
                Part::Item => f.write_str("$item")?,
                Part::Ref(r) => write!(f, "${}.{}", r.member, r.output)?,
            }
        }
        Ok(())
    }
}

impl Deployment {
    pub fn parse(text: &str) -> Self {
        let mut this = Self::default();
        for line in text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
            if let Some(rest) = line.strip_prefix("moved ") {
                let (from, to) = rest.split_once(" -> ").expect("moved FROM -> TO");
                this.moved.push((from.parse().unwrap(), to.parse().unwrap()));
            } else if let Some(path) = line.strip_prefix("removed ") {
                this.removed.push(path.parse().unwrap());
            } else {
                let (path, rest) = line.split_once(": ").unwrap_or_else(|| panic!("`PATH: TYPE …` expected: {line}"));
                this.members.insert(path.parse().unwrap(), Resource::parse(rest));
            }
        }
        this
    }

    pub fn resource(&self, path: &MemberPath) -> Option<&Resource> {
        self.members.get(path)
    }

    /// Names of the members directly below `path`; `None` when it is no composite by its name alone.
    pub fn children(&self, path: &MemberPath) -> Option<Vec<String>> {
        let depth = path.names().len();
        let below = self.members.keys().filter(|m| m.is_within(path) && m.names().len() > depth);
        let names: BTreeSet<String> = below.map(|m| m.names()[depth].clone()).collect();
        (path.is_root() || !names.is_empty()).then(|| names.into_iter().collect())
    }
}

impl Resource {
    fn parse(text: &str) -> Self {
        let mut words = text.split_whitespace().peekable();
        let each = words.next_if_eq(&"each").map(|_| Expr::parse(words.next().expect("each VALUE TYPE")));
        let mut this = Self {
            each,
            type_name: words.next().expect("a type").to_owned(),
            inputs: BTreeMap::new(),
            flags: Vec::new(),
        };
        for word in words {
            if let Some(flag) = word.strip_prefix('@') {
                let (name, value) = flag.split_once('=').unwrap_or((flag, "true"));
                this.flags.push((name.to_owned(), Expr::parse(value)));
            } else {
                let (name, value) = word.split_once('=').unwrap_or_else(|| panic!("NAME=VALUE expected: {word}"));
                this.inputs.insert(name.to_owned(), Expr::parse(value));
            }
        }
        this
    }

    /// What an `each` says of records: `@from=OLD>NEW` moves them, `@gone=OLD` lets go of them.
    pub fn structure(&self) -> Structure {
        let mut structure = Structure::default();
        for (flag, value) in &self.flags {
            let text = value.to_string();
            match flag.as_str() {
                "from" => {
                    let (from, to) = text.split_once('>').expect("@from=OLD>NEW");
                    structure.moved.push((from.parse().unwrap(), to.parse().unwrap()));
                }
                "gone" => structure.removed.push(text.parse().unwrap()),
                _ => {}
            }
        }
        structure
    }

    /// Whether it says `@after=path`.
    pub fn comes_after(&self, path: &MemberPath) -> bool {
        let path = Expr::parse(&path.to_string());
        self.flags.iter().any(|(flag, value)| flag == "after" && *value == path)
    }

    /// Members that it refers to, in any way.
    pub fn refs(&self) -> BTreeSet<MemberPath> {
        let exprs = self.inputs.values().chain(self.flags.iter().map(|(_, e)| e)).chain(&self.each);
        exprs.flat_map(Expr::refs).map(|r| r.member.clone()).collect()
    }
}

impl std::fmt::Display for Deployment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (path, r) in &self.members {
            write!(f, "{path}: ")?;
            if let Some(each) = &r.each {
                write!(f, "each {each} ")?;
            }
            write!(f, "{}", r.type_name)?;
            for (name, value) in &r.inputs {
                write!(f, " {name}={value}")?;
            }
            for (name, value) in &r.flags {
                write!(f, " @{name}={value}")?;
            }
            writeln!(f)?;
        }
        for (from, to) in &self.moved {
            writeln!(f, "moved {from} -> {to}")?;
        }
        for path in &self.removed {
            writeln!(f, "removed {path}")?;
        }
        Ok(())
    }
}
