//! From the bytes of a log to its state. Never panics, whatever the bytes are.
//!
//! Lines are checked and decoded on all cores, then taken in one after another. The first line that does not fit is
//! either the end of a torn tail (no later line promises that it had been durable) or damage, which is reported.

use std::ops::Range;
use std::sync::Arc;

use crate::backend::{Backend, Cut, Loaded, Piece};
use crate::error::StateError;
use crate::event::{Event, Seq, Unreadable};
use crate::keys::Keys;
use crate::line::{self, BadLine, Chunk, Header, Line, newer_error};
use crate::seal::Seal;
use crate::snapshot;
use crate::state::{Stamp, State};

/// How many lines after a broken one are looked at for the one that took its place.
const REPLACED_WITHIN: usize = 64;

/// A log that was read.
pub(crate) struct Replayed {
    pub(crate) state: State,
    /// Of the segment that goes on.
    pub(crate) header: Option<Header>,
    /// Its number; 0 before the first.
    pub(crate) segment: u64,
    /// Events in that segment.
    pub(crate) events_in_segment: u64,
    /// What a crash left at the end.
    pub(crate) torn: Option<Cut>,
    /// Damage to what had been durable, and what a repair would move aside.
    pub(crate) fault: Option<(StateError, Cut)>,
    /// Snapshots that could not be used.
    pub(crate) warnings: Vec<StateError>,
}

impl Replayed {
    /// The log, unless it is damaged.
    pub(crate) fn intact(mut self) -> Result<Self, StateError> {
        match self.fault.take() {
            Some((error, _)) => Err(error),
            None => Ok(self),
        }
    }

    /// What is known to have been durable is there, at least with its beginning.
    fn keep_promise(&mut self, loaded: &Loaded) {
        let Some(name) = loaded.promised.as_ref().filter(|_| self.fault.is_none()) else { return };
        let is_kept = |piece: &Piece| piece.name == *name && !piece.bytes.trim_ascii().is_empty();
        let torn_away = self.torn.as_ref().is_some_and(|cut| cut.piece == *name && cut.offset == 0);
        if loaded.pieces.iter().any(is_kept) && !torn_away {
            return;
        }
        let nothing = || Cut { piece: name.clone(), offset: 0, later: Vec::new(), why: "damaged" };
        let cut = self.torn.take().map_or_else(nothing, |torn| Cut { why: "damaged", ..torn });
        self.fault = Some((StateError::Lost { piece: name.clone() }, cut));
    }
}

/// Reads a log: snapshot and pieces, both as they are kept.
///
/// # Errors
/// As [`replay`]; a torn tail is no error.
pub fn parse_log(bytes: &[u8]) -> Result<State, StateError> {
    let piece = Piece { name: "log".to_owned(), bytes: bytes.to_vec() };
    replay_pieces(State::default(), 0, &[piece], &Keys::none(), &mut |_, _, _| ()).intact().map(|log| log.state)
}

/// Reads what a backend has, falling back to earlier snapshots when the newest is damaged. Damage to the log is told in
/// [`Replayed::fault`], with the longest valid prefix in the rest.
pub(crate) fn replay(backend: &dyn Backend, keys: &Keys) -> Result<Replayed, StateError> {
    let mut warnings = Vec::new();
    let mut before = None;
    loop {
        let loaded = backend.load(before)?;
        let (state, first) = match &loaded.snapshot {
            None => (State::default(), 0),
            Some((number, piece)) => match snapshot::read(piece, keys) {
                Ok(state) => (state, *number),
                Err(error @ StateError::Newer { .. }) => return Err(error),
                Err(error) => {
                    warnings.push(error);
                    before = Some(*number);
                    continue;
                }
            },
        };
        let mut replayed = replay_pieces(state, first, &loaded.pieces, keys, &mut |_, _, _| ());
        replayed.keep_promise(&loaded);
        replayed.warnings = warnings;
        return Ok(replayed);
    }
}

/// Takes in the lines of `pieces` one after another; `seen` is told of each event with the state before it.
pub(crate) fn replay_pieces(
    state: State,
    first_segment: u64,
    pieces: &[Piece],
    keys: &Keys,
    seen: &mut dyn FnMut(&State, &Stamp, &Event),
) -> Replayed {
    let lines = decode_all(pieces, keys);
    let mut reader = Reader { state, segment: first_segment.saturating_sub(1), header: None, events: 0, chunk: None };
    let mut next = 0;
    while let Some(located) = lines.get(next) {
        let index = next;
        next += 1;
        let Err(fault) = reader.take(located, pieces, seen) else { continue };
        if let Some(repair) = reader.repaired_by(located, &lines[next..]) {
            next += repair;
            continue;
        }
        let rest = &lines[index + 1..];
        let text = &pieces[located.piece].bytes[located.range.clone()];
        if matches!(fault, Fault::Broken(_)) && reader.is_replaced(text, rest) {
            continue;
        }
        let (piece, offset) = (pieces[located.piece].name.clone(), located.range.start);
        let later = pieces[located.piece + 1..].iter().map(|p| p.name.clone()).collect();
        let mut cut = Cut { piece: piece.clone(), offset, later, why: "damaged" };
        let error = match fault {
            Fault::Newer(what) => newer_error(&piece, what),
            Fault::Forked(reason) => StateError::Forked { piece, offset, reason },
            Fault::Broken(_) if !reader.was_durable(rest) && !reader.begins_otherwise(located, pieces) => {
                cut.why = "torn";
                return reader.done(Some(cut), None);
            }
            Fault::Broken(reason) | Fault::Damaged(reason) => StateError::Corrupt { piece, offset, reason },
        };
        return reader.done(None, Some((error, cut)));
    }
    reader.done(None, None)
}

/// A line with its place.
struct Located {
    piece: usize,
    range: Range<usize>,
    /// What it promises to have been durable, if its bytes are intact.
    synced: Option<Seq>,
    line: Result<Decoded, Fault>,
}

enum Decoded {
    Header(Header),
    Chunk(Chunk),
    Event(Box<(Stamp, Event)>),
}

/// What is wrong with a line.
#[derive(Clone)]
enum Fault {
    /// Not intact or not the one that should follow: torn or corrupt, as later lines tell.
    Broken(String),
    /// Intact, and yet not as it should be.
    Damaged(String),
    Newer(String),
    Forked(String),
}

/// Where a line is, and which key its values have.
struct Raw {
    piece: usize,
    range: Range<usize>,
    terminated: bool,
    seal: Arc<Seal>,
}

fn decode_all(pieces: &[Piece], keys: &Keys) -> Vec<Located> {
    let raw = split(pieces, keys);
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    let share = raw.len().div_ceil(workers).max(1);
    if workers == 1 || raw.len() < 1000 {
        return raw.iter().map(|raw| decode(raw, pieces)).collect();
    }
    std::thread::scope(|scope| {
        let work = |part: &[Raw]| part.iter().map(|raw| decode(raw, pieces)).collect::<Vec<_>>();
        let threads: Vec<_> = raw.chunks(share).map(|part| scope.spawn(move || work(part))).collect();
        // Decoding does not panic; if it did, decoding again here would say so in the caller's thread.
        threads
            .into_iter()
            .zip(raw.chunks(share))
            .flat_map(|(t, part)| t.join().unwrap_or_else(|_| work(part)))
            .collect()
    })
}

/// Finds lines, and the key of each from the header before it.
fn split(pieces: &[Piece], keys: &Keys) -> Vec<Raw> {
    let mut seal = Arc::new(Seal::new(None, String::new()));
    let mut raw = Vec::new();
    for (piece, Piece { bytes, .. }) in pieces.iter().enumerate() {
        let mut start = 0;
        while start < bytes.len() {
            let newline = bytes[start..].iter().position(|b| *b == b'\n').map(|n| start + n);
            let end = newline.unwrap_or(bytes.len());
            let text = &bytes[start..end];
            if !text.starts_with(b"{\"seq\":")
                && let Ok(Line::Header(header)) = line::read(text)
            {
                seal = Arc::new(open_seal(&header, keys));
            }
            if !text.is_empty() {
                raw.push(Raw { piece, range: start..end, terminated: newline.is_some(), seal: seal.clone() });
            }
            start = end + 1;
        }
    }
    raw
}

/// The seal of a segment, open if one of the identities fits.
pub(crate) fn open_seal(header: &Header, keys: &Keys) -> Seal {
    Seal::new(keys.open(&header.keys).as_ref(), header.seal_context())
}

fn decode(raw: &Raw, pieces: &[Piece]) -> Located {
    let text = &pieces[raw.piece].bytes[raw.range.clone()];
    let (synced, line) = match line::read(text) {
        _ if !raw.terminated => (None, Err(Fault::Broken("the line has no end".to_owned()))),
        Err(BadLine::Broken(reason)) => (None, Err(Fault::Broken(reason))),
        Err(BadLine::Newer(what)) => (None, Err(Fault::Newer(what))),
        Ok(Line::Header(header)) => (Some(header.seq), Ok(Decoded::Header(header))),
        Ok(Line::Chunk(chunk)) => (None, Ok(Decoded::Chunk(chunk))),
        Ok(Line::Event(line)) => {
            let event = Event::decode(line.event, &raw.seal).map_err(|e| match e {
                Unreadable::Unknown(what) => Fault::Newer(what),
                Unreadable::Bad(reason) => Fault::Damaged(reason),
            });
            let stamp = Stamp { seq: line.seq, time: line.time, who: line.who, op: line.op, fence: line.fence };
            (Some(line.synced), event.map(|event| Decoded::Event(Box::new((stamp, event)))))
        }
    };
    Located { piece: raw.piece, range: raw.range.clone(), synced, line }
}

/// Takes lines in and checks that each follows from the ones before.
struct Reader {
    state: State,
    segment: u64,
    header: Option<Header>,
    events: u64,
    /// The last chunk, with the piece it stands in.
    chunk: Option<(u64, usize)>,
}

impl Reader {
    fn take(
        &mut self,
        located: &Located,
        pieces: &[Piece],
        seen: &mut dyn FnMut(&State, &Stamp, &Event),
    ) -> Result<(), Fault> {
        match &located.line {
            Err(fault) => Err(fault.clone()),
            Ok(Decoded::Header(header)) => self.begin_segment(header),
            Ok(Decoded::Chunk(chunk)) => self.begin_chunk(chunk, located.piece, pieces),
            Ok(Decoded::Event(line)) => {
                let (stamp, event) = &**line;
                self.check_order(stamp)?;
                seen(&self.state, stamp, event);
                self.state.apply_event(stamp, event);
                self.events += 1;
                Ok(())
            }
        }
    }

    fn begin_segment(&mut self, header: &Header) -> Result<(), Fault> {
        if !self.state.lineage.is_empty() && header.lineage != self.state.lineage {
            return Err(Fault::Forked(format!("segment {} belongs to another log", header.segment)));
        }
        if header.segment <= self.segment {
            return Err(Fault::Forked(format!("segment {} begins twice", header.segment)));
        }
        if header.segment != self.segment + 1 || header.seq > self.state.seq {
            let last = self.state.seq;
            return Err(Fault::Broken(format!(
                "segment {} follows event {}, but what comes before it ends with segment {}, event {last}",
                header.segment, header.seq, self.segment
            )));
        }
        if header.seq < self.state.seq {
            return Err(Fault::Forked(format!(
                "segment {} goes on from event {}, but the segment before has more",
                header.segment, header.seq
            )));
        }
        self.state.lineage.clone_from(&header.lineage);
        self.segment = header.segment;
        self.header = Some(header.clone());
        self.events = 0;
        Ok(())
    }

    fn begin_chunk(&mut self, chunk: &Chunk, piece: usize, pieces: &[Piece]) -> Result<(), Fault> {
        if chunk.fence < self.state.fence {
            return Err(Fault::Forked(format!("object {} was written without the lock", chunk.chunk)));
        }
        if let Some((number, at)) = self.chunk {
            if chunk.chunk != number + 1 {
                return Err(Fault::Damaged(format!("object {} is missing", number + 1)));
            }
            if chunk.prev != sha256(&pieces[at].bytes) {
                return Err(Fault::Forked(format!("object {} goes on from another object {number}", chunk.chunk)));
            }
        }
        self.chunk = Some((chunk.chunk, piece));
        Ok(())
    }

    fn check_order(&self, stamp: &Stamp) -> Result<(), Fault> {
        let last = self.state.seq;
        if self.header.is_none() {
            return Err(Fault::Broken("the log does not begin with a header".to_owned()));
        }
        if stamp.seq <= last {
            return Err(Fault::Forked(format!("event {} is there twice, the second time by {}", stamp.seq, stamp.who)));
        }
        if stamp.seq != last + 1 {
            return Err(Fault::Broken(format!("event {} follows event {last}", stamp.seq)));
        }
        if stamp.fence < self.state.fence {
            return Err(Fault::Forked(format!("event {} was written by {} without the lock", stamp.seq, stamp.who)));
        }
        Ok(())
    }

    /// The header with which a repair goes on from here, as a place in `rest`: what is before it is no part of the log.
    fn repaired_by(&self, located: &Located, rest: &[Located]) -> Option<usize> {
        rest.iter().rposition(|later| match &later.line {
            Ok(Decoded::Header(header)) => {
                let is_next = header.segment == self.segment + 1 && header.seq == self.state.seq;
                later.piece == located.piece && header.voids == Some(located.range.start) && is_next
            }
            _ => false,
        })
    }

    /// Whether a broken line was never durable and another came in its place: the next intact one goes on from here. That
    /// is what a torn line looks like where it can be ended but not cut.
    fn is_replaced(&self, text: &[u8], rest: &[Located]) -> bool {
        const EVENT: &[u8] = b"{\"seq\":";
        match rest.iter().take(REPLACED_WITHIN).find_map(|l| l.line.as_ref().ok()) {
            Some(Decoded::Event(line)) => {
                let torn_event = text.starts_with(EVENT) || EVENT.starts_with(text);
                torn_event && self.header.is_some() && line.0.seq == self.state.seq + 1
            }
            Some(Decoded::Header(header)) => {
                header.seq == self.state.seq
                    && header.segment == self.segment + 1
                    && (self.state.lineage.is_empty() || header.lineage == self.state.lineage)
            }
            Some(Decoded::Chunk(_)) | None => false,
        }
    }

    /// Whether a log begins with a whole line that is no header. A crash leaves the beginning of a line, never its end: this is no
    /// log of ours, or one that was damaged, and not one that was about to begin.
    fn begins_otherwise(&self, located: &Located, pieces: &[Piece]) -> bool {
        let is_whole = pieces[located.piece].bytes.get(located.range.end) == Some(&b'\n');
        self.header.is_none() && located.piece == 0 && located.range.start == 0 && is_whole
    }

    /// Whether what follows a broken line shows that the line had been durable: a later one promises it, or goes on
    /// from where the broken one stands.
    fn was_durable(&self, rest: &[Located]) -> bool {
        rest.iter().any(|located| {
            let goes_on = match &located.line {
                Ok(Decoded::Event(line)) => line.0.seq == self.state.seq + 1,
                _ => false,
            };
            goes_on || located.synced.is_some_and(|synced| synced > self.state.seq)
        })
    }

    fn done(self, torn: Option<Cut>, fault: Option<(StateError, Cut)>) -> Replayed {
        let Self { state, header, segment, events, .. } = self;
        Replayed { state, header, segment, events_in_segment: events, torn, fault, warnings: Vec::new() }
    }
}

/// SHA-256 in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}
