//! What Nix says on standard error with `--log-format internal-json`: activities that start, report and stop, and messages.
//!
//! The format is the same from Nix 2.8 to 2.34. Lines of another form are taken as messages, whatever is in them.

use std::collections::{BTreeMap, VecDeque};

use serde_json::Value as Json;

/// Lines of a builder's log that are kept for a failure.
const LOG_LINES: usize = 40;

/// Numbers by which Nix tells activities and their results apart.
mod code {
    pub(super) const COPY_PATHS: u64 = 103;
    pub(super) const BUILDS: u64 = 104;
    pub(super) const BUILD: u64 = 105;
    pub(super) const SUBSTITUTE: u64 = 108;
    pub(super) const LOG_LINE: u64 = 101;
    pub(super) const PHASE: u64 = 104;
    pub(super) const PROGRESS: u64 = 105;
    pub(super) const POST_BUILD_LOG_LINE: u64 = 107;
}

/// One thing worth showing while something is realised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// A derivation is being built.
    Building {
        /// Its store path.
        derivation: String,
    },
    /// A path is being fetched.
    Fetching {
        /// Its store path.
        path: String,
        /// Where from.
        from: String,
    },
    /// A builder has reached a phase.
    Phase {
        /// The derivation.
        derivation: String,
        /// `buildPhase`, …
        phase: String,
    },
    /// A builder said a line.
    Log {
        /// The derivation.
        derivation: String,
        /// The line.
        line: String,
    },
    /// A build or fetch has ended, well or not.
    Ended {
        /// The derivation or path.
        path: String,
    },
    /// How far all of it is.
    Counts {
        /// Builds that are done.
        built: u64,
        /// Builds in all, as far as known.
        to_build: u64,
        /// Paths that are fetched.
        fetched: u64,
        /// Paths to fetch in all, as far as known.
        to_fetch: u64,
    },
    /// Something that Nix says by the way: a warning, or what it is going to do.
    Message {
        /// The text without colours.
        text: String,
    },
}

/// Makes progress out of Nix's lines, and keeps what a failure needs.
#[derive(Debug, Default)]
pub(crate) struct Listener {
    active: BTreeMap<u64, Activity>,
    builds: Count,
    fetches: Count,
    logs: BTreeMap<String, VecDeque<String>>,
    /// Messages of level *error*, in their order.
    pub(crate) errors: Vec<String>,
}

#[derive(Debug, Clone)]
enum Activity {
    Build(String),
    Substitute(String),
    Builds,
    Fetches,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Count {
    done: u64,
    expected: u64,
}

impl Listener {
    /// Takes one line of standard error.
    pub(crate) fn hear(&mut self, line: &str) -> Option<Progress> {
        let Some(json) = line.strip_prefix("@nix ").and_then(|json| serde_json::from_str::<Json>(json).ok()) else {
            return self.message(line, line.starts_with("error:"));
        };
        match json["action"].as_str()? {
            "start" => self.start(&json),
            "stop" => match self.active.remove(&json["id"].as_u64()?)? {
                Activity::Build(path) | Activity::Substitute(path) => Some(Progress::Ended { path }),
                Activity::Builds | Activity::Fetches => None,
            },
            "result" => self.result(&json),
            "msg" => {
                let level = json["level"].as_u64();
                match level {
                    Some(0) => self.message(&error(&json)?, true),
                    _ => self.message(json["msg"].as_str()?, false),
                }
            }
            _ => None,
        }
    }

    /// The last lines of a derivation's builder.
    pub(crate) fn log(&self, derivation: &str) -> Vec<String> {
        self.logs.get(derivation).map(|lines| lines.iter().cloned().collect()).unwrap_or_default()
    }

    /// The first error that names a derivation which was being built, with that derivation.
    pub(crate) fn failed_build(&self, mentioned: impl Fn(&str) -> Option<String>) -> Option<(String, &str)> {
        self.errors.iter().find_map(|error| Some((mentioned(error)?, error.as_str())))
    }

    fn start(&mut self, json: &Json) -> Option<Progress> {
        let id = json["id"].as_u64()?;
        let field = |n: usize| json["fields"][n].as_str().map(strip_colours);
        let (activity, progress) = match json["type"].as_u64()? {
            code::BUILD => {
                let derivation = field(0)?;
                (Activity::Build(derivation.clone()), Some(Progress::Building { derivation }))
            }
            code::SUBSTITUTE => {
                let path = field(0)?;
                let from = field(1).unwrap_or_default();
                (Activity::Substitute(path.clone()), Some(Progress::Fetching { path, from }))
            }
            code::BUILDS => (Activity::Builds, None),
            code::COPY_PATHS => (Activity::Fetches, None),
            _ => return None,
        };
        self.active.insert(id, activity);
        progress
    }

    fn result(&mut self, json: &Json) -> Option<Progress> {
        let activity = self.active.get(&json["id"].as_u64()?)?.clone();
        match (json["type"].as_u64()?, activity) {
            (code::LOG_LINE | code::POST_BUILD_LOG_LINE, Activity::Build(derivation)) => {
                let line = strip_colours(json["fields"][0].as_str()?);
                let log = self.logs.entry(derivation.clone()).or_default();
                if log.len() == LOG_LINES {
                    log.pop_front();
                }
                log.push_back(line.clone());
                Some(Progress::Log { derivation, line })
            }
            (code::PHASE, Activity::Build(derivation)) => {
                Some(Progress::Phase { derivation, phase: strip_colours(json["fields"][0].as_str()?) })
            }
            (code::PROGRESS, Activity::Builds) => {
                let count = count(json)?;
                self.counted(count, self.fetches)
            }
            (code::PROGRESS, Activity::Fetches) => {
                let count = count(json)?;
                self.counted(self.builds, count)
            }
            _ => None,
        }
    }

    fn counted(&mut self, builds: Count, fetches: Count) -> Option<Progress> {
        if (builds, fetches) == (self.builds, self.fetches) {
            return None;
        }
        (self.builds, self.fetches) = (builds, fetches);
        Some(Progress::Counts {
            built: builds.done,
            to_build: builds.expected,
            fetched: fetches.done,
            to_fetch: fetches.expected,
        })
    }

    fn message(&mut self, text: &str, is_error: bool) -> Option<Progress> {
        let text = strip_colours(text);
        if is_error {
            let plain = text.strip_prefix("error:").unwrap_or(&text).trim();
            self.errors.push(plain.to_owned());
            return None;
        }
        // Said on every realisation without a root of its own: our roots are made by those who need them.
        if text.trim().is_empty() || text.contains("you did not specify '--add-root'") {
            return None;
        }
        Some(Progress::Message { text })
    }
}

/// An error with its place, and with the way to it where Nix was asked for that.
fn error(json: &Json) -> Option<String> {
    let Some(text) = json["raw_msg"].as_str() else { return json["msg"].as_str().map(str::to_owned) };
    let mut whole = placed(text, json);
    // The outermost comes first.
    for step in json["trace"].as_array().into_iter().flatten().rev() {
        if let Some(text) = step["raw_msg"].as_str() {
            whole += &format!("\n{}", placed(text, step));
        }
    }
    Some(whole)
}

/// A text, and the place in a file that it is about. What is no file (an expression of ours) has places that say nothing.
fn placed(text: &str, json: &Json) -> String {
    match (json["file"].as_str(), json["line"].as_u64(), json["column"].as_u64()) {
        (Some(file), Some(line), Some(column)) if file.starts_with('/') => {
            format!("{text}, at {file}:{line}:{column}")
        }
        _ => text.to_owned(),
    }
}

fn count(json: &Json) -> Option<Count> {
    Some(Count { done: json["fields"][0].as_u64()?, expected: json["fields"][1].as_u64()? })
}

/// Text without ANSI escapes and other control characters.
pub(crate) fn strip_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' if chars.peek() == Some(&'[') => {
                chars.next();
                while chars.next().is_some_and(|c| !('\u{40}'..='\u{7e}').contains(&c)) {}
            }
            '\n' | '\t' => plain.push(c),
            c if c.is_control() => {}
            c => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRV: &str = "/nix/store/bssq1i34r9ixn22c79qfqskrvfvh9ipq-a.drv";

    fn start() -> String {
        format!(
            "@nix {{\"action\":\"start\",\"fields\":[\"{DRV}\",\"\",1,1],\"id\":7,\"level\":3,\"text\":\"x\",\"type\":105}}"
        )
    }

    fn said(line: &str) -> String {
        format!("@nix {{\"action\":\"result\",\"fields\":[\"{line}\"],\"id\":7,\"type\":101}}")
    }

    #[test]
    fn a_build_starts_speaks_and_ends() {
        let mut listener = Listener::default();
        assert_eq!(listener.hear(&start()), Some(Progress::Building { derivation: DRV.to_owned() }));
        assert_eq!(
            listener.hear(&said("\\u001b[31mred\\u001b[0m")),
            Some(Progress::Log { derivation: DRV.to_owned(), line: "red".to_owned() })
        );
        assert_eq!(
            listener.hear("@nix {\"action\":\"stop\",\"id\":7}"),
            Some(Progress::Ended { path: DRV.to_owned() })
        );
        assert_eq!(listener.log(DRV), ["red"]);
    }

    #[test]
    fn only_the_last_lines_of_a_log_are_kept() {
        let mut listener = Listener::default();
        listener.hear(&start());
        for n in 0..100 {
            listener.hear(&said(&n.to_string()));
        }
        assert_eq!(listener.log(DRV).len(), LOG_LINES);
        assert_eq!(listener.log(DRV).last().unwrap(), "99");
    }

    #[test]
    fn errors_are_kept_without_their_colours_and_prefix() {
        let mut listener = Listener::default();
        let json =
            "@nix {\"action\":\"msg\",\"level\":0,\"msg\":\"\\u001b[31;1merror:\\u001b[0m bad\",\"raw_msg\":\"bad\"}";
        assert_eq!(listener.hear(json), None);
        assert_eq!(listener.hear("error: worse"), None);
        assert_eq!(listener.errors, ["bad", "worse"]);
    }

    #[test]
    fn errors_have_their_places_and_the_way_to_them() {
        let said = |json: &str| {
            let mut listener = Listener::default();
            listener.hear(&format!("@nix {json}"));
            listener.errors.join("|")
        };
        let at = r#""action":"msg","level":0,"line":2,"column":7,"msg":"x","raw_msg":"undefined variable 'foo'""#;
        assert_eq!(said(&format!(r#"{{"file":"/d/n.nix",{at}}}"#)), "undefined variable 'foo', at /d/n.nix:2:7");
        assert_eq!(said(&format!(r#"{{"file":"(string)",{at}}}"#)), "undefined variable 'foo'");
        let trace = r#"[{"raw_msg":"while calling","file":null},{"raw_msg":"from call site","file":"/d/m.nix","line":1,"column":2}]"#;
        assert_eq!(
            said(&format!(r#"{{"file":"/d/n.nix","trace":{trace},{at}}}"#)),
            "undefined variable 'foo', at /d/n.nix:2:7\nfrom call site, at /d/m.nix:1:2\nwhile calling"
        );
    }

    #[test]
    fn counts_are_reported_when_they_change() {
        let mut listener = Listener::default();
        listener.hear("@nix {\"action\":\"start\",\"id\":1,\"type\":104}");
        let line = "@nix {\"action\":\"result\",\"fields\":[1,2,0,0],\"id\":1,\"type\":105}";
        assert_eq!(listener.hear(line), Some(Progress::Counts { built: 1, to_build: 2, fetched: 0, to_fetch: 0 }));
        assert_eq!(listener.hear(line), None);
    }

    #[test]
    fn rubbish_is_a_message_and_never_a_panic() {
        let mut listener = Listener::default();
        for line in ["@nix {", "@nix 1", "@nix {\"action\":7}", "\u{1b}[", "@nix {\"action\":\"result\",\"id\":9}", ""]
        {
            listener.hear(line);
        }
        assert_eq!(listener.hear("plain"), Some(Progress::Message { text: "plain".to_owned() }));
        assert!(listener.errors.is_empty());
    }
}
