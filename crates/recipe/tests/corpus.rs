//! What is said of every recipe of the corpus, and whether Docker composes them as it is written.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use freehold_recipe::{
    AppLabels, AppPath, AppType, Backup, EnvFile, Generator, Pin, Recipe, Stack, Subject, Tag, TakenPort, lint,
    new_app, secrets, stack_name,
};
use freehold_testkit::{not_run, run_limited};

const OWN_FILES: [&str; 3] = ["app.env", "composed.yml", "report.txt"];

/// One recipe of the corpus, with the app that is made of it.
struct Case {
    folder: PathBuf,
    name: String,
    recipe: Recipe,
    env: EnvFile,
    domain: String,
    stack_name: String,
}

fn corpus() -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recipes");
    let entries = fs_err::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    assert!(folders.len() >= 9, "{folders:?}");
    folders.into_iter().map(Case::read).collect()
}

impl Case {
    fn read(folder: PathBuf) -> Self {
        let mut texts = BTreeMap::new();
        let mut next = vec![folder.clone()];
        while let Some(folder_in) = next.pop() {
            for path in fs_err::read_dir(folder_in).unwrap().map(|entry| entry.unwrap().path()) {
                let name = path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned();
                if path.is_dir() {
                    next.push(path);
                } else if !OWN_FILES.contains(&name.as_str()) {
                    texts.insert(name, fs_err::read_to_string(path).unwrap());
                }
            }
        }
        let env = EnvFile::parse("app.env", &fs_err::read_to_string(folder.join("app.env")).unwrap()).unwrap();
        let domain = env.get("DOMAIN").unwrap().to_owned();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let stack_name = stack_name(&domain, &env).unwrap();
        Self { recipe: Recipe::of(texts).unwrap(), folder, name, env, domain, stack_name }
    }

    fn composed(&self) -> Stack {
        Stack::parse(&fs_err::read_to_string(self.folder.join("composed.yml")).unwrap()).unwrap()
    }

    /// What is said of it, as a person would like to read it.
    fn report(&self) -> String {
        let stack = self.composed();
        let files = self.recipe.compose_files(&self.env).unwrap();
        let kind = AppType::of(&self.env).unwrap();
        let pin = kind.pin.as_ref().map_or("nothing yet".to_owned(), ToString::to_string);
        let mut out = format!("app {} of {}, at {pin}\nstack {}\n", self.domain, kind.recipe, self.stack_name);
        writeln!(out, "files {}", self.env.compose_files().join(" ")).unwrap();
        writeln!(out, "functions {}", self.recipe.abra_sh.functions.join(" ")).unwrap();
        for secret in secrets(&stack, &files, &self.env, self.recipe.sample.as_ref()).unwrap() {
            let made = match (&secret.recipe, secret.generate) {
                (_, false) => "given".to_owned(),
                (Generator::Passphrase, true) => "a passphrase".to_owned(),
                (Generator::Characters { length, alphabet }, true) => {
                    format!("{length} of {} characters", alphabet.len())
                }
            };
            let variable = secret.variable.as_deref().unwrap_or("nothing");
            writeln!(out, "secret {} {} by {variable}: {made}", secret.key, secret.name).unwrap();
        }
        for config in stack.configs() {
            writeln!(out, "config {} {}", config.key, config.name).unwrap();
        }
        for (key, name) in stack.volumes(&self.stack_name) {
            writeln!(out, "volume {key} {name}").unwrap();
        }
        for port in stack.ports() {
            let mode = if port.is_host { "on the node" } else { "of the mesh" };
            writeln!(out, "port {}/{} {} {mode}", port.published.unwrap_or_default(), port.protocol, port.service)
                .unwrap();
        }
        for service in stack.services() {
            let replicas = service.replicas().map_or("one per node".to_owned(), |count| count.to_string());
            writeln!(
                out,
                "service {} × {replicas}: {} on {}",
                service.name,
                service.image(),
                service.networks().join(" ")
            )
            .unwrap();
        }
        let backup = Backup::of(&stack);
        let hooks: Vec<String> =
            backup.hooks.iter().map(|hook| format!("{:?} in {}: {}", hook.when, hook.service, hook.command)).collect();
        writeln!(
            out,
            "backup by {:?}, without {:?}, of {:?}, hooks {hooks:?}",
            backup.services, backup.left_out, backup.paths
        )
        .unwrap();
        if let Some(Pin::Version(version)) = &kind.pin {
            for notes in self.recipe.notes_between(None, version) {
                let manual = notes
                    .manual
                    .map_or("nothing to do".to_owned(), |marker| format!("by hand ({}): {}", marker.word, marker.text));
                writeln!(out, "notes {}: {manual}", notes.version).unwrap();
            }
        }
        for finding in lint(&self.subject(&files, &stack)) {
            writeln!(out, "{finding}\n  hint: {}", finding.hint).unwrap();
        }
        out
    }

    fn subject<'a>(&'a self, files: &'a [freehold_recipe::ComposeFile], stack: &'a Stack) -> Subject<'a> {
        Subject {
            files,
            texts: &self.recipe.texts,
            env: &self.env,
            sample: self.recipe.sample.as_ref(),
            abra_sh: &self.recipe.abra_sh,
            stack,
            stack_name: &self.stack_name,
            domain: &self.domain,
            tags: &[],
            wildcard: Some("example.org"),
            taken: &[],
            served: &[],
        }
    }

    /// What Docker makes of it; paths of files are relative.
    fn by_docker(&self) -> Result<String, String> {
        let args: Vec<String> = self.env.compose_files().into_iter().flat_map(|file| ["-c".to_owned(), file]).collect();
        let variables = self.recipe.variables(&self.env, &self.stack_name);
        let composed = docker_stack_config(&self.folder, &args, variables, b"")?;
        let folder = self.folder.canonicalize().unwrap();
        Ok(composed.replace(folder.to_str().unwrap(), "."))
    }
}

fn docker_stack_config(
    folder: &Path,
    args: &[String],
    variables: BTreeMap<String, String>,
    input: &[u8],
) -> Result<String, String> {
    let mut command = Command::new("docker");
    command.current_dir(folder).args(["stack", "config"]).args(args).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).envs(variables);
    let output = run_limited(&mut command, input, Duration::from_secs(300));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

fn has_docker() -> bool {
    let asked = Command::new("docker").args(["stack", "config", "--help"]).output();
    let has = asked.is_ok_and(|output| output.status.success());
    if !has {
        not_run("composing the recipes of the corpus", "there is no docker CLI that has `stack config`");
    }
    has
}

fn is_blessing() -> bool {
    std::env::var_os("BLESS").is_some()
}

#[test]
fn docker_composes_the_recipes_as_it_is_written() {
    if !has_docker() {
        return;
    }
    for case in corpus() {
        let now = case.by_docker().unwrap_or_else(|error| panic!("{}: {error}", case.name));
        if is_blessing() {
            fs_err::write(case.folder.join("composed.yml"), &now).unwrap();
        }
        assert_eq!(Stack::parse(&now).unwrap(), case.composed(), "{}", case.name);
    }
}

#[test]
fn docker_reads_what_is_deployed_as_it_was_composed() {
    if !has_docker() {
        return;
    }
    for case in corpus() {
        // Names as Docker found them, and absolute, as its input has no folder.
        let mut stack = case.composed();
        stack.expose_env(&case.recipe.variables(&case.env, &case.stack_name)).unwrap();
        stack.expose_env(&[("ODD".to_owned(), "$HOME ${A:-b} $$".to_owned())].into()).unwrap();
        let kind = AppType::of(&case.env).unwrap();
        let pin = kind.pin.unwrap_or(Pin::Commit { hash: "7ae7b0f7".to_owned(), is_dirty: true });
        stack.set_app_labels(&case.stack_name, &AppLabels { recipe: kind.recipe, pin }).unwrap();
        stack.set_label("org.example.digest", "$1");
        let args = ["-c".to_owned(), "-".to_owned()];
        let read = docker_stack_config(&case.folder, &args, BTreeMap::new(), stack.to_deploy().as_bytes());
        let read = read.unwrap_or_else(|error| panic!("{}: {error}", case.name));
        let read = read.replace(case.folder.canonicalize().unwrap().to_str().unwrap(), ".");
        assert_eq!(Stack::parse(&read).unwrap(), stack, "{}", case.name);
    }
}

#[test]
fn every_recipe_is_read_as_it_is_meant() {
    let mut different = Vec::new();
    for case in corpus() {
        let (path, now) = (case.folder.join("report.txt"), case.report());
        if is_blessing() {
            fs_err::write(&path, &now).unwrap();
        }
        if fs_err::read_to_string(&path).unwrap_or_default() != now {
            different.push(format!("{}:\n{now}", case.name));
        }
    }
    assert!(different.is_empty(), "{}\nBLESS=1 writes what came out", different.join("\n"));
}

#[test]
fn an_app_that_is_new_is_its_sample_and_lacks_nothing_that_the_sample_sets() {
    for case in corpus() {
        let app = AppPath::new("default", &case.domain).unwrap();
        let kind = AppType { recipe: case.name.clone(), pin: None };
        let sample = case.recipe.sample.as_ref().unwrap();
        let new = new_app(sample.text(), &app, &kind).unwrap();
        assert_eq!(new.get("DOMAIN"), Some(case.domain.as_str()));
        let names = |env: &EnvFile| env.variables().into_keys().collect::<Vec<_>>();
        assert_eq!(names(&new), names(sample), "{}", case.name);
        let comments = |env: &EnvFile| env.text().matches('#').count();
        assert_eq!(comments(&new), comments(sample), "{}", case.name);
    }
}

#[test]
fn what_only_the_caller_knows_is_linted_too() {
    let case = corpus().into_iter().find(|case| case.name == "voice").unwrap();
    let (files, stack) = (case.recipe.compose_files(&case.env).unwrap(), case.composed());
    let tag = |name: &str, is_annotated| Tag { name: name.to_owned(), is_annotated };
    let tags = [tag("1.0.0+v1.6.870-0", true), tag("0.9.0+v1.5.0", false)];
    let taken = [TakenPort { port: 64738, protocol: "udp".to_owned(), by: "a process of the host".to_owned() }];
    let subject = Subject { tags: &tags, taken: &taken, wildcard: None, ..case.subject(&files, &stack) };
    let codes: Vec<&str> = lint(&subject).iter().map(|finding| finding.code).collect();
    assert!(codes.contains(&"lightweight-tag") && codes.contains(&"port-taken"), "{codes:?}");
    assert!(!codes.contains(&"nested-subdomain"), "{codes:?}");
}
