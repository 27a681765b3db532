//! A graph as a picture: columns by what has to be done first, rows ordered so that edges cross little. No other program needed.
//!
//! The layout is the well-known layered one: a column is the longest way from a member that needs nothing; within a column, members
//! are put at the mean height of what they are joined to, a few times from left to right and back.

use std::collections::{BTreeMap, BTreeSet};

use freehold_model::MemberPath;

use super::graph::Graph;
use super::text::{is_unfit, shorten};

const WIDTH: usize = 190;
const HEIGHT: usize = 44;
const GAP_X: usize = 70;
const GAP_Y: usize = 18;
const MARGIN: usize = 20;
const SWEEPS: usize = 6;
const LABEL: usize = 26;

/// The picture.
pub(crate) fn draw(graph: &Graph) -> String {
    let places = places(graph);
    let columns = places.values().map(|(column, _)| column + 1).max().unwrap_or(1);
    let rows = places.values().map(|(_, row)| row + 1).max().unwrap_or(1);
    let (width, height) =
        (2 * MARGIN + columns * (WIDTH + GAP_X) - GAP_X, 2 * MARGIN + rows * (HEIGHT + GAP_Y) - GAP_Y);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\">\n\
         <style>.box {{ fill: #f6f8fa; stroke: #57606a; }} .kind {{ fill: #57606a; font-size: 11px; }} .edge {{ fill: none; stroke: #8c959f; }}\
         @media (prefers-color-scheme: dark) {{ .box {{ fill: #161b22; }} text {{ fill: #e6edf3; }} .kind {{ fill: #8b949e; }} }}</style>\n\
         <defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\">\
         <path d=\"M0 0 L8 4 L0 8 z\" fill=\"#8c959f\"/></marker></defs>\n"
    );
    let corner = |place: &(usize, usize)| (MARGIN + place.0 * (WIDTH + GAP_X), MARGIN + place.1 * (HEIGHT + GAP_Y));
    for (from, to) in &graph.edges {
        let ((x1, y1), (x2, y2)) = (corner(&places[from]), corner(&places[to]));
        let (x1, y1, y2, bend) = (x1 + WIDTH, y1 + HEIGHT / 2, y2 + HEIGHT / 2, GAP_X / 2);
        text += &format!(
            "<path class=\"edge\" marker-end=\"url(#tip)\" d=\"M{x1} {y1} C{} {y1} {} {y2} {x2} {y2}\"/>\n",
            x1 + bend,
            x2.saturating_sub(bend)
        );
    }
    for (path, node) in &graph.nodes {
        let (x, y) = corner(&places[path]);
        let label = path.to_string();
        text += &format!(
            "<g><title>{}</title><rect class=\"box\" x=\"{x}\" y=\"{y}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"6\"/>\
             <text x=\"{2}\" y=\"{3}\">{1}</text><text class=\"kind\" x=\"{2}\" y=\"{4}\">{5}</text></g>\n",
            escape(&label),
            escape(&fit(&label)),
            x + 10,
            y + 19,
            y + 35,
            escape(&fit(&node.kind)),
        );
    }
    text + "</svg>\n"
}

/// Column and row of each node.
fn places(graph: &Graph) -> BTreeMap<&MemberPath, (usize, usize)> {
    let columns = columns(graph);
    let mut order: Vec<Vec<&MemberPath>> = vec![Vec::new(); columns.values().max().map_or(0, |m| m + 1)];
    for path in graph.nodes.keys() {
        order[columns[path]].push(path);
    }
    for sweep in 0..SWEEPS {
        let forwards = sweep % 2 == 0;
        let rows: BTreeMap<&MemberPath, f64> = order.iter().flat_map(|column| heights(column)).collect();
        let indices: Vec<usize> = if forwards { (0..order.len()).collect() } else { (0..order.len()).rev().collect() };
        for index in indices {
            let mut keyed: Vec<(f64, &MemberPath)> = order[index]
                .iter()
                .map(|path| (mean(graph, path, forwards, &rows).unwrap_or_else(|| rows[*path]), *path))
                .collect();
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(b.1)));
            order[index] = keyed.into_iter().map(|(_, path)| path).collect();
        }
    }
    order
        .iter()
        .enumerate()
        .flat_map(|(column, paths)| paths.iter().enumerate().map(move |(row, path)| (*path, (column, row))))
        .collect()
}

/// Longest way from a node without incoming edges; an edge that would close a circle counts for nothing.
fn columns(graph: &Graph) -> BTreeMap<&MemberPath, usize> {
    let mut waiting: BTreeMap<&MemberPath, usize> = graph.nodes.keys().map(|p| (p, 0)).collect();
    let mut followers: BTreeMap<&MemberPath, Vec<&MemberPath>> = BTreeMap::new();
    for (from, to) in graph.edges.iter().filter(|(from, to)| from != to) {
        followers.entry(from).or_default().push(to);
        *waiting.entry(to).or_default() += 1;
    }
    let mut columns: BTreeMap<&MemberPath, usize> = graph.nodes.keys().map(|p| (p, 0)).collect();
    let mut ready: Vec<&MemberPath> = waiting.iter().filter(|(_, n)| **n == 0).map(|(p, _)| *p).collect();
    let mut seen: BTreeSet<&MemberPath> = ready.iter().copied().collect();
    while let Some(path) = ready.pop() {
        for follower in followers.get(path).into_iter().flatten() {
            let column = columns[path] + 1;
            let entry = columns.entry(follower).or_default();
            *entry = (*entry).max(column);
            if let Some(left) = waiting.get_mut(follower) {
                *left -= 1;
                if *left == 0 && seen.insert(follower) {
                    ready.push(follower);
                }
            }
        }
    }
    columns
}

fn heights<'a>(column: &[&'a MemberPath]) -> Vec<(&'a MemberPath, f64)> {
    column.iter().zip(0_u32..).map(|(path, row)| (*path, f64::from(row))).collect()
}

/// Mean height of the nodes before (or after) this one.
fn mean(graph: &Graph, path: &MemberPath, forwards: bool, rows: &BTreeMap<&MemberPath, f64>) -> Option<f64> {
    let joined: Vec<f64> = graph
        .edges
        .iter()
        .filter_map(|(from, to)| match forwards {
            true if to == path => rows.get(from),
            false if from == path => rows.get(to),
            _ => None,
        })
        .copied()
        .collect();
    let number = u32::try_from(joined.len()).ok().filter(|n| *n > 0)?;
    Some(joined.iter().sum::<f64>() / f64::from(number))
}

fn fit(label: &str) -> String {
    let (start, more) = shorten(label, LABEL);
    if more > 0 { format!("{start}…") } else { start.to_owned() }
}

fn escape(text: &str) -> String {
    let text: String = text.chars().map(|c| if is_unfit(c) { '\u{fffd}' } else { c }).collect();
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::graph::example;

    #[test]
    fn what_is_needed_stands_left_of_what_needs_it() {
        let graph = example();
        let places = places(&graph);
        let column = |path: &str| places[&path.parse::<MemberPath>().unwrap()].0;
        assert_eq!((column("id"), column("site.page"), column("site.check")), (0, 1, 2));
    }

    #[test]
    fn a_circle_does_no_harm() {
        let mut graph = example();
        graph.edges.insert(("site.check".parse().unwrap(), "id".parse().unwrap()));
        assert_eq!(places(&graph).len(), 4);
    }

    #[test]
    fn the_picture_is_wellformed_xml_without_markup_from_names() {
        let svg = draw(&example());
        assert!(svg.contains("<title>&quot;odd \\&quot;&lt;name&gt;&quot;</title>"), "{svg}");
        assert_eq!(svg.matches("<g>").count(), 4);
        assert_eq!(svg.matches("class=\"edge\"").count(), 2);
        assert!(svg.ends_with("</svg>\n"));
    }
}
