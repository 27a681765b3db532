//! The clock: when a process needs attention although nothing is heard from it.

use freehold_model::limits;

use super::*;

impl Running {
    /// Whether an answer of it is waited for: to a call or, while nothing is known of it, to the handshake.
    fn owes(&self) -> bool {
        !self.calls.is_empty() || !self.was_ready
    }
}

impl Keeper {
    /// When a process needs attention if nothing is heard from it.
    pub(super) fn deadline(&self, running: &Running) -> Option<Instant> {
        let phase_ends = match running.phase {
            Phase::Starting | Phase::Configuring => Some(running.since + self.options.start_timeout),
            Phase::Ready if running.calls.is_empty() => Some(running.since + self.options.idle_timeout),
            Phase::Ready | Phase::Old => None,
            Phase::Closing => Some(running.since + self.options.stop_timeout),
            Phase::Exited if running.output_open && running.owes() => {
                Some(running.since + limits::PROVIDER_LAST_OUTPUT)
            }
            Phase::Exited => Some(running.since + PIPES_AFTER_EXIT),
        };
        phase_ends.into_iter().chain(running.calls.values().min().copied()).min()
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.running.values().filter_map(|running| self.deadline(running)).min()
    }

    pub(super) fn keep_time(&mut self, now: Instant) {
        let due: Vec<ProcessId> = self
            .running
            .iter()
            .filter(|(_, running)| self.deadline(running).is_some_and(|deadline| deadline <= now))
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            self.process_is_due(id, now);
        }
    }

    pub(super) fn process_is_due(&mut self, id: ProcessId, now: Instant) {
        let Some(running) = self.running.get_mut(&id) else { return };
        match running.phase {
            // What it wrote before it ended is still being read: only silence counts.
            Phase::Exited if running.output_open && running.owes() && running.process.is_heard() => {
                running.since = now;
                return;
            }
            Phase::Exited => return self.bury(id),
            Phase::Starting | Phase::Configuring if running.since + self.options.start_timeout <= now => {
                return self.condemn(id, Verdict::StartTimedOut);
            }
            Phase::Ready if running.calls.is_empty() => {
                running.process.close();
                running.phase = Phase::Closing;
                running.since = now;
                return;
            }
            Phase::Closing if running.since + self.options.stop_timeout <= now => {
                if self.closing.is_some() {
                    running.verdict.get_or_insert(Verdict::Killed("it did not end when it was asked to"));
                }
                running.process.kill();
                running.since = now;
                return;
            }
            _ => {}
        }
        let late: Vec<CallId> = running.calls.iter().filter(|(_, until)| **until <= now).map(|(id, _)| *id).collect();
        for call in late {
            let Some(pending) = self.calls.get(&call) else { continue };
            if pending.stopping.is_some() {
                // It was asked to stop and did not.
                return self.condemn(id, Verdict::Killed("another call on the same process did not stop when asked"));
            }
            let after = pending.request.limit(self.options.call_timeout);
            self.stop_call(call, Stop::TimedOut(after));
        }
    }
}
