//! An app stands still for a moment: hooks, stopped, worked on, started again, hooks. Here is the order, also when something fails;
//! the deeds are others'.
//!
//! What was stopped is started again, and a service whose hook ran before gets the one after it, whatever went wrong in between.

use std::collections::BTreeSet;

use freehold_recipe::{Hook, When};

use crate::AppError;

/// What is done to the app.
pub(crate) trait Deeds {
    /// What the work gives.
    type Made;

    /// Runs a hook in a container of its service.
    fn hook(&mut self, hook: &Hook) -> Result<(), AppError>;
    /// Stops the app.
    fn stop(&mut self) -> Result<(), AppError>;
    /// Works on its data.
    fn work(&mut self) -> Result<Self::Made, AppError>;
    /// Starts what was stopped.
    fn start(&mut self) -> Result<(), AppError>;
}

/// How it goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Course<'a> {
    /// All hooks of the app.
    pub(crate) hooks: &'a [Hook],
    /// Those that are run first, and those that are run last.
    pub(crate) moments: (When, When),
    /// Whether the app runs, so that it is stopped and started.
    pub(crate) runs: bool,
    /// Whether it is started also when the work has failed: its data are as they were.
    pub(crate) starts_anyway: bool,
}

/// Does the work while the app stands still.
///
/// # Errors
/// The first that went wrong; what went wrong after it is told.
pub(crate) fn stand_still<D: Deeds>(
    course: Course<'_>,
    deeds: &mut D,
    tell: &dyn Fn(&str),
) -> Result<D::Made, AppError> {
    let mut ran = BTreeSet::new();
    let mut result = before(course, deeds, &mut ran);
    let mut is_stopped = false;
    if result.is_ok() && course.runs {
        is_stopped = true;
        result = deeds.stop();
    }
    let (mut first, made) = match result {
        Err(error) => (Some(error), None),
        Ok(()) => match deeds.work() {
            Ok(made) => (None, Some(made)),
            Err(error) if is_stopped && !course.starts_anyway => return Err(error),
            Err(error) => (Some(error), None),
        },
    };
    let keep = |result: Result<(), AppError>, first: &mut Option<AppError>| match (result, &first) {
        (Ok(()), _) => {}
        (Err(error), None) => *first = Some(error),
        (Err(error), Some(_)) => tell(&format!("and then: {}", error.chain())),
    };
    if is_stopped {
        keep(deeds.start(), &mut first);
    }
    let is_whole = made.is_some();
    let is_due = |hook: &&Hook| hook.when == course.moments.1 && (is_whole || ran.contains(&hook.service));
    for hook in course.hooks.iter().filter(is_due) {
        keep(deeds.hook(hook), &mut first);
    }
    match (first, made) {
        (None, Some(made)) => Ok(made),
        (error, _) => Err(error.unwrap_or(AppError::Stopped)),
    }
}

/// The hooks before; nothing has been changed by us when one of them fails.
fn before<D: Deeds>(course: Course<'_>, deeds: &mut D, ran: &mut BTreeSet<String>) -> Result<(), AppError> {
    for hook in course.hooks.iter().filter(|hook| hook.when == course.moments.0) {
        deeds.hook(hook)?;
        ran.insert(hook.service.clone());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Writes down what is done; the deeds that are named fail.
    struct Fake<'a> {
        fails: &'a [&'a str],
        done: Vec<String>,
    }

    impl Fake<'_> {
        fn deed(&mut self, name: &str) -> Result<(), AppError> {
            self.done.push(name.to_owned());
            let failed = || AppError::NotStarted { reason: name.to_owned() };
            if self.fails.contains(&name) { Err(failed()) } else { Ok(()) }
        }
    }

    impl Deeds for Fake<'_> {
        type Made = ();

        fn hook(&mut self, hook: &Hook) -> Result<(), AppError> {
            self.deed(&hook.command)
        }

        fn stop(&mut self) -> Result<(), AppError> {
            self.deed("stop")
        }

        fn work(&mut self) -> Result<(), AppError> {
            self.deed("work")
        }

        fn start(&mut self) -> Result<(), AppError> {
            self.deed("start")
        }
    }

    fn check(runs: bool, starts_anyway: bool, fails: &[&str], done: &str, error: &str, told: &[&str]) {
        let hook = |service: &str, when, command: &str| Hook {
            service: service.to_owned(),
            when,
            command: command.to_owned(),
        };
        let hooks = [
            hook("app", When::BeforeBackup, "lock app"),
            hook("app", When::AfterBackup, "unlock app"),
            hook("db", When::BeforeBackup, "lock db"),
            hook("db", When::AfterBackup, "unlock db"),
            hook("db", When::AfterRestore, "another moment"),
        ];
        let moments = (When::BeforeBackup, When::AfterBackup);
        let mut fake = Fake { fails, done: Vec::new() };
        let said = RefCell::new(Vec::new());
        let course = Course { hooks: &hooks, moments, runs, starts_anyway };
        let result = stand_still(course, &mut fake, &|line| said.borrow_mut().push(line.to_owned()));
        assert_eq!(fake.done.join(", "), done, "{fails:?}");
        let result =
            result.map_or_else(|error| error.to_string().replace("it does not run again: ", ""), |()| String::new());
        assert_eq!(result, error, "{fails:?}");
        let told: Vec<String> = told.iter().map(|name| format!("and then: it does not run again: {name}")).collect();
        assert_eq!(said.into_inner(), told, "{fails:?}");
    }

    #[test]
    fn whatever_fails_it_runs_again_and_the_first_error_is_told() {
        let whole = "lock app, lock db, stop, work, start, unlock app, unlock db";
        check(true, true, &[], whole, "", &[]);
        check(true, true, &["stop"], "lock app, lock db, stop, start, unlock app, unlock db", "stop", &[]);
        check(true, true, &["work"], whole, "work", &[]);
        check(true, true, &["work", "start"], whole, "work", &["start"]);
        check(true, true, &["start", "unlock app"], whole, "start", &["unlock app"]);
        // A hook that has failed has no counterpart, and what runs is left alone.
        check(true, true, &["lock db"], "lock app, lock db, unlock app", "lock db", &[]);
        check(true, true, &["lock app"], "lock app", "lock app", &[]);
    }

    #[test]
    fn nothing_starts_on_data_that_are_not_whole() {
        check(true, false, &["work"], "lock app, lock db, stop, work", "work", &[]);
        check(true, false, &["stop"], "lock app, lock db, stop, start, unlock app, unlock db", "stop", &[]);
    }

    #[test]
    fn what_does_not_run_is_neither_stopped_nor_started() {
        check(false, true, &[], "lock app, lock db, work, unlock app, unlock db", "", &[]);
        check(false, false, &["work"], "lock app, lock db, work, unlock app, unlock db", "work", &[]);
    }
}
