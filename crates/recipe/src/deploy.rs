//! What is put into a composed stack before it is deployed, so that abra finds in it what it would have put there itself.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::stack::{APP_SERVICE, as_map};
use crate::{Pin, RecipeError, Stack};

/// The labels `coop-cloud.STACK.*` of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppLabels {
    /// The recipe.
    pub recipe: String,
    /// What is deployed of it.
    pub pin: Pin,
}

/// What the labels of a running app say; every field may be missing, for others set them, too.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadLabels {
    /// The recipe.
    pub recipe: Option<String>,
    /// The version; with chaos the one that the compose file claims.
    pub version: Option<String>,
    /// Whether it was deployed from a work tree.
    pub chaos: bool,
    /// The commit then, with `+U` when it had changes.
    pub chaos_version: Option<String>,
    /// How long a deploy may take, in seconds.
    pub timeout_seconds: Option<u32>,
}

impl ReadLabels {
    /// Picks the labels of a stack out of those of its service `app`.
    pub fn of<'a>(stack_name: &str, labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let prefix = format!("coop-cloud.{stack_name}.");
        let mut read = Self::default();
        for (name, value) in labels {
            let Some(key) = name.strip_prefix(&prefix).filter(|_| !value.is_empty()) else { continue };
            let value = value.to_owned();
            match key {
                "recipe" => read.recipe = Some(value),
                "version" => read.version = Some(value),
                "chaos" => read.chaos = value == "true",
                "chaos-version" => read.chaos_version = Some(value),
                "timeout" => read.timeout_seconds = value.parse().ok(),
                _ => {}
            }
        }
        read
    }

    /// What was deployed, as a version: with chaos the commit.
    pub fn deployed(&self) -> Option<&str> {
        let commit = self.chaos_version.as_deref().filter(|_| self.chaos);
        commit.or(self.version.as_deref())
    }
}

impl Stack {
    /// Sets the labels of the app on its service `app`.
    ///
    /// # Errors
    /// [`RecipeError::Stack`] when there is no such service.
    pub fn set_app_labels(&mut self, stack_name: &str, labels: &AppLabels) -> Result<(), RecipeError> {
        let name = |key: &str| format!("coop-cloud.{stack_name}.{key}");
        let app = self.app_mut()?;
        let deploy = as_map(app.entry("deploy").or_insert_with(|| json!({})));
        let map = as_map(deploy.entry("labels").or_insert_with(|| json!({})));
        map.insert(name("recipe"), labels.recipe.clone().into());
        match &labels.pin {
            Pin::Version(version) => {
                map.insert(name("version"), version.to_string().into());
                map.insert(name("chaos"), "false".into());
                map.remove(&name("chaos-version"));
            }
            // The version that the compose file claims stays.
            Pin::Commit { .. } => {
                map.insert(name("chaos"), "true".into());
                map.insert(name("chaos-version"), labels.pin.to_string().into());
            }
        }
        Ok(())
    }

    /// Puts every variable of the app into the environment of its service `app`, except what that sets itself.
    ///
    /// abra does this (`ExposeAllEnv`), and `abra app env pull` reads it back. It also means that any change of the `.env`
    /// starts `app` anew, and that its values stand in `docker service inspect`: secrets do not belong there.
    ///
    /// # Errors
    /// [`RecipeError::Stack`] when there is no such service.
    pub fn expose_env(&mut self, variables: &BTreeMap<String, String>) -> Result<(), RecipeError> {
        let app = self.app_mut()?;
        let map = as_map(app.entry("environment").or_insert_with(|| json!({})));
        for (name, value) in variables {
            map.entry(name.clone()).or_insert_with(|| value.clone().into());
        }
        Ok(())
    }

    /// Leaves out variables of these names that have no value (`environment: [HTTPS_PROXY]` and none in the `.env`): Docker would look
    /// for one in the environment of whoever deploys.
    pub fn leave_out_unset(&mut self, names: &[&str]) {
        let services = self.json.get_mut("services").and_then(Json::as_object_mut);
        for service in services.into_iter().flat_map(|services| services.values_mut()) {
            if let Some(environment) = service.get_mut("environment").and_then(Json::as_object_mut) {
                environment.retain(|name, value| !(value.is_null() && names.contains(&name.as_str())));
            }
        }
    }

    /// Sets a label on every service: how Freehold knows what it deployed.
    pub fn set_label(&mut self, name: &str, value: &str) {
        let services = self.json.get_mut("services").and_then(Json::as_object_mut);
        for service in services.into_iter().flat_map(|services| services.values_mut()) {
            let deploy = as_map(as_map(service).entry("deploy").or_insert_with(|| json!({})));
            as_map(deploy.entry("labels").or_insert_with(|| json!({}))).insert(name.to_owned(), value.into());
        }
    }

    /// The document for `docker stack deploy`: JSON, which is YAML as well, with every `$` doubled, because Docker puts
    /// variables in once more.
    pub fn to_deploy(&self) -> String {
        doubled(&self.json).to_string()
    }

    fn app_mut(&mut self) -> Result<&mut serde_json::Map<String, Json>, RecipeError> {
        let known: Vec<String> = self.services().map(|service| service.name.to_owned()).collect();
        let app = self.json.get_mut("services").and_then(|services| services.get_mut(APP_SERVICE));
        app.and_then(Json::as_object_mut).ok_or(RecipeError::NoApp { known })
    }
}

fn doubled(json: &Json) -> Json {
    match json {
        Json::String(text) => Json::String(text.replace('$', "$$")),
        Json::Array(items) => Json::Array(items.iter().map(doubled).collect()),
        Json::Object(map) => Json::Object(map.iter().map(|(key, value)| (key.clone(), doubled(value))).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPOSED: &str = "services:\n  app:\n    image: a\n    environment: {A: own, B: $x}\n    deploy:\n      labels:\n        \
        coop-cloud.s.version: 1.0.0+1\n        coop-cloud.s.timeout: \"900\"\n  db:\n    image: b\n";

    fn labels(stack: &Stack) -> ReadLabels {
        ReadLabels::of("s", stack.service("app").unwrap().labels())
    }

    #[test]
    fn an_app_gets_the_labels_that_abra_would_set() {
        let mut stack = Stack::parse(COMPOSED).unwrap();
        let recipe = "ghost".to_owned();
        let pin = Pin::Commit { hash: "7ae7b0f7".to_owned(), is_dirty: true };
        stack.set_app_labels("s", &AppLabels { recipe: recipe.clone(), pin }).unwrap();
        let read = labels(&stack);
        assert_eq!((read.version.as_deref(), read.chaos_version.as_deref()), (Some("1.0.0+1"), Some("7ae7b0f7+U")));
        stack.set_app_labels("s", &AppLabels { recipe, pin: Pin::Version("1.1.0+2".parse().unwrap()) }).unwrap();
        let expected = ReadLabels {
            recipe: Some("ghost".to_owned()),
            version: Some("1.1.0+2".to_owned()),
            chaos: false,
            chaos_version: None,
            timeout_seconds: Some(900),
        };
        assert_eq!(labels(&stack), expected);
    }

    #[test]
    fn the_env_is_exposed_and_docker_reads_it_as_it_was() {
        let mut stack = Stack::parse(COMPOSED).unwrap();
        stack.expose_env(&[("A".to_owned(), "other".to_owned()), ("C".to_owned(), "$1".to_owned())].into()).unwrap();
        stack.set_label("org.example", "x");
        assert_eq!(stack.service("app").unwrap().environment(), [("A", "own"), ("B", "$x"), ("C", "$1")].into());
        assert_eq!(stack.service("db").unwrap().labels(), [("org.example", "x")].into());
        let text = stack.to_deploy();
        assert!(text.contains("\"$$x\"") && text.contains("\"$$1\""), "{text}");
        let mut unset =
            Stack::parse("services: {app: {image: a, environment: {HOME: null, X: null, PATH: p}}}").unwrap();
        unset.leave_out_unset(&["HOME", "PATH"]);
        assert_eq!(unset.service("app").unwrap().json()["environment"], json!({ "X": null, "PATH": "p" }));
        let error = Stack::parse("services: {web: {image: a}}").unwrap().expose_env(&BTreeMap::new()).unwrap_err();
        assert_eq!(error.to_string(), "the recipe has no service `app`, only web");
    }
}
