//! Whether a stack has settled: every service is the one that was sent, and its up-to-date tasks run.
//!
//! It only judges; `stack.rs` looks. What docker/cli waits for is the base, with one difference: an update that Swarm has silently
//! taken back is a failure here, also when the old tasks answer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use freehold_model::limits;
use freehold_rollout::Settling;

use crate::stack::{RunningService, Task, UpdateState};

/// What was seen of the services of a stack since it was sent.
#[derive(Debug, Clone, Default)]
pub struct Seen(BTreeMap<String, SeenService>);

#[derive(Debug, Clone, Default)]
struct SeenService {
    /// Tasks that failed; Swarm itself forgets all but the last few.
    failed: BTreeSet<String>,
    /// Since when all of its tasks run and are up to date.
    whole: Option<Instant>,
}

impl Seen {
    /// How many tasks have failed.
    #[must_use]
    pub fn failures(&self) -> usize {
        self.0.values().map(|service| service.failed.len()).sum()
    }

    /// The services of which tasks have failed.
    pub fn failed(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(_, service)| !service.failed.is_empty()).map(|(name, _)| name.as_str())
    }
}

/// What is to be said of a stack at a moment. `wanted` are the names of its services; `is_ours` tells whether one is as it was sent.
pub fn settle(
    services: &[RunningService],
    wanted: &[String],
    is_ours: &dyn Fn(&RunningService) -> bool,
    now: Instant,
    seen: &mut Seen,
) -> Settling {
    let mut busy = None;
    for name in wanted {
        let Some(service) = services.iter().find(|service| service.name == *name) else {
            return Settling::Broken { reason: format!("the service `{name}` is not there") };
        };
        match one(service, is_ours(service), now, seen.0.entry(name.clone()).or_default()) {
            Settling::Settled => {}
            Settling::Busy { reason } => busy = busy.or(Some(reason)),
            broken => return broken,
        }
    }
    busy.map_or(Settling::Settled, |reason| Settling::Busy { reason })
}

fn one(service: &RunningService, is_ours: bool, now: Instant, seen: &mut SeenService) -> Settling {
    let name = &service.name;
    let broken = |reason: String| Settling::Broken { reason };
    if !is_ours {
        return broken(match service.update {
            _ if was_taken_back(service) => format!("Swarm took the update of `{name}` back: {}", service.update_words),
            _ => format!("the service `{name}` is not the one that was deployed"),
        });
    }
    if service.is_job {
        return job(service, seen);
    }
    let live: Vec<&Task> = service.tasks.iter().filter(|task| task.desired == "running").collect();
    let running = live.iter().filter(|task| task.is_current && task.state == "running").count() as u64;
    let wanted = service.replicas.unwrap_or(live.iter().filter(|task| task.is_current).count().max(1) as u64);
    let old = live.iter().filter(|task| !task.is_current).count();
    if service.update == UpdateState::Paused && old > 0 {
        return broken(format!("Swarm has stopped the update of `{name}`: {}", service.update_words));
    }
    let failed = service.tasks.iter().filter(|task| task.is_current && is_failure(task));
    seen.failed.extend(failed.clone().map(|task| task.id.clone()));
    let whole = seen.whole.take();
    if running >= wanted && old == 0 {
        let since = *seen.whole.insert(whole.unwrap_or(now));
        // On a busy manager the word that an update is done can be very late, or never come.
        if service.update != UpdateState::UnderWay || now - since >= service.monitor + limits::SWARM_LATE {
            return Settling::Settled;
        }
    }
    let seen = &seen.failed;
    let why = failed.map(|task| task.error.as_str()).find(|error| !error.is_empty()).unwrap_or("no reason is given");
    let gave_up = running == 0 && live.is_empty() && !service.tasks.iter().any(|task| task.desired == "ready");
    if running == 0 && seen.len() >= limits::SWARM_CRASHES {
        return broken(format!("`{name}` crashes again and again ({} times): {why}", seen.len()));
    }
    if gave_up && !seen.is_empty() && wanted > 0 {
        return broken(format!("`{name}` has failed and is not tried again: {why}"));
    }
    let states: BTreeSet<&str> = live.iter().map(|task| task.state.as_str()).collect();
    let states: Vec<&str> = states.into_iter().collect();
    let mut reason = format!("{running} of {wanted} tasks of `{name}` run");
    if !states.is_empty() {
        reason += &format!(" ({})", states.join(", "));
    }
    if old > 0 {
        reason += &format!("; {old} of before are not gone");
    }
    if service.update == UpdateState::UnderWay {
        reason += &format!("; Swarm is at it: {}", service.update_words);
    }
    if !seen.is_empty() {
        reason += &format!("; {} failed: {why}", seen.len());
    }
    Settling::Busy { reason }
}

/// A job has failed when all that it was tried with has ended and one of it failed; that is seen twice, for Swarm makes the next try a
/// moment later.
fn job(service: &RunningService, seen: &mut SeenService) -> Settling {
    let current = || service.tasks.iter().filter(|task| task.is_current);
    let complete = || current().filter(|task| task.state == "complete");
    let is_done = match service.replicas {
        Some(wanted) => complete().count() as u64 >= wanted,
        // One on each node: a node that has a task and none that is complete is not done.
        None => {
            let done: BTreeSet<&str> = complete().map(|task| task.node.as_str()).collect();
            !done.is_empty() && current().all(|task| done.contains(task.node.as_str()))
        }
    };
    if is_done {
        return Settling::Settled;
    }
    let failed: Vec<&Task> = current().filter(|task| is_failure(task)).collect();
    let is_known = !failed.is_empty() && failed.iter().all(|task| seen.failed.contains(&task.id));
    seen.failed.extend(failed.iter().map(|task| task.id.clone()));
    if is_known && current().all(has_ended) {
        let why = failed.iter().map(|task| task.error.as_str()).find(|error| !error.is_empty());
        let why = why.unwrap_or("no reason is given");
        return Settling::Broken { reason: format!("the job `{}` has failed: {why}", service.name) };
    }
    Settling::Busy { reason: format!("the job `{}` is not complete", service.name) }
}

fn has_ended(task: &Task) -> bool {
    is_failure(task) || matches!(task.state.as_str(), "complete" | "shutdown" | "remove")
}

/// How long the tasks of a stack may take to run that a person gives `limit`. While Swarm itself takes an update back, it can wait
/// for a task that was never started to be gone, and gives that up after its own time only.
#[must_use]
pub fn patience(limit: Duration, services: &[RunningService]) -> Duration {
    let waits = services.iter().any(|service| service.update == UpdateState::UnderWay && was_taken_back(service));
    if waits { limit + limits::SWARM_OLD_TASK } else { limit }
}

/// Swarm went back, or is on its way; the service is what it was before from the first moment on.
fn was_taken_back(service: &RunningService) -> bool {
    let words = &service.update_words;
    service.update == UpdateState::TakenBack || words.contains("rolled back") || words.contains("rollback")
}

fn is_failure(task: &Task) -> bool {
    matches!(task.state.as_str(), "failed" | "rejected" | "orphaned")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(id: &str, words: &str) -> Task {
        let mut words = words.split(' ');
        let mut next = || words.next().unwrap_or_default().to_owned();
        let (state, desired, current) = (next(), next(), next());
        let error = if state == "failed" { "task: non-zero exit (1)" } else { "" };
        Task {
            id: id.to_owned(),
            state,
            desired,
            is_current: current != "old",
            error: error.to_owned(),
            ..Task::default()
        }
    }

    fn service(update: UpdateState, replicas: Option<u64>, tasks: &[&str]) -> RunningService {
        let tasks = tasks.iter().enumerate().map(|(at, words)| task(&at.to_string(), words)).collect();
        let update_words = "update paused due to failure".to_owned();
        RunningService { name: "app".to_owned(), update, replicas, tasks, update_words, ..RunningService::default() }
    }

    fn said(service: RunningService, is_ours: bool) -> String {
        said_at(service, is_ours, Instant::now(), &mut Seen::default())
    }

    fn said_at(service: RunningService, is_ours: bool, now: Instant, seen: &mut Seen) -> String {
        match settle(&[service], &["app".to_owned()], &|_| is_ours, now, seen) {
            Settling::Settled => "settled".to_owned(),
            Settling::Busy { reason } => format!("busy: {reason}"),
            Settling::Broken { reason } => format!("broken: {reason}"),
        }
    }

    #[test]
    fn up_to_date_tasks_count_and_no_others() {
        use UpdateState::{Done, Paused, TakenBack, UnderWay};
        let check = |service, expected: &str| assert_eq!(said(service, true), expected);
        check(service(Done, Some(1), &["running running"]), "settled");
        check(service(Done, Some(0), &[]), "settled");
        check(
            service(Done, Some(1), &["running running old"]),
            "busy: 0 of 1 tasks of `app` run (running); 1 of before are not gone",
        );
        check(service(Done, Some(1), &["starting running"]), "busy: 0 of 1 tasks of `app` run (starting)");
        check(
            service(UnderWay, Some(1), &["running running"]),
            "busy: 1 of 1 tasks of `app` run (running); Swarm is at it: update paused due to failure",
        );
        check(service(Done, None, &["running running", "running running"]), "settled");
        check(
            service(Paused, Some(2), &["running running", "running running old"]),
            "broken: Swarm has stopped the update of `app`: update paused due to failure",
        );
        // It was paused by one flicker, and all is up to date since.
        check(service(Paused, Some(1), &["running running", "failed shutdown"]), "settled");
        check(service(TakenBack, Some(1), &["running running"]), "settled");
        assert_eq!(
            said(service(TakenBack, Some(1), &["running running"]), false),
            "broken: Swarm took the update of `app` back: update paused due to failure"
        );
        assert_eq!(
            said(service(Done, Some(1), &["running running"]), false),
            "broken: the service `app` is not the one that was deployed"
        );
    }

    #[test]
    fn a_job_for_every_node_is_done_when_it_is_on_each() {
        let at = |tasks: &[(&str, &str)]| {
            let states: Vec<&str> = tasks.iter().map(|(_, state)| *state).collect();
            let mut job = RunningService { is_job: true, ..service(UpdateState::Done, None, &states) };
            job.tasks.iter_mut().zip(tasks).for_each(|(task, (node, _))| task.node = (*node).to_owned());
            said(job, true)
        };
        let busy = "busy: the job `app` is not complete";
        assert_eq!(at(&[]), busy);
        assert_eq!(at(&[("one", "complete complete"), ("two", "running complete")]), busy);
        assert_eq!(at(&[("one", "complete complete"), ("two", "complete complete")]), "settled");
        // The second try of a node counts.
        let again = [("one", "complete complete"), ("two", "failed complete"), ("two", "complete complete")];
        assert_eq!(at(&again), "settled");
    }

    #[test]
    fn a_job_that_has_failed_for_good_is_told_and_one_that_is_tried_again_is_not() {
        let mut seen = Seen::default();
        let mut at = |states: &[&str]| {
            let job = RunningService { is_job: true, ..service(UpdateState::Done, Some(1), states) };
            match settle(&[job], &["app".to_owned()], &|_| true, Instant::now(), &mut seen) {
                Settling::Busy { reason } | Settling::Broken { reason } => reason,
                Settling::Settled => "settled".to_owned(),
            }
        };
        let busy = "the job `app` is not complete";
        assert_eq!(at(&["running complete"]), busy);
        assert_eq!(at(&["failed complete"]), busy);
        assert_eq!(at(&["failed complete", "running complete"]), busy);
        assert!(at(&["failed complete"]).starts_with("the job `app` has failed: "));
        assert_eq!(at(&["failed complete", "complete complete"]), "settled");
    }

    #[test]
    fn an_update_that_is_never_said_to_be_done_is_done_when_its_tasks_have_run_long_enough() {
        let monitor = Duration::from_secs(5);
        let at = |tasks: &[&str]| RunningService { monitor, ..service(UpdateState::UnderWay, Some(1), tasks) };
        let (start, mut seen) = (Instant::now(), Seen::default());
        let mut said =
            |seconds, tasks: &[&str]| said_at(at(tasks), true, start + Duration::from_secs(seconds), &mut seen);
        let runs = "busy: 1 of 1 tasks of `app` run (running); Swarm is at it: update paused due to failure";
        let starts = "busy: 0 of 1 tasks of `app` run (starting); Swarm is at it: update paused due to failure";
        let enough = (monitor + limits::SWARM_LATE).as_secs();
        assert_eq!(said(0, &["running running"]), runs);
        assert_eq!(said(enough - 1, &["running running"]), runs);
        assert_eq!(said(enough, &["starting running"]), starts);
        // It starts anew.
        assert_eq!(said(enough + 1, &["running running"]), runs);
        assert_eq!(said(2 * enough + 1, &["running running"]), "settled");
    }

    #[test]
    fn swarm_has_its_own_time_more_while_it_takes_an_update_back() {
        let limit = Duration::from_secs(60);
        let with = |update, words: &str| {
            let update_words = words.to_owned();
            patience(limit, &[RunningService { update_words, ..service(update, Some(1), &[]) }])
        };
        let back = "update rolled back due to failure or early termination of task 1";
        assert_eq!(with(UpdateState::UnderWay, back), limit + limits::SWARM_OLD_TASK);
        assert_eq!(with(UpdateState::UnderWay, "update in progress"), limit);
        assert_eq!(with(UpdateState::TakenBack, back), limit);
    }

    #[test]
    fn what_crashes_for_ever_or_gave_up_is_broken() {
        let check = |tasks: &[&str], expected: &str| {
            assert_eq!(said(service(UpdateState::Done, Some(1), tasks), true), expected);
        };
        check(
            &["ready ready", "failed shutdown"],
            "busy: 0 of 1 tasks of `app` run; 1 failed: task: non-zero exit (1)",
        );
        check(&["failed shutdown"], "broken: `app` has failed and is not tried again: task: non-zero exit (1)");
        let mut seen = Seen::default();
        let mut last = Settling::Settled;
        for round in 0..limits::SWARM_CRASHES {
            let mut crashed = service(UpdateState::Done, Some(1), &["ready ready", "failed shutdown"]);
            crashed.tasks[1].id = format!("task {round}");
            last = settle(&[crashed], &["app".to_owned()], &|_| true, Instant::now(), &mut seen);
        }
        let expected = "`app` crashes again and again (10 times): task: non-zero exit (1)".to_owned();
        assert_eq!(last, Settling::Broken { reason: expected });
        let gone = settle(&[], &["app".to_owned()], &|_| true, Instant::now(), &mut Seen::default());
        assert_eq!(gone, Settling::Broken { reason: "the service `app` is not there".to_owned() });
    }
}
