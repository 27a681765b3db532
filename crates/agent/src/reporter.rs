//! When reports are written: after every round that has news, and now and then so that others see that the host lives.
//!
//! On a thread of its own, the newest report only: a bucket that is slow or away holds up no round, and is a warning.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use freehold_model::limits;

use crate::{HostReport, ReportPlace};

/// What is to be written, and whether anybody waits for it.
#[derive(Default)]
struct Post {
    next: Option<HostReport>,
    is_writing: bool,
    is_over: bool,
}

type Mailbox = Arc<(Mutex<Post>, Condvar)>;

/// Writes the reports of one host.
pub(crate) struct Reporter {
    mailbox: Mailbox,
    told: Option<(HostReport, Instant)>,
}

impl Reporter {
    /// To this place; `warn` is told what goes wrong.
    pub(crate) fn start(place: ReportPlace, warn: impl Fn(&str) + Send + 'static) -> Self {
        let mailbox = Mailbox::default();
        let theirs = Arc::clone(&mailbox);
        std::thread::spawn(move || write_all(&theirs, &place, &warn));
        Self { mailbox, told: None }
    }

    /// Whether it is time to say again what was said.
    pub(crate) fn is_due(&self) -> bool {
        self.told.as_ref().is_some_and(|(_, at)| at.elapsed() >= limits::AGENT_REPORT_EVERY)
    }

    /// Has this written, if it is news or was said long ago.
    pub(crate) fn tell(&mut self, report: HostReport) {
        let is_old = self.told.as_ref().is_some_and(|(told, _)| report.says_the_same_as(told));
        if is_old && !self.is_due() {
            return;
        }
        self.told = Some((report.clone(), Instant::now()));
        let (state, news) = &*self.mailbox;
        state.lock().unwrap_or_else(PoisonError::into_inner).next = Some(report);
        news.notify_all();
    }

    /// Waits until the last one was written, or was given up, within limits.
    fn finish(&self) {
        let (state, news) = &*self.mailbox;
        let mut mailbox = state.lock().unwrap_or_else(PoisonError::into_inner);
        mailbox.is_over = true;
        news.notify_all();
        let busy = |mailbox: &mut Post| mailbox.next.is_some() || mailbox.is_writing;
        drop(news.wait_timeout_while(mailbox, limits::REPORT_LAST, busy));
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.finish();
    }
}

fn write_all(mailbox: &Mailbox, place: &ReportPlace, warn: &dyn Fn(&str)) {
    let (state, news) = &**mailbox;
    let mut failed_before = false;
    loop {
        let idle = |mailbox: &mut Post| mailbox.next.is_none() && !mailbox.is_over;
        let guard = state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut guard = news.wait_while(guard, idle).unwrap_or_else(PoisonError::into_inner);
        let Some(report) = guard.next.take() else { return };
        guard.is_writing = true;
        drop(guard);
        let written = place.write(&report);
        let failed = written.is_err();
        if let Err(error) = written {
            let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
            warn(&format!("the report cannot be written: {}{hint}", freehold_model::chain(&error)));
        } else if failed_before {
            warn("the report can be written again");
        }
        failed_before = failed;
        let mut guard = state.lock().unwrap_or_else(PoisonError::into_inner);
        guard.is_writing = false;
        if failed && guard.next.is_none() && !guard.is_over {
            // Until there is something newer to say this one is tried again.
            let (again, _) = news
                .wait_timeout_while(guard, limits::REPORT_RETRY, |mailbox| mailbox.next.is_none() && !mailbox.is_over)
                .unwrap_or_else(PoisonError::into_inner);
            guard = again;
            if guard.next.is_none() && !guard.is_over {
                guard.next = Some(report);
            }
        }
        drop(guard);
        news.notify_all();
    }
}
