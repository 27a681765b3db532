//! Member paths as a tree.

use std::collections::{BTreeMap, BTreeSet};

use freehold_model::MemberPath;

use super::style::{self, paint};

/// The tree below the root: each name with what `note` says of it.
pub(crate) fn tree(members: &BTreeSet<MemberPath>, note: &dyn Fn(&MemberPath) -> String) -> String {
    let mut children: BTreeMap<MemberPath, BTreeSet<MemberPath>> = BTreeMap::new();
    for member in members {
        let mut here = member.clone();
        while let Some(parent) = here.parent() {
            let new = children.entry(parent.clone()).or_default().insert(here.clone());
            if !new {
                break;
            }
            here = parent;
        }
    }
    let mut text = String::new();
    branch(&MemberPath::root(), "", &children, note, &mut text);
    text
}

fn branch(
    at: &MemberPath,
    lead: &str,
    children: &BTreeMap<MemberPath, BTreeSet<MemberPath>>,
    note: &dyn Fn(&MemberPath) -> String,
    text: &mut String,
) {
    let Some(below) = children.get(at) else { return };
    for (index, child) in below.iter().enumerate() {
        let last = index + 1 == below.len();
        let (fork, gap) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let name = MemberPath::new(child.name()).to_string();
        let said = note(child);
        let said = if said.is_empty() { said } else { format!("  {said}") };
        *text += &format!("{}{}{said}\n", paint(style::FAINT, format!("{lead}{fork}")), paint(style::STRONG, name));
        branch(child, &format!("{lead}{gap}"), children, note, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composites_are_shown_even_when_only_their_members_are_listed() {
        let members = ["site.page", "site.check", "id", "files.\"a.txt\""].map(|m| m.parse().unwrap()).into();
        let note = |m: &MemberPath| if m.name() == Some("id") { "local.random".to_owned() } else { String::new() };
        let shown = anstream::adapter::strip_str(&tree(&members, &note)).to_string();
        insta::assert_snapshot!(shown, @r#"
        ├─ files
        │  └─ "a.txt"
        ├─ id  local.random
        └─ site
           ├─ check
           └─ page
        "#);
    }
}
