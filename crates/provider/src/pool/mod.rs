//! The client: provider processes, shared by all calls that want the same program with the same settings.
//!
//! One *keeper* thread owns everything and never blocks: it starts processes, hands out calls, watches the clock. Each
//! process has threads that only read or write its pipes. Callbacks run on the keeper's thread: they must be quick.
//! Read on in `keeper.rs` (who does what when), `process.rs` (one process), `v1.rs` and `v0.rs` (what is said).

mod keeper;
mod process;
mod v0;
mod v1;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;

use self::keeper::{Keeper, Order};
use crate::{CallError, CallEvent, Launch, PoolOptions, Reply, Request};

/// Tells calls apart; also the id of the request on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub(crate) u64);

/// Hears what happens to a call. It runs on the pool's own thread: it must not block and must not wait for the pool.
pub type Callback = Box<dyn Fn(CallEvent) + Send + Sync>;

/// A pool of provider processes.
pub struct Pool {
    orders: Sender<Order>,
    next: AtomicU64,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

impl Pool {
    /// A pool without processes; they are started when they are needed.
    pub fn new(options: PoolOptions) -> Self {
        let (orders, inbox) = mpsc::channel();
        let keeper = Keeper::new(options, orders.clone(), inbox);
        let keeper = std::thread::Builder::new().name("provider-pool".into()).spawn(move || keeper.run()).ok();
        Self { orders, next: AtomicU64::new(keeper::FIRST_CALL), keeper: Mutex::new(keeper) }
    }

    /// Asks without waiting. `on_event` hears what happens, last of all a [`CallEvent::Done`].
    pub fn submit(&self, launch: &Launch, request: impl Into<Request>, on_event: Callback) -> CallId {
        let id = CallId(self.next.fetch_add(1, Ordering::Relaxed));
        let order = Order::Submit { id, launch: Box::new(launch.clone()), request: Box::new(request.into()), on_event };
        if let Err(mpsc::SendError(Order::Submit { on_event, .. })) = self.orders.send(order) {
            on_event(CallEvent::Done(Err(CallError::PoolClosed)));
        }
        id
    }

    /// Asks and waits for the reply. Not to be called from a callback.
    ///
    /// # Errors
    /// Whatever ended the call.
    pub fn call(&self, launch: &Launch, request: impl Into<Request>) -> Result<Reply, CallError> {
        let (done, reply) = mpsc::channel();
        self.submit(
            launch,
            request,
            Box::new(move |event| {
                if let CallEvent::Done(result) = event {
                    // Nobody waits any more: nothing to be told.
                    let _ = done.send(result);
                }
            }),
        );
        reply.recv().unwrap_or(Err(CallError::PoolClosed))
    }

    /// Asks the provider to stop working on a call. Its `Done` still comes: with its reply when it was done already, with
    /// [`CallError::Cancelled`] otherwise. One that does not stop in time is killed.
    pub fn cancel(&self, call: CallId) {
        // A closed pool has no calls.
        let _ = self.orders.send(Order::Cancel(call));
    }

    /// Kills every provider process at once. All calls end with an error.
    pub fn kill_all(&self) {
        let _ = self.orders.send(Order::KillAll);
    }

    /// Closes the providers' standard inputs and waits until they have ended; those that do not are killed.
    /// Calls that still run have that time to finish; calls that wait end at once.
    pub fn shutdown(&self) {
        let _ = self.orders.send(Order::Shutdown);
        let keeper = match self.keeper.lock() {
            Ok(mut guard) => guard.take(),
            Err(poisoned) => poisoned.into_inner().take(),
        };
        if let Some(keeper) = keeper
            && keeper.thread().id() != std::thread::current().id()
        {
            // A keeper that panicked has dropped its processes already.
            let _ = keeper.join();
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pool")
    }
}
