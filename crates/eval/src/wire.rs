//! What travels between the driver in Nix and the engine: lines on Nix's standard error one way, answers of the bridge the other.
//!
//! Every line of ours is a trace that starts with the conversation's nonce; all others are the user's own traces and Nix's
//! messages. Words: `c` a question follows on the socket; `p NAME` the inputs' part now being evaluated; `n REF` an output was
//! needed that is missing; `u REF` a known output was used; `r ID LAUNCH CONTEXT VALUE CONTEXT` a query's result. `REF` is
//! `[["path"],"output"]`.

use std::collections::{BTreeMap, BTreeSet};

use freehold_model::{MemberPath, OutputRef};
use serde_json::{Value as Json, json};

/// One line of Nix's standard error.
#[derive(Debug)]
pub(crate) enum Line {
    /// A question follows on the socket: all that came before has been read.
    Call,
    /// Which part of the member is being evaluated: an input's name, or a word of ours.
    Part(Part),
    /// An output that is missing was needed.
    Need(OutputRef),
    /// A known output was used.
    Use(OutputRef),
    /// A query is done.
    Result(Box<QueryResult>),
    /// One of ours that cannot be read.
    Bad(String),
    /// Not one of ours.
    Other(String),
}

/// A part of a member that is evaluated apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Input(String),
    Config,
    Preconditions,
    ReplaceWhen,
    Checks,
    Postconditions,
    Operation(String),
}

/// What came of a query.
#[derive(Debug)]
pub(crate) struct QueryResult {
    pub(crate) id: u64,
    pub(crate) launch: Json,
    pub(crate) launch_context: BTreeSet<String>,
    pub(crate) value: Json,
    pub(crate) context: BTreeSet<String>,
    /// Some text in it is not UTF-8 and was not read exactly.
    pub(crate) not_utf8: bool,
}

/// What every line of ours holds in front of its words.
pub(crate) fn marker(nonce: &str) -> String {
    format!("trace: {nonce} ")
}

/// Reads one line. What another program left unfinished in front of one of ours (git's progress) is not kept.
pub(crate) fn read_line(bytes: &[u8], marker: &str) -> Line {
    let line = String::from_utf8_lossy(bytes);
    let Some(words) = line.find(marker).map(|at| &line[at + marker.len()..]) else {
        return Line::Other(line.into_owned());
    };
    let (word, rest) = words.split_once(' ').unwrap_or((words, ""));
    let read = match word {
        "c" => Some(Line::Call),
        "p" => read_part(rest).map(Line::Part),
        "n" => read_reference(rest).map(Line::Need),
        "u" => read_reference(rest).map(Line::Use),
        "r" => read_result(rest).map(|mut result| {
            result.not_utf8 = matches!(line, std::borrow::Cow::Owned(_));
            Line::Result(Box::new(result))
        }),
        _ => None,
    };
    read.unwrap_or_else(|| Line::Bad(line.chars().take(400).collect()))
}

fn read_part(text: &str) -> Option<Part> {
    match serde_json::from_str(text).ok()? {
        Json::Array(names) => Some(Part::Input(names.first()?.as_str()?.to_owned())),
        Json::String(word) => match word.as_str() {
            "config" => Some(Part::Config),
            "preconditions" => Some(Part::Preconditions),
            "replaceWhen" => Some(Part::ReplaceWhen),
            _ => None,
        },
        _ => None,
    }
}

fn read_reference(text: &str) -> Option<OutputRef> {
    let (path, output): (Vec<String>, String) = serde_json::from_str(text).ok()?;
    Some(OutputRef { member: MemberPath::new(path), output })
}

fn read_result(text: &str) -> Option<QueryResult> {
    let (id, rest) = text.split_once(' ')?;
    let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Json>();
    let mut next = || values.next()?.ok();
    let result = QueryResult {
        id: id.parse().ok()?,
        launch: next()?,
        launch_context: read_context(&next()?),
        value: next()?,
        context: read_context(&next()?),
        not_utf8: false,
    };
    Some(result)
}

/// What has to be realised for a string context: store paths, `drv!output`, and derivations whose outputs are all meant.
pub(crate) fn read_context(context: &Json) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for (path, what) in context.as_object().into_iter().flatten() {
        if what.get("path").is_some() || what.get("allOutputs").is_some() {
            paths.insert(path.clone());
        }
        for output in what.get("outputs").and_then(Json::as_array).into_iter().flatten() {
            paths.insert(format!("{path}!{}", output.as_str().unwrap_or("out")));
        }
    }
    paths
}

/// A question of the bridge.
#[derive(Debug)]
pub(crate) enum Question {
    /// Nix runs and will now read the root.
    Hello,
    /// Give me queries.
    Next,
    /// A new generation starts.
    Generation,
    /// An output that is not in the generation's table.
    Output(OutputRef),
    /// The clear value behind a token.
    Reveal(String),
}

/// Reads a question: the epoch of the asking process and what it asks.
pub(crate) fn read_question(bytes: &[u8]) -> Option<(u64, Question)> {
    let words: Vec<&str> = bytes.split(|b| *b == 0).map(std::str::from_utf8).collect::<Result<_, _>>().ok()?;
    let epoch = words.first()?.parse().ok()?;
    let question = match words.get(1..words.len() - 1)? {
        ["hello"] => Question::Hello,
        ["next"] => Question::Next,
        ["generation", _] => Question::Generation,
        ["output", reference] => Question::Output(read_reference(reference)?),
        ["reveal", token] => Question::Reveal((*token).to_owned()),
        _ => return None,
    };
    Some((epoch, question))
}

/// What an evaluation is about: the member itself, or what may depend on its own outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    Main,
    Extras,
}

/// The answer to `next`: queries by id, kind, whether parts shall be told apart, and member.
pub(crate) fn batch<'a>(queries: impl Iterator<Item = (u64, Kind, bool, &'a MemberPath)>) -> Json {
    let word = |kind, detail| match (kind, detail) {
        (Kind::Extras, _) => "x",
        (Kind::Main, true) => "d",
        (Kind::Main, false) => "m",
    };
    let queries: Vec<Json> =
        queries.map(|(id, kind, detail, path)| json!([id, word(kind, detail), path.names()])).collect();
    json!({ "end": false, "queries": queries })
}

/// The answer to `next` that ends the generation.
pub(crate) fn end_of_generation() -> Json {
    json!({ "end": true })
}

/// The answer to `generation`; `known` has for each member the driver's form of its outputs.
pub(crate) fn generation(complete: bool, known: &BTreeMap<MemberPath, BTreeMap<String, Json>>) -> Json {
    let mut tree = json!({});
    for (path, outputs) in known {
        let mut here = &mut tree;
        for name in path.names() {
            here = &mut here["m"][name.as_str()];
        }
        here["o"] = json!(outputs);
    }
    json!({ "stop": false, "table": { "complete": complete, "known": tree } })
}

/// The answer to `generation` that ends the evaluator.
pub(crate) fn stop() -> Json {
    json!({ "stop": true })
}

#[cfg(test)]
#[allow(clippy::panic, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn lines_of_others_are_left_alone() {
        let read = |line: &str| read_line(line.as_bytes(), &marker("N"));
        assert!(matches!(read("trace: hello"), Line::Other(text) if text == "trace: hello"));
        assert!(matches!(read("trace: N n [[\"a\"],\"out\"]"), Line::Need(r) if r.to_string() == "a.outputs.out"));
        assert!(matches!(read("trace: N n [[\"a\"],"), Line::Bad(_)));
    }

    #[test]
    fn a_line_of_ours_is_found_behind_an_unfinished_one() {
        assert!(matches!(read_line(b"Cloning... 12%trace: N c", &marker("N")), Line::Call));
    }

    #[test]
    fn a_result_that_is_not_utf8_is_known_to_be_inexact() {
        let exact = |line: &[u8]| match read_line(line, &marker("N")) {
            Line::Result(result) => !result.not_utf8,
            other => panic!("{other:?}"),
        };
        assert!(exact("trace: N r 1 null {} {\"k\":\"ü\"} {}".as_bytes()));
        assert!(!exact(b"trace: N r 1 null {} {\"k\":\"\xff\"} {}"));
    }

    #[test]
    fn a_context_names_outputs_files_and_whole_derivations() {
        let context = json!({
            "/s/a.drv": { "outputs": ["out", "dev"] }, "/s/b": { "path": true }, "/s/c.drv": { "allOutputs": true }
        });
        let read: Vec<_> = read_context(&context).into_iter().collect();
        assert_eq!(read, ["/s/a.drv!dev", "/s/a.drv!out", "/s/b", "/s/c.drv"]);
    }
}
