//! How calls and processes end: condemned, buried, stopped, failed, and what is said of it.

use super::*;

impl Keeper {
    /// This process is of no use any more: kills it; its calls end with `verdict` when it is gone.
    pub(super) fn condemn(&mut self, id: ProcessId, verdict: Verdict) {
        if let Some(running) = self.running.get_mut(&id) {
            // The first verdict is the cause; what comes after follows from it.
            running.verdict.get_or_insert(verdict);
            running.process.kill();
            if running.phase != Phase::Exited {
                running.phase = Phase::Closing;
                running.since = Instant::now();
            }
        }
    }

    /// A process has ended and everything that it said has been heard.
    pub(super) fn bury(&mut self, id: ProcessId) {
        let Some(running) = self.running.remove(&id) else { return };
        let group = running.group;
        let scene = self.scene(&running);
        for call in running.calls.keys().copied().collect::<BTreeSet<_>>() {
            let error = self.end_of_call(call, &running, &scene);
            self.finish(call, Err(error));
        }
        let auto = self.groups[group].protocol == ProtocolChoice::Auto;
        match &running.verdict {
            Some(Verdict::NotOurs | Verdict::Killed(_)) => {}
            // Another process of this launch would end the same way: who waits for one is told.
            Some(verdict) if !running.was_ready => {
                let error = verdict.start_error(scene, &self.options);
                self.fail_queue(group, &error);
            }
            // It read a line that it does not know and went away without a word: so does a v0 provider. Its first answer will show it.
            None if !running.was_ready && auto && running.process.ended_well() => {
                self.groups[group].protocol = ProtocolChoice::V0;
            }
            None if !running.was_ready => {
                self.fail_queue(group, &CallError::ExitedEarly { scene: Box::new(scene) });
            }
            _ => {}
        }
        self.hand_out(group);
    }

    pub(super) fn end_of_call(&self, call: CallId, running: &Running, scene: &Scene) -> CallError {
        let scene = Box::new(scene.clone());
        let Some(pending) = self.calls.get(&call) else { return CallError::PoolClosed };
        let method = pending.request.call.method();
        match (&running.verdict, pending.stopping) {
            (None | Some(Verdict::Killed(_)), Some(Stop::TimedOut(after))) => {
                CallError::TimedOut { scene, method, after }
            }
            (None | Some(Verdict::Killed(_)), Some(Stop::Cancelled)) => CallError::Cancelled { method, sent: true },
            (Some(Verdict::Rubbish(line)), _) => CallError::Rubbish { scene, line: line.clone() },
            (Some(Verdict::Unasked(id)), _) => CallError::Unasked { scene, id: id.clone() },
            (Some(Verdict::TooLong), _) => CallError::LineTooLong { scene, limit: self.options.message_bytes },
            (Some(Verdict::Killed(because)), _) => CallError::Killed { scene, method, because },
            // It was only taken for a v0 provider, and ends without complaint whatever it is asked: it is none.
            (None, None)
                if running.is_old && running.process.ended_well() && !self.groups[running.group].is_known_as_old =>
            {
                CallError::ExitedEarly { scene }
            }
            _ => CallError::DiedMidway { scene, method },
        }
    }

    pub(super) fn finish(&mut self, call: CallId, result: Result<Reply, CallError>) {
        if let Some(pending) = self.calls.remove(&call) {
            (pending.on_event)(self.redactor.event(CallEvent::Done(result)));
        }
    }

    pub(super) fn tell(&mut self, call: CallId, event: CallEvent) {
        if let Some(pending) = self.calls.get(&call) {
            (pending.on_event)(self.redactor.event(event));
        }
    }

    pub(super) fn fail_queue(&mut self, group: usize, error: &CallError) {
        for call in std::mem::take(&mut self.groups[group].queue) {
            self.finish(call, Err(error.clone()));
        }
    }

    pub(super) fn stop_call(&mut self, call: CallId, stop: Stop) {
        let Some(pending) = self.calls.get_mut(&call) else { return };
        let Some(process) = pending.process else {
            let group = pending.group;
            let method = pending.request.call.method();
            self.groups[group].queue.retain(|queued| *queued != call);
            self.finish(call, Err(CallError::Cancelled { method, sent: false }));
            return;
        };
        if pending.stopping.is_some() {
            return;
        }
        pending.stopping = Some(stop);
        let Some(running) = self.running.get_mut(&process) else { return };
        running.calls.insert(call, Instant::now() + self.options.stop_timeout);
        if running.phase == Phase::Old {
            // v0 cannot be asked to stop.
            self.condemn(process, Verdict::Killed("protocol v0 has no way to cancel"));
        } else {
            running.process.send(Outgoing::Message(wire::cancel(call.0)));
        }
    }

    pub(super) fn kill_all(&mut self) {
        for group in 0..self.groups.len() {
            for call in std::mem::take(&mut self.groups[group].queue) {
                if let Some(pending) = self.calls.get(&call) {
                    let method = pending.request.call.method();
                    self.finish(call, Err(CallError::Cancelled { method, sent: false }));
                }
            }
        }
        for id in self.running.keys().copied().collect::<Vec<_>>() {
            self.condemn(id, Verdict::Killed("everything is to stop"));
        }
    }

    pub(super) fn shut_down(&mut self) {
        self.closing = Some(Instant::now());
        for group in 0..self.groups.len() {
            self.fail_queue(group, &CallError::PoolClosed);
        }
        for running in self.running.values_mut() {
            running.process.close();
            if running.phase < Phase::Closing {
                running.phase = Phase::Closing;
                running.since = Instant::now();
            }
        }
    }

    pub(super) fn bare_scene(&self, group: usize) -> Scene {
        let launch = &self.groups[group].launch;
        Scene { provider: launch.name.clone(), program: launch.program.clone(), stderr: String::new(), status: None }
    }

    pub(super) fn scene(&self, running: &Running) -> Scene {
        Scene {
            stderr: running.process.stderr_tail(),
            status: running.process.status_text(),
            ..self.bare_scene(running.group)
        }
    }
}

impl Verdict {
    pub(super) fn start_error(&self, scene: Scene, options: &PoolOptions) -> CallError {
        let scene = Box::new(scene);
        match self {
            Self::Rubbish(line) => CallError::Rubbish { scene, line: line.clone() },
            Self::Unasked(id) => CallError::Unasked { scene, id: id.clone() },
            Self::TooLong => CallError::LineTooLong { scene, limit: options.message_bytes },
            Self::StartTimedOut => CallError::StartTimedOut { scene, after: options.start_timeout },
            Self::Version(version) => CallError::Version { scene, version: *version },
            Self::Configure(error) => CallError::Configure { scene, error: error.clone() },
            Self::Killed(_) | Self::NotOurs => CallError::ExitedEarly { scene },
        }
    }
}
