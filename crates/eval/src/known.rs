//! What is known of outputs in a phase, and the form in which a generation is told.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use freehold_model::{Attrs, MemberPath, OutputRef, Value};
use serde_json::{Value as Json, json};

use crate::secrets::Tokens;

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Prospect {
    /// Nothing was said.
    #[default]
    Open,
    /// It is being applied: outputs will come.
    Pending,
    /// All that will be known in this phase has been published, or it failed.
    Settled,
}

#[derive(Debug, Default)]
struct Entry {
    prospect: Prospect,
    outputs: Attrs,
    /// When each output was last published.
    published: BTreeMap<String, u64>,
    encoded: BTreeMap<String, Json>,
}

/// The outputs of all members.
#[derive(Debug, Default)]
pub(crate) struct Known {
    members: HashMap<MemberPath, Entry>,
    pending: usize,
    bytes: usize,
    version: u64,
}

impl Known {
    pub(crate) fn publish(&mut self, member: &MemberPath, outputs: Attrs, tokens: &mut Tokens, nonce: &str) {
        self.set_prospect(member, Prospect::Settled);
        let entry = self.members.entry(member.clone()).or_default();
        for (output, value) in &outputs {
            let reference = OutputRef { member: member.clone(), output: output.clone() };
            let encoded = tokens.encode(&reference, value, nonce);
            self.bytes += encoded.to_string().len() + output.len();
            entry.encoded.insert(output.clone(), encoded);
            entry.published.insert(output.clone(), self.version + 1);
        }
        entry.outputs.extend(outputs);
        self.version += 1;
    }

    pub(crate) fn pending(&mut self, member: &MemberPath) {
        self.set_prospect(member, Prospect::Pending);
    }

    pub(crate) fn fail(&mut self, member: &MemberPath) {
        self.set_prospect(member, Prospect::Settled);
    }

    fn set_prospect(&mut self, member: &MemberPath, prospect: Prospect) {
        let entry = self.members.entry(member.clone()).or_default();
        self.pending += usize::from(prospect == Prospect::Pending);
        self.pending -= usize::from(entry.prospect == Prospect::Pending);
        entry.prospect = prospect;
    }

    /// Forgets everything.
    pub(crate) fn forget(&mut self) {
        *self = Self { version: self.version + 1, ..Self::default() };
    }

    /// Whether outputs of this member are on their way.
    pub(crate) fn is_pending(&self, member: &MemberPath) -> bool {
        self.members.get(member).is_some_and(|entry| entry.prospect == Prospect::Pending)
    }

    /// Whether nothing more will come of this member in this phase.
    pub(crate) fn is_settled(&self, member: &MemberPath) -> bool {
        self.members.get(member).is_some_and(|entry| entry.prospect == Prospect::Settled)
    }

    /// Whether outputs of any member are on their way.
    pub(crate) fn any_pending(&self) -> bool {
        self.pending > 0
    }

    /// Whether an output has a wholly known value.
    pub(crate) fn is_available(&self, output: &OutputRef) -> bool {
        let value = self.members.get(&output.member).and_then(|entry| entry.outputs.get(&output.output));
        value.is_some_and(Value::is_known)
    }

    /// Whether more may be known of an output than at `version`: it has a wholly known value, or one with known parts that is newer.
    pub(crate) fn may_help(&self, output: &OutputRef, version: u64) -> bool {
        let Some(entry) = self.members.get(&output.member) else { return false };
        let newer = entry.published.get(&output.output).is_some_and(|published| *published > version);
        entry.outputs.get(&output.output).is_some_and(|value| value.is_known() || newer && *value != Value::Unknown)
    }

    /// Changes whenever something is published.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Size of all of it as text.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The driver's form of one output.
    pub(crate) fn encoded(&self, output: &OutputRef) -> Json {
        let entry = self.members.get(&output.member);
        entry.and_then(|entry| entry.encoded.get(&output.output)).cloned().unwrap_or_else(|| json!([2]))
    }

    /// The driver's form of everything.
    pub(crate) fn all(&self) -> BTreeMap<MemberPath, BTreeMap<String, Json>> {
        self.members.iter().map(|(member, entry)| (member.clone(), entry.encoded.clone())).collect()
    }

    /// The driver's form of these outputs and of all outputs of these members.
    pub(crate) fn some<'a>(
        &self,
        outputs: impl Iterator<Item = &'a OutputRef>,
        members: &BTreeSet<MemberPath>,
    ) -> BTreeMap<MemberPath, BTreeMap<String, Json>> {
        let mut table: BTreeMap<MemberPath, BTreeMap<String, Json>> = BTreeMap::new();
        for output in outputs {
            table.entry(output.member.clone()).or_default().insert(output.output.clone(), self.encoded(output));
        }
        for member in members {
            let encoded = self.members.get(member).map(|entry| entry.encoded.clone()).unwrap_or_default();
            table.entry(member.clone()).or_default().extend(encoded);
        }
        table
    }
}
