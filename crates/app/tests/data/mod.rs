//! Data by hand: copies that are never overwritten, putting back that was broken off, volumes that were there first, volumes that
//! Docker does not keep itself.

use crate::App;
use crate::swarm::Swarm;

/// A volume that somebody made and filled before the first deploy has no label of the stack, and is the app's all the same.
pub(crate) fn is_copied_and_put_back_as_a_whole(swarm: &Swarm, app: &App) {
    let domain = app.domain.as_str();
    let volume = format!("{}_data", domain.replace('.', "_"));
    swarm.docker(&["volume", "create", &volume]);
    let brought = swarm.volume(domain).join("brought");
    std::fs::write(&brought, "by hand").unwrap();
    app.deploy(swarm, &["--stateful", "--health-origin", &app.origin(), "--health-timeout", "30"]);
    assert_eq!(swarm.docker(&["volume", "inspect", "--format", "{{json .Labels}}", &volume]), "null");
    swarm.done(&["backup", domain, "--name", "one"]);
    for (name, expected) in [
        ("one", "there is a snapshot `one` already"),
        ("", "`` cannot be the name"),
        ("../releases", "cannot be the name"),
    ] {
        let refused = swarm.app(&["backup", domain, "--name", name]).code(1);
        assert!(refused.stderr.contains(expected), "{}", refused.stderr);
    }
    assert_eq!(swarm.app(&["backup", domain, "--list"]).success().stdout.trim(), "one");
    assert_eq!(swarm.answer_at(app.port), "1.0.0");
    std::fs::write(&brought, "spoiled").unwrap();
    swarm.done(&["restore", domain, "one", "--restart"]);
    assert_eq!(std::fs::read_to_string(&brought).unwrap(), "by hand");
    a_rollout_gives_it_back(swarm, app, &brought);
    nothing_starts_on_data_that_are_not_whole(swarm, app, &brought);
    what_lies_elsewhere_is_told(swarm, app);
    swarm.done(&["undeploy", domain]);
    let removed = swarm.json(&["rm", domain, "--yes"], 0);
    assert!(removed["volumes"].to_string().contains(&volume), "{removed}");
    assert!(!swarm.try_docker(&["volume", "inspect", &volume]).0, "it is still there");
}

fn a_rollout_gives_it_back(swarm: &Swarm, app: &App, brought: &std::path::Path) {
    app.plain(swarm, "1.1.0+1.1.0", "STATUS=500\", \"DATA=corrupt");
    let done = swarm.json(&["reconcile", &app.domain], 3);
    assert_eq!(done["action"], "rolled-back", "{done}");
    assert_eq!(std::fs::read_to_string(brought).unwrap(), "by hand");
    assert_eq!(swarm.data_of(&app.domain).lines().last(), Some("1.0.0"));
}

/// As after a crash, or a full disk, in the middle of putting data back.
fn nothing_starts_on_data_that_are_not_whole(swarm: &Swarm, app: &App, brought: &std::path::Path) {
    let domain = app.domain.as_str();
    let archive = swarm.scratch.join(format!("state/default/{domain}/snapshots/one/0.tar"));
    let whole = std::fs::read(&archive).unwrap();
    std::fs::write(&archive, &whole[..whole.len() / 2]).unwrap();
    let damaged = swarm.app(&["restore", domain, "one", "--restart"]).code(1);
    assert!(damaged.stderr.contains("snapshots/one/0.tar`"), "{}", damaged.stderr);
    assert_eq!(swarm.answer_at(app.port), "1.0.0", "a copy that cannot be put back stops nothing");
    std::fs::write(&archive, &whole).unwrap();
    std::fs::write(brought, "half of it").unwrap();
    let note = format!("{{\"snapshot\":\"one\",\"volumes\":[\"{}_data\"]}}", domain.replace('.', "_"));
    swarm.scratch.write(format!("state/default/{domain}/restoring.json"), &note);
    for words in [&["reconcile", domain][..], &["deploy", domain], &["backup", domain]] {
        let refused = swarm.app(words).code(1);
        let expected = format!("the data of `{domain}` are not whole: putting `one` back was broken off");
        assert!(refused.stderr.contains(&expected), "{}", refused.stderr);
        let hint = format!("hint: `freehold app restore {domain} one` finishes it");
        assert!(refused.stderr.contains(&hint), "{}", refused.stderr);
    }
    swarm.done(&["restore", domain, "one", "--restart"]);
    assert_eq!(std::fs::read_to_string(brought).unwrap(), "by hand");
    swarm.done(&["deploy", domain]);
    assert_eq!(swarm.answer_at(app.port), "1.0.0");
}

/// What Docker only mounts is not emptied when the volume is removed: no way back is promised.
fn what_lies_elsewhere_is_told(swarm: &Swarm, app: &App) {
    let device = swarm.scratch.dir("elsewhere").display().to_string();
    let publish = |version: &str| {
        let compose = app.compose(version, "STATUS=200", "", "");
        let compose = compose.replace("[\"data:/data\"]", "[\"data:/data\", \"media:/media\"]")
            + &format!("  media:\n    driver_opts: {{type: none, o: bind, device: \"{device}\"}}\n");
        swarm.publish(app.recipe, version, &[("compose.yml", &compose)]);
    };
    publish("1.2.0+1.2.0");
    assert_eq!(swarm.json(&["reconcile", &app.domain], 0)["to"], "1.2.0+1.2.0");
    publish("1.3.0+1.3.0");
    let refused = swarm.app(&["reconcile", &app.domain]);
    assert_ne!(refused.code, 0);
    let expected = format!("could not be put back: its data lie elsewhere (device `{device}`)");
    assert!(refused.stderr.contains(&expected) && refused.stderr.contains("--stateless"), "{}", refused.stderr);
    assert_eq!(swarm.answer_at(app.port), "1.2.0", "what runs runs on");
    assert_eq!(swarm.json(&["deploy", &app.domain, "--version", "1.3.0", "--stateless"], 0)["to"], "1.3.0+1.3.0");
}
