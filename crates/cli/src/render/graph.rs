//! Resources and what flows between them, as text for programs that draw. Our own drawing is in [`super::svg`].

use std::collections::{BTreeMap, BTreeSet};

use freehold_model::MemberPath;

use super::text::is_unfit;

/// What is drawn.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    /// Resources by path.
    pub(crate) nodes: BTreeMap<MemberPath, Node>,
    /// From the member whose output flows to the member it flows into.
    pub(crate) edges: BTreeSet<(MemberPath, MemberPath)>,
}

/// One resource.
#[derive(Debug)]
pub(crate) struct Node {
    /// `local.file`.
    pub(crate) kind: String,
}

impl Graph {
    /// For Graphviz; composites are clusters.
    pub(crate) fn to_dot(&self) -> String {
        let mut text = String::from(
            "digraph deployment {\n  rankdir = LR;\n  node [shape = box, style = rounded, fontname = \"sans-serif\"];\n",
        );
        let ids = self.ids();
        self.clusters(&MemberPath::root(), 1, &mut |depth, line| {
            let pad = "  ".repeat(depth);
            match line {
                Line::Open(index, path) => {
                    text += &format!("{pad}subgraph cluster_{index} {{\n{pad}  label = \"{}\";\n", dot(&name(path)));
                }
                Line::Node(path, node) => {
                    text += &format!("{pad}{} [label = \"{}\\n{}\"];\n", ids[path], dot(&name(path)), dot(&node.kind));
                }
                Line::Close => text += &format!("{pad}}}\n"),
            }
        });
        for (from, to) in &self.edges {
            text += &format!("  {} -> {};\n", ids[from], ids[to]);
        }
        text + "}\n"
    }

    /// For Markdown pages; composites are subgraphs.
    pub(crate) fn to_mermaid(&self) -> String {
        let mut text = String::from("flowchart LR\n");
        let ids = self.ids();
        self.clusters(&MemberPath::root(), 1, &mut |depth, line| {
            let pad = "  ".repeat(depth);
            match line {
                Line::Open(index, path) => text += &format!("{pad}subgraph c{index} [\"{}\"]\n", mermaid(&name(path))),
                Line::Node(path, node) => {
                    text += &format!("{pad}{}[\"{}<br/>{}\"]\n", ids[path], mermaid(&name(path)), mermaid(&node.kind));
                }
                Line::Close => text += &format!("{pad}end\n"),
            }
        });
        for (from, to) in &self.edges {
            text += &format!("  {} --> {}\n", ids[from], ids[to]);
        }
        text
    }

    fn ids(&self) -> BTreeMap<&MemberPath, String> {
        self.nodes.keys().enumerate().map(|(index, path)| (path, format!("n{index}"))).collect()
    }

    /// Walks the tree of composites: nodes first, then what is nested.
    fn clusters(&self, at: &MemberPath, depth: usize, visit: &mut dyn FnMut(usize, Line<'_>)) {
        let mut nested = BTreeSet::new();
        for (path, node) in self.nodes.range(at..).take_while(|(p, _)| p.is_within(at)) {
            if path.names().len() == at.names().len() + 1 {
                visit(depth, Line::Node(path, node));
            } else if let Some(next) = path.names().get(at.names().len()) {
                nested.insert(at.child(next));
            }
        }
        for composite in nested {
            let first = self.nodes.keys().position(|p| p.is_within(&composite)).unwrap_or_default();
            visit(depth, Line::Open(format!("{first}_{depth}"), &composite));
            self.clusters(&composite, depth + 1, visit);
            visit(depth, Line::Close);
        }
    }
}

enum Line<'a> {
    Open(String, &'a MemberPath),
    Node(&'a MemberPath, &'a Node),
    Close,
}

fn name(path: &MemberPath) -> String {
    path.name().unwrap_or(".").to_owned()
}

fn fit(text: &str) -> String {
    text.chars().map(|c| if is_unfit(c) { '\u{fffd}' } else { c }).collect()
}

fn dot(text: &str) -> String {
    fit(text).replace('\\', "\\\\").replace('"', "\\\"")
}

fn mermaid(text: &str) -> String {
    fit(text).replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
pub(crate) fn example() -> Graph {
    let path = |text: &str| text.parse::<MemberPath>().unwrap();
    let node = |kind: &str| Node { kind: kind.to_owned() };
    Graph {
        nodes: [
            (path("id"), node("local.random")),
            (path("site.page"), node("local.file")),
            (path("site.check"), node("local.exec")),
            (path("\"odd \\\"<name>\""), node("local.memo")),
        ]
        .into(),
        edges: [(path("id"), path("site.page")), (path("site.page"), path("site.check"))].into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composites_are_subgraphs_and_odd_names_are_escaped() {
        insta::assert_snapshot!(example().to_mermaid(), @r#"
        flowchart LR
          n0["id<br/>local.random"]
          n1["odd &quot;&lt;name&gt;<br/>local.memo"]
          subgraph c2_1 ["site"]
            n2["check<br/>local.exec"]
            n3["page<br/>local.file"]
          end
          n0 --> n3
          n3 --> n2
        "#);
        insta::assert_snapshot!(example().to_dot(), @r#"
        digraph deployment {
          rankdir = LR;
          node [shape = box, style = rounded, fontname = "sans-serif"];
          n0 [label = "id\nlocal.random"];
          n1 [label = "odd \"<name>\nlocal.memo"];
          subgraph cluster_2_1 {
            label = "site";
            n2 [label = "check\nlocal.exec"];
            n3 [label = "page\nlocal.file"];
          }
          n0 -> n3;
          n3 -> n2;
        }
        "#);
    }
}
