//! What a person goes back from: no timer goes there again. It is noted before the way back begins, so that a crash does not forget it.
//!
//! Deliberately not the machine's own note of what failed; that one comes with the failure.

use freehold_model::limits;
use freehold_rollout::{Record, Release, TakenBack};
use freehold_runtime::RecordFile;

use crate::{AppError, now_millis};

/// Notes what is good now, when another release is to take its place.
pub(crate) fn leave(file: &RecordFile, target: &Release) -> Result<(), AppError> {
    write(file, noted(file.read()?, target, now_millis()))
}

/// Strikes the note of what is good now: it was not left after all.
pub(crate) fn stay(file: &RecordFile) -> Result<(), AppError> {
    write(file, struck(file.read()?))
}

fn write(file: &RecordFile, changed: Option<Record>) -> Result<(), AppError> {
    changed.map_or(Ok(()), |record| Ok(file.write(&record)?))
}

fn noted(mut record: Record, target: &Release, at: u64) -> Option<Record> {
    let left = record.last_good.clone().filter(|good| !good.is(target))?;
    let reason = "a person went back from it".to_owned();
    record.taken_back.retain(|taken| taken.release != left.id());
    record.taken_back.insert(0, TakenBack { release: left.id().to_owned(), reason, at });
    record.taken_back.truncate(limits::ROLLOUT_TAKEN_BACK);
    record.revision += 1;
    Some(record)
}

fn struck(mut record: Record) -> Option<Record> {
    // Of a rollout that is not over nobody knows what it leaves.
    let good = record.last_good.clone().filter(|_| record.stage.is_settled())?;
    let before = record.taken_back.len();
    record.taken_back.retain(|taken| taken.release != good.id());
    record.revision += 1;
    (record.taken_back.len() < before).then_some(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(id: &str) -> Release {
        Release::new(id, serde_json::Value::Null).unwrap()
    }

    fn record(good: &str) -> Record {
        Record { last_good: Some(release(good)), ..Record::new("blog") }
    }

    #[test]
    fn what_is_left_is_noted_before_it_is_left_and_again_good_when_it_stays() {
        let going = noted(record("1.1"), &release("1.0"), 7).unwrap();
        assert_eq!((going.taken_back[0].release.as_str(), going.revision), ("1.1", 1));
        assert_eq!(noted(record("1.0"), &release("1.0"), 7), None, "nothing is left");
        // It went well: 1.0 is good, and the note stands.
        let gone = Record { last_good: Some(release("1.0")), ..going.clone() };
        assert_eq!(struck(gone), None);
        let stays = struck(going).unwrap();
        assert_eq!((stays.taken_back.len(), stays.revision), (0, 2));
    }
}
