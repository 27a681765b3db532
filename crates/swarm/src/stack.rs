//! What runs of a stack: its services with their labels and updates, and their tasks.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bollard::models::{Service, ServiceUpdateStatusStateEnum, TaskState};
use bollard::query_parameters::{ListServicesOptions, ListTasksOptions};
use freehold_model::limits;

use crate::{Docker, SwarmError};

/// The label by which Docker knows what belongs to a stack.
pub const STACK_LABEL: &str = "com.docker.stack.namespace";

/// A service of a stack.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunningService {
    /// Docker's own identity of it.
    pub id: String,
    /// Its name in the stack, without the stack's.
    pub name: String,
    /// Grows with every change of it.
    pub version: u64,
    /// The image as the stack writes it, without a digest.
    pub image: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// How many tasks of it are wanted; `None` for one on each node.
    pub replicas: Option<u64>,
    /// Whether its tasks end by themselves.
    pub is_job: bool,
    /// Where its last update stands.
    pub update: UpdateState,
    /// What Swarm says of that update.
    pub update_words: String,
    /// How long Swarm watches the tasks of an update, there or back, before it says that it is done.
    pub monitor: Duration,
    /// Its tasks, the newest first; without those that Swarm replaced long ago and forgot.
    pub tasks: Vec<Task>,
}

/// Where the update of a service stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UpdateState {
    /// It was never updated, or that is done.
    #[default]
    Done,
    /// Under way, there or back.
    UnderWay,
    /// Swarm has stopped it.
    Paused,
    /// Swarm took it back: the service is what it was before.
    TakenBack,
}

/// A task of a service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Task {
    /// Docker's own identity of it.
    pub id: String,
    /// Which of the replicas.
    pub slot: i64,
    /// Whether it is made from the service as it is now.
    pub is_current: bool,
    /// `running`, `starting`, `failed`, … in Docker's words.
    pub state: String,
    /// What it is to be.
    pub desired: String,
    /// Why it failed.
    pub error: String,
    /// The node.
    pub node: String,
    /// Its container there.
    pub container: String,
    /// When it was made, as Docker writes it.
    pub created: String,
}

impl Docker {
    /// What runs of a stack, by service.
    ///
    /// # Errors
    /// The Swarm cannot be asked.
    pub fn services(&self, stack: &str) -> Result<Vec<RunningService>, SwarmError> {
        let mut tasks = self.tasks(stack)?;
        let prefix = format!("{stack}_");
        let all = self.raw_services(stack)?.into_iter().map(|service| {
            let mut one = read(service, &prefix);
            one.tasks = tasks.remove(&one.id).unwrap_or_default();
            one
        });
        let mut all: Vec<RunningService> = all.collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// The stacks of the Swarm with the labels of all of their services.
    ///
    /// # Errors
    /// The Swarm cannot be asked.
    pub fn stacks(&self) -> Result<BTreeMap<String, BTreeMap<String, String>>, SwarmError> {
        let options = ListServicesOptions { filters: Some(filter("label", STACK_LABEL)), status: None };
        let services = self.ask("list services", self.client.list_services(Some(options)))?;
        let mut stacks: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for labels in services.into_iter().filter_map(|service| service.spec?.labels) {
            if let Some(stack) = labels.get(STACK_LABEL).cloned() {
                stacks.entry(stack).or_default().extend(labels);
            }
        }
        Ok(stacks)
    }

    /// The ports that services publish on the nodes: number, protocol, and the stack that has it.
    ///
    /// # Errors
    /// The Swarm cannot be asked.
    pub fn published_ports(&self) -> Result<Vec<(u16, String, String)>, SwarmError> {
        let services = self.ask("list services", self.client.list_services(None::<ListServicesOptions>))?;
        let mut found = Vec::new();
        for service in services {
            let Some(spec) = service.spec else { continue };
            let stack = spec.labels.unwrap_or_default().remove(STACK_LABEL).or(spec.name).unwrap_or_default();
            for port in spec.endpoint_spec.and_then(|endpoint| endpoint.ports).unwrap_or_default() {
                let protocol = port.protocol.map_or("tcp".to_owned(), |protocol| protocol.to_string());
                if let Some(number) = port.published_port.and_then(|number| u16::try_from(number).ok()) {
                    found.push((number, protocol, stack.clone()));
                }
            }
        }
        Ok(found)
    }

    /// The rules by which a proxy routes to services, with the stack of each: the values of labels `traefik.….rule`.
    ///
    /// # Errors
    /// The Swarm cannot be asked.
    pub fn route_rules(&self) -> Result<Vec<(String, String)>, SwarmError> {
        let services = self.ask("list services", self.client.list_services(None::<ListServicesOptions>))?;
        let mut found = Vec::new();
        for spec in services.into_iter().filter_map(|service| service.spec) {
            let labels = spec.labels.unwrap_or_default();
            let stack = labels.get(STACK_LABEL).cloned().or(spec.name).unwrap_or_default();
            let is_rule = |label: &String| label.starts_with("traefik.") && label.ends_with(".rule");
            found.extend(labels.into_iter().filter(|(label, _)| is_rule(label)).map(|(_, rule)| (rule, stack.clone())));
        }
        Ok(found)
    }

    /// Starts all tasks of a service anew, one after the other, as its update settings say.
    ///
    /// # Errors
    /// What Docker refuses.
    pub fn restart_service(&self, stack: &str, service: &str) -> Result<(), SwarmError> {
        let name = format!("{stack}_{service}");
        let options = None::<bollard::query_parameters::InspectServiceOptions>;
        let there = self.ask(format!("look at the service `{name}`"), self.client.inspect_service(&name, options))?;
        let mut spec = there.spec.unwrap_or_default();
        let template = spec.task_template.get_or_insert_default();
        template.force_update = Some(template.force_update.unwrap_or(0) + 1);
        let version = there.version.and_then(|version| version.index).unwrap_or(0);
        let options = bollard::query_parameters::UpdateServiceOptions {
            version: i32::try_from(version).unwrap_or(i32::MAX),
            ..Default::default()
        };
        let update = self.client.update_service(&name, spec, options, None);
        self.ask(format!("restart the service `{name}`"), update).map(drop)
    }

    pub(crate) fn raw_services(&self, stack: &str) -> Result<Vec<Service>, SwarmError> {
        let filters = Some(filter("label", &format!("{STACK_LABEL}={stack}")));
        let options = ListServicesOptions { filters, status: None };
        self.ask(format!("list the services of `{stack}`"), self.client.list_services(Some(options)))
    }

    /// Tasks by the service they are of.
    fn tasks(&self, stack: &str) -> Result<HashMap<String, Vec<Task>>, SwarmError> {
        let label = format!("{STACK_LABEL}={stack}");
        let mut filters = filter("label", &label);
        let list = |filters: &HashMap<String, Vec<String>>| {
            let options = ListTasksOptions { filters: Some(filters.clone()) };
            self.ask(format!("list the tasks of `{stack}`"), self.client.list_tasks(Some(options)))
        };
        let all = list(&filters)?;
        // Asked of the Swarm itself: only it knows whether a difference between two specifications counts.
        filters.insert("_up-to-date".to_owned(), vec!["true".to_owned()]);
        let current: Vec<Option<String>> = list(&filters)?.into_iter().map(|task| task.id).collect();
        let mut tasks: HashMap<String, Vec<Task>> = HashMap::new();
        for task in all {
            let status = task.status.unwrap_or_default();
            let container = status.container_status.and_then(|container| container.container_id);
            let is_current = current.contains(&task.id);
            tasks.entry(task.service_id.unwrap_or_default()).or_default().push(Task {
                id: task.id.unwrap_or_default(),
                slot: task.slot.unwrap_or(0),
                is_current,
                state: word(status.state),
                desired: word(task.desired_state),
                error: status.err.unwrap_or_default(),
                node: task.node_id.unwrap_or_default(),
                container: container.unwrap_or_default(),
                created: task.created_at.map(|at| at.to_string()).unwrap_or_default(),
            });
        }
        for list in tasks.values_mut() {
            list.sort_by(|a, b| b.created.cmp(&a.created));
        }
        Ok(tasks)
    }
}

pub(crate) fn filter(key: &str, value: &str) -> HashMap<String, Vec<String>> {
    HashMap::from([(key.to_owned(), vec![value.to_owned()])])
}

fn word(state: Option<TaskState>) -> String {
    state.map(|state| state.to_string()).unwrap_or_default()
}

fn read(service: Service, prefix: &str) -> RunningService {
    use ServiceUpdateStatusStateEnum as State;
    let spec = service.spec.unwrap_or_default();
    let labels: BTreeMap<String, String> = spec.labels.unwrap_or_default().into_iter().collect();
    let name = spec.name.unwrap_or_default();
    let mode = spec.mode.unwrap_or_default();
    let is_job = mode.replicated_job.is_some() || mode.global_job.is_some();
    let replicas = match (&mode.replicated, &mode.replicated_job) {
        (Some(replicated), _) => Some(replicated.replicas.unwrap_or(1)),
        (_, Some(job)) => Some(job.total_completions.unwrap_or(1)),
        _ => None,
    };
    let update = service.update_status.unwrap_or_default();
    let state = match update.state {
        Some(State::UPDATING | State::ROLLBACK_STARTED) => UpdateState::UnderWay,
        Some(State::PAUSED | State::ROLLBACK_PAUSED) => UpdateState::Paused,
        Some(State::ROLLBACK_COMPLETED) => UpdateState::TakenBack,
        _ => UpdateState::Done,
    };
    let watched =
        [spec.update_config.and_then(|config| config.monitor), spec.rollback_config.and_then(|config| config.monitor)];
    let watched = watched.into_iter().flatten().filter_map(|nanos| u64::try_from(nanos).ok()).max();
    let image = labels.get("com.docker.stack.image").cloned().unwrap_or_default();
    RunningService {
        id: service.id.unwrap_or_default(),
        name: name.strip_prefix(prefix).unwrap_or(&name).to_owned(),
        version: service.version.and_then(|version| version.index).unwrap_or(0),
        image,
        labels,
        replicas: replicas.and_then(|count| u64::try_from(count).ok()),
        is_job,
        update: state,
        update_words: update.message.unwrap_or_default(),
        monitor: watched.map_or(limits::SWARM_CALM, Duration::from_nanos),
        tasks: Vec::new(),
    }
}
