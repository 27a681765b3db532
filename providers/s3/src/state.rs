//! An object as a holder of state: its text is read whole and written whole, each time on the condition that nobody wrote between.
//!
//! Beside it lies a lock object with owner, lease and fencing token. A lock that was given back or has run out stays there with
//! its fence, so that fences only grow. Every write of the state carries the fence it was made under; an older one is refused, and
//! so is one of a holder whose lock somebody else has broken or taken since.

use std::time::{SystemTime, UNIX_EPOCH};

use freehold_provider::sdk::{Failure, StateLock, StateText};
use freehold_s3::{Client, Condition, Object, Put, S3Error};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::connection::failure;

/// Metadata of the state: the fence under which it was last written.
const FENCE: &str = "freehold-fence";
/// Tries of a change that others may make at the same time.
const TRIES: u32 = 5;

/// Key of the lock of a state.
pub(crate) fn lock_key(key: &str) -> String {
    format!("{key}.lock")
}

/// One object that holds state.
pub(crate) struct Holder {
    client: Client,
    key: String,
    single_writer: bool,
}

/// What lies in the lock object.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Lock {
    /// Tells this holding from any other; empty when the lock is free.
    token: String,
    fence: u64,
    owner: Json,
    /// Seconds since 1970.
    expires: u64,
    /// Something was appended: an object without anything in it has lost that.
    #[serde(default)]
    begun: bool,
}

impl Holder {
    pub(crate) fn new(client: Client, key: String, single_writer: bool) -> Self {
        Self { client, key, single_writer }
    }

    /// Takes what is there, or makes an empty state.
    pub(crate) fn adopt_or_create(&self) -> Result<(), Failure> {
        self.require_conditions()?;
        let put = self.put(Condition::Absent, 0);
        match self.client.put(&self.key, b"", &put) {
            // Whoever makes it anew knows that what it held is gone.
            Ok(_) => self.note_begun(false),
            Err(S3Error::PreconditionFailed { .. }) => Ok(()),
            Err(error) => Err(failure(error)),
        }
    }

    pub(crate) fn read(&self) -> Result<StateText, Failure> {
        let found = self.client.get(&self.key).map_err(failure)?;
        if found.as_ref().is_none_or(|object| object.body.trim_ascii().is_empty()) {
            self.require_never_begun()?;
        }
        match found {
            None => Ok(StateText { text: String::new(), version: String::new() }),
            Some(Object { body, meta }) => {
                let text = String::from_utf8(body).map_err(|_| {
                    Failure::config(format!("`{}` in bucket `{}` is not text", self.key, self.client.bucket_name()))
                        .hint("it is no Freehold state: choose another key")
                })?;
                Ok(StateText { text, version: meta.etag })
            }
        }
    }

    fn require_never_begun(&self) -> Result<(), Failure> {
        if !self.read_lock()?.0.is_some_and(|lock| lock.begun) {
            return Ok(());
        }
        let (key, lock) = (&self.key, lock_key(&self.key));
        Err(Failure::config(format!(
            "`{key}` in bucket `{}` is gone or empty, and state was kept in it",
            self.client.bucket_name()
        ))
        .hint(format!("restore it from a copy; or delete `{lock}` as well, and what it recorded is no longer known")))
    }

    /// Notes whether an empty state is one that was lost. Who holds the lock may be renewing it at this moment.
    fn note_begun(&self, begun: bool) -> Result<(), Failure> {
        for _ in 0..TRIES {
            let (Some(lock), condition) = self.read_lock()? else { return Ok(()) };
            if lock.begun == begun || self.write_lock(&Lock { begun, ..lock }, condition)? {
                return Ok(());
            }
        }
        Err(Failure::transient("the lock of the state is contended"))
    }

    pub(crate) fn append(&self, expected: &str, lines: &[String], fence: u64) -> Result<String, Failure> {
        self.require_conditions()?;
        let found = self.client.get(&self.key).map_err(failure)?;
        let (mut body, version, last_fence) = match found {
            None => (Vec::new(), String::new(), 0),
            Some(Object { body, meta }) => {
                let fence = meta.metadata.get(FENCE).and_then(|text| text.parse().ok()).unwrap_or(0);
                (body, meta.etag, fence)
            }
        };
        if version != expected {
            return Err(self.moved_on());
        }
        let (locked_under, begun) = self.read_lock()?.0.map_or((0, false), |lock| (lock.fence, lock.begun));
        if fence != 0 && fence < last_fence.max(locked_under) {
            return Err(Failure::config("the lock of the state was taken over by somebody else")
                .hint("nothing was written; look at `freehold state unlock` and apply again"));
        }
        lines.iter().for_each(|line| body.extend_from_slice(line.as_bytes()));
        let condition = if version.is_empty() { Condition::Absent } else { Condition::Match(version) };
        match self.client.put(&self.key, &body, &self.put(condition, fence.max(last_fence))) {
            Ok(written) => {
                if !begun && !body.trim_ascii().is_empty() {
                    self.note_begun(true)?;
                }
                Ok(written.etag)
            }
            Err(S3Error::PreconditionFailed { .. }) => Err(self.moved_on()),
            Err(error) => Err(failure(error)),
        }
    }

    pub(crate) fn lock(&self, owner: &Json, lease_seconds: u64, token: Option<&str>) -> Result<StateLock, Failure> {
        self.require_conditions()?;
        for _ in 0..TRIES {
            let (found, condition) = self.read_lock()?;
            let now = now();
            let fence = match (&found, token) {
                (Some(lock), Some(token)) if lock.token == token => lock.fence,
                (_, Some(_)) => {
                    return Err(Failure::config("the lock of the state was lost to somebody else")
                        .hint("stop writing; look at `freehold state unlock`"));
                }
                (Some(lock), None) if !lock.token.is_empty() && lock.expires > now => return Err(held(lock, now)),
                (Some(lock), None) => lock.fence + 1,
                (None, None) => 1,
            };
            let token = token.map_or_else(|| new_token(fence, now), str::to_owned);
            let begun = found.is_some_and(|lock| lock.begun);
            let lock = Lock { token, fence, owner: owner.clone(), expires: now + lease_seconds, begun };
            if self.write_lock(&lock, condition)? {
                return Ok(StateLock { token: lock.token, fence });
            }
        }
        Err(Failure::transient("the lock of the state is contended"))
    }

    /// Gives the lock back; without a token whoever holds it loses it.
    pub(crate) fn unlock(&self, token: Option<&str>) -> Result<(), Failure> {
        for _ in 0..TRIES {
            let (found, condition) = self.read_lock()?;
            let Some(lock) = found else { return Ok(()) };
            if token.is_some_and(|token| token != lock.token) {
                return Err(Failure::config("somebody else holds the lock of the state"));
            }
            // Who loses it to somebody else cannot write from now on.
            let fence = lock.fence + u64::from(token.is_none());
            if self.write_lock(&Lock { token: String::new(), expires: 0, fence, ..lock }, condition)? {
                return Ok(());
            }
        }
        Err(Failure::transient("the lock of the state is contended"))
    }

    fn read_lock(&self) -> Result<(Option<Lock>, Condition), Failure> {
        let Some(found) = self.client.get(&lock_key(&self.key)).map_err(failure)? else {
            return Ok((None, Condition::Absent));
        };
        let lock = serde_json::from_slice(&found.body).map_err(|e| {
            Failure::config(format!("`{}` is no lock of a state", lock_key(&self.key)))
                .because(&e)
                .hint("delete it if nothing runs")
        })?;
        Ok((Some(lock), Condition::Match(found.meta.etag)))
    }

    /// `false` when somebody else wrote first.
    fn write_lock(&self, lock: &Lock, condition: Condition) -> Result<bool, Failure> {
        let json = serde_json::to_vec(lock).map_err(|e| Failure::internal("a lock cannot be written").because(&e))?;
        let put = Put { condition, content_type: Some("application/json".to_owned()), ..Put::default() };
        match self.client.put(&lock_key(&self.key), &json, &put) {
            Ok(_) => Ok(true),
            Err(S3Error::PreconditionFailed { .. }) => Ok(false),
            Err(error) => Err(failure(error)),
        }
    }

    fn put(&self, condition: Condition, fence: u64) -> Put {
        Put {
            condition,
            content_type: Some("application/jsonl".to_owned()),
            cache_control: Some("no-store".to_owned()),
            metadata: [(FENCE.to_owned(), fence.to_string())].into(),
        }
    }

    fn require_conditions(&self) -> Result<(), Failure> {
        if self.single_writer {
            return Ok(());
        }
        let parent = self.key.rsplit_once('/').map(|(parent, _)| format!("{parent}/")).unwrap_or_default();
        if self.client.honours_conditions(&parent).map_err(failure)?.all() {
            return Ok(());
        }
        Err(Failure::config(format!(
            "the store at `{}` does not honour conditional writes: two operators could overwrite each other's state",
            self.client.endpoint()
        ))
        .hint(
            "choose another store, or set `singleWriter = true` and make sure that only one operator works at a time",
        ))
    }

    fn moved_on(&self) -> Failure {
        Failure::config(format!("the state in `{}` moved on: somebody else wrote to it", self.key))
            .hint("nothing was written; apply again")
    }
}

fn held(lock: &Lock, now: u64) -> Failure {
    let part = |name: &str| lock.owner[name].as_str().map(str::to_owned);
    let who = match (part("user"), part("host")) {
        (Some(user), Some(host)) => format!("{user}@{host}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => "somebody".to_owned(),
    };
    let command = part("command").map(|command| format!(" for `{command}`")).unwrap_or_default();
    Failure::config(format!(
        "{who} holds the lock of the state{command}, for {} s more unless renewed",
        lock.expires - now
    ))
    .hint("wait, or break it with `freehold state unlock --yes` if that run is gone")
}

/// The store's clients are on several machines: only seconds matter, and the fence guards what a wrong clock lets through.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn new_token(fence: u64, now: u64) -> String {
    use std::hash::{BuildHasher, Hasher};
    let random = || std::hash::RandomState::new().build_hasher().finish();
    format!("{fence}-{now}-{:016x}{:016x}", random(), random())
}
