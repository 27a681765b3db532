//! What travels between the driver in Nix and the engine: lines on Nix's standard error one way, answers of the bridge the other.
//!
//! Every line of ours is a trace that starts with the conversation's nonce; all others are the user's own traces and Nix's
//! messages. Words: `b` Nix begins; `c` a question follows on the socket; `f` what lay ready for its first generation is taken; `p NAME` the inputs' part now being evaluated; `n REF` an output was
//! needed that is missing; `u REF` a known output was used; `r ID VALUE CONTEXT` a query's result, of one with a program of its own `r ID VALUE CONTEXT LAUNCH CONTEXT`;
//! `k NAME VALUE CONTEXT…` those of members of the composite which was answered last, one behind the other. `REF` is `[["path"],"output"]`.

use std::collections::{BTreeMap, BTreeSet};

use freehold_model::{MemberPath, OutputRef};
use serde_json::{Value as Json, json};

/// One line of Nix's standard error.
#[derive(Debug)]
pub(crate) enum Line {
    /// Nix runs and will now read the root.
    Begun,
    /// A question follows on the socket: all that came before has been read.
    Call,
    /// The answer to the first question was there already, and it is taken.
    First,
    /// Which part of the member is being evaluated: an input's name, or a word of ours.
    Part(Part),
    /// An output that is missing was needed.
    Need(OutputRef),
    /// A known output was used.
    Use(OutputRef),
    /// A query is done.
    Result(u64, Box<QueryResult>),
    /// What queries for these members of the composite that was answered last would come to.
    Ahead(Vec<(String, QueryResult)>),
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
    let not_utf8 = matches!(line, std::borrow::Cow::Owned(_));
    let read = match word {
        "b" => Some(Line::Begun),
        "c" => Some(Line::Call),
        "f" => Some(Line::First),
        "p" => read_part(rest).map(Line::Part),
        "n" => read_reference(rest).map(Line::Need),
        "u" => read_reference(rest).map(Line::Use),
        "r" => read_results(rest, not_utf8)
            .and_then(|mut all| all.pop().filter(|_| all.is_empty()))
            .map(|(id, result)| Line::Result(id, Box::new(result))),
        "k" => read_results(rest, not_utf8).map(Line::Ahead),
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

/// What is answered (ids, or names), and the answers: two values each, or four where a program of its own comes behind.
fn read_results<T: serde::de::DeserializeOwned>(text: &str, not_utf8: bool) -> Option<Vec<(T, QueryResult)>> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Json>().peekable();
    let mut results = Vec::new();
    while let Some(what) = values.next() {
        let what = serde_json::from_value(what.ok()?).ok()?;
        let (value, context) = (values.next()?.ok()?, read_context(&values.next()?.ok()?));
        let (launch, launch_context) = match values.next_if(|next| next.as_ref().is_ok_and(Json::is_object)) {
            None => (Json::Null, BTreeSet::new()),
            Some(launch) => (launch.ok()?, read_context(&values.next()?.ok()?)),
        };
        results.push((what, QueryResult { launch, launch_context, value, context, not_utf8 }));
    }
    Some(results)
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
    /// Give me queries.
    Next,
    /// A new generation starts; give me what is known, and queries.
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

/// How a query is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Manner<'a> {
    /// No more than an answer.
    Plain,
    /// Its parts are told apart.
    Detailed,
    /// The members of a composite are answered with it, but for these.
    Ahead(&'a BTreeSet<String>),
}

/// The answer to `next`: queries as [`batch`] has them.
pub(crate) fn next(batch: &Json) -> Json {
    json!({ "end": false, "queries": batch })
}

/// Queries by id, kind, manner and member.
pub(crate) fn batch<'a>(queries: impl Iterator<Item = (u64, Kind, Manner<'a>, &'a MemberPath)>) -> Json {
    let all = queries.map(|(id, kind, manner, path)| match (kind, manner) {
        (Kind::Extras, _) => json!([id, "x", path.names()]),
        (Kind::Main, Manner::Detailed) => json!([id, "d", path.names()]),
        (Kind::Main, Manner::Ahead(apart)) => json!([id, "a", path.names(), apart]),
        (Kind::Main, Manner::Plain) => json!([id, "m", path.names()]),
    });
    all.collect()
}

/// The answer to `next` that ends the generation.
pub(crate) fn end_of_generation() -> Json {
    json!({ "end": true })
}

/// The answer to `generation`, with the first queries for it; `known` has for each member the driver's form of its outputs.
pub(crate) fn generation(complete: bool, known: &BTreeMap<MemberPath, BTreeMap<String, Json>>, batch: &Json) -> Json {
    let mut tree = json!({});
    for (path, outputs) in known {
        let mut here = &mut tree;
        for name in path.names() {
            here = &mut here["m"][name.as_str()];
        }
        here["o"] = json!(outputs);
    }
    json!({ "stop": false, "table": { "complete": complete, "known": tree }, "queries": batch })
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
            Line::Result(1, result) => !result.not_utf8,
            other => panic!("{other:?}"),
        };
        assert!(exact("trace: N r 1 {\"k\":\"ü\"} {}".as_bytes()));
        assert!(!exact(b"trace: N r 1 {\"k\":\"\xff\"} {}"));
    }

    #[test]
    fn what_is_told_of_members_ahead_has_their_names_whatever_is_in_them() {
        let line = read_line(
            b"trace: N k \"a \\\"b\\\" c\" {\"k\":\"r\"} {} {\"type\":\"stdio\"} {} \"d\\t\" {\"k\":\"f\"} {}",
            &marker("N"),
        );
        let Line::Ahead(told) = line else { panic!("{line:?}") };
        let told: Vec<_> =
            told.iter().map(|(name, it)| (name.as_str(), it.value["k"].as_str(), it.launch["type"].as_str())).collect();
        assert_eq!(told, [("a \"b\" c", Some("r"), Some("stdio")), ("d\t", Some("f"), None)]);
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
