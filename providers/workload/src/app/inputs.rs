//! What a deployment says of an app, and what `freehold app` is told of it: the same settings as those of the NixOS modules.

use std::collections::BTreeMap;
use std::path::PathBuf;

use freehold_app::{AppSettings, Rotation, SecretSource};
use freehold_model::{Attrs, Sensitive, Value};
use freehold_protocol::v1::Diagnostic;
use freehold_provider::sdk::{Context, Failure};
use freehold_rollout::{Gate, Http, Mode, Policy, Tcp, UpTo};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use serde_json::Value as Json;

use super::known::{Known, Required};

/// Inputs of an app. What is left out is as the recipe's file in `nix/apps` has it; for a recipe that is not there, `/` must answer.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Inputs {
    /// The recipe: `ghost`, or its place on another forge.
    #[schemars(length(min = 1), extend("x-force-new" = true))]
    pub recipe: String,
    /// The name it is reached by, which is also the app's name for abra.
    #[schemars(length(min = 1, max = 253), extend("x-force-new" = true, "x-identity" = true))]
    pub domain: String,
    /// Version of the recipe, or a commit. Exactly this one, or with `autoUpdate` the floor. Default: the newest when it is first
    /// deployed, and that one from then on.
    pub version: Option<String>,
    /// The docker context that it runs on. Default: what `docker` uses by itself (`DOCKER_HOST`).
    #[schemars(length(min = 1), extend("x-force-new" = true, "x-identity" = true))]
    pub server: Option<String>,
    /// Settings of the recipe's `.env`; `null` takes one of the recipe's own defaults away. No secrets: containers show it.
    #[serde(default)]
    pub env: BTreeMap<String, Json>,
    /// Compose files of the recipe besides `compose.yml` and those that it has anyway.
    #[serde(default)]
    pub compose_files: Vec<String>,
    /// Values of secrets, by the recipe's names for them. Another value is another version in the Swarm, and a new deployment.
    #[schemars(extend("x-sensitive" = true))]
    #[serde(default)]
    pub secrets: BTreeMap<String, String>,
    /// Files with values of secrets, on the machine that runs Freehold; relative to the deployment.
    #[serde(default)]
    pub secret_files: BTreeMap<String, String>,
    /// Whether secrets that have no value are made up as the recipe says, once. Default: true.
    pub generate_secrets: Option<bool>,
    /// Whether its volumes are copied before each upgrade, with the app stopped, and put back when the upgrade fails.
    pub stateful: Option<bool>,
    /// Whether `freehold app reconcile` takes newer versions, up to `upTo`. `version` is the floor then.
    #[serde(default)]
    pub auto_update: bool,
    /// The largest step that goes without a person. Default: `minor`.
    pub up_to: Option<UpTo>,
    /// The path that must answer after a deployment; `null` for Swarm's own settling alone.
    #[schemars(with = "Option<String>")]
    #[serde(default, deserialize_with = "said")]
    pub health_path: Option<Option<String>>,
    /// Status codes that count as healthy.
    #[schemars(length(min = 1), inner(range(min = 100, max = 599)))]
    pub health_ok: Option<Vec<u16>>,
    /// Seconds until it has to be healthy, from the moment that Swarm has settled.
    #[schemars(range(min = 1, max = 86_400))]
    pub health_timeout: Option<u32>,
    /// A regular expression that must be found in the answer.
    pub health_body: Option<String>,
    /// Where the path is asked for. Default: `https://DOMAIN` at the proxy of the machine that runs Freehold, else where DNS says.
    pub health_origin: Option<String>,
    /// A TCP port that must take connections, besides or instead of `healthPath`.
    pub health_tcp: Option<Tcp>,
    /// Further looks that must all be good, each with `http`, `tcp` or `exec`.
    pub probes: Option<Vec<Gate>>,
    /// The whole gate in the shape of every runtime, instead of all that begins with `health`.
    pub gate: Option<Gate>,
    /// Seconds for Swarm to settle (the recipe's `TIMEOUT`).
    #[schemars(range(min = 1, max = 86_400))]
    pub timeout: Option<u32>,
    /// Deploy what `freehold app lint` finds wrong all the same.
    #[serde(default)]
    pub no_lint: bool,
    /// Whether the volumes, the secrets and the `.env` stay when it is deleted. Default: true. `false` removes all of its data.
    pub keep_data: Option<bool>,
}

/// Tells `null` from what is left out.
#[allow(clippy::option_option, reason = "left out, null and a path are three things")]
fn said<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(deserializer).map(Some)
}

impl Inputs {
    /// The context, as abra names servers.
    pub(crate) fn server(&self) -> &str {
        self.server.as_deref().unwrap_or("default")
    }

    /// The values that are handed over; they are kept nowhere.
    pub(crate) fn values(&self) -> BTreeMap<String, Sensitive<Vec<u8>>> {
        let bytes = |(name, value): (&String, &String)| (name.clone(), Sensitive::new(value.clone().into_bytes()));
        self.secrets.iter().map(bytes).collect()
    }

    /// What `freehold app` is told.
    pub(crate) fn settings(&self, ctx: &Context) -> Result<AppSettings, Failure> {
        let known = Known::of(&self.recipe);
        let timeout_seconds = self.timeout.unwrap_or(known.timeout);
        let probes = self.probes.clone().unwrap_or_else(|| self.known_probes(&known));
        Ok(AppSettings {
            recipe: Some(self.recipe.clone()),
            domain: Some(self.domain.clone()),
            version: self.version.clone(),
            stateful: self.stateful.unwrap_or(known.stateful),
            generate_secrets: self.generate_secrets.unwrap_or(true),
            policy: Some(Policy {
                mode: if self.auto_update { Mode::Auto } else { Mode::Pinned },
                up_to: self.up_to.unwrap_or_default(),
            }),
            env: self.env_of(&known, timeout_seconds)?,
            gate: self.gate.clone().unwrap_or_else(|| self.gate_of(&known)),
            probes,
            timeout_seconds,
            secrets: self.sources(&known, ctx),
            ..AppSettings::default()
        })
    }

    fn env_of(&self, known: &Known, timeout: u32) -> Result<BTreeMap<String, String>, Failure> {
        let mut env = known.env.clone();
        env.values_mut().for_each(|value| *value = value.replace("{domain}", &self.domain));
        env.insert("TIMEOUT".to_owned(), timeout.to_string());
        let files: Vec<&str> = ["compose.yml"]
            .into_iter()
            .chain(known.compose_files.iter().chain(&self.compose_files).map(String::as_str))
            .collect();
        if files.len() > 1 {
            env.insert("COMPOSE_FILE".to_owned(), files.join(":"));
        }
        for (name, value) in &self.env {
            let text = match value {
                Json::Null => {
                    env.remove(name);
                    continue;
                }
                Json::String(text) => text.clone(),
                Json::Bool(_) | Json::Number(_) => value.to_string(),
                Json::Array(_) | Json::Object(_) => {
                    return Err(Failure::user(format!("`env.{name}` is no text, number or boolean")).at("env"));
                }
            };
            env.insert(name.clone(), text);
        }
        Ok(env)
    }

    fn gate_of(&self, known: &Known) -> Gate {
        // What is said of the address says that there is one.
        let path = match &self.health_path {
            Some(said) => said.clone(),
            None => known.health_path.clone().or(self.health_origin.is_some().then(|| "/".to_owned())),
        };
        let origin = self.health_origin.clone().unwrap_or_else(|| format!("https://{}", self.domain));
        let http = path.map(|path| Http {
            url: Some(format!("{}{path}", origin.trim_end_matches('/'))),
            expect: self.health_ok.clone().unwrap_or_else(|| known.health_ok.clone()),
            body_matches: self.health_body.clone().or_else(|| {
                // The recipe's own words are on the recipe's own page.
                let is_own = self.health_path.as_ref().is_none_or(|said| *said == known.health_path);
                known.health_body.clone().filter(|_| is_own)
            }),
            ..Http::default()
        });
        let timeout_seconds = self.health_timeout.unwrap_or(known.health_timeout);
        let tcp = self.health_tcp.clone().or_else(|| known.health_tcp.clone());
        Gate { http, tcp, timeout_seconds, ..Gate::default() }
    }

    fn known_probes(&self, known: &Known) -> Vec<Gate> {
        // What is taken away, or has no name, is not looked at.
        let is_gone = |name: &String| match self.env.get(name) {
            Some(Json::Null) => true,
            Some(Json::String(text)) => text.is_empty(),
            _ => false,
        };
        let gone: Vec<&String> = known.env.iter().filter(|(name, _)| is_gone(name)).map(|(_, value)| value).collect();
        let filled = |text: &String| {
            // What they look at may have been named otherwise.
            let mut text = text.clone();
            for (name, value) in &known.env {
                if let Some(Json::String(other)) = self.env.get(name).filter(|_| value.contains("{domain}")) {
                    text = text.replace(value.as_str(), other);
                }
            }
            text.replace("{domain}", &self.domain)
        };
        let looks_at = |probe: &Gate, value: &str| {
            let url = probe.http.as_ref().and_then(|http| http.url.as_deref());
            value.contains("{domain}") && url.is_some_and(|url| url.contains(value))
        };
        let mut probes = known.probes.clone();
        probes.retain(|probe| !gone.iter().any(|value| looks_at(probe, value)));
        for http in probes.iter_mut().filter_map(|probe| probe.http.as_mut()) {
            http.url = http.url.as_ref().map(filled);
        }
        probes
    }

    fn sources(&self, known: &Known, ctx: &Context) -> Vec<SecretSource> {
        let source = |name: &String, file: Option<PathBuf>| SecretSource {
            name: name.clone(),
            file,
            sops: None,
            rotation: Rotation::Content,
            version: None,
            version_variable: known.secrets.get(name).and_then(|secret| secret.variable.clone()),
        };
        let given = self.secrets.keys().map(|name| source(name, None));
        given.chain(self.secret_files.iter().map(|(name, file)| source(name, Some(ctx.resolve(file))))).collect()
    }
}

/// Refuses another recipe for an app whose data stay: its `.env` and volumes are those of the recipe that it has, and what ran would be
/// gone before that is found.
pub(crate) fn check_replacement(before: &Attrs, now: &Attrs) -> Result<(), Failure> {
    let same = |name: &str| before.get(name).unwrap_or(&Value::Null) == now.get(name).unwrap_or(&Value::Null);
    let is_kept = before.get("keepData") != Some(&Value::Bool(false));
    if same("recipe") || !same("domain") || !same("server") || !is_kept {
        return Ok(());
    }
    Err(Failure::user("an app that is there keeps its recipe: its data are that recipe's")
        .hint("give the new app another domain; or, to lose the data, set `keepData = false`, apply, and change the recipe then")
        .at("recipe"))
}

/// What is wrong with inputs, parts of which may be unknown.
pub(crate) fn check(inputs: &Attrs) -> Result<(), Failure> {
    let text = |name: &str| match inputs.get(name) {
        Some(Value::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let mut found = Vec::new();
    if let Some(domain) = text("domain")
        && let Err(error) = freehold_recipe::check_domain(domain)
    {
        found.push(wrong("domain", error.to_string(), error.hint()));
    }
    let is_version = |text: &str| text.parse::<freehold_recipe::Pin>().is_ok();
    if let Some(version) = text("version").filter(|version| !is_version(version)) {
        let hint = Some("`version = \"1.3.0+6.42.0\";`, as `freehold app versions` lists them, or a commit".to_owned());
        found.push(wrong("version", format!("`{version}` is no version of a recipe"), hint));
    }
    if let Some(path) = text("healthPath").filter(|path| !path.starts_with('/')) {
        found.push(wrong("healthPath", format!("`{path}` does not begin with `/`"), Some(format!("`/{path}`"))));
    }
    if let Some(Value::Map(env)) = inputs.get("env") {
        let secret = env.iter().find(|(_, value)| value.has_sensitive());
        found.extend(secret.map(|(name, _)| {
            let hint =
                "give it as `secrets.NAME`, by the recipe's name for it; a Swarm secret is shown to nobody".to_owned();
            wrong(
                "env",
                format!("`env.{name}` is a secret, and everybody who may look at containers sees it"),
                Some(hint),
            )
        }));
    }
    if let Some(recipe) = text("recipe") {
        found.extend(missing(&Known::of(recipe), inputs, text("domain")));
    }
    // Each has a hint of its own.
    match found.first().map(|first| Failure::user(first.message.clone())) {
        None => Ok(()),
        Some(failure) => Err(failure.diagnostics(found)),
    }
}

/// What the recipe cannot do without.
fn missing(known: &Known, inputs: &Attrs, domain: Option<&str>) -> Vec<Diagnostic> {
    // What is not known yet may have it.
    let names = |input: &str| match inputs.get(input) {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::Map(map)) => Some(map.keys().cloned().collect::<Vec<_>>()),
        Some(Value::Sensitive(inner)) => match &**inner.expose() {
            Value::Map(map) => Some(map.keys().cloned().collect()),
            _ => None,
        },
        Some(_) => None,
    };
    let mut found = Vec::new();
    if let Some(said) = names("env") {
        found.extend(known.required_env.iter().filter(|one| !said.contains(&one.name)).map(|one| {
            let hint = format!("`inputs.env.{} = \"{}\";`", one.name, one.example);
            wrong("env", format!("`env.{}` is not set: {}", one.name, one.why), Some(hint))
        }));
    }
    if let (Some(values), Some(files)) = (names("secrets"), names("secretFiles")) {
        let is_said = |name: &&String| values.contains(name) || files.contains(name);
        let required = known.secrets.iter().filter(|(name, secret)| secret.required && !is_said(name));
        found.extend(required.map(|(name, secret)| {
            let hint = format!("`inputs.secrets.{name} = {{ fromFile = \"{name}\"; }};`");
            wrong("secrets", format!("`secrets.{name}` is not set: {}", secret.why), Some(hint))
        }));
    }
    if let (Some(domain), Some(Value::Map(env))) = (domain, inputs.get("env")) {
        let is_same = |one: &&Required| matches!(env.get(&one.name), Some(Value::String(text)) if text == domain);
        found.extend(known.required_env.iter().filter(|one| one.not_domain).filter(is_same).map(|one| {
            let hint = Some(format!("`inputs.env.{} = \"{}\";`", one.name, one.example));
            wrong("env", format!("`env.{}` is the app's own domain: {}", one.name, one.why), hint)
        }));
    }
    found
}

fn wrong(input: &str, message: String, hint: Option<String>) -> Diagnostic {
    Diagnostic { pointer: freehold_model::Pointer::new([input]), message, hint }
}

#[cfg(test)]
mod tests {
    use freehold_provider::validate;
    use serde_json::json;

    use super::*;

    fn attrs(json: Json) -> Attrs {
        match Value::from_json(json).unwrap() {
            Value::Map(attrs) => attrs,
            other => panic!("{other:?}"),
        }
    }

    fn of(json: Json) -> Inputs {
        serde_json::from_value(json).unwrap()
    }

    fn refused(json: Json) -> String {
        check(&attrs(json)).unwrap_err().message().to_owned()
    }

    #[test]
    fn the_example_is_as_the_schema_says() {
        let provider = crate::provider().schema();
        let schema = &provider.types["app"];
        let examples: Vec<Json> = serde_json::from_str(include_str!("../../examples/app.json")).unwrap();
        assert!(!examples.is_empty());
        for example in examples {
            let inputs = attrs(example["inputs"].clone());
            assert_eq!(validate::validate(schema, &inputs), []);
            check(&inputs).unwrap();
        }
    }

    #[test]
    fn what_is_left_out_is_as_the_recipe_has_it() {
        let ghost = of(json!({ "recipe": "ghost", "domain": "blog.example.org" }));
        let gate = ghost.gate_of(&Known::of("ghost"));
        let url = gate.http.unwrap().url.unwrap();
        assert_eq!((url.as_str(), gate.timeout_seconds), ("https://blog.example.org/ghost/api/admin/site/", 120));
        let drive = of(json!({ "recipe": "lasuite-drive", "domain": "drive.example.org" }));
        let env = drive.env_of(&Known::of("lasuite-drive"), 1200).unwrap();
        assert_eq!((env["MINIO_DOMAIN"].as_str(), env["TIMEOUT"].as_str()), ("minio-drive.example.org", "1200"));
        let probes = drive.known_probes(&Known::of("lasuite-drive"));
        assert_eq!(
            probes[0].http.as_ref().unwrap().url.as_deref(),
            Some("https://collabora-drive.example.org/hosting/discovery")
        );
        let other = of(
            json!({ "recipe": "lasuite-drive", "domain": "d.example.org", "env": { "COLLABORA_DOMAIN": "office.example.org" } }),
        );
        let probes = other.known_probes(&Known::of("lasuite-drive"));
        assert_eq!(
            probes[0].http.as_ref().unwrap().url.as_deref(),
            Some("https://office.example.org/hosting/discovery")
        );
        for none in [Json::Null, json!("")] {
            let without =
                of(json!({ "recipe": "lasuite-drive", "domain": "d.org", "env": { "COLLABORA_DOMAIN": none } }));
            assert_eq!(without.known_probes(&Known::of("lasuite-drive")), []);
        }
        // The recipe's words are looked for on the recipe's page, also when somebody names that page.
        let body = |inputs: Json| of(inputs).gate_of(&Known::of("hedgedoc")).http.unwrap().body_matches;
        let own = Known::of("hedgedoc").health_path.unwrap();
        assert!(body(json!({ "recipe": "hedgedoc", "domain": "d.org", "healthPath": own })).is_some());
        assert_eq!(body(json!({ "recipe": "hedgedoc", "domain": "d.org", "healthPath": "/" })), None);
    }

    #[test]
    fn what_is_said_goes_before_it() {
        let said = of(json!({
            "recipe": "ghost", "domain": "b.example.org", "healthPath": null, "healthTcp": { "port": 25 }, "autoUpdate": true,
            "env": { "LETS_ENCRYPT_ENV": null, "PORT": 80, "ON": true }, "composeFiles": ["compose.smtp.yml"],
        }));
        let gate = said.gate_of(&Known::of("ghost"));
        assert_eq!((gate.http, gate.tcp.unwrap().port), (None, Some(25)));
        let env = said.env_of(&Known::of("ghost"), 60).unwrap();
        assert_eq!((env.get("LETS_ENCRYPT_ENV"), env["PORT"].as_str(), env["ON"].as_str()), (None, "80", "true"));
        assert_eq!(env["COMPOSE_FILE"], "compose.yml:compose.smtp.yml");
    }

    #[test]
    fn an_app_with_data_keeps_its_recipe() {
        let ghost = attrs(json!({ "recipe": "ghost", "domain": "a.org" }));
        let other = attrs(json!({ "recipe": "wordpress", "domain": "a.org" }));
        let refused = check_replacement(&ghost, &other).unwrap_err();
        assert!(refused.message().contains("keeps its recipe"), "{}", refused.message());
        check_replacement(&ghost, &attrs(json!({ "recipe": "ghost", "domain": "a.org", "version": "1.0.0+1" })))
            .unwrap();
        check_replacement(&ghost, &attrs(json!({ "recipe": "wordpress", "domain": "b.org" }))).unwrap();
        check_replacement(&attrs(json!({ "recipe": "ghost", "domain": "a.org", "keepData": false })), &other).unwrap();
    }

    #[test]
    fn what_cannot_be_is_told_before_anything_is_done() {
        assert!(refused(json!({ "recipe": "ghost", "domain": "a b" })).contains("a b"));
        let version = refused(json!({ "recipe": "ghost", "domain": "a.org", "version": "latest" }));
        assert_eq!(version, "`latest` is no version of a recipe");
        let missing = refused(json!({ "recipe": "cryptpad", "domain": "pad.org" }));
        assert!(missing.starts_with("`env.SANDBOX_DOMAIN` is not set: CryptPad"), "{missing}");
        let same =
            refused(json!({ "recipe": "cryptpad", "domain": "pad.org", "env": { "SANDBOX_DOMAIN": "pad.org" } }));
        assert!(same.contains("is the app's own domain"), "{same}");
        let secret = refused(
            json!({ "recipe": "drone", "domain": "ci.org", "env": { "GITEA_DOMAIN": "x", "GITEA_CLIENT_ID": "y" } }),
        );
        assert!(secret.contains("`secrets.client_secret` is not set"), "{secret}");
        let mut leaky = attrs(json!({ "recipe": "ghost", "domain": "a.org", "env": { "KEY": "x" } }));
        if let Some(Value::Map(env)) = leaky.get_mut("env") {
            env.insert("KEY".to_owned(), Value::from("x").into_sensitive());
        }
        let leaky = check(&leaky).unwrap_err();
        assert!(leaky.message().contains("`env.KEY` is a secret"), "{}", leaky.message());
        // What is decided at apply is not missing.
        let mut late = attrs(json!({ "recipe": "cryptpad", "domain": "pad.org" }));
        late.insert("env".to_owned(), Value::Unknown);
        check(&late).unwrap();
    }
}
