//! What befalls apps: many stories on one real Swarm, told at once. Each has a recipe, a domain and a port of its own.
//! `FREEHOLD_STORIES=jobs,back cargo test -p freehold-app --test stories` tells these only.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is the report of a test")]

mod data;
mod refused;
mod remote;
mod secrets;
mod swarm;

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use freehold_testkit::{SmallDisk, not_run};
use swarm::{Swarm, inside};

type Story = fn(&Swarm, &App);

/// How long something may take that comes for certain: this machine may be busy with every other test.
const LIMIT: Duration = Duration::from_secs(300);

/// In the order of their length, the longest first.
const STORIES: [(&str, Story); 19] = [
    ("killed", goes_on_after_kill_9_at_every_stage),
    ("refused", refused::is_told_and_nothing_is_half_deployed),
    ("sops", secrets::come_from_sops_and_are_seen_nowhere),
    ("data", data::is_copied_and_put_back_as_a_whole),
    ("bytes", gives_a_stateful_app_its_data_back_byte_by_byte),
    ("full", starts_again_what_ran_when_the_disk_is_full),
    ("swarmback", notices_that_the_swarm_took_an_update_back),
    ("tcp", takes_back_what_does_not_listen),
    ("remote", remote::is_deployed_to_over_ssh),
    ("pair", lets_one_of_two_reconciles_at_once_do_it),
    ("hooks", runs_functions_and_backup_hooks),
    ("chaos", deploys_a_work_tree_and_leaves_it_alone),
    ("back", goes_back_and_is_not_brought_forward_again),
    ("shared", comes_back_while_others_use_its_network),
    ("crash", gives_a_crash_loop_up),
    ("jobs", judges_jobs_and_takes_them_away),
    ("slow", waits_for_a_slow_boot),
    ("context", deploys_to_a_context),
    ("removed", removes_only_what_is_its_own),
];

#[test]
fn what_befalls_apps_ends_well_on_a_swarm() {
    let Some(swarm) = inside("what_befalls_apps_ends_well_on_a_swarm") else { return };
    a_docker_that_is_no_manager_is_told(&swarm);
    swarm.done(&["swarm", "init", "--advertise-addr", swarm::ADDRESS]);
    let only = std::env::var("FREEHOLD_STORIES").unwrap_or_default();
    let is_meant = |name: &str| only.is_empty() || only.split(',').any(|one| one == name);
    let stories = std::sync::Mutex::new(STORIES.iter().enumerate().filter(|(_, (name, _))| is_meant(name)));
    let failed = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let next = stories.lock().unwrap().next();
                    let Some((at, (name, story))) = next else { return };
                    let began = Instant::now();
                    let port = 18100 + u16::try_from(at).unwrap();
                    let app = App { recipe: name, domain: format!("{name}.example.org"), port };
                    let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| story(&swarm, &app)));
                    println!("story `{name}`: {} s", began.elapsed().as_secs());
                    if told.is_err() {
                        failed.lock().unwrap().push(*name);
                    }
                }
            });
        }
    });
    assert_eq!(failed.into_inner().unwrap(), Vec::<&str>::new(), "their words stand above");
    // Last, for tasks of the others would go there as well.
    a_node_that_is_cut_off_is_told_and_comes_back(&swarm);
}

fn a_docker_that_is_no_manager_is_told(swarm: &Swarm) {
    let app = App { recipe: "early", domain: "early.example.org".to_owned(), port: 18099 };
    app.plain(swarm, "1.0.0+1.0.0", "STATUS=200");
    swarm.done(&["new", "early", "--domain", "early.example.org"]);
    for command in ["deploy", "undeploy", "check", "ps", "logs", "restart", "backup"] {
        let refused = swarm.app(&[command, "early.example.org"]).code(1);
        assert!(refused.stderr.contains("is not the manager of a Swarm: it is inactive"), "{}", refused.stderr);
        assert!(refused.stderr.contains("hint: `freehold app swarm init`"), "{}", refused.stderr);
    }
}

/// The app of one story.
struct App {
    recipe: &'static str,
    domain: String,
    port: u16,
}

impl App {
    /// A version: what its service has as environment, more of its service, more of its `deploy`.
    fn compose(&self, version: &str, environment: &str, service: &str, deploy: &str) -> String {
        let app = version.split('+').nth(1).unwrap();
        let port = self.port;
        format!(
            "version: \"3.8\"\nservices:\n  app:\n    image: freehold-stub:1\n    networks: [proxy]\n    stop_signal: SIGKILL\n    \
             environment: [\"VERSION={app}\", \"{environment}\"]\n    volumes: [\"data:/data\"]\n    ports:\n      \
             - {{target: 8080, published: {port}, mode: host}}\n    {service}\n    deploy:\n      endpoint_mode: dnsrr\n      \
             restart_policy: {{delay: 500ms}}\n      {deploy}\n      labels:\n        \
             - \"coop-cloud.${{STACK_NAME}}.version={version}\"\n        - \"backupbot.backup=true\"\n\
             networks:\n  proxy:\n    external: true\nvolumes:\n  data:\n"
        )
    }

    /// Publishes it.
    fn publish(&self, swarm: &Swarm, version: &str, environment: &str, service: &str, deploy: &str) {
        let compose = self.compose(version, environment, service, deploy);
        let sample = format!("TYPE={0}\nDOMAIN={0}.example.com\n", self.recipe);
        let functions = "export A_VERSION=v1\ngreet() {\n  echo \"hello $1 of $APP_NAME\"\n}\nfail() {\n  exit 7\n}\n";
        let files = [("compose.yml", compose.as_str()), (".env.sample", &sample), ("abra.sh", functions)];
        swarm.publish(self.recipe, version, &files);
    }

    fn plain(&self, swarm: &Swarm, version: &str, environment: &str) {
        self.publish(swarm, version, environment, "", "");
    }

    /// Makes it at its first version and deploys it.
    fn deploy(&self, swarm: &Swarm, options: &[&str]) {
        self.plain(swarm, "1.0.0+1.0.0", "STATUS=200");
        swarm.done(&["new", self.recipe, "--domain", &self.domain]);
        swarm.done(&[&["deploy", &self.domain, "--health-window", "1", "--timeout", "300"][..], options].concat());
    }

    fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

fn goes_on_after_kill_9_at_every_stage(swarm: &Swarm, app: &App) {
    app.deploy(swarm, &["--stateful", "--health-origin", &app.origin(), "--health-timeout", "60"]);
    let mut expected = "1.0.0\n".to_owned();
    let mut reached = 0;
    for (at, stage) in
        ["preparing", "copying", "activating", "gating", "watching", "committing"].into_iter().enumerate()
    {
        let version = format!("1.0.{0}+1.0.{0}", at + 1);
        app.plain(swarm, &version, "STATUS=200");
        reached += usize::from(killed_at(swarm, &app.domain, "reconcile", stage));
        let done = swarm.json(&["reconcile", &app.domain], 0);
        assert_eq!(done["healthy"], true, "after a kill in `{stage}`: {done}");
        assert_eq!(swarm.answer_at(app.port), version.split('+').nth(1).unwrap(), "after a kill in `{stage}`");
        let data = swarm.data_of(&app.domain);
        expected += &format!("{}\n", version.split('+').nth(1).unwrap());
        // A start may have come twice; data are never lost, and never those of a version that was not to run.
        let mut seen: Vec<&str> = data.lines().collect();
        seen.dedup();
        assert_eq!(seen.join("\n") + "\n", expected, "after a kill in `{stage}`");
        expected = seen.join("\n") + "\n";
    }
    assert!(reached >= 4, "only {reached} stages were met");
}

/// Kills a command when it has come to a stage; whether it was met there. A stage that is over between two looks is not; most are.
fn killed_at(swarm: &Swarm, domain: &str, command: &str, stage: &str) -> bool {
    let record = swarm.scratch.join(format!("state/records/{domain}.json"));
    let mut run = swarm.command(&[command, domain]).spawn();
    let end = Instant::now() + LIMIT;
    loop {
        let text = std::fs::read_to_string(&record).unwrap_or_default();
        let is_met = text.contains(&format!("\"stage\":\"{stage}\""));
        if is_met {
            run.signal("KILL");
        }
        if is_met || run.child().try_wait().unwrap().is_some() {
            let _ = run.wait_at_most(LIMIT);
            return is_met;
        }
        assert!(Instant::now() < end, "`{stage}` was never reached: {text}");
        // Every stage writes its record durably, which takes longer; without a pause the other stories would have one core less.
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn gives_a_stateful_app_its_data_back_byte_by_byte(swarm: &Swarm, app: &App) {
    app.deploy(swarm, &["--stateful", "--health-origin", &app.origin(), "--health-timeout", "30"]);
    let volume = swarm.volume(&app.domain);
    let blob: Vec<u8> =
        (0..1_500_000_u32).map(|at| u8::try_from(at.wrapping_mul(2_654_435_761) >> 24).unwrap()).collect();
    std::fs::write(volume.join("blob"), &blob).unwrap();
    std::fs::set_permissions(volume.join("blob"), std::fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::chown(volume.join("blob"), Some(33), Some(33)).unwrap();
    std::fs::create_dir(volume.join("inside")).unwrap();
    std::os::unix::fs::symlink("../blob", volume.join("inside/link")).unwrap();
    app.plain(swarm, "1.1.0+1.1.0", "STATUS=500\", \"DATA=corrupt");
    let done = swarm.json(&["reconcile", &app.domain], 3);
    assert_eq!(done["action"], "rolled-back", "{done}");
    assert!(std::fs::read(volume.join("blob")).unwrap() == blob, "the blob is another");
    let facts = std::fs::metadata(volume.join("blob")).unwrap();
    use std::os::unix::fs::MetadataExt as _;
    assert_eq!((facts.mode() & 0o7777, facts.uid(), facts.gid()), (0o640, 33, 33));
    assert_eq!(std::fs::read_link(volume.join("inside/link")).unwrap().display().to_string(), "../blob");
    assert_eq!(swarm.answer_at(app.port), "1.0.0");
    assert_eq!(swarm.json(&["reconcile", &app.domain], 4)["action"], "held", "it is not tried again");
}

fn starts_again_what_ran_when_the_disk_is_full(swarm: &Swarm, app: &App) {
    let Some(disk) = SmallDisk::mount(8 * 1024 * 1024) else { return };
    let state = disk.path().display().to_string();
    let run = |words: &[&str]| swarm.command(words).env("FREEHOLD_APPS", &state).run();
    app.plain(swarm, "1.0.0+1.0.0", "STATUS=200");
    let _ = run(&["new", app.recipe, "--domain", &app.domain]).success();
    let _ = run(&["deploy", &app.domain, "--stateful", "--no-health", "--health-window", "1"]).success();
    std::fs::write(swarm.volume(&app.domain).join("blob"), vec![7; 32 * 1024 * 1024]).unwrap();
    app.plain(swarm, "1.1.0+1.1.0", "STATUS=200");
    let failed = run(&["reconcile", &app.domain, "--json"]).code(3);
    assert!(failed.stdout.contains("No space left") || failed.stdout.contains("no room"), "{}", failed.stdout);
    assert_eq!(swarm.first_answer_at(app.port), "1.0.0", "what ran runs on");
    let left = run(&["backup", &app.domain, "--list"]).success().stdout;
    assert_eq!(left, "", "half a copy is none");
    let checked = run(&["check", &app.domain]);
    assert_eq!(checked.code, 0, "{}", checked.stderr);
}

fn notices_that_the_swarm_took_an_update_back(swarm: &Swarm, app: &App) {
    let rollback = "update_config: {order: stop-first, failure_action: rollback, monitor: 2s}";
    app.publish(swarm, "1.0.0+1.0.0", "STATUS=200", "", rollback);
    swarm.done(&["new", app.recipe, "--domain", &app.domain]);
    swarm.done(&["deploy", &app.domain, "--no-health", "--health-window", "1", "--timeout", "300"]);
    app.publish(swarm, "1.1.0+1.1.0", "START=crash", "", rollback);
    let done = swarm.json(&["reconcile", &app.domain], 3);
    assert_eq!(done["action"], "rolled-back", "{done}");
    assert!(done["reason"].as_str().unwrap().contains("Swarm took the update of `app` back"), "{done}");
    assert_eq!(swarm.first_answer_at(app.port), "1.0.0");
    assert!(swarm.env_file(&app.domain).contains(":1.0.0+1.0.0"));
    assert_eq!(swarm.alert(&app.domain).unwrap()["kind"], "rolled-back");
}

fn takes_back_what_does_not_listen(swarm: &Swarm, app: &App) {
    let port = app.port.to_string();
    app.plain(swarm, "1.0.0+1.0.0", "STATUS=200");
    swarm.done(&["new", app.recipe, "--domain", &app.domain]);
    // Several looks in the window: Docker's proxy takes connections for nobody, too, and closes them late on a busy machine.
    let gate = ["--health-tcp", &port, "--health-timeout", "30", "--health-window", "5"];
    swarm.done(&[&["deploy", &app.domain, "--timeout", "300"][..], &gate].concat());
    app.plain(swarm, "1.1.0+1.1.0", "START=deaf");
    let done = swarm.json(&["reconcile", &app.domain], 3);
    assert_eq!((done["action"].as_str(), done["healthy"].as_bool()), (Some("rolled-back"), Some(false)), "{done}");
    assert_eq!(swarm.json(&["check", &app.domain], 0)["healthy"], true);
}

fn lets_one_of_two_reconciles_at_once_do_it(swarm: &Swarm, app: &App) {
    app.deploy(swarm, &["--stateful", "--no-health"]);
    app.plain(swarm, "1.1.0+1.1.0", "STATUS=200");
    let both = [0, 1].map(|_| swarm.command(&["reconcile", &app.domain, "--json"]));
    let codes: Vec<_> = std::thread::scope(|scope| {
        let runs = both.map(|command| scope.spawn(|| command.run()));
        runs.map(|run| run.join().unwrap()).into_iter().map(|done| (done.code, done.stdout)).collect()
    });
    assert!(codes.iter().any(|(code, said)| *code == 0 && said.contains("upgraded")), "{codes:?}");
    // The other came later and found it done, or was told that somebody is at it.
    assert!(codes.iter().all(|(code, _)| matches!(code, 0 | 1)), "{codes:?}");
    assert_eq!(swarm.first_answer_at(app.port), "1.1.0");
    assert_eq!(swarm.data_of(&app.domain), "1.0.0\n1.1.0\n", "it was started once");
}

fn runs_functions_and_backup_hooks(swarm: &Swarm, app: &App) {
    if !swarm.has_shell {
        not_run("functions and hooks in containers", "no static busybox here; apt-get install busybox-static");
        return;
    }
    app.deploy(swarm, &["--no-health"]);
    let domain = app.domain.as_str();
    assert_eq!(swarm.app(&["cmd", domain]).success().stdout, "greet\nfail\n");
    let said = swarm.app(&["cmd", domain, "app", "greet", "a b"]).success().stdout;
    assert_eq!(said, format!("hello a b of {domain}\n"));
    let _ = swarm.app(&["cmd", domain, "app", "fail"]).code(7);
    assert_eq!(swarm.app(&["cmd", "--local", domain, "greet", "x"]).success().stdout, format!("hello x of {domain}\n"));
    let unknown = swarm.app(&["cmd", domain, "app", "nope"]).code(1);
    assert!(unknown.stderr.contains("it has greet, fail"), "{}", unknown.stderr);
    saves_what_the_labels_of_backups_say(swarm, app);
    ends_a_log_that_is_followed_when_told_to(swarm, domain);
    let logs = swarm.json(&["logs", domain], 0);
    assert_eq!(logs["lines"][0]["service"], "app", "{logs}");
}

/// Also while nothing is said.
fn ends_a_log_that_is_followed_when_told_to(swarm: &Swarm, domain: &str) {
    let mut follow = swarm.command(&["logs", domain, "--follow"]).spawn();
    let mut said = std::io::BufReader::new(follow.child().stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut said, &mut line).unwrap();
    assert!(line.starts_with("version "), "{line}");
    follow.signal("TERM");
    assert!(follow.wait_at_most(LIMIT).is_some(), "it goes on");
}

/// A volume that is left out, one of which only a path is named (it is copied as a whole), and all four hooks, which write to the
/// first: nothing of that is put back.
fn saves_what_the_labels_of_backups_say(swarm: &Swarm, app: &App) {
    let publish = |version: &str, pre_hook: &str| {
        let hook = |moment: &str, word: &str| format!("        - \"backupbot.{moment}=echo {word} >> /log/hooks\"\n");
        let compose = format!(
            "version: \"3.8\"\nservices:\n  app:\n    image: freehold-stub:1\n    stop_signal: SIGKILL\n    \
             environment: [\"VERSION={version}\", \"STATUS=200\"]\n    volumes: [\"data:/data\", \"log:/log\"]\n    deploy:\n      \
             endpoint_mode: dnsrr\n      labels:\n        - \"backupbot.backup=true\"\n        \
             - \"backupbot.backup.volumes.log=false\"\n        - \"backupbot.backup.volumes.data.path=/kept\"\n        \
             - \"backupbot.backup.pre-hook={pre_hook}\"\n{}{}{}volumes:\n  data:\n  log:\n",
            hook("backup.post-hook", "after"),
            hook("restore.pre-hook", "before-restore"),
            hook("restore.post-hook", "after-restore")
        );
        swarm.publish(app.recipe, version, &[("compose.yml", &compose)]);
        swarm.done(&["deploy", &app.domain, "--version", version]);
    };
    publish("1.1.0+1.1.0", "echo before | cat >> /log/hooks");
    let domain = app.domain.as_str();
    let log = swarm.scratch.join(format!("docker/volumes/{}_log/_data/hooks", domain.replace('.', "_")));
    let hooks = || std::fs::read_to_string(&log).unwrap_or_default();
    let data = swarm.volume(domain);
    std::fs::create_dir(data.join("kept")).unwrap();
    for name in ["kept/file", "beside"] {
        std::fs::write(data.join(name), "as it was").unwrap();
    }
    let copied = swarm.json(&["backup", domain, "--name", "one"], 0);
    assert_eq!(hooks(), "before\nafter\n", "{copied}");
    for name in ["kept/file", "beside"] {
        std::fs::write(data.join(name), "spoiled").unwrap();
    }
    swarm.done(&["restore", domain, "one", "--restart"]);
    assert_eq!(hooks(), "before\nafter\nbefore-restore\nafter-restore\n");
    for name in ["kept/file", "beside"] {
        assert_eq!(std::fs::read_to_string(data.join(name)).unwrap(), "as it was", "{name}");
    }
    publish("1.2.0+1.2.0", "echo no room for the dump >&2; exit 9");
    let before = swarm.versions_of(domain);
    let failed = swarm.app(&["backup", domain, "--name", "two"]).code(1);
    assert!(failed.stderr.contains("no room for the dump"), "{}", failed.stderr);
    assert_eq!(swarm.versions_of(domain), before, "what ran was not stopped");
    assert_eq!(swarm.app(&["backup", domain, "--list"]).success().stdout.trim(), "one");
}

fn deploys_a_work_tree_and_leaves_it_alone(swarm: &Swarm, app: &App) {
    app.deploy(swarm, &["--no-health"]);
    let (work, from) = (swarm.scratch.join(format!("abra/recipes/{}", app.recipe)), format!("recipes/{}", app.recipe));
    std::fs::create_dir_all(work.parent().unwrap()).unwrap();
    let clone =
        ["clone", "--quiet", &swarm.scratch.join(from).display().to_string(), &work.display().to_string()].join(" ");
    swarm.git(app.recipe, &clone.split(' ').collect::<Vec<_>>());
    let compose = std::fs::read_to_string(work.join("compose.yml")).unwrap();
    std::fs::write(work.join("compose.yml"), compose.replace("VERSION=1.0.0", "VERSION=mine")).unwrap();
    let done = swarm.json(&["deploy", &app.domain, "--chaos"], 0);
    let to = done["to"].as_str().unwrap().to_owned();
    assert!(to.ends_with("+U") && to.len() == 10, "{done}");
    assert_eq!(swarm.first_answer_at(app.port), "mine");
    assert!(swarm.env_file(&app.domain).contains(&format!("TYPE={}:{to}", app.recipe)));
    let service = format!("{}_app", app.domain.replace('.', "_"));
    let labels = swarm.docker(&["service", "inspect", "--format", "{{json .Spec.Labels}}", &service]);
    let label = format!("\"coop-cloud.{}.chaos-version\":\"{to}\"", app.domain.replace('.', "_"));
    assert!(labels.contains(&label) && labels.contains("chaos\":\"true\""), "{labels}");
    app.plain(swarm, "1.1.0+1.1.0", "STATUS=200");
    assert_eq!(swarm.json(&["reconcile", &app.domain], 0)["action"], "none", "a person's work tree stays");
    let _ = swarm.docker(&["stack", "rm", &app.domain.replace('.', "_")]);
    assert_eq!(swarm.json(&["reconcile", &app.domain], 0)["action"], "deployed", "and is what comes back");
    assert_eq!(swarm.first_answer_at(app.port), "mine");
    assert_eq!(swarm.json(&["deploy", &app.domain, "--version", "1.1.0"], 0)["to"], "1.1.0+1.1.0");
}

fn goes_back_and_is_not_brought_forward_again(swarm: &Swarm, app: &App) {
    app.deploy(swarm, &["--no-health"]);
    app.plain(swarm, "1.1.0+1.1.0", "STATUS=200");
    swarm.done(&["upgrade", &app.domain]);
    assert_eq!(swarm.json(&["rollback", &app.domain], 0)["to"], "1.0.0+1.0.0");
    assert_eq!(swarm.json(&["reconcile", &app.domain], 4)["action"], "held");
    assert_eq!(swarm.first_answer_at(app.port), "1.0.0");
    let refused = swarm.app(&["rollback", &app.domain, "1.1.0"]).code(1);
    assert!(refused.stderr.contains("is not older"), "{}", refused.stderr);
    swarm.done(&["restart", &app.domain]);
    assert_eq!(swarm.json(&["upgrade", &app.domain], 0)["to"], "1.1.0+1.1.0");
    let refused = swarm.app(&["upgrade", &app.domain, "1.0.0"]).code(1);
    assert!(refused.stderr.contains("`1.0.0+1.0.0` is not newer than `1.1.0+1.1.0`"), "{}", refused.stderr);
    assert!(refused.stderr.contains("freehold app rollback back.example.org 1.0.0+1.0.0"), "{}", refused.stderr);
    assert!(killed_at(swarm, &app.domain, "rollback", "gating"));
    assert_eq!(swarm.json(&["reconcile", &app.domain], 0)["to"], "1.0.0+1.0.0", "the night ends what a person began");
    assert_eq!(swarm.json(&["reconcile", &app.domain], 4)["action"], "held");
    assert_eq!(swarm.first_answer_at(app.port), "1.0.0");
}

/// A network that others use stays, and must not keep the app from coming back.
fn comes_back_while_others_use_its_network(swarm: &Swarm, app: &App) {
    let publish = |number: &str| {
        let port = app.port;
        let compose = format!(
            "version: \"3.8\"\nservices:\n  app:\n    image: freehold-stub:1\n    networks: [inner]\n    stop_signal: SIGKILL\n    \
             environment: [\"VERSION={number}\", \"STATUS=200\"]\n    volumes: [\"data:/data\"]\n    ports:\n      \
             - {{target: 8080, published: {port}, mode: host}}\n    deploy: {{endpoint_mode: dnsrr}}\n\
             networks:\n  inner:\nvolumes:\n  data:\n"
        );
        let sample = format!("TYPE={0}\nDOMAIN={0}.example.com\n", app.recipe);
        swarm.publish(
            app.recipe,
            &format!("{number}+{number}"),
            &[("compose.yml", &compose), (".env.sample", &sample)],
        );
    };
    publish("1.0.0");
    swarm.done(&["new", app.recipe, "--domain", &app.domain]);
    swarm.done(&["deploy", &app.domain, "--stateful", "--no-health", "--health-window", "1", "--timeout", "300"]);
    let network = format!("{}_inner", app.domain.replace('.', "_"));
    let other = ["service", "create", "--detach", "--no-resolve-image", "--name", "guest", "--endpoint-mode", "dnsrr"];
    let _ = swarm.docker(&[&other[..], &["--network", &network, "--env", "STATUS=200", "freehold-stub:1"]].concat());
    publish("1.1.0");
    assert_eq!(swarm.json(&["reconcile", &app.domain], 0)["action"], "upgraded");
    assert_eq!(swarm.first_answer_at(app.port), "1.1.0");
    assert_eq!(swarm.data_of(&app.domain), "1.0.0\n1.1.0\n");
    let _ = swarm.docker(&["service", "rm", "guest"]);
}

fn gives_a_crash_loop_up(swarm: &Swarm, app: &App) {
    app.plain(swarm, "1.0.0+1.0.0", "START=crash");
    swarm.done(&["new", app.recipe, "--domain", &app.domain]);
    // A busy machine starts it rarely and tells late that it has ended: ten times have to fit in, and none may pass for good.
    let words = ["deploy", &app.domain, "--no-health", "--health-window", "30", "--timeout", "600"];
    let done = swarm.app(&words).code(3);
    assert!(done.stderr.contains("crashes again and again"), "{}", done.stderr);
    assert!(done.stderr.contains("crash.example.org: `app` said: version 1.0.0 starts\n"), "{}", done.stderr);
    assert_eq!(swarm.services_of(&app.domain), "", "nothing is left of it");
    assert_eq!(swarm.alert(&app.domain).unwrap()["kind"], "failed");
}

/// A job beside the app: done, it settles; failed, it is told at once; and what is left of it is taken away with the app.
fn judges_jobs_and_takes_them_away(swarm: &Swarm, app: &App) {
    if !swarm.has_shell {
        not_run("jobs beside an app", "no static busybox here; apt-get install busybox-static");
        return;
    }
    let publish = |version: &str, code: u8| {
        let compose = format!(
            "version: \"3.8\"\nservices:\n  app:\n    image: freehold-stub:1\n    stop_signal: SIGKILL\n    \
             environment: [\"STATUS=200\"]\n    deploy: {{endpoint_mode: dnsrr}}\n  job:\n    image: freehold-stub:1\n    \
             entrypoint: [\"/bin/sh\", \"-c\", \"exit {code}\"]\n    volumes: [\"data:/data\"]\n    deploy:\n      \
             mode: replicated-job\n      endpoint_mode: dnsrr\n      restart_policy: {{condition: none}}\nvolumes:\n  data:\n"
        );
        let sample = format!("TYPE={}\nDOMAIN=x.example.com\n", app.recipe);
        swarm.publish(app.recipe, version, &[("compose.yml", &compose), (".env.sample", &sample)]);
    };
    publish("1.0.0+1", 0);
    publish("1.1.0+1", 3);
    swarm.done(&["new", app.recipe, "--domain", &app.domain, "--version", "1.0.0+1"]);
    let words = ["--no-health", "--health-window", "0", "--stateful", "--timeout", "280"];
    swarm.done(&[&["deploy", &app.domain][..], &words].concat());
    swarm.done(&["undeploy", &app.domain]);
    let label = format!("label=com.docker.stack.namespace={}", app.domain.replace('.', "_"));
    assert_eq!(swarm.docker(&["ps", "--all", "--quiet", "--filter", &label]), "", "its container is left");
    swarm.done(&["deploy", &app.domain]);
    let done = swarm.json(&["upgrade", &app.domain], 3);
    assert!(done["reason"].as_str().unwrap().contains("the job `job` has failed: "), "{done}");
    assert_eq!(done["action"], "rolled-back", "{done}");
    swarm.done(&["check", &app.domain]);
}

fn a_node_that_is_cut_off_is_told_and_comes_back(swarm: &Swarm) {
    let node = swarm.second_node();
    let compose = "version: \"3.8\"\nservices:\n  app:\n    image: freehold-stub:1\n    stop_signal: SIGKILL\n    \
        environment: [STATUS=200]\n    deploy: {endpoint_mode: dnsrr, replicas: 2, placement: {max_replicas_per_node: 1}}\n";
    let sample = "TYPE=nodes\nDOMAIN=nodes.example.com\n";
    swarm.publish("nodes", "1.0.0+1.0.0", &[("compose.yml", compose), (".env.sample", sample)]);
    let domain = "nodes.example.org";
    swarm.done(&["new", "nodes", "--domain", domain]);
    swarm.done(&["deploy", domain, "--no-health", "--health-window", "1", "--timeout", "300"]);
    let worker = swarm.command(&["check", domain]).env("DOCKER_HOST", &node.socket).run().code(1);
    assert!(worker.stderr.contains("it is a worker"), "{}", worker.stderr);
    let until = |code: i32| {
        let end = Instant::now() + LIMIT;
        loop {
            let checked = swarm.app(&["check", domain]);
            if checked.code == code {
                return checked.stderr;
            }
            assert!(Instant::now() < end, "{}", checked.stderr);
            std::thread::sleep(Duration::from_millis(200));
        }
    };
    node.cable("down");
    let told = until(3);
    assert!(told.contains("1 of 2 tasks of `app` run"), "{told}");
    node.cable("up");
    let _ = until(0);
}

/// A server is a docker context.
fn deploys_to_a_context(swarm: &Swarm, app: &App) {
    app.plain(swarm, "1.0.0+1.0.0", "STATUS=200");
    let home = swarm.scratch.join("home");
    let socket = format!("host=unix://{}", swarm.scratch.join("docker.sock").display());
    let mut docker = std::process::Command::new("docker");
    docker.args(["context", "create", "elsewhere", "--docker", &socket]).env("HOME", &home).env_remove("DOCKER_HOST");
    assert!(docker.output().unwrap().status.success());
    // It is the context that counts, and no variable.
    let run = |words: &[&str]| {
        let words = [&["--server", "elsewhere"], words].concat();
        swarm.command(&words).without_env("DOCKER_HOST").run().success()
    };
    let _ = run(&["new", app.recipe, "--domain", &app.domain]);
    let _ = run(&["deploy", &app.domain, "--no-health", "--health-window", "1"]);
    assert!(run(&["ls"]).stdout.contains("elsewhere"));
    assert_eq!(swarm.first_answer_at(app.port), "1.0.0");
    assert!(swarm.scratch.exists(format!("abra/servers/elsewhere/{}.env", app.domain)));
}

fn waits_for_a_slow_boot(swarm: &Swarm, app: &App) {
    app.plain(swarm, "1.0.0+1.0.0", "STATUS=200\", \"START=slow");
    swarm.done(&["new", app.recipe, "--domain", &app.domain]);
    let words = ["deploy", &app.domain, "--health-origin", &app.origin(), "--health-timeout", "60"];
    assert_eq!(swarm.json(&words, 0)["action"], "deployed");
}

/// Names that go on where another's ends, and services of one name on the network that all share.
fn removes_only_what_is_its_own(swarm: &Swarm, app: &App) {
    let longer = format!("{}.uk", app.domain);
    let secret = |port: u16, version: &str| {
        let compose = format!(
            "version: \"3.8\"\nservices:\n  app:\n    image: freehold-stub:1\n    networks: [proxy]\n    stop_signal: SIGKILL\n    \
             environment: [\"VERSION=${{DOMAIN}}\", \"STATUS=200\"]\n    secrets: [token]\n    ports:\n      \
             - {{target: 8080, published: {port}, mode: host}}\n    deploy: {{endpoint_mode: dnsrr}}\n\
             networks:\n  proxy:\n    external: true\nsecrets:\n  token:\n    external: true\n    \
             name: ${{STACK_NAME}}_token_${{SECRET_TOKEN_VERSION}}\n"
        );
        let sample = "TYPE=removed\nDOMAIN=removed.example.com\nSECRET_TOKEN_VERSION=v1 # length=24\n";
        swarm.publish(app.recipe, version, &[("compose.yml", &compose), (".env.sample", sample)]);
    };
    secret(app.port, "1.0.0+1.0.0");
    secret(app.port + 50, "1.1.0+1.1.0");
    for (domain, version) in [(app.domain.as_str(), "1.0.0"), (longer.as_str(), "1.1.0")] {
        swarm.done(&["new", app.recipe, "--domain", domain, "--version", version, "--secrets"]);
        swarm.done(&["deploy", domain, "--no-health", "--health-window", "1"]);
    }
    // Both services are called `app` on `proxy`; each answers for itself.
    let answers = [app.port, app.port + 50].map(|port| swarm.first_answer_at(port));
    assert_eq!(answers, [app.domain.clone(), longer.clone()]);
    swarm.done(&["undeploy", &app.domain]);
    let gone = swarm.json(&["rm", &app.domain, "--yes"], 0);
    assert_eq!(gone["secrets"], serde_json::json!(["removed_example_org_token_v1"]), "{gone}");
    let used = swarm.app(&["secret", "rm", &longer, "--all"]).code(1);
    assert!(used.stderr.contains("uses `removed_example_org_uk_token_v1`"), "{}", used.stderr);
    assert_eq!(swarm.json(&["check", &longer], 0)["healthy"], true);
    a_version_that_needs_another_secret_says_where_it_is_made(swarm, app, &longer);
}

/// The one that is pinned does not need it: it has to be made for the one to come.
fn a_version_that_needs_another_secret_says_where_it_is_made(swarm: &Swarm, app: &App, domain: &str) {
    let compose = swarm.scratch.read(format!("recipes/{}/compose.yml", app.recipe));
    let compose = compose.replace("secrets: [token]", "secrets: [token, more]")
        + "  more:\n    external: true\n    name: ${STACK_NAME}_more_${SECRET_MORE_VERSION}\n";
    swarm.publish(app.recipe, "1.2.0+1.2.0", &[("compose.yml", &compose)]);
    swarm.done(&["env", domain, "SECRET_MORE_VERSION=v1"]);
    let refused = swarm.app(&["upgrade", domain]);
    assert_ne!(refused.code, 0);
    let generate = ["secret", "generate", domain, "--version", "1.2.0+1.2.0"];
    assert!(refused.stderr.contains(&format!("`freehold app {}`", generate.join(" "))), "{}", refused.stderr);
    assert!(swarm.app(&generate[..3]).success().stderr.contains("no secret is missing"));
    swarm.done(&generate);
    assert_eq!(swarm.json(&["upgrade", domain], 0)["to"], "1.2.0+1.2.0");
    what_the_last_good_version_needs_is_not_removed(swarm, domain);
}

/// While a version is tried nothing uses the secret of the one before, and the way back needs it.
fn what_the_last_good_version_needs_is_not_removed(swarm: &Swarm, domain: &str) {
    swarm.done(&["secret", "rotate", domain, "token"]);
    let record = swarm.scratch.join(format!("state/records/{domain}.json"));
    // Nothing listens there. Tasks may come late on a busy machine, also on the way back.
    let mut run =
        swarm.command(&["deploy", domain, "--health-tcp", "1", "--health-timeout", "30", "--timeout", "90"]).spawn();
    let end = Instant::now() + LIMIT;
    while !std::fs::read_to_string(&record).unwrap_or_default().replace(' ', "").contains("\"stage\":\"gating\"") {
        assert!(Instant::now() < end, "it does not come to its gate");
        std::thread::sleep(Duration::from_millis(20));
    }
    let busy = swarm.app(&["secret", "rm", domain]).code(1);
    assert!(busy.stderr.contains("somebody else works on"), "{}", busy.stderr);
    run.signal("KILL");
    let _ = run.wait_at_most(LIMIT);
    assert_eq!(swarm.json(&["secret", "rm", domain], 0)["removed"], serde_json::json!([]));
    assert_eq!(swarm.json(&["deploy", domain], 3)["action"], "rolled-back");
    let service = format!("{}_app", domain.replace('.', "_"));
    let used = swarm.docker(&["service", "inspect", "--format", "{{json .Spec}}", &service]);
    assert!(used.contains("_token_v1\"") && !used.contains("_token_v2\""), "{used}");
}
