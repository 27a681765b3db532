//! One process at a mirror. The lock is the system's: it is gone with the last process that holds it, git's included.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use crate::SourceError;
use crate::error::file;

const PAUSE: Duration = Duration::from_millis(20);

/// Takes the lock of a mirror, waiting for whoever has it. It lasts as long as the file is open.
pub(crate) fn take(path: &Path, mirror: &Path, wait: Duration, stop: &AtomicBool) -> Result<File, SourceError> {
    let options = || fs_err::OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path);
    let lock = options().map_err(file("open the lock", path))?.into_parts().0;
    let started = Instant::now();
    loop {
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(lock),
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
            Err(error) => return Err(file("take the lock", path)(error.into())),
        }
        if stop.load(Ordering::Relaxed) {
            return Err(SourceError::Stopped { what: "fetch the recipe" });
        }
        if started.elapsed() > wait {
            return Err(SourceError::Locked { mirror: mirror.to_owned() });
        }
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_had_once_and_a_wait_for_it_ends() {
        let scratch = freehold_testkit::Scratch::new();
        let (path, mirror, stop) = (scratch.join("x.lock"), scratch.join("x.git"), AtomicBool::new(false));
        let take = |wait| take(&path, &mirror, wait, &stop);
        let first = take(Duration::ZERO).unwrap();
        assert!(matches!(take(Duration::from_millis(50)), Err(SourceError::Locked { .. })));
        stop.store(true, Ordering::Relaxed);
        assert!(matches!(take(Duration::from_secs(600)), Err(SourceError::Stopped { .. })));
        stop.store(false, Ordering::Relaxed);
        // A child that was given it keeps it: git goes on when we are killed.
        let mut sleep = std::process::Command::new("sleep");
        let mut child = sleep.arg("600").stdin(first.try_clone().unwrap()).spawn().unwrap();
        drop((first, sleep));
        let during = take(Duration::from_millis(50));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(matches!(during, Err(SourceError::Locked { .. })));
        take(Duration::from_secs(300)).unwrap();
    }
}
