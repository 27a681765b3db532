//! Answers as `freehold-eval` does: what can be evaluated is, in any order; then what waits is named; then quiet.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use freehold_model::{
    Attrs, Check, Declaration, Lifecycle, MemberPath, OutputRef, Pointer, ProviderRef, Structure, Value,
};
use freehold_plan::TypeFacts;

use super::deployment::{Deployment, Expr, Resource, plain_text};
use super::world;
use freehold_testkit::Rng;

#[derive(Debug, Clone)]
pub enum Front {
    Structure { member: MemberPath, structure: Structure },
    Declared { member: MemberPath, declaration: Box<Declaration>, edges: BTreeSet<OutputRef>, facts: Arc<TypeFacts> },
    Waiting { member: MemberPath, partial: Option<(Box<Declaration>, Arc<TypeFacts>)>, needs: BTreeSet<OutputRef> },
    Failed { member: MemberPath, message: String },
    Quiet { seen: u64 },
}

#[derive(Debug)]
pub struct Evaluator {
    deployment: Deployment,
    outputs: BTreeMap<MemberPath, Attrs>,
    wanted: BTreeSet<MemberPath>,
    /// What was said since the last change and waits to be heard.
    pub said: VecDeque<Front>,
    ticket: u64,
    quiet_at: Option<u64>,
}

impl Evaluator {
    pub fn new(deployment: Deployment) -> Self {
        Self {
            deployment,
            outputs: BTreeMap::new(),
            wanted: BTreeSet::new(),
            said: VecDeque::new(),
            ticket: 0,
            quiet_at: None,
        }
    }

    pub fn want(&mut self, members: Vec<MemberPath>) {
        self.ticket += 1;
        self.wanted.extend(members);
    }

    pub fn publish(&mut self, member: MemberPath, outputs: Attrs) {
        self.ticket += 1;
        self.outputs.insert(member, outputs);
    }

    /// A change without outputs: `fail` and `pending`.
    pub fn told(&mut self) {
        self.ticket += 1;
    }

    pub fn begin_phase(&mut self, outputs: BTreeMap<MemberPath, Attrs>) {
        self.ticket += 1;
        self.wanted.clear();
        self.said.clear();
        self.outputs = outputs;
    }

    pub fn can_work(&self) -> bool {
        self.quiet_at != Some(self.ticket)
    }

    /// Evaluates one member that can be; with none left, names those that wait and falls quiet.
    pub fn work(&mut self, rng: &mut Rng) {
        let mut able = Vec::new();
        let mut waiting = Vec::new();
        for member in &self.wanted {
            match self.evaluate(member) {
                Front::Waiting { member, partial, needs } => waiting.push(Front::Waiting { member, partial, needs }),
                answer => able.push((member.clone(), answer)),
            }
        }
        if able.is_empty() {
            self.quiet_at = Some(self.ticket);
            self.said.extend(waiting);
            self.said.push_back(Front::Quiet { seen: self.ticket });
        } else {
            let (member, answer) = able.swap_remove(rng.below(able.len()));
            self.wanted.remove(&member);
            self.said.push_back(answer);
        }
    }

    /// The next thing said; a quiet that is no longer true is dropped.
    pub fn hear(&mut self) -> Option<Front> {
        match self.said.pop_front()? {
            Front::Quiet { seen } if seen != self.ticket => None,
            front => Some(front),
        }
    }

    fn evaluate(&self, member: &MemberPath) -> Front {
        let member = member.clone();
        if let Some(children) = self.deployment.children(&member) {
            let root = member.is_root();
            let structure = Structure {
                members: children,
                moved: if root { self.deployment.moved.clone() } else { Vec::new() },
                removed: if root { self.deployment.removed.clone() } else { Vec::new() },
                checks: Vec::new(),
            };
            return Front::Structure { member, structure };
        }
        if let Some(resource) = self.deployment.resource(&member) {
            let Some(each) = &resource.each else { return self.declare(member, resource, None) };
            return match self.items(each) {
                Err(needs) => Front::Waiting { member, partial: None, needs },
                Ok(members) => {
                    let structure = Structure { members, ..resource.structure() };
                    Front::Structure { member, structure }
                }
            };
        }
        let template = member.parent().and_then(|p| self.deployment.resource(&p)).filter(|r| r.each.is_some());
        match template {
            Some(resource) => {
                let item = member.name().unwrap_or_default().to_owned();
                self.declare(member, resource, Some(&item))
            }
            None => Front::Failed { message: format!("`{member}` does not exist"), member },
        }
    }

    fn items(&self, each: &Expr) -> Result<Vec<String>, BTreeSet<OutputRef>> {
        let value = each.eval(None, &mut |r| self.lookup(r))?;
        let names: BTreeSet<String> =
            plain_text(&value).split(',').filter(|n| !n.is_empty()).map(str::to_owned).collect();
        Ok(names.into_iter().collect())
    }

    fn lookup(&self, r: &OutputRef) -> Option<Value> {
        self.outputs.get(&r.member).and_then(|o| o.get(&r.output)).cloned()
    }

    /// Whether what is referred to exists, as far as can be told.
    fn exists(&self, r: &OutputRef) -> Result<(), String> {
        if let Some(resource) = self.deployment.resource(&r.member) {
            let known = resource.each.is_none() && world::outputs(&resource.type_name).contains(&r.output.as_str());
            return if known { Ok(()) } else { Err(format!("attribute `{}` missing", r.output)) };
        }
        let template = r.member.parent().and_then(|p| self.deployment.resource(&p)).and_then(|t| t.each.as_ref());
        match template.map(|each| self.items(each)) {
            Some(Err(_)) => Ok(()),
            Some(Ok(items)) if items.iter().any(|i| Some(i.as_str()) == r.member.name()) => Ok(()),
            _ => Err(format!("attribute `{}` missing", r.member)),
        }
    }

    fn declare(&self, member: MemberPath, resource: &Resource, item: Option<&str>) -> Front {
        let mut needs = BTreeSet::new();
        let mut edges = BTreeSet::new();
        let mut wrong = None;
        let mut eval = |expr: &Expr| {
            for r in expr.refs() {
                edges.insert(r.clone());
                if let Err(message) = self.exists(r) {
                    wrong.get_or_insert(message);
                }
            }
            expr.eval(item, &mut |r| self.lookup(r)).unwrap_or_else(|missing| {
                needs.extend(missing);
                Value::Unknown
            })
        };
        let inputs: Attrs = resource.inputs.iter().map(|(name, expr)| (name.clone(), eval(expr))).collect();
        let mut place = Value::Null;
        let (mut lifecycle, mut depends_on, mut preconditions) = (Lifecycle::default(), BTreeSet::new(), Vec::new());
        for (flag, expr) in &resource.flags {
            let value = eval(expr);
            let text = plain_text(&value);
            match flag.as_str() {
                "protect" => lifecycle.protect = true,
                "keep" => lifecycle.keep = true,
                "cbd" => lifecycle.create_before_destroy = true,
                "ignore" => lifecycle.ignore_changes.push(Pointer::new([text])),
                "when" => lifecycle.replace_when = Some(value),
                "moved" => lifecycle.moved.push(text.parse().unwrap()),
                "after" => drop(depends_on.insert(text.parse().unwrap())),
                "check" => {
                    let assertion = if value.is_known() { Value::Bool(text == "true") } else { Value::Unknown };
                    preconditions.push(Check { assertion, message: format!("`{member}` wants true, not `{text}`") });
                }
                "at" => place = value,
                "from" | "gone" => {}
                other => panic!("no flag @{other}"),
            }
        }
        if let Some(message) = wrong {
            return Front::Failed { member, message };
        }
        let declaration = Box::new(Declaration {
            provider: ProviderRef::Builtin { name: "sim".into(), config: place },
            type_name: resource.type_name.clone(),
            inputs,
            context: BTreeSet::new(),
            outputs: world::outputs(&resource.type_name).iter().map(|o| (*o).to_owned()).collect(),
            holder: None,
            lifecycle,
            depends_on,
            preconditions,
            postconditions: Vec::new(),
            operations: BTreeMap::new(),
        });
        let facts = world::facts(&resource.type_name);
        if needs.is_empty() {
            Front::Declared { member, declaration, edges, facts }
        } else {
            Front::Waiting { member, partial: Some((declaration, facts)), needs }
        }
    }
}
