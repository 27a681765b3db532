//! Telling systemd how it goes: ready after the first round, a line of status, signs of life, the end (sd_notify(3)).
//!
//! The protocol is one datagram of `NAME=VALUE` lines to a socket that the environment names. The crates for it bring file descriptors,
//! monotonic stamps and `unsafe` changes of the environment, none of which is of use here: these lines are all of it.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The connection to the manager of this service.
#[derive(Debug)]
pub struct Notify {
    socket: UnixDatagram,
    manager: SocketAddr,
    is_ready: AtomicBool,
    /// How often a sign of life is due: half of what the manager waits.
    beat: Option<Duration>,
    heart: Mutex<Heart>,
}

#[derive(Debug)]
struct Heart {
    /// A round is under way; each of its waits has a limit of its own.
    in_round: bool,
    /// When the loop was last seen to go on.
    seen: Instant,
}

impl Notify {
    /// By what systemd has put into the environment; `None` when nobody wants to be told.
    pub fn from_environment() -> Option<Arc<Self>> {
        let of_us = std::env::var("WATCHDOG_PID").map_or(true, |pid| pid == std::process::id().to_string());
        let watchdog = std::env::var("WATCHDOG_USEC").ok().filter(|_| of_us);
        Self::at(&std::env::var_os("NOTIFY_SOCKET")?, watchdog.as_deref()).ok()
    }

    /// At this socket (a path, or `@NAME` for an abstract one), with the watchdog's patience in microseconds.
    ///
    /// # Errors
    /// It is no address of a socket, or no socket can be made.
    pub fn at(socket: &OsStr, watchdog: Option<&str>) -> std::io::Result<Arc<Self>> {
        let manager = match socket.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(socket)?,
        };
        let beat = watchdog.and_then(|micros| micros.parse().ok()).filter(|micros| *micros > 0);
        let notify = Arc::new(Self {
            socket: UnixDatagram::unbound()?,
            manager,
            is_ready: AtomicBool::new(false),
            beat: beat.map(|micros| Duration::from_micros(micros) / 2),
            heart: Mutex::new(Heart { in_round: false, seen: Instant::now() }),
        });
        if let Some(beat) = notify.beat {
            let weak = Arc::downgrade(&notify);
            std::thread::spawn(move || {
                while let Some(notify) = weak.upgrade() {
                    notify.beat_if_alive(beat);
                    drop(notify);
                    std::thread::sleep(beat);
                }
            });
        }
        Ok(notify)
    }

    /// A round begins: for as long as it takes, its own limits say how long that may be.
    pub(crate) fn round_begins(&self) {
        self.heart(true);
    }

    /// A round is over, and this is how it stands. The first time the service has started with that.
    pub(crate) fn round_is_over(&self, status: &str) {
        self.heart(false);
        let ready = if self.is_ready.swap(true, Ordering::SeqCst) { "" } else { "READY=1\n" };
        // A line is a field: what is told has none of its own.
        let status = status.replace(|c: char| c.is_control(), " ");
        self.send(&format!("{ready}STATUS={status}\n"));
    }

    /// The loop goes on.
    pub(crate) fn loop_goes_on(&self) {
        self.heart(false);
    }

    /// The agent ends.
    pub fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=stopping\n");
    }

    fn heart(&self, in_round: bool) {
        *self.heart.lock().unwrap_or_else(PoisonError::into_inner) = Heart { in_round, seen: Instant::now() };
    }

    fn beat_if_alive(&self, beat: Duration) {
        let heart = self.heart.lock().unwrap_or_else(PoisonError::into_inner);
        let is_alive = heart.in_round || heart.seen.elapsed() < beat;
        drop(heart);
        if is_alive {
            self.send("WATCHDOG=1\n");
        }
    }

    fn send(&self, text: &str) {
        // A manager that does not listen now is not to be helped by us; one that misses signs of life starts us again.
        let _ = self.socket.send_to_addr(text.as_bytes(), &self.manager);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is the report of a test")]

    use freehold_testkit::Scratch;

    use super::*;

    fn hear(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 4096];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    fn listener(at: &SocketAddr) -> UnixDatagram {
        let socket = UnixDatagram::bind_addr(at).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        socket
    }

    #[test]
    fn the_manager_hears_once_that_it_is_ready_and_each_time_how_it_stands() {
        let scratch = Scratch::new();
        let path = scratch.join("notify");
        let manager = listener(&SocketAddr::from_pathname(&path).unwrap());
        let notify = Notify::at(path.as_os_str(), None).unwrap();
        notify.round_is_over("1 of 1 services\nREADY=0");
        assert_eq!(hear(&manager), "READY=1\nSTATUS=1 of 1 services READY=0\n");
        notify.round_is_over("all is well");
        assert_eq!(hear(&manager), "STATUS=all is well\n");
        notify.stopping();
        assert_eq!(hear(&manager), "STOPPING=1\nSTATUS=stopping\n");
    }

    #[test]
    fn signs_of_life_come_for_as_long_as_the_loop_lives() {
        // Nobody else has the name of a directory that is ours.
        let scratch = Scratch::new();
        let name = format!("freehold-notify{}", scratch.path().display());
        let manager = listener(&SocketAddr::from_abstract_name(&name).unwrap());
        let notify = Notify::at(OsStr::new(&format!("@{name}")), Some("200000")).unwrap();
        notify.round_begins();
        assert_eq!([hear(&manager), hear(&manager)], ["WATCHDOG=1\n", "WATCHDOG=1\n"], "while a round takes its time");
        notify.loop_goes_on();
        // The loop hangs from here on. However late this thread comes to look: once that has been so for a beat, no further sign is
        // decided upon, and of those that were before only the one that is being sent can still come.
        let beat = notify.beat.unwrap();
        while notify.heart.lock().unwrap().seen.elapsed() < beat {
            std::thread::sleep(beat / 10);
        }
        let mut bytes = [0; 64];
        manager.set_nonblocking(true).unwrap();
        while manager.recv(&mut bytes).is_ok() {}
        manager.set_nonblocking(false).unwrap();
        manager.set_read_timeout(Some(beat * 7)).unwrap();
        let heard = (0..10).take_while(|_| manager.recv(&mut bytes).is_ok()).count();
        assert!(heard <= 1, "{heard} signs of life of a loop that hangs");
    }
}
