//! `freehold graph`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::ValueEnum;
use clap_complete::ArgValueCompleter;
use freehold_engine::{Engine, Evaluated};
use freehold_model::MemberPath;
use serde_json::json;

use super::held;
use super::members::kind_of;
use crate::complete;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::graph::{Graph, Node};
use crate::render::svg;
use crate::session::{Session, Tuning};

/// Draw the members and what flows between them
///
/// The edges are those that were seen to flow in one evaluation: where several members use the same expression, only the first is
/// seen. --exact evaluates each member alone, which takes longer and sees them all.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these members and what is below them
    #[arg(value_name = "MEMBER", add = ArgValueCompleter::new(complete::members))]
    members: Vec<MemberPath>,
    /// How it is drawn
    #[arg(long, value_enum, default_value_t = Format::Mermaid)]
    format: Format,
    /// Evaluate each member alone
    #[arg(long)]
    exact: bool,
    /// Write it to a file
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    out: Option<PathBuf>,
}

/// How a graph is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A picture, drawn by Freehold itself
    Svg,
    /// For Graphviz
    Dot,
    /// For Markdown pages
    Mermaid,
}

pub(crate) fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let (mut engine, stage) = session.engine(Tuning::default())?;
    let found = engine.evaluate(&args.members)?;
    let known: Vec<&MemberPath> = all_of(&found).collect();
    if let Some(missing) = args.members.iter().find(|m| !known.iter().any(|path| path.is_within(m))) {
        let composites = found.structures.iter().flat_map(|(path, s)| s.members.iter().map(|name| path.child(name)));
        let named: Vec<MemberPath> = composites.chain(known.iter().map(|path| (*path).clone())).collect();
        return Err(held::unknown_member("member", missing, named.iter(), "freehold members"));
    }
    let mut graph = graph_of(&found, &args.members);
    if args.exact {
        graph.edges = exact_edges(&mut engine, &graph)?;
    }
    stage.pause();
    let text = match args.format {
        _ if session.ui.json => {
            let json = graph_json(&graph);
            session.ui.check_report(&json);
            format!("{json:#}\n")
        }
        Format::Svg => svg::draw(&graph),
        Format::Dot => graph.to_dot(),
        Format::Mermaid => graph.to_mermaid(),
    };
    match args.out {
        Some(file) => fs_err::write(file, text)?,
        None => session.ui.raw(text.as_bytes()),
    }
    for (member, failure) in &found.failed {
        session.ui.warn(&format!("`{member}` does not evaluate: {}", failure.message));
    }
    Ok(Exit::Ok)
}

/// Whatever was heard of.
fn all_of(found: &Evaluated) -> impl Iterator<Item = &MemberPath> {
    found.structures.keys().chain(found.declarations.keys()).chain(found.waiting.keys()).chain(found.failed.keys())
}

fn graph_of(found: &Evaluated, members: &[MemberPath]) -> Graph {
    let wanted = |m: &MemberPath| members.is_empty() || members.iter().any(|w| m.is_within(w));
    let mut graph = Graph::default();
    let open = found
        .waiting
        .keys()
        .chain(found.failed.keys())
        .filter(|m| !m.is_root() && !found.declarations.contains_key(*m));
    graph.nodes.extend(open.filter(|m| wanted(m)).map(|m| (m.clone(), Node { kind: "?".to_owned() })));
    for (path, (declaration, edges)) in found.declarations.iter().filter(|(p, _)| wanted(p)) {
        let (provider, type_name) = kind_of(declaration);
        graph.nodes.insert(path.clone(), Node { kind: format!("{provider}.{type_name}") });
        graph.edges.extend(edges.iter().map(|from| (from.clone(), path.clone())));
    }
    let nodes = &graph.nodes;
    graph.edges.retain(|(from, to)| nodes.contains_key(from) && nodes.contains_key(to));
    graph
}

fn exact_edges(engine: &mut Engine, graph: &Graph) -> Result<BTreeSet<(MemberPath, MemberPath)>, Failure> {
    let mut edges = BTreeSet::new();
    for member in graph.nodes.keys() {
        let alone = engine.evaluate(std::slice::from_ref(member))?;
        let needs = alone.declarations.get(member).map(|(_, edges)| edges.clone()).unwrap_or_default();
        edges.extend(needs.into_iter().filter(|n| graph.nodes.contains_key(n)).map(|from| (from, member.clone())));
    }
    Ok(edges)
}

fn graph_json(graph: &Graph) -> serde_json::Value {
    let nodes: Vec<_> = graph.nodes.iter().map(|(m, n)| json!({ "member": m, "type": n.kind })).collect();
    let edges: Vec<_> = graph.edges.iter().map(|(from, to)| json!({ "from": from, "to": to })).collect();
    json!({ "format": "freehold.graph/1", "nodes": nodes, "edges": edges })
}
