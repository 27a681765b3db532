//! One line of the log: JSON whose last attribute is a CRC-32C of the bytes before it.
//!
//! ```text
//! {"seq":7,"time":"2026-11-21T12:08:45.123Z","who":"ada@host","op":"a1","fence":3,"event":{…},"synced":6,"crc":"0badcafe"}
//! ```
//!
//! `synced` is the last sequence number that was durable when the line was written. It is what tells a torn tail (the
//! damage lies behind every such promise) from damage to what had been durable.

use freehold_model::limits;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::error::StateError;
use crate::event::Seq;
use crate::keys::WrappedKey;

/// The format of the log that this version reads and writes.
pub const LOG_FORMAT: &str = "freehold.state/1";
/// The format of snapshots that this version reads and writes.
pub(crate) const SNAPSHOT_FORMAT: &str = "freehold.snapshot/1";

/// `,"crc":"` + 8 hexadecimal digits + `"}`.
const CRC_BYTES: usize = CRC_MARK.len() + 8 + 2;
const CRC_MARK: &[u8] = b",\"crc\":\"";
/// What [`finish_event`] adds at most: `,"synced":` + 20 digits, the CRC, and the end of the line.
const END_BYTES: usize = 10 + 20 + CRC_BYTES + 1;

/// The first line of a segment or snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    /// [`LOG_FORMAT`] or [`SNAPSHOT_FORMAT`].
    pub(crate) format: String,
    /// Tells this log from every other.
    pub(crate) lineage: String,
    /// Number of the segment, from 1; of a snapshot: of the segment that goes on after it.
    pub(crate) segment: u64,
    /// Last sequence number before it.
    pub(crate) seq: Seq,
    /// When it was made.
    pub(crate) created: String,
    /// Fencing token of the writer.
    pub(crate) fence: u64,
    /// The key of its secrets.
    pub(crate) keys: WrappedKey,
    /// A repair where nothing can be cut off: what stands in this piece from that byte up to here is no part of the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) voids: Option<usize>,
}

impl Header {
    /// What binds encrypted values to this segment or snapshot.
    pub(crate) fn seal_context(&self) -> String {
        format!("{}/{}/{}", self.lineage, self.format, self.segment)
    }
}

/// A line that holds an event.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct EventLine {
    pub(crate) seq: Seq,
    pub(crate) time: String,
    pub(crate) who: String,
    pub(crate) op: String,
    pub(crate) fence: u64,
    pub(crate) event: Json,
    pub(crate) synced: Seq,
}

/// The first line of an object in an object store: the lines in it follow those of the object before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Chunk {
    /// Number of the object, from 1.
    pub(crate) chunk: u64,
    /// SHA-256 of the object before it; empty for the first.
    pub(crate) prev: String,
    /// Fencing token of the writer.
    pub(crate) fence: u64,
    /// Makes the object unlike any that another writer could put in its place.
    pub(crate) nonce: String,
}

/// What a line may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    Header(Header),
    Event(EventLine),
    Chunk(Chunk),
}

/// Why bytes are not a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BadLine {
    /// Not intact, or not a line of ours.
    Broken(String),
    /// A header of a later version.
    Newer(String),
}

/// An event line without its end, as far as it can be known before it is committed.
pub(crate) fn begin_event(seq: Seq, time: &str, who: &str, op: &str, fence: u64, event: &Json) -> Vec<u8> {
    let quote = |text: &str| Json::String(text.to_owned()).to_string();
    format!(
        "{{\"seq\":{seq},\"time\":{},\"who\":{},\"op\":{},\"fence\":{fence},\"event\":{event}",
        quote(time),
        quote(who),
        quote(op)
    )
    .into_bytes()
}

/// How long a begun line is when it is whole, if that is more than `limit`.
pub(crate) fn excess(begun: &[u8], limit: usize) -> Option<usize> {
    let whole = begun.len() + END_BYTES;
    (whole > limit).then_some(whole)
}

/// Completes a line that [`begin_event`] began and appends it to `out`.
pub(crate) fn finish_event(begun: &[u8], synced: Seq, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(begun);
    out.extend_from_slice(format!(",\"synced\":{synced}").as_bytes());
    finish(start, out);
}

/// A whole line of any JSON object.
pub(crate) fn whole(object: &impl Serialize) -> Vec<u8> {
    // Serialising our own structs to memory cannot fail; an empty object would be refused on reading.
    let mut out = serde_json::to_vec(object).unwrap_or_default();
    out.pop();
    finish(0, &mut out);
    out
}

fn finish(start: usize, out: &mut Vec<u8>) {
    let crc = crc32c::crc32c(&out[start..]);
    out.extend_from_slice(CRC_MARK);
    out.extend_from_slice(format!("{crc:08x}\"}}\n").as_bytes());
}

/// Checks the CRC of a line (without its newline) and returns the JSON object.
pub(crate) fn check(line: &[u8]) -> Result<Json, BadLine> {
    check_as(line)
}

fn check_as<T: for<'de> Deserialize<'de>>(line: &[u8]) -> Result<T, BadLine> {
    let broken = |text: &str| BadLine::Broken(text.to_owned());
    let split = line.len().checked_sub(CRC_BYTES).ok_or_else(|| broken("the line is cut short"))?;
    let (rest, tail) = line.split_at(split);
    let digits = tail.strip_prefix(CRC_MARK).and_then(|t| t.strip_suffix(b"\"}"));
    let digits = digits.and_then(|d| std::str::from_utf8(d).ok()).ok_or_else(|| broken("the line has no CRC"))?;
    let stated = u32::from_str_radix(digits, 16).map_err(|_| broken("the line has no CRC"))?;
    if crc32c::crc32c(rest) != stated {
        return Err(broken("the line does not match its CRC"));
    }
    serde_json::from_slice(line).map_err(|e| BadLine::Broken(format!("the line is not as it should be: {e}")))
}

/// Reads one line (without its newline).
pub(crate) fn read(line: &[u8]) -> Result<Line, BadLine> {
    if line.len() > limits::STATE_LINE_BYTES {
        return Err(BadLine::Broken(format!("the line is longer than {} bytes", limits::STATE_LINE_BYTES)));
    }
    if line.starts_with(b"{\"seq\":") {
        return check_as(line).map(Line::Event);
    }
    if line.starts_with(b"{\"chunk\":") {
        return check_as(line).map(Line::Chunk);
    }
    match check(line) {
        Ok(json) => read_header(json),
        // A later version may close its lines in another way, but it will say which it is.
        Err(broken) => Err(match serde_json::from_slice::<Json>(line).ok().and_then(|json| newer(&json)) {
            Some(newer) => newer,
            None => broken,
        }),
    }
}

fn read_header(json: Json) -> Result<Line, BadLine> {
    if let Some(newer) = newer(&json) {
        return Err(newer);
    }
    let header: Header =
        serde_json::from_value(json).map_err(|e| BadLine::Broken(format!("neither event nor header: {e}")))?;
    if header.format != LOG_FORMAT && header.format != SNAPSHOT_FORMAT {
        return Err(BadLine::Broken(format!("`{}` is not a format of state", header.format)));
    }
    Ok(Line::Header(header))
}

fn newer(json: &Json) -> Option<BadLine> {
    let format = json.get("format")?.as_str()?;
    let (kind, version) = format.split_once('/')?;
    let later = version.parse::<u64>().is_ok_and(|v| v > 1);
    (later && (kind == "freehold.state" || kind == "freehold.snapshot"))
        .then(|| BadLine::Newer(format!("the format `{format}`")))
}

/// A header in another version's name; what a reader says about it.
pub(crate) fn newer_error(piece: &str, what: String) -> StateError {
    StateError::Newer { piece: piece.to_owned(), what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_byte_is_noticed() {
        let mut line = Vec::new();
        finish_event(&begin_event(1, "t", "ada", "op", 1, &serde_json::json!({ "type": "x" })), 0, &mut line);
        assert_eq!(line.pop(), Some(b'\n'));
        assert!(matches!(read(&line), Ok(Line::Event(EventLine { seq: 1, synced: 0, .. }))));
        for at in 0..line.len() {
            let mut changed = line.clone();
            changed[at] ^= 1;
            assert!(read(&changed).is_err(), "byte {at}");
        }
    }

    #[test]
    fn what_is_longer_than_a_line_may_be_is_noticed_before_it_is_written_and_when_it_is_read() {
        let begun = begin_event(1, "t", "ada", "op", 1, &serde_json::json!({ "type": "x" }));
        let mut whole = Vec::new();
        finish_event(&begun, u64::MAX, &mut whole);
        assert_eq!(excess(&begun, whole.len()), None);
        assert_eq!(excess(&begun, whole.len() - 1), Some(whole.len()));
        let long = vec![0; limits::STATE_LINE_BYTES + 1];
        assert_eq!(read(&long), Err(BadLine::Broken("the line is longer than 268435456 bytes".to_owned())));
    }

    #[test]
    fn a_later_format_is_told_apart_from_damage() {
        let line = br#"{"format":"freehold.state/2","checksum":"?"}"#;
        assert_eq!(read(line), Err(BadLine::Newer("the format `freehold.state/2`".to_owned())));
    }
}
