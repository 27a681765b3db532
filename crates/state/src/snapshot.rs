//! A snapshot: the state before a segment, so that replay need not begin at the first event.
//!
//! A header line, one line per record, intent and history entry, and a last line that says how many there are.

use std::sync::Arc;

use freehold_model::MemberPath;
use serde_json::{Value as Json, json};

use crate::backend::Piece;
use crate::codec::{Decoder, Encoder, Fields};
use crate::error::StateError;
use crate::event::{decode_begin, decode_partial, encode_begin, encode_partial};
use crate::keys::Keys;
use crate::line::{self, BadLine, Header, Line, SNAPSHOT_FORMAT, newer_error};
use crate::replay::open_seal;
use crate::seal::Seal;
use crate::state::{Intent, State};

/// Writes a snapshot of `state`, which is what was before `segment`.
pub(crate) fn write(state: &State, segment: u64, created: String, keys: &Keys) -> Result<Vec<u8>, StateError> {
    let (key, wrapped) = keys.new_data_key()?;
    let header = Header {
        format: SNAPSHOT_FORMAT.to_owned(),
        lineage: state.lineage.clone(),
        segment,
        seq: state.seq,
        created,
        fence: state.fence,
        keys: wrapped,
        voids: None,
    };
    let seal = Seal::new(key.as_ref(), header.seal_context());
    let mut out = line::whole(&header);
    let mut count = 0_u64;
    let mut push = |json: Json| {
        count += 1;
        out.extend_from_slice(&line::whole(&json));
    };
    for (member, record) in &state.records {
        let record = Encoder { seal: &seal, member }.record(record)?;
        push(json!({ "record": record, "member": member }));
    }
    for intent in state.intents.values() {
        push(encode_intent(intent, &seal)?);
    }
    for entry in &state.history {
        push(json!({ "history": **entry }));
    }
    let end = line::whole(&json!({ "end": count }));
    out.extend_from_slice(&end);
    Ok(out)
}

/// Reads a snapshot.
///
/// # Errors
/// When any part of it is missing or damaged, or a later version wrote it.
pub(crate) fn read(piece: &Piece, keys: &Keys) -> Result<State, StateError> {
    let mut lines = piece.bytes.split_inclusive(|b| *b == b'\n');
    let mut offset = 0;
    let corrupt = |offset: usize, reason: String| StateError::Corrupt { piece: piece.name.clone(), offset, reason };
    let first = lines.next().unwrap_or_default();
    let header = match line::read(first.strip_suffix(b"\n").unwrap_or(first)) {
        Ok(Line::Header(header)) if header.format == SNAPSHOT_FORMAT => header,
        Ok(_) => return Err(corrupt(0, "it does not begin with the header of a snapshot".to_owned())),
        Err(BadLine::Newer(what)) => return Err(newer_error(&piece.name, what)),
        Err(BadLine::Broken(reason)) => return Err(corrupt(0, reason)),
    };
    let seal = open_seal(&header, keys);
    let mut state = State { lineage: header.lineage.clone(), seq: header.seq, fence: header.fence, ..State::default() };
    offset += first.len();
    for (count, text) in (0_u64..).zip(lines) {
        let Some(text) = text.strip_suffix(b"\n") else { return Err(corrupt(offset, "it is cut short".to_owned())) };
        let json = line::check(text).map_err(|e| match e {
            BadLine::Broken(reason) | BadLine::Newer(reason) => corrupt(offset, reason),
        })?;
        if let Some(end) = json.get("end") {
            return if end.as_u64() == Some(count) {
                Ok(state)
            } else {
                Err(corrupt(offset, "lines are missing".to_owned()))
            };
        }
        take(&mut state, json, &seal).map_err(|reason| corrupt(offset, reason))?;
        offset += text.len() + 1;
    }
    Err(corrupt(offset, "it is cut short".to_owned()))
}

fn take(state: &mut State, json: Json, seal: &Seal) -> Result<(), String> {
    let mut fields = Fields::new(json, "line of a snapshot")?;
    let decoder = Decoder { seal };
    if let Some(record) = fields.optional("record") {
        let member: MemberPath = fields.parse("member")?;
        let record = decoder.record(record)?;
        let interval = record.interval;
        state.set_record(&member, record, interval);
    } else if let Some(intent) = fields.optional("intent") {
        let intent = decode_intent(intent, &decoder)?;
        state.intents.insert(intent.op.clone(), Arc::new(intent));
    } else {
        let entry = fields.parse("history")?;
        state.history.push_back(Arc::new(entry));
    }
    Ok(())
}

fn encode_intent(intent: &Intent, seal: &Seal) -> Result<Json, StateError> {
    let encoder = Encoder { seal, member: &intent.member };
    let begin = encode_begin(&intent.begin(), &encoder)?;
    let partial = intent.partial.as_ref().map(|p| encode_partial(p, &encoder)).transpose()?;
    Ok(json!({ "intent": { "op": intent.op, "since": intent.since, "time": intent.time, "who": intent.who,
                           "begin": begin, "partial": partial } }))
}

fn decode_intent(json: Json, decoder: &Decoder<'_>) -> Result<Intent, String> {
    let mut fields = Fields::new(json, "intent")?;
    let begin = decode_begin(&mut Fields::new(fields.take("begin")?, "beginning")?, decoder)?;
    let partial = match fields.optional("partial") {
        Some(json) => Some(decode_partial(&mut Fields::new(json, "partial result")?, decoder)?),
        None => None,
    };
    let (op, since) = (fields.parse("op")?, fields.parse("since")?);
    Ok(Intent::new(op, since, fields.parse("time")?, fields.parse("who")?, begin, partial))
}
