//! What is told while paths travel.

/// News of a push or a pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// What is to be done is known.
    Planned {
        /// Paths of the closure.
        paths: usize,
        /// Paths that are not there yet.
        missing: usize,
        /// Size of their NARs in bytes.
        nar_bytes: u64,
    },
    /// The NAR of a path is where it should be.
    Moved {
        /// The path.
        path: String,
        /// Size of its NAR in bytes.
        nar_bytes: u64,
        /// Size of the compressed file in bytes.
        file_bytes: u64,
        /// Whether it had to travel; otherwise it was there from an earlier attempt.
        travelled: bool,
    },
    /// All NARs are there: the paths are being made known.
    Publishing,
    /// Another pull of the same paths is under way: its end is awaited.
    Behind,
    /// The cache has other contents of a path than the store here, signed by others: it stays as it is, without our signature.
    Differs {
        /// The path.
        path: String,
    },
    /// Garbage is being collected: what is there is looked at when that has ended.
    Waiting,
    /// Garbage was collected meanwhile: what is there is looked at again.
    Again,
}

/// Who is told.
pub type Listener<'a> = &'a (dyn Fn(Progress) + Sync);
