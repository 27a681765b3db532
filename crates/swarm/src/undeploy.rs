//! Taking a stack away, and waiting until it is gone: Docker itself only says that it has begun.
//!
//! Volumes and secrets stay. Configs and networks that the stack made go, as with `docker stack rm`.

use std::collections::HashMap;
use std::time::Instant;

use bollard::models::{ContainerSummary, ContainerSummaryStateEnum, Node, NodeState, Task, TaskState};
use bollard::query_parameters::{
    ListConfigsOptions, ListContainersOptions, ListNetworksOptions, ListNodesOptions, ListTasksOptions,
    RemoveContainerOptions,
};
use freehold_model::limits;

use crate::stack::{STACK_LABEL, filter};
use crate::{Docker, SwarmError};

impl Docker {
    /// Removes a stack, and returns when nothing of it is left. One that is not there is as good. A node that is down is not waited
    /// for: it takes its tasks away when it comes back.
    ///
    /// # Errors
    /// [`SwarmError::NotGone`], and what Docker refuses.
    pub fn undeploy(&self, stack: &str) -> Result<(), SwarmError> {
        let end = Instant::now() + limits::SWARM_GONE;
        self.stop_tasks(stack, end)?;
        self.remove_rest(stack, end)
    }

    /// The same for a stack that comes back soon: only what runs has to be gone. What else is left, in words: the next deploy takes
    /// it as it is. Another stack may use a network of this one for as long as it likes.
    ///
    /// # Errors
    /// [`SwarmError::NotGone`], and services that Docker does not remove.
    pub fn halt(&self, stack: &str) -> Result<Option<String>, SwarmError> {
        self.stop_tasks(stack, Instant::now() + limits::SWARM_GONE)?;
        let rest = self.remove_rest(stack, Instant::now() + limits::SWARM_REST);
        Ok(rest.err().map(|error| error.chain()))
    }

    /// Removes the services, and waits for their tasks.
    fn stop_tasks(&self, stack: &str, end: Instant) -> Result<(), SwarmError> {
        for service in self.raw_services(stack)? {
            let name = service.spec.and_then(|spec| spec.name).unwrap_or_default();
            let removed = self.ask(format!("remove the service `{name}`"), self.client.delete_service(&name));
            gone_is_good(removed)?;
        }
        self.wait_until_gone(stack, end)
    }

    /// Removes configs and networks, and waits for these.
    fn remove_rest(&self, stack: &str, end: Instant) -> Result<(), SwarmError> {
        for (name, id) in self.configs(stack)? {
            gone_is_good(self.ask(format!("remove the config `{name}`"), self.client.delete_config(&id)))?;
        }
        loop {
            let mut refused = None;
            let networks = self.networks(stack)?;
            for network in &networks {
                let removed = self.ask(format!("remove the network `{network}`"), self.client.remove_network(network));
                refused = gone_is_good(removed).err().or(refused);
            }
            match refused {
                None if networks.is_empty() => return Ok(()),
                None => {}
                // Endpoints of containers that are gone are forgotten a moment later.
                Some(error) if Instant::now() >= end => return Err(error),
                Some(_) => {}
            }
            std::thread::sleep(limits::SWARM_PAUSE);
        }
    }

    /// Removes one service of a stack; one that is gone is as good.
    ///
    /// # Errors
    /// What Docker refuses.
    pub fn remove_service(&self, stack: &str, service: &str) -> Result<(), SwarmError> {
        let name = format!("{stack}_{service}");
        gone_is_good(self.ask(format!("remove the service `{name}`"), self.client.delete_service(&name)))
    }

    fn wait_until_gone(&self, stack: &str, end: Instant) -> Result<(), SwarmError> {
        let label = filter("label", &format!("{STACK_LABEL}={stack}"));
        loop {
            let services = self.raw_services(stack)?.len();
            let tasks = ListTasksOptions { filters: Some(label.clone()) };
            let tasks = self.ask(format!("list the tasks of `{stack}`"), self.client.list_tasks(Some(tasks)))?;
            let tasks = if tasks.is_empty() { 0 } else { waited_for(&tasks, &self.nodes_down()?) };
            let containers = self.containers(&label)?;
            if services + tasks == 0 {
                self.remove_ended(&containers)?;
            }
            let containers = containers.len();
            if services + tasks + containers == 0 {
                return Ok(());
            }
            if Instant::now() >= end {
                let left = format!("{services} services, {tasks} tasks, {containers} containers");
                return Err(SwarmError::NotGone {
                    stack: stack.to_owned(),
                    left,
                    seconds: limits::SWARM_GONE.as_secs(),
                });
            }
            std::thread::sleep(limits::SWARM_PAUSE);
        }
    }

    /// Nodes that do not answer. Their tasks stay on the list, and nobody can take them off.
    fn nodes_down(&self) -> Result<Vec<String>, SwarmError> {
        let all = self.ask("list nodes", self.client.list_nodes(None::<ListNodesOptions>))?;
        let is_down = |node: &Node| {
            let state = node.status.as_ref().and_then(|status| status.state);
            matches!(state, Some(NodeState::DOWN | NodeState::DISCONNECTED))
        };
        Ok(all.into_iter().filter(is_down).filter_map(|node| node.id).collect())
    }

    fn containers(&self, label: &HashMap<String, Vec<String>>) -> Result<Vec<ContainerSummary>, SwarmError> {
        let options = ListContainersOptions { all: true, filters: Some(label.clone()), ..Default::default() };
        self.ask("list containers", self.client.list_containers(Some(options)))
    }

    /// Containers of jobs stay when their service is gone, and with them the volumes are in use.
    fn remove_ended(&self, containers: &[ContainerSummary]) -> Result<(), SwarmError> {
        let ended = containers.iter().filter(|container| has_ended(container)).filter_map(|it| it.id.as_ref());
        for id in ended {
            let options = None::<RemoveContainerOptions>;
            let removed = self.ask(format!("remove the container `{id}`"), self.client.remove_container(id, options));
            match removed {
                // It is being removed already.
                Err(error) if error.is_in_use() => {}
                removed => gone_is_good(removed)?,
            }
        }
        Ok(())
    }

    fn configs(&self, stack: &str) -> Result<Vec<(String, String)>, SwarmError> {
        let filters = Some(filter("label", &format!("{STACK_LABEL}={stack}")));
        let all = self.ask("list configs", self.client.list_configs(Some(ListConfigsOptions { filters })))?;
        let named = all.into_iter().filter_map(|config| Some((config.spec?.name?, config.id?)));
        Ok(named.collect())
    }

    fn networks(&self, stack: &str) -> Result<Vec<String>, SwarmError> {
        let filters = Some(filter("label", &format!("{STACK_LABEL}={stack}")));
        let all = self.ask("list networks", self.client.list_networks(Some(ListNetworksOptions { filters })))?;
        Ok(all.into_iter().filter_map(|network| network.name).collect())
    }
}

/// How many tasks are still to go, without those of nodes that are down, and without those that have ended: Swarm keeps these of a
/// job after its service is gone.
fn waited_for(tasks: &[Task], down: &[String]) -> usize {
    let is_down = |task: &Task| task.node_id.as_ref().is_some_and(|node| down.contains(node));
    let has_ended = |task: &Task| {
        let state = task.status.as_ref().and_then(|status| status.state);
        matches!(
            state,
            Some(
                TaskState::COMPLETE
                    | TaskState::FAILED
                    | TaskState::REJECTED
                    | TaskState::SHUTDOWN
                    | TaskState::ORPHANED
                    | TaskState::REMOVE
            )
        )
    };
    tasks.iter().filter(|task| !is_down(task) && !has_ended(task)).count()
}

fn has_ended(container: &ContainerSummary) -> bool {
    matches!(container.state, Some(ContainerSummaryStateEnum::EXITED | ContainerSummaryStateEnum::DEAD))
}

fn gone_is_good(removed: Result<(), SwarmError>) -> Result<(), SwarmError> {
    match removed {
        Err(error) if error.is_missing() => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard::models::TaskStatus;

    #[test]
    fn tasks_of_a_node_that_is_down_are_not_waited_for() {
        let on = |node: Option<&str>| Task { node_id: node.map(str::to_owned), ..Task::default() };
        let tasks = [on(Some("here")), on(Some("away")), on(None)];
        assert_eq!(waited_for(&tasks, &[]), 3);
        assert_eq!(waited_for(&tasks, &["away".to_owned()]), 2, "one without a node may still get one");
    }

    #[test]
    fn what_a_job_leaves_behind_is_not_waited_for() {
        let in_state = |state| Task {
            status: Some(TaskStatus { state: Some(state), ..TaskStatus::default() }),
            ..Task::default()
        };
        let ended = [TaskState::COMPLETE, TaskState::FAILED, TaskState::REJECTED, TaskState::SHUTDOWN].map(in_state);
        assert_eq!(waited_for(&ended, &[]), 0);
        assert_eq!(waited_for(&[TaskState::RUNNING, TaskState::NEW, TaskState::READY].map(in_state), &[]), 3);
    }
}
