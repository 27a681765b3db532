//! The engine: one thread that carries out what the machines ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use freehold_apply::ApplySummary;
use freehold_eval::{Evaluator, NixPrograms, Ticket};
use freehold_model::{MemberPath, limits};
use freehold_plan::{Plan, PlanOptions, SavedPlan};
use freehold_provider::{Pool, PoolOptions};
use freehold_state::{
    Backend, Event as StateEvent, FileBackend, Keys, MadeKeys, NewEvent, Owner, RECIPIENTS_FILE, S3Backend,
    STATE_DIRECTORY, StateError, Store, SystemClock,
};
use freehold_store::Nix;

use crate::catalog::Catalog;
use crate::front::Parked;
use crate::holders::Holders;
use crate::mail::Mail;
use crate::{EngineError, EngineOptions, Note, Observer, StateLocation};

/// The providers inside the `freehold` binary.
pub const BUILTIN_PROVIDERS: &[&str] = &["local", "nix", "s3", "workload"];

/// Plans and applies one deployment.
pub struct Engine {
    pub(crate) options: EngineOptions,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) store: Store,
    pub(crate) pool: Arc<Pool>,
    /// For what holds state: its locks are renewed while others work for long, and it goes on when those are killed.
    pub(crate) holder_pool: Arc<Pool>,
    pub(crate) holders: Holders,
    pub(crate) catalog: Catalog,
    pub(crate) sender: Sender<Mail>,
    pub(crate) inbox: Receiver<Mail>,
    pub(crate) evaluator: Option<Evaluator>,
    pub(crate) last_ticket: Ticket,
    pub(crate) parked: BTreeMap<String, Vec<Parked>>,
    pub(crate) held_quiet: Option<Ticket>,
    /// What had been told when the evaluation was last quiet.
    pub(crate) quiet_at: Ticket,
    pub(crate) evaluated: usize,
    /// Outputs that composites were made of.
    pub(crate) structure_edges: BTreeMap<MemberPath, BTreeSet<freehold_model::OutputRef>>,
    /// Members with conditions that are looked at when their outputs are there.
    pub(crate) to_check: BTreeSet<MemberPath>,
    /// Operations that this engine has begun itself.
    pub(crate) own_ops: BTreeSet<String>,
    keys_made: Option<MadeKeys>,
    /// How often the operator asked to stop.
    pub(crate) interrupts: Arc<AtomicUsize>,
    /// Ends what is built or fetched: set with the first interrupt, or when nothing more may begin.
    pub(crate) stop: Arc<AtomicBool>,
}

/// What came of `apply`.
#[derive(Debug)]
pub struct Applied {
    /// The plan it followed (or would have followed).
    pub plan: Plan,
    /// What was done; `None` when nothing was begun: nothing to do, problems, or not confirmed.
    pub summary: Option<ApplySummary>,
}

/// Stops an engine from another thread: first softly, then hard.
#[derive(Clone)]
pub struct InterruptHandle {
    sender: Sender<Mail>,
    count: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl InterruptHandle {
    /// The first call lets finish what runs, each further one gives it up. Returns how often it was called.
    pub fn interrupt(&self) -> usize {
        let count = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        self.stop.store(true, Ordering::SeqCst);
        // An engine that is gone has nothing to stop.
        let _ = self.sender.send(Mail::Interrupt { hard: count > 1 });
        count
    }
}

impl Engine {
    /// Opens the state; starts nothing yet.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn open(options: EngineOptions, observer: Arc<dyn Observer>) -> Result<Self, EngineError> {
        let backend: Arc<dyn Backend> = match &options.state {
            None => Arc::new(FileBackend::new(options.entry.dir.join(STATE_DIRECTORY))),
            Some(StateLocation::Directory(dir)) => Arc::new(FileBackend::new(dir.clone())),
            Some(StateLocation::S3(settings)) => Arc::new(S3Backend::from_json(settings, options.single_writer)?),
        };
        let recipients = options.entry.dir.join(RECIPIENTS_FILE);
        let keys = Keys::load(&recipients, options.identity.as_deref().filter(|p| p.exists()))?;
        let store = Store::open(backend, keys, Arc::new(SystemClock))?;
        for text in store.warnings() {
            observer.note(Note::Warning { text });
        }
        let (sender, inbox) = channel();
        let catalog = Catalog::new(options.program.clone(), options.entry.dir.clone(), options.work_dir.clone());
        Ok(Self {
            options,
            observer,
            store,
            pool: Arc::new(Pool::new(PoolOptions::default())),
            holder_pool: Arc::new(Pool::new(PoolOptions::default())),
            holders: Holders::default(),
            catalog,
            sender,
            inbox,
            evaluator: None,
            last_ticket: 0,
            parked: BTreeMap::new(),
            held_quiet: None,
            quiet_at: 0,
            evaluated: 0,
            structure_edges: BTreeMap::new(),
            to_check: BTreeSet::new(),
            own_ops: BTreeSet::new(),
            keys_made: None,
            interrupts: Arc::new(AtomicUsize::new(0)),
            stop: Arc::new(AtomicBool::new(false)),
        })
    }

    /// Stops it from another thread.
    pub fn interrupt_handle(&self) -> InterruptHandle {
        InterruptHandle {
            sender: self.sender.clone(),
            count: Arc::clone(&self.interrupts),
            stop: Arc::clone(&self.stop),
        }
    }

    /// What is remembered.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What is remembered, to be changed by commands on the state.
    pub fn store_mut(&mut self) -> &mut Store {
        &mut self.store
    }

    /// What it was opened with.
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// Keys that were made because there were none, with where they are.
    pub fn keys_made(&self) -> Option<&MadeKeys> {
        self.keys_made.as_ref()
    }

    /// What is kept of a plan in a file.
    pub fn saved_plan(&self, plan: &Plan) -> SavedPlan {
        SavedPlan::new(plan, self.store.view().lineage().to_owned())
    }

    /// Plans without taking the lock.
    ///
    /// # Errors
    /// When nothing can be evaluated or the state cannot be read; what is wrong with single members is in the plan.
    pub fn plan(&mut self, options: PlanOptions) -> Result<Plan, EngineError> {
        // A plan takes no lock and needs none: where its state cannot be told, nothing is said of it.
        if let Ok(Some(holder)) = self.store.holder() {
            let owner = holder.owner;
            let text = format!("{owner} is at work on this: what is under way is shown as interrupted");
            self.observer.note(Note::Warning { text });
        }
        let mut plan = self.run_planner(options)?;
        self.warn_of_broken_checks(&mut plan)?;
        Ok(plan)
    }

    /// Takes the lock, plans, asks, and follows the plan.
    ///
    /// # Errors
    /// When it could not be begun; what failed on the way is in the summary.
    pub fn apply(
        &mut self,
        options: PlanOptions,
        saved: Option<&SavedPlan>,
        confirm: &mut dyn FnMut(&Plan) -> bool,
    ) -> Result<Applied, EngineError> {
        let ours = self.store.view().lineage().to_owned();
        // A plan that was made before anything was recorded has no lineage; its steps tell whether it still holds.
        if let Some(saved) = saved
            && saved.lineage != ours
            && !saved.lineage.is_empty()
        {
            return Err(EngineError::ForeignPlan { theirs: saved.lineage.clone(), ours });
        }
        let owner = Owner::current(self.options.command.clone(), &SystemClock);
        let mut guard = self.store.lock(&owner)?;
        let options = saved.map_or(options, |s| s.options.clone());
        let mut plan = self.run_planner(options)?;
        if let Some(saved) = saved {
            plan = saved.restrict(plan).map_err(EngineError::StalePlan)?;
        }
        if plan.problems.is_empty() && plan.is_noop() {
            // Nothing is to be done; whether all is well is told all the same, and what failed to be mirrored is tried again.
            self.follow_all();
            let mut summary = ApplySummary::default();
            self.check_afterwards(&mut summary, &plan.options)?;
            return Ok(Applied { plan, summary: (!summary.is_ok()).then_some(summary) });
        }
        if !plan.problems.is_empty() || !confirm(&plan) {
            return Ok(Applied { plan, summary: None });
        }
        if self.make_keys()? {
            // The log is begun under the new keys; nobody may have written to it in the meantime.
            let planned_on = self.store.view().seq();
            self.store.close_writer();
            drop(guard);
            guard = self.store.lock(&owner)?;
            if self.store.view().seq() != planned_on {
                return Err(StateError::MovedOn { place: self.store.place() }.into());
            }
        }
        self.rename_holders(&plan.moves);
        self.lock_holders(&plan.moves)?;
        let summary = self.execute(&plan);
        self.release_holders();
        self.store.close_writer();
        drop(guard);
        Ok(Applied { plan, summary: Some(summary?) })
    }

    /// The evaluator, started at its first use.
    pub(crate) fn evaluator(&mut self) -> Result<&Evaluator, EngineError> {
        if self.evaluator.is_none() {
            let providers = self.describe_builtin_providers()?;
            let sender = self.sender.clone();
            let options = freehold_eval::Options {
                source: self.options.entry.source.clone(),
                library: self.options.library.clone(),
                bridge: vec![self.options.program.clone().into(), "internal".into(), "eval-bridge".into()],
                nix: NixPrograms::in_dir(Nix::find()?.bin()),
                confine: self.options.confine,
                providers,
                show_trace: self.options.show_trace,
                system: None,
                base_dir: self.options.entry.dir.clone(),
                env: Vec::new(),
            };
            let tell = move |event| drop(sender.send(Mail::Eval(event)));
            self.evaluator = Some(Evaluator::start(options, Box::new(tell))?);
            self.last_ticket = 0;
        }
        self.evaluator.as_ref().ok_or(EngineError::Interrupted)
    }

    /// What the Nix library is told of the built-in providers.
    fn describe_builtin_providers(&mut self) -> Result<serde_json::Value, EngineError> {
        let schemas = self.schemas()?;
        let described = schemas.iter().map(|(name, schema)| (name.clone(), crate::front::describe(schema)));
        Ok(serde_json::Value::Object(described.collect()))
    }

    /// Builds or fetches store paths in this thread.
    pub(crate) fn realise_now(&self, paths: &[String]) -> Result<(), freehold_apply::Failure> {
        crate::recording::realise(paths, &self.observer, &self.stop)
    }

    /// The next message, or `None` when `until` has come.
    pub(crate) fn receive(&self, until: Option<Instant>) -> Option<Mail> {
        let limit = until.map_or(limits::MAIL, |t| t.saturating_duration_since(Instant::now()));
        self.inbox.recv_timeout(limit).ok()
    }

    /// Makes the keys that sensitive values need, the first time something is written.
    /// Tells whether there were none.
    pub(crate) fn make_keys(&mut self) -> Result<bool, EngineError> {
        let Some(identity) = self.options.identity.clone() else { return Ok(false) };
        let recipients = self.options.entry.dir.join(RECIPIENTS_FILE);
        let (keys, made) = Keys::load_or_create(&recipients, &identity)?;
        let fresh = made.is_some();
        self.keys_made = made.or_else(|| self.keys_made.take());
        self.store.use_keys(keys);
        Ok(fresh)
    }

    /// Appends events that nothing waits for one by one.
    pub(crate) fn note_event(&mut self, event: StateEvent) -> Result<(), EngineError> {
        self.store.append_wait(vec![NewEvent::from(event)])?;
        Ok(())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.evaluator = None;
        self.pool.shutdown();
        // Giving a lock back asks its provider.
        self.release_holders();
        self.holder_pool.shutdown();
    }
}
