//! What a person does with an app that runs: its data copied and put back, its tasks started anew.

use std::time::{Duration, Instant};

use freehold_model::limits;
use freehold_recipe::{Backup, Hook, When};
use freehold_rollout::{Release, Settling};
use freehold_runtime::Hands as _;
use freehold_swarm::{Copy, Docker, RunningService, Volume};

use crate::composed::app_labels;
use crate::hands::AppHands;
use crate::release::LABEL;
use crate::restoring::{self, Restoring};
use crate::still::{Course, Deeds, stand_still};
use crate::{App, AppError, AppRelease, Places};

/// Copies an app's volumes while it stands still, and starts again what ran; an app without volumes runs on. Before and after, commands are run that the recipe's
/// `backupbot` labels name; volumes that those leave out are not copied.
///
/// # Errors
/// The name cannot be used or is taken; it cannot be stopped, copied or started again. What ran is started again also when the
/// copy fails.
pub fn backup(places: &Places, app: &mut App, name: &str, tell: &dyn Fn(&str)) -> Result<Vec<Copy>, AppError> {
    let _lock = app.lock(places)?;
    restoring::check(app)?;
    app.snapshots().check_new(name)?;
    let docker = app.docker(places)?;
    docker.check_manager()?;
    let seen = docker.services(&app.stack)?;
    let release = ours(app, &seen)?;
    let labels = backup_of(&seen);
    let is_left_out =
        |name: &str| name.strip_prefix(&format!("{}_", app.stack)).is_some_and(|key| labels.left_out.contains(key));
    let mut volumes = app.volumes(&docker)?;
    volumes.retain(|volume| !is_left_out(&volume.name));
    if volumes.is_empty() {
        // It is not stopped for nothing. What is written is a copy without volumes, as it always was.
        tell("there is no volume to copy");
        return app.snapshots().make(&docker, name, &volumes);
    }
    volumes.iter().filter_map(|volume| volume.check_can_be_put_back().err()).for_each(|error| tell(&error.chain()));
    app.snapshots().check_room(&docker, &volumes)?;
    let course = Course {
        hooks: &labels.hooks,
        moments: (When::BeforeBackup, When::AfterBackup),
        runs: release.is_some(),
        starts_anyway: true,
    };
    let work = Work::Copy { name, volumes };
    stand_still(course, &mut ByHand { places, app, docker: &docker, release, work, tell }, tell)
}

/// Puts an app's volumes back as a copy has them. What runs is stopped for that and started again, with the commands that the
/// recipe's `backupbot` labels name before and after.
///
/// # Errors
/// There is no such copy, or it cannot be put back; what ran is started again only when the data are whole. Until they are,
/// nothing but another `restore` goes on with the app.
pub fn restore(places: &Places, app: &mut App, name: &str, tell: &dyn Fn(&str)) -> Result<Vec<Copy>, AppError> {
    let _lock = app.lock(places)?;
    // What is missing, or cannot work, is told before anything else.
    let copies = app.snapshots().contents(name)?;
    copies.iter().try_for_each(|copy| copy.volume.check_can_be_put_back())?;
    app.snapshots().check(name, &copies)?;
    let note = Restoring::new(app, name, &copies)?;
    let docker = app.docker(places)?;
    docker.check_manager()?;
    let seen = docker.services(&app.stack)?;
    let release = ours(app, &seen)?;
    let labels = backup_of(&seen);
    let course = Course {
        hooks: &labels.hooks,
        moments: (When::BeforeRestore, When::AfterRestore),
        runs: release.is_some(),
        starts_anyway: false,
    };
    let work = Work::PutBack { name, note };
    stand_still(course, &mut ByHand { places, app, docker: &docker, release, work, tell }, tell)
}

/// Starts the tasks of an app anew, of one service or of all, and waits until they run.
///
/// # Errors
/// Nothing of that name runs, or it does not run again in time.
pub fn restart(places: &Places, app: &mut App, only: Option<&str>, tell: &dyn Fn(&str)) -> Result<(), AppError> {
    let _lock = app.lock(places)?;
    let docker = app.docker(places)?;
    docker.check_manager()?;
    let seen = docker.services(&app.stack)?;
    let names: Vec<String> = seen.iter().map(|service| service.name.clone()).collect();
    let meant: Vec<&String> = names.iter().filter(|name| only.is_none_or(|only| only == *name)).collect();
    if meant.is_empty() {
        let service = only.map(str::to_owned);
        return Err(AppError::NotRunning { domain: app.domain().to_owned(), service, known: names });
    }
    for name in meant {
        docker.restart_service(&app.stack, name)?;
        tell(&format!("`{name}` is started anew"));
    }
    match ours(app, &seen) {
        Ok(Some(release)) => wait(&mut AppHands::new(places, app, &docker, None, tell), &release),
        // abra's own deploy: what it waits for is not known here.
        _ => Ok(()),
    }
}

/// A container of a service that runs on this node.
///
/// # Errors
/// [`AppError::NotRunning`], [`AppError::OtherNode`].
pub fn container_of(docker: &Docker, app: &App, service: &str) -> Result<String, AppError> {
    container_on(&docker.cluster()?.node, app.domain(), &docker.services(&app.stack)?, service)
}

fn container_on(node: &str, domain: &str, seen: &[RunningService], service: &str) -> Result<String, AppError> {
    let tasks = seen.iter().find(|one| one.name == service).into_iter().flat_map(|one| &one.tasks);
    let running =
        tasks.filter(|task| task.state == "running" && task.desired == "running" && !task.container.is_empty());
    if let Some(task) = running.clone().find(|task| task.node == node) {
        return Ok(task.container.clone());
    }
    let (domain, name) = (domain.to_owned(), service.to_owned());
    if running.count() > 0 {
        return Err(AppError::OtherNode { domain, service: name });
    }
    let known = seen.iter().map(|one| one.name.clone()).collect();
    Err(AppError::NotRunning { domain, service: Some(name), known })
}

/// What is done with the data.
enum Work<'a> {
    Copy { name: &'a str, volumes: Vec<Volume> },
    PutBack { name: &'a str, note: Restoring },
}

struct ByHand<'a> {
    places: &'a Places,
    app: &'a mut App,
    docker: &'a Docker,
    release: Option<Release>,
    work: Work<'a>,
    tell: &'a dyn Fn(&str),
}

impl Deeds for ByHand<'_> {
    type Made = Vec<Copy>;

    fn hook(&mut self, hook: &Hook) -> Result<(), AppError> {
        (self.tell)(&format!("running `{}` in `{}`", hook.command, hook.service));
        let container = container_of(self.docker, self.app, &hook.service)?;
        self.docker.exec(&hook.service, &container, &hook.command, limits::APP_HOOK)?;
        Ok(())
    }

    fn stop(&mut self) -> Result<(), AppError> {
        if let Some(left) = self.docker.halt(&self.app.stack)? {
            (self.tell)(&left);
        }
        let next = match self.work {
            Work::Copy { .. } => "copying",
            Work::PutBack { .. } => "putting the data back",
        };
        (self.tell)(&format!("stopped, {next}"));
        Ok(())
    }

    fn work(&mut self) -> Result<Vec<Copy>, AppError> {
        let snapshots = self.app.snapshots();
        match &self.work {
            Work::Copy { name, volumes } => snapshots.make(self.docker, name, volumes),
            Work::PutBack { name, note } => {
                note.begin(self.app)?;
                let copies = snapshots.restore(self.docker, name)?;
                self.app.forget_restoring()?;
                Ok(copies)
            }
        }
    }

    fn start(&mut self) -> Result<(), AppError> {
        let Some(release) = &self.release else { return Ok(()) };
        // One pair of hands: what it saw since it sent the stack counts while it waits.
        let mut hands = AppHands::new(self.places, self.app, self.docker, None, self.tell);
        hands.activate(release).map_err(|reason| AppError::NotStarted { reason })?;
        wait(&mut hands, release)?;
        (self.tell)("started again");
        Ok(())
    }
}

/// What of ours runs; `None` when nothing does.
fn ours(app: &App, seen: &[RunningService]) -> Result<Option<Release>, AppError> {
    match app_labels(seen).get(LABEL).and_then(|id| AppRelease::parse(id)) {
        Some(release) => Ok(Some(release.to_release(app.domain())?)),
        None if seen.is_empty() => Ok(None),
        // Nobody here could start it again.
        None => Err(AppError::Foreign { domain: app.domain().to_owned() }),
    }
}

fn backup_of(seen: &[RunningService]) -> Backup {
    let labels = |service: &'_ RunningService| -> Vec<(String, String, String)> {
        service.labels.iter().map(|(name, value)| (service.name.clone(), name.clone(), value.clone())).collect()
    };
    let all: Vec<_> = seen.iter().flat_map(labels).collect();
    Backup::of_labels(all.iter().map(|(service, name, value)| (service.as_str(), name.as_str(), value.as_str())))
}

fn wait(hands: &mut AppHands<'_>, release: &Release) -> Result<(), AppError> {
    let end = Instant::now() + Duration::from_secs(u64::from(hands.app.settings.timeout_seconds));
    loop {
        match hands.settle(release) {
            Settling::Settled => return Ok(()),
            Settling::Busy { .. } if Instant::now() < end => std::thread::sleep(limits::SWARM_PAUSE),
            Settling::Busy { reason } | Settling::Broken { reason } => return Err(AppError::NotStarted { reason }),
        }
    }
}

#[cfg(test)]
mod tests {
    use freehold_swarm::Task;

    use super::*;

    #[test]
    fn a_container_is_one_of_this_node() {
        let task = |node: &str, state: &str, container: &str| Task {
            node: node.to_owned(),
            state: state.to_owned(),
            desired: "running".to_owned(),
            container: container.to_owned(),
            ..Task::default()
        };
        let told = |tasks: Vec<Task>, service: &str| {
            let seen = [RunningService { name: "app".to_owned(), tasks, ..RunningService::default() }];
            let told = container_on("here", "x.example.org", &seen, service);
            told.unwrap_or_else(|error| format!("{error}; {}", error.hint().unwrap_or_default()))
        };
        assert_eq!(told(vec![task("there", "running", "a"), task("here", "running", "b")], "app"), "b");
        assert_eq!(
            told(vec![task("there", "running", "a"), task("here", "starting", "")], "app"),
            "the service `app` of `x.example.org` runs on another node; use the docker context of that node: \
             `docker stack ps` names it"
        );
        assert_eq!(
            told(vec![task("here", "failed", "b")], "app"),
            "the service `app` of `x.example.org` does not run; there is app"
        );
    }
}
