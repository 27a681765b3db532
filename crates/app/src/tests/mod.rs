//! What one run does for an app, on a Docker that is made up: no container starts, and a run that would deploy fails.

mod docker;

use std::sync::Arc;

use freehold_recipe_source::{AbraDir, Settings as SourceSettings};
use freehold_rollout::{Exit, Outcome, Record, Stage};
use freehold_testkit::{Scratch, not_run};

use crate::hands::AppHands;
use crate::release::LABEL;
use crate::source::Source;
use crate::{
    App, AppError, AppRelease, Converged, Known, Places, PreparedRelease, Talk, Verb, check, converge, undeploy,
};
use docker::FakeDocker;
use freehold_runtime::Hands as _;

const DOMAIN: &str = "blog.example.org";
const STACK: &str = "blog_example_org";
const V1: &str = "1.0.0+1.0.0";
const V2: &str = "1.1.0+1.1.0";

/// An `$ABRA_DIR`, a recipe in git, and a Docker.
struct World {
    scratch: Scratch,
    docker: FakeDocker,
    places: Places,
}

impl World {
    /// The recipe `blog` with one version, and an app that is pinned to it.
    fn new() -> Self {
        let scratch = Scratch::new();
        let docker = FakeDocker::start(&scratch);
        let mut source = SourceSettings::new(scratch.join("cache"), scratch.dir("abra"));
        source.base = Some(format!("file://{}", scratch.dir("recipes").display()));
        let places = Places {
            abra: AbraDir::new(scratch.join("abra")),
            state: scratch.join("state"),
            alerts: scratch.join("alerts"),
            source,
            stop: Arc::default(),
            known: Known::with_endpoint("default", docker.endpoint()),
        };
        let world = Self { scratch, docker, places };
        world.publish(V1);
        world.env(DOMAIN, &format!("TYPE=blog:{V1}\n"));
        world
    }

    fn env(&self, domain: &str, text: &str) {
        self.scratch.write(format!("abra/servers/default/{domain}.env"), text);
    }

    fn publish(&self, version: &str) {
        let compose = "version: \"3.8\"\nservices:\n  app:\n    image: blog:1\n";
        self.scratch.write("recipes/blog/compose.yml", compose);
        self.scratch.write("recipes/blog/.env.sample", "TYPE=blog\n");
        self.git(&["init", "--quiet"]);
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", version]);
        self.git(&["tag", "--annotate", "--message", version, version]);
    }

    fn git(&self, words: &[&str]) {
        let mut command = std::process::Command::new("git");
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
        command.args(["-c", "user.name=test", "-c", "user.email=test@example.org"]).args(words);
        let status = command.current_dir(self.scratch.join("recipes/blog")).output().unwrap();
        assert!(status.status.success(), "git {words:?}");
    }

    fn app(&self) -> App {
        // What a run has fetched holds for that run.
        self.open(DOMAIN)
    }

    fn open(&self, domain: &str) -> App {
        App::open(&self.places, domain, None, None).unwrap()
    }

    /// A release of the app as its `.env` is now.
    fn release(&self, version: &str) -> AppRelease {
        let mirror = self.fresh().mirror("blog").unwrap();
        let commit = mirror.resolve(&crate::app::wanted(version)).unwrap().commit;
        AppRelease::of(&version.parse().unwrap(), &commit, &self.app().env)
    }

    /// The places of another run, which fetches anew.
    fn fresh(&self) -> Places {
        Places { known: Known::with_endpoint("default", self.docker.endpoint()), ..self.places.clone() }
    }

    /// Keeps a release as if it had been composed.
    fn keep(&self, release: &AppRelease) -> PreparedRelease {
        let kept = PreparedRelease::of(&self.app(), release);
        std::fs::create_dir_all(&kept.dir).unwrap();
        std::fs::write(kept.document(), r#"{"services":{"app":{"image":"blog:1"}}}"#).unwrap();
        kept
    }

    /// Records a release as committed.
    fn good(&self, release: &AppRelease) {
        let good = release.to_release(DOMAIN).unwrap();
        let record = Record { revision: 1, stage: Stage::Committed, last_good: Some(good), ..Record::new(DOMAIN) };
        self.app().lock(&self.places).unwrap().write(&record).unwrap();
    }

    /// 1.0 was good here, and runs.
    fn looked_after(&self) {
        let release = self.release(V1);
        self.keep(&release);
        self.good(&release);
        self.docker.runs(STACK, "app", &[(LABEL, &release.to_string())]);
    }

    /// 1.0 was good here, and `abra` went on to 1.1, with more in the `.env` since. What was good.
    fn upgraded_by_abra(&self, more: &str) -> AppRelease {
        let before = self.release(V1);
        self.keep(&before);
        self.good(&before);
        self.publish(V2);
        self.env(DOMAIN, &format!("TYPE=blog:{V2}\n{more}"));
        self.docker.runs(STACK, "app", &[("coop-cloud.blog_example_org.version", V2)]);
        before
    }

    fn record(&self) -> Record {
        self.places.records().read(DOMAIN).unwrap()
    }

    fn converge(&self, verb: &Verb) -> Result<Converged, AppError> {
        converge(&self.fresh(), &mut self.app(), verb, &talk(false))
    }

    fn undeploy(&self, take_over: bool) -> Result<Converged, AppError> {
        undeploy(&self.fresh(), &mut self.app(), &talk(take_over))
    }
}

fn talk(take_over: bool) -> Talk<'static> {
    Talk { tell: &|_| {}, retry: false, take_over, no_lint: false, detailed: false }
}

/// Whether stacks can be composed here.
fn composes(what: &str) -> bool {
    let found = std::process::Command::new("docker").args(["stack", "config", "--help"]).output();
    let found = found.is_ok_and(|output| output.status.success());
    if !found {
        not_run(what, "`docker` is missing; apt-get install docker-cli");
    }
    found
}

#[test]
fn two_apps_with_one_stack_are_refused() {
    let world = World::new();
    world.env("other.example.org", &format!("TYPE=blog:{V1}\nSTACK_NAME={STACK}\n"));
    world.docker.runs(STACK, "app", &[(LABEL, "1.0.0+1.0.0 0123456789ab 0123456789ab")]);
    let error = world.converge(&Verb::Deploy { version: None }).unwrap_err();
    let said = "`blog.example.org` and `other.example.org` have the same stack, `blog_example_org`: each would replace the other";
    assert_eq!(error.to_string(), said);
    assert!(error.hint().unwrap().contains("freehold app env blog.example.org STACK_NAME=NAME"));
    // The one that runs under the name keeps it.
    world.scratch.write("state/default/blog.example.org/stack", STACK);
    let error = world.converge(&Verb::Deploy { version: None }).unwrap_err();
    assert!(error.hint().unwrap().contains("freehold app env other.example.org STACK_NAME=NAME"));
    assert!(matches!(world.undeploy(true), Err(AppError::SharedStack { .. })));
    assert!(matches!(
        crate::remove(&world.places, &mut world.open("other.example.org"), true),
        Err(AppError::SharedStack { .. })
    ));
    assert_eq!(world.docker.removed(), Vec::<String>::new());
    // On another server it is another stack.
    std::fs::create_dir_all(world.scratch.join("abra/servers/elsewhere")).unwrap();
    let from = world.scratch.join("abra/servers/default/other.example.org.env");
    std::fs::rename(from, world.scratch.join("abra/servers/elsewhere/other.example.org.env")).unwrap();
    assert_eq!(world.undeploy(false).unwrap().action, Outcome::Stopped);
}

#[test]
fn an_app_that_runs_under_an_earlier_name_is_not_started_beside_itself() {
    let world = World::new();
    world.docker.runs(STACK, "app", &[("coop-cloud.blog_example_org.version", V1)]);
    let _ = world.converge(&Verb::Deploy { version: None });
    world.env(DOMAIN, &format!("TYPE=blog:{V1}\nSTACK_NAME=other\n"));
    for error in [world.converge(&Verb::Deploy { version: None }).unwrap_err(), world.undeploy(false).unwrap_err()] {
        let said = "`blog.example.org` runs as the stack `blog_example_org`, and its .env names it `other` now: that would be a second \
                    one, without its data";
        assert_eq!(error.to_string(), said);
        assert!(error.hint().unwrap().contains("freehold app env blog.example.org STACK_NAME=blog_example_org"));
    }
    assert_eq!(world.docker.removed(), Vec::<String>::new());
    world.env(DOMAIN, &format!("TYPE=blog:{V1}\n"));
    assert_eq!(world.undeploy(false).unwrap().action, Outcome::Stopped);
}

#[test]
fn what_was_pinned_while_the_lock_was_waited_for_counts() {
    let world = World::new();
    let mut app = world.app();
    world.env(DOMAIN, &format!("TYPE=blog:{V2}\n"));
    let _lock = app.lock(&world.places).unwrap();
    assert_eq!(app.kind.pin.unwrap().to_string(), V2);
}

#[test]
fn a_stack_that_others_made_goes_only_when_that_is_said() {
    let world = World::new();
    world.docker.runs(STACK, "app", &[]);
    let error = world.undeploy(false).unwrap_err();
    assert!(matches!(error, AppError::NotOurs { .. }), "{error}");
    assert!(error.hint().unwrap().contains("--take-over"));
    assert_eq!(world.docker.removed(), Vec::<String>::new());
    assert_eq!(world.undeploy(true).unwrap().action, Outcome::Stopped);
    // What abra has deployed is the app.
    world.docker.runs(STACK, "app", &[("coop-cloud.blog_example_org.version", V1)]);
    assert_eq!(world.undeploy(false).unwrap().action, Outcome::Stopped);
}

#[test]
fn an_undeploy_that_fails_alerts_and_is_not_undone_at_night() {
    let world = World::new();
    world.looked_after();
    world.docker.refuses(true);
    let failed = world.undeploy(false).unwrap();
    assert_eq!((failed.action, failed.healthy), (Outcome::Failed, false));
    assert!(world.scratch.exists("alerts/blog.example.org.json"), "the alert stands");
    world.docker.refuses(false);
    let done = world.converge(&Verb::Reconcile).unwrap();
    assert_eq!(done.action, Outcome::Stopped, "{done:?}");
    assert_eq!(world.docker.removed(), ["blog_example_org_app"]);
    assert!(!world.scratch.exists("alerts/blog.example.org.json"));
}

#[test]
fn an_undeploy_ends_what_is_under_way_and_then_takes_the_app_away() {
    let world = World::new();
    let release = world.release(V1).to_release(DOMAIN).unwrap();
    let under_way =
        Record { revision: 1, stage: Stage::Preparing, target: Some(release.clone()), ..Record::new(DOMAIN) };
    world.app().lock(&world.places).unwrap().write(&under_way).unwrap();
    world.docker.runs(STACK, "app", &[(LABEL, release.id())]);
    assert_eq!(world.undeploy(false).unwrap().action, Outcome::Stopped);
    assert_eq!(world.docker.removed(), ["blog_example_org_app"]);
    assert!(!world.scratch.exists("alerts/blog.example.org.json"));
}

#[test]
fn services_of_another_release_go_also_when_the_rest_is_as_it_should_be() {
    let world = World::new();
    let release = world.release(V1);
    world.keep(&release);
    world.docker.runs(STACK, "app", &[(LABEL, &release.to_string())]);
    world.docker.runs(STACK, "worker", &[(LABEL, "0.9.0+0.9.0 0123456789ab 0123456789ab")]);
    world.docker.runs(STACK, "mine", &[]);
    let mut app = world.app();
    let docker = app.docker(&world.places).unwrap();
    let mut hands = AppHands::new(&world.places, &mut app, &docker, None, &|_| {});
    hands.activate(&release.to_release(DOMAIN).unwrap()).unwrap();
    assert_eq!(world.docker.removed(), ["blog_example_org_worker"]);
}

#[test]
fn a_foreign_stack_is_held_and_not_called_healthy() {
    let world = World::new();
    world.docker.runs(STACK, "app", &[]);
    let held = world.converge(&Verb::Reconcile).unwrap();
    assert_eq!((held.action, held.healthy), (Outcome::Held, false));
    assert_eq!(held.hint.unwrap(), "`--take-over` replaces it");
    // Another name of the stack is the other way out: the stack that has the first one is not this app.
    world.env(DOMAIN, &format!("TYPE=blog:{V1}\nSTACK_NAME=mine\n"));
    let mut app = world.app();
    assert!(app.lock(&world.places).is_ok());
}

#[test]
fn what_abra_has_upgraded_is_looked_at_and_then_the_last_good_one() {
    if !composes("the adoption of what abra deployed") {
        return;
    }
    let world = World::new();
    let before = world.upgraded_by_abra("");
    let done = world.converge(&Verb::Reconcile).unwrap();
    assert_eq!((done.action, done.healthy), (Outcome::None, true), "{done:?}");
    let (good, upgraded) = (world.record().last_good.unwrap(), world.release(V2));
    assert_eq!(good.id(), upgraded.to_string());
    assert_eq!(world.record().previous[0].id(), before.to_string());
    let kept = PreparedRelease::of(&world.app(), &upgraded);
    assert!(kept.stack().unwrap().is_some(), "it can be gone back to");
}

#[test]
fn what_abra_has_upgraded_is_sent_again_when_the_env_says_more_since() {
    let world = World::new();
    let before = world.upgraded_by_abra("MORE=1\n");
    // The Docker here deploys nothing: that it was tried is to be seen.
    let done = world.converge(&Verb::Reconcile).unwrap();
    assert_ne!(done.action, Outcome::None, "{done:?}");
    assert_eq!(world.record().last_good.unwrap().id(), before.to_string());
}

#[test]
fn without_a_way_back_nothing_is_begun() {
    let world = World::new();
    let before = world.release(V1);
    world.good(&before);
    world.publish(V2);
    // Nothing is kept of what abra deployed, and nobody knows the `.env` of then.
    world.env(DOMAIN, &format!("TYPE=blog:{V1}\nMORE=1\n"));
    world.docker.runs(STACK, "app", &[("coop-cloud.blog_example_org.version", V1)]);
    let failed = world.converge(&Verb::Upgrade { version: V2.to_owned() }).unwrap();
    assert_eq!((failed.action, failed.exit), (Outcome::Failed, Exit::NotDone), "nothing has changed");
    let reason = failed.reason.unwrap();
    assert!(reason.contains("there would be no way back to `1.0.0+1.0.0 "), "{reason}");
    assert!(failed.hint.unwrap().contains("put the .env back"));
    assert!(world.scratch.exists("alerts/blog.example.org.json"));
}

#[test]
fn what_is_kept_of_a_work_tree_is_deployed_again() {
    let world = World::new();
    let of_work =
        AppRelease { version: "0123abcd+U".to_owned(), commit: "feedfeedfeed".to_owned(), ..world.release(V1) };
    let app = world.app();
    let docker = app.docker(&world.places).unwrap();
    let source = Source::Mirror(Box::new(world.places.mirror("blog").unwrap()));
    let prepare = || PreparedRelease::of(&app, &of_work).prepare(&app, &of_work, &source, &docker, true, &|_| {});
    assert!(matches!(prepare(), Err(AppError::Source(_))), "its commit is in no repository");
    world.keep(&of_work);
    assert!(prepare().is_ok());
}

#[test]
fn a_version_that_is_withdrawn_is_still_looked_after() {
    if !composes("the care of a version that is withdrawn") {
        return;
    }
    let world = World::new();
    world.looked_after();
    world.publish("2.0.0+2.0.0");
    world.git(&["tag", "--delete", V1]);
    assert!(world.fresh().mirror("blog").unwrap().resolve(&crate::app::wanted(V1)).is_err());
    let held = world.converge(&Verb::Reconcile).unwrap();
    assert_eq!((held.action, held.healthy), (Outcome::Held, true), "a newer one is found, too: {held:?}");
    let unknown = world.converge(&Verb::Deploy { version: Some("1.0.1".to_owned()) }).unwrap_err();
    assert!(unknown.to_string().contains("1.0.1"), "{unknown}");
}

#[test]
fn what_abra_deployed_from_a_work_tree_is_the_commit_and_not_the_version_that_its_files_claim() {
    let world = World::new();
    let commit: String = world.release(V1).commit.chars().take(8).collect();
    world.env(DOMAIN, &format!("TYPE=blog:{commit}\n"));
    let label = |name: &str| format!("coop-cloud.{STACK}.{name}");
    let (version, chaos, chaos_version) = (label("version"), label("chaos"), label("chaos-version"));
    let labels =
        |commit: &'static str| [(version.as_str(), V1), (chaos.as_str(), "true"), (chaos_version.as_str(), commit)];
    let commit: &'static str = commit.leak();
    world.docker.runs(STACK, "app", &labels(commit));
    let done = world.converge(&Verb::Deploy { version: None }).unwrap();
    assert_eq!(
        (done.action, done.healthy, done.to.as_deref()),
        (Outcome::None, true, Some(commit)),
        "{:?}",
        done.reason
    );

    // With changes nobody but whoever deployed it has it: it is not taken for the commit.
    world.env(DOMAIN, &format!("TYPE=blog:{commit}+U\n"));
    let dirty: &'static str = format!("{commit}+U").leak();
    world.docker.runs(STACK, "app", &labels(dirty));
    let done = world.converge(&Verb::Deploy { version: None }).unwrap();
    assert_eq!((done.action, done.healthy), (Outcome::Held, false), "{:?}", done.reason);
    assert!(done.reason.unwrap().contains("a work tree with changes"));
}

#[test]
fn what_abra_deployed_can_be_looked_at_before_it_is_looked_after() {
    let world = World::new();
    world.docker.runs(STACK, "app", &[("coop-cloud.blog_example_org.version", V1)]);
    let done = check(&world.fresh(), &mut world.app()).unwrap();
    assert_eq!((done.healthy, done.reason), (true, None));
    assert_eq!(world.record(), Record::new(DOMAIN), "nothing was recorded");
    world.docker.runs(STACK, "app", &[("coop-cloud.blog_example_org.version", "9.9.9+9")]);
    let reason = check(&world.fresh(), &mut world.app()).unwrap().reason.unwrap();
    assert!(reason.contains("`9.9.9+9`, which the recipe has not"), "{reason}");
    std::fs::rename(world.scratch.join("recipes"), world.scratch.join("gone")).unwrap();
    std::fs::remove_dir_all(world.scratch.join("cache")).unwrap();
    let reason = check(&world.fresh(), &mut world.app()).unwrap().reason.unwrap();
    assert!(reason.contains("could not be asked"), "{reason}");
}

#[test]
fn an_app_keeps_its_recipe() {
    let world = World::new();
    let declare = |recipe: &str| {
        let settings = crate::AppSettings {
            recipe: Some(recipe.to_owned()),
            env: [("MORE".to_owned(), "1".to_owned())].into(),
            ..crate::AppSettings::default()
        };
        App::declare(&world.places, DOMAIN, None, settings)
    };
    let has_more = || {
        let env = world.scratch.join(format!("abra/servers/default/{DOMAIN}.env"));
        std::fs::read_to_string(env).unwrap().contains("MORE")
    };
    let error = declare("ghost").unwrap_err();
    assert!(matches!(error, AppError::OtherRecipe { .. }), "{error}");
    assert!(!has_more(), "the `.env` is as it was");
    declare("blog").unwrap();
    assert!(has_more());
}

#[test]
fn further_looks_are_asked_also_when_there_is_no_other_gate() {
    let world = World::new();
    let closed = freehold_testkit::free_port();
    world.docker.runs(STACK, "app", &[("coop-cloud.blog_example_org.version", V1)]);
    let deploy = |probe: &str| {
        let mut app = world.app();
        app.settings.gate.timeout_seconds = 1;
        app.settings.timeout_seconds = 1;
        app.settings.probes = vec![serde_json::from_str(probe).unwrap()];
        converge(&world.fresh(), &mut app, &Verb::Deploy { version: None }, &talk(false))
    };
    let done = deploy(&format!(r#"{{"tcp":{{"port":{closed}}}}}"#)).unwrap();
    assert!(!done.healthy, "{done:?}");
    assert!(done.reason.unwrap().contains("refused"));
    let error = deploy(r#"{"http":{"url":"ftp://x/"}}"#).unwrap_err();
    assert!(matches!(error, AppError::Settings { .. }), "{error}");
}

#[test]
fn a_secret_that_is_declared_for_another_version_is_told_and_what_runs_is_looked_after() {
    if !composes("the care of an app with a secret too many") {
        return;
    }
    let world = World::new();
    world.looked_after();
    let value = world.scratch.write("smtp", "x").display().to_string();
    let mut app = world.app();
    app.settings.secrets =
        vec![serde_json::from_value(serde_json::json!({ "name": "smtp_password", "file": value })).unwrap()];
    let said = std::cell::RefCell::new(Vec::new());
    let tell = |line: &str| said.borrow_mut().push(line.to_owned());
    let talk = Talk { tell: &tell, ..talk(false) };
    let done = converge(&world.fresh(), &mut app, &Verb::Deploy { version: None }, &talk).unwrap();
    assert_eq!((done.action, done.healthy), (Outcome::None, true), "{done:?}");
    let told = "the declared secret `smtp_password` is left out: the recipe has none of that name at 1.0.0+1.0.0 (it has none at all)";
    assert!(said.borrow().iter().any(|line| line == told), "{said:?}");
    // By hand it is a mistake.
    let composed = crate::compose_pinned(&world.fresh(), &app, None).unwrap();
    let docker = app.docker(&world.places).unwrap();
    let value = freehold_model::Sensitive::new(b"x".to_vec());
    let error = app.insert_secret(&composed, &docker, "smtp_password", &value).unwrap_err();
    assert_eq!(error.to_string(), "the app has no secret `smtp_password`");
    // And so it is for an app of which nothing runs: the right one would be made up.
    let world = World::new();
    let mut first = world.app();
    first.settings.secrets = app.settings.secrets;
    let error = converge(&world.fresh(), &mut first, &Verb::Deploy { version: None }, &talk).unwrap_err();
    assert_eq!(error.to_string(), "the app has no secret `smtp_password`");
}

#[test]
fn values_come_to_containers_as_docker_reads_them() {
    if !composes("values that the docker CLI prints wrongly") {
        return;
    }
    let world = World::new();
    let compose = "version: \"3.8\"\nservices:\n  app:\n    image: blog:1\n    command: [sh, -c, \"\\nfirst\\nsecond\"]\n    \
                   environment:\n      A: |\n\n        first\n         second\n      HASH: ${HASH}\n      PLAIN: 12e45678\n      TEN: ${TEN}\n";
    world.scratch.write("recipes/blog/compose.yml", compose);
    world.git(&["add", "--all"]);
    world.git(&["commit", "--quiet", "--message", V2]);
    world.git(&["tag", "--annotate", "--message", V2, V2]);
    world.env(DOMAIN, &format!("TYPE=blog:{V2}\nHASH=12e45678\nTEN=1e1\nSPACES=\"  x\ny\"\n"));
    let composed = crate::compose_pinned(&world.fresh(), &world.app(), None).unwrap();
    let sent = freehold_recipe::Stack::parse(&composed.stack.to_deploy()).unwrap();
    for stack in [&composed.stack, &sent] {
        let app = stack.service("app").unwrap();
        let values = app.environment();
        let of = |name: &str| values[name];
        assert_eq!(of("A"), "\nfirst\n second\n");
        assert_eq!([of("HASH"), of("PLAIN"), of("TEN"), of("SPACES")], ["12e45678", "12e45678", "1e1", "  x\ny"]);
        assert_eq!(app.json()["command"][2], "\nfirst\nsecond");
    }
}

#[test]
fn what_an_old_env_does_not_say_of_a_secret_the_recipe_says() {
    if !composes("secrets that an app's .env knows nothing of") {
        return;
    }
    let world = World::new();
    let compose = "version: \"3.8\"\nservices:\n  app:\n    image: blog:1\n    secrets: [smtp]\nsecrets:\n  smtp:\n    external: true\n    \
                   name: ${STACK_NAME}_smtp_${SECRET_SMTP_VERSION:-v1}\n";
    world.scratch.write("recipes/blog/compose.yml", compose);
    world.scratch.write("recipes/blog/.env.sample", "TYPE=blog\nSECRET_SMTP_VERSION=v1 # generate=false\n");
    world.git(&["add", "--all"]);
    world.git(&["commit", "--quiet", "--message", V2]);
    world.git(&["tag", "--annotate", "--message", V2, V2]);
    let composed = crate::compose_pinned(&world.fresh(), &world.app(), Some(V2)).unwrap();
    assert_eq!(
        composed.secrets.iter().map(|one| (one.name.as_str(), one.generate)).collect::<Vec<_>>(),
        [("blog_example_org_smtp_v1", false)]
    );
}
