//! What the reader of JSON says, in the words of manifests: what stands there, what should, and how to write it.
//!
//! Where it is wrong, and as what (the code), is said by `error.rs`. Nothing here decides whether something is wrong.

use freehold_model::did_you_mean;

/// Names of fields whose values are a choice, with the choices: messages about them name no choices themselves.
const CHOICES: [(&str, &str); 2] = [
    ("protectSystem", "it may be true, false, \"full\" or \"strict\""),
    ("protectHome", "it may be true, false, \"read-only\" or \"tmpfs\""),
];

/// Fields that must be there, as they are written.
const NEEDED: [(&str, &str); 11] = [
    ("version", "\"version\": 1"),
    ("generation", "\"generation\": \"2025-01-15T12:34:56Z\""),
    ("services", "\"services\": []"),
    ("name", "\"name\": \"web\""),
    ("artifact", "\"artifact\": { \"type\": \"nix-closure\", \"storePath\": \"/nix/store/…\" }"),
    ("type", "\"type\": \"nix-closure\""),
    ("storePath", "\"storePath\": \"/nix/store/…\""),
    ("exec", "\"exec\": { \"command\": \"web\" }"),
    ("command", "\"command\": \"web\""),
    ("internalPort", "\"internalPort\": 8000"),
    ("sig", "\"sig\": \"…\""),
];

/// What is wrong, for people.
pub(crate) fn said(reason: &str) -> String {
    let (message, place) = parts(reason);
    if let Some((found, expected)) = clash(message, "invalid type: ").or_else(|| clash(message, "invalid length ")) {
        return format!("it is {}, and should be {}", thing(found), wanted(expected));
    }
    if let Some((found, _)) = clash(message, "invalid value: ") {
        return format!("it is {}, which is out of range", thing(found));
    }
    match message {
        _ if message.starts_with("unknown ") => message.split(", expected").next().unwrap_or(message).to_owned(),
        _ if message.starts_with("data did not match any variant") => "it is none of the choices".to_owned(),
        _ if message.starts_with("missing field ") => message.replace("missing field", "it lacks the field"),
        _ if message.starts_with("duplicate field ") => {
            format!("{} is there twice", &message["duplicate field ".len()..])
        }
        _ => match place {
            Some(place) => format!("it is no JSON: {} ({place})", syntax(message)),
            None => message.to_owned(),
        },
    }
}

/// What to write instead.
pub(crate) fn hint(at: &str, reason: &str) -> Option<String> {
    if let Some((_, hint)) = CHOICES.iter().find(|(field, _)| at.ends_with(field)) {
        return Some((*hint).to_owned());
    }
    let (message, place) = parts(reason);
    if let Some((_, expected)) = clash(message, "invalid type: ")
        && let Some(words) = expected.strip_prefix("a word of ").filter(|words| !words.is_empty())
    {
        return Some(format!("there is: {words}"));
    }
    if let Some((found, expected)) = clash(message, "invalid type: ") {
        return Some(rewritten(found, expected));
    }
    if let Some((_, expected)) = clash(message, "invalid value: ") {
        return Some(format!("write {}", wanted(expected)));
    }
    if let Some(field) = message.strip_prefix("missing field `") {
        let field = field.trim_end_matches('`');
        let example = NEEDED.iter().find(|(name, _)| *name == field);
        let flag =
            if field == "internalPort" { ", the port that the service listens on (`--http-port 8000`)" } else { "" };
        return Some(example.map_or_else(|| format!("add `{field}`"), |(_, text)| format!("add `{text}`{flag}")));
    }
    if message.starts_with("duplicate field ") {
        return Some("keep one of the two".to_owned());
    }
    match names(message) {
        Some(hint) => hint,
        None if place.is_some() || at == "/" => Some(PLAIN.to_owned()),
        None => None,
    }
}

/// What a manifest is, for whoever has written something else.
const PLAIN: &str =
    "a manifest is one JSON object in UTF-8, without comments; earlier ones are kept under `manifests/` beside it";

/// What bytes are that are no JSON, where their beginning tells.
pub(crate) fn foreign(bytes: &[u8]) -> Option<&'static str> {
    let text = bytes.trim_ascii_start();
    match text {
        [] => Some("it is empty"),
        [0xef, 0xbb, 0xbf, ..] => Some("it begins with a byte order mark"),
        [0xfe, 0xff, ..] | [0xff, 0xfe, ..] => Some("it is UTF-16"),
        [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] | [0xfd, b'7', b'z', ..] => Some("it is compressed"),
        [b'<', ..] => Some("it is HTML or XML"),
        [b'[', ..] => Some("it is no JSON object"),
        _ => None,
    }
}

/// The message, and the place behind it.
fn parts(reason: &str) -> (&str, Option<String>) {
    match reason.rsplit_once(" at line ") {
        Some((message, place)) => (message, Some(format!("line {}", place.replace(" column", ", column")))),
        None => (reason, None),
    }
}

fn clash<'a>(message: &'a str, kind: &str) -> Option<(&'a str, &'a str)> {
    message.strip_prefix(kind)?.rsplit_once(", expected ")
}

/// What stands there.
fn thing(found: &str) -> String {
    match found.split_once(' ') {
        _ if found == "map" => "an object".to_owned(),
        _ if found == "sequence" => "a list".to_owned(),
        _ if found == "null" || found == "unit value" => "`null`".to_owned(),
        Some(("string", text)) => format!("the text {text}"),
        Some(("integer" | "boolean", value)) => value.to_owned(),
        Some(("floating", value)) => value.replace("point ", ""),
        _ => found.to_owned(),
    }
}

/// What should.
fn wanted(expected: &str) -> String {
    match expected {
        "u8" => "a whole number from 0 to 255".to_owned(),
        "u16" => "a whole number from 0 to 65535".to_owned(),
        "u32" => "a whole number from 0 to 4294967295".to_owned(),
        "u64" | "usize" => "a whole number from 0 on".to_owned(),
        "f32" | "f64" | "i8" | "i16" | "i32" | "i64" => "a number".to_owned(),
        "a string" => "a text".to_owned(),
        "a boolean" => "`true` or `false`".to_owned(),
        "string or map" | "variant identifier" => "a word".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" | "an object" => "an object".to_owned(),
        _ if expected.starts_with("a word of ") => "a word".to_owned(),
        _ if expected.starts_with("struct ") => "an object".to_owned(),
        _ => expected.to_owned(),
    }
}

fn rewritten(found: &str, expected: &str) -> String {
    let quoted = found.strip_prefix("string \"").and_then(|text| text.strip_suffix('"'));
    let bare = found.split_once('`').map(|(_, value)| value.trim_end_matches('`'));
    match (wanted(expected).as_str(), quoted, bare) {
        (number, Some(text), _) if number.contains("number") && text.parse::<u64>().is_ok() => {
            format!("write it without quotes: `{text}`")
        }
        ("`true` or `false`", Some(text @ ("true" | "false")), _) => format!("write it without quotes: `{text}`"),
        ("a text" | "a word", _, Some(value)) => format!("write it in quotes: `\"{value}\"`"),
        ("a list", Some(text), _) => format!("write `[\"{text}\"]`"),
        ("a list", _, _) => "write a list: `[ … ]`".to_owned(),
        ("an object", _, _) => "write an object: `{ … }`".to_owned(),
        (other, _, _) => format!("write {other}, or leave it out if it need not be said"),
    }
}

/// What is meant by an unknown name; `None` when it is about something else.
fn names(message: &str) -> Option<Option<String>> {
    let unknown = message.strip_prefix("unknown field `").or_else(|| message.strip_prefix("unknown variant `"))?;
    let given = unknown.split('`').next()?;
    let known: Vec<&str> = unknown.split('`').skip(2).step_by(2).collect();
    Some(match did_you_mean(given, known.iter().copied()) {
        Some(name) => Some(format!("did you mean `{name}`?")),
        None if known.is_empty() => None,
        None => Some(format!("there is: {}", known.join(", "))),
    })
}

fn syntax(message: &str) -> &str {
    match message {
        _ if message.starts_with("EOF while parsing") => "it ends too early",
        "expected value" | "expected ident" => "something that is no value",
        "trailing comma" => "a comma with nothing behind it",
        "trailing characters" => "something behind its end",
        "key must be a string" => "a name that is not in double quotes",
        "invalid unicode code point" => "a text that is not UTF-8",
        "recursion limit exceeded" => "it is too deep",
        other => other,
    }
}
