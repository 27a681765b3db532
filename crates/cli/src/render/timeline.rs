//! The history as a time line, oldest first.

use freehold_state::HistoryEntry;
use serde_json::Value as Json;

use super::style::{self, paint};
use super::text::{escape_controls, shorten};

/// One entry per line, under a line per day; with the numbers of the events if wanted.
pub(crate) fn timeline<'a>(entries: impl Iterator<Item = &'a HistoryEntry>, numbers: bool) -> String {
    let mut text = String::new();
    let mut day = "";
    // An operation that was run has an entry of its own, beside the end of its intent.
    for entry in entries.filter(|e| e.what != "run" || !e.detail.is_null() || !e.ok) {
        let (date, time) = entry.time.split_once('T').unwrap_or((&entry.time, ""));
        if date != day {
            text += &format!("{}\n", paint(style::STRONG, date));
            day = date;
        }
        let time = time.trim_end_matches('Z').split('.').next().unwrap_or_default();
        let dot = match (entry.ok, entry.what.as_str()) {
            (false, _) => paint(style::REMOVE, "✗"),
            (true, "create" | "import") => paint(style::ADD, "+"),
            (true, "update") => paint(style::CHANGE, "~"),
            (true, "delete") => paint(style::REMOVE, "-"),
            (true, "apply-started") => paint(style::FAINT, "┌"),
            (true, "apply-ended") => paint(style::FAINT, "└"),
            (true, _) => paint(style::LOOK, "•"),
        };
        let number = if numbers { paint(style::FAINT, format!("{:>7}  ", entry.seq)) } else { String::new() };
        text += &format!("  {number}{}  {dot} {}\n", paint(style::FAINT, time), what(entry));
    }
    text
}

/// One entry with its time and who it was.
pub(crate) fn entry_text(entry: &HistoryEntry) -> String {
    format!("{} {}", entry.time, what(entry))
}

fn what(entry: &HistoryEntry) -> String {
    let who = paint(style::FAINT, format!("({})", escape_controls(&entry.who)));
    let member = entry.member.as_ref().map(|m| format!("{} ", paint(style::STRONG, m))).unwrap_or_default();
    let detail = detail(entry);
    let verb = match entry.what.as_str() {
        "apply-started" => "started",
        "apply-ended" => "ended",
        "amend" => "brought up to what was seen",
        other => other,
    };
    let verb = if entry.ok { verb.to_owned() } else { paint(style::REMOVE, format!("{verb} failed")) };
    let gap = if detail.is_empty() { "" } else { ": " };
    format!("{member}{verb}{gap}{detail} {who}")
}

fn detail(entry: &HistoryEntry) -> String {
    let text = |json: &Json| json.as_str().map(str::to_owned);
    let shown = match (entry.what.as_str(), &entry.detail) {
        (_, Json::Null) => return String::new(),
        (_, Json::String(text)) => text.clone(),
        ("apply-ended", Json::Object(map)) => {
            let counts: Vec<String> = map
                .iter()
                .filter(|(_, v)| v.as_u64().is_some_and(|n| n > 0))
                .map(|(name, v)| format!("{v} {name}"))
                .collect();
            let failures = map.get("failures").and_then(Json::as_array).into_iter().flatten();
            let members: Vec<String> =
                failures.filter_map(|f| Some(format!("`{}`", f.get("member")?.as_str()?))).collect();
            let counts = if counts.is_empty() { "nothing done".to_owned() } else { counts.join(", ") };
            if members.is_empty() { counts } else { format!("{counts}; failed: {}", members.join(", ")) }
        }
        ("run", Json::Object(map)) => {
            let name = map.get("operation").and_then(text).unwrap_or_default();
            let code = map.get("exitCode").and_then(Json::as_i64);
            code.map_or_else(|| name.clone(), |code| format!("{name}, exit code {code}"))
        }
        (_, Json::Object(map)) => map.get("message").and_then(text).unwrap_or_else(|| entry.detail.to_string()),
        (_, other) => other.to_string(),
    };
    let shown = escape_controls(&shown).replace('\n', " ");
    let (start, more) = shorten(&shown, 160);
    if more > 0 { format!("{start}…") } else { start.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry(seq: u64, time: &str, what: &str, member: Option<&str>, ok: bool, detail: Json) -> HistoryEntry {
        HistoryEntry {
            seq,
            began: seq,
            time: time.to_owned(),
            who: "ada@host".to_owned(),
            op: String::new(),
            member: member.map(|m| m.parse().unwrap()),
            what: what.to_owned(),
            ok,
            detail,
        }
    }

    #[test]
    fn days_are_heads_and_runs_are_brackets() {
        let entries = [
            entry(1, "2026-11-21T12:00:00.001Z", "apply-started", None, true, json!("freehold apply")),
            entry(2, "2026-11-21T12:00:01.000Z", "create", Some("site.page"), true, Json::Null),
            entry(
                3,
                "2026-11-21T12:00:02.000Z",
                "update",
                Some("id"),
                false,
                json!({ "kind": "user", "message": "no\nway" }),
            ),
            entry(
                4,
                "2026-11-21T12:00:03.000Z",
                "apply-ended",
                None,
                true,
                json!({ "created": 1, "failed": 1, "none": 0, "failures": [{ "member": "id" }] }),
            ),
            entry(
                5,
                "2026-11-22T08:00:00.000Z",
                "run",
                Some("id"),
                true,
                json!({ "operation": "rotate", "exitCode": 0 }),
            ),
            entry(6, "2026-11-22T08:01:00.000Z", "move", Some("b"), true, json!("a")),
        ];
        let shown = anstream::adapter::strip_str(&timeline(entries.iter(), false)).to_string();
        insta::assert_snapshot!(shown, @r"
        2026-11-21
          12:00:00  ┌ started: freehold apply (ada@host)
          12:00:01  + site.page create (ada@host)
          12:00:02  ✗ id update failed: no way (ada@host)
          12:00:03  └ ended: 1 created, 1 failed; failed: `id` (ada@host)
        2026-11-22
          08:00:00  • id run: rotate, exit code 0 (ada@host)
          08:01:00  • b move: a (ada@host)
        ");
    }
}
