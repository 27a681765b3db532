//! Bad input: each is told clearly, nothing of it is half deployed, and the app's `.env` stays as somebody wrote it.

use std::net::TcpListener;

use crate::App;
use crate::swarm::Swarm;

const HEAD: &str = "version: \"3.8\"\nservices:\n  app:\n    image: freehold-stub:1\n";

/// What is wrong, the compose file, and what is said of it.
const CASES: [(&str, &str, &str); 16] = [
    ("forbidden", "    mem_limit: 5m\n", "compose.yml:5:5: `app` has `mem_limit`, which no stack may have"),
    ("unknown", "    imagee: x\n", "compose.yml:5:13: `docker stack config`: services.app Additional property imagee"),
    ("undefined", "    environment: [\"A=${NOT_SET}\"]\n", "nobody defines the variable `NOT_SET`"),
    (
        "required",
        "    environment: [\"A=${NOT_SET:?say it}\"]\n",
        "the setting `NOT_SET` is required and not set: say it",
    ),
    ("nameless", "    environment: [\"=x\"]\n", "compose.yml:5"),
    (
        "toolong",
        "    secrets: [s]\nsecrets:\n  s:\n    external: true\n    name: ${STACK_NAME}_LONG_v1\n",
        "; Docker takes 64",
    ),
    ("noimage", "", "cannot be pulled"),
    ("porthost", "    ports: [{target: 8080, published: PORT, mode: host}]\n", "which a process of this machine has"),
    ("nonetwork", "    networks: [n]\nnetworks:\n  n:\n    external: true\n", "there is no overlay network `n`"),
    ("outside", "    volumes: [\"kept:/v\"]\nvolumes:\n  kept:\n    external: true\n", "there is no volume `kept`"),
    ("noobject", "    configs: [kept]\nconfigs:\n  kept:\n    external: true\n", "there is no config `kept`"),
    (
        "undeclared",
        "    networks: [n]\n",
        "compose.yml:5:15: `app` uses `n`, which `networks` of the recipe does not have",
    ),
    (
        "novolume",
        "    volumes: [\"data:/x\"]\n",
        "compose.yml:5:14: `app` uses `data`, which `volumes` of the recipe does not have",
    ),
    (
        "noconfig",
        "    configs: [c]\nconfigs:\n  c:\n    file: there/is.none\n",
        "compose.yml:8:5: `c` is made of `there/is.none`, which the recipe does not have",
    ),
    (
        "braces",
        "    hostname: \"${NEEDED:+x}\"\n",
        "compose.yml:5:15: `docker stack config`: invalid interpolation format",
    ),
    ("setting", "    environment: [\"A=${NEEDED}\"]\n", "the setting `NEEDED` is missing"),
];

pub(crate) fn is_told_and_nothing_is_half_deployed(swarm: &Swarm, app: &App) {
    let taken = TcpListener::bind(("0.0.0.0", app.port)).unwrap();
    for (name, rest, expected) in CASES {
        let rest = rest.replace("LONG", &"x".repeat(50)).replace("PORT", &app.port.to_string());
        let head =
            if name == "noimage" { HEAD.replace("freehold-stub:1", "127.0.0.1:9/none:1.2.3") } else { HEAD.to_owned() };
        let sample = format!("# mine\nTYPE={name}\n\nDOMAIN={name}.example.com # where\nNEEDED=1\n");
        swarm.publish(name, "1.0.0+1.0.0", &[("compose.yml", &format!("{head}{rest}")), (".env.sample", &sample)]);
        let domain = format!("{name}.example.org");
        swarm.done(&["new", name, "--domain", &domain]);
        let file = swarm.scratch.join(format!("abra/servers/default/{domain}.env"));
        let text = std::fs::read_to_string(&file).unwrap().replace("NEEDED=1\n", "# kept\nOTHER='a b' # kept, too\n");
        let text = if name == "setting" { text } else { format!("{text}NEEDED=\n") };
        std::fs::write(&file, &text).unwrap();
        let refused = swarm.app(&["deploy", &domain, "--no-health", "--stateful"]).code(1);
        assert!(refused.stderr.contains(expected), "{name}: {}", refused.stderr);
        assert_eq!(swarm.services_of(&domain), "", "{name}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text, "{name}");
    }
    drop(taken);
    serves_a_domain_once(swarm, app);
    a_version_is_an_annotated_tag(swarm);
    the_main_service_is_called_app(swarm);
    new_takes_no_broken_recipe(swarm);
    docker_itself_is_looked_at(swarm);
}

/// One domain, one port: the second that wants it is refused.
fn serves_a_domain_once(swarm: &Swarm, app: &App) {
    let compose = |port: u16| {
        format!(
            "{HEAD}    environment: [STATUS=200]\n    stop_signal: SIGKILL\n    ports: [{{target: 8080, published: {port}, mode: host}}]\n    \
             deploy:\n      endpoint_mode: dnsrr\n      labels:\n        \
             - \"traefik.http.routers.${{STACK_NAME}}.rule=Host(`${{SHOWN}}`)\"\n"
        )
    };
    let sample = "TYPE=route\nDOMAIN=route.example.com\nSHOWN=shown.example.org\n";
    swarm.publish("route", "1.0.0+1.0.0", &[("compose.yml", &compose(app.port)), (".env.sample", sample)]);
    swarm.publish("route", "1.1.0+1.1.0", &[("compose.yml", &compose(app.port + 50)), (".env.sample", sample)]);
    swarm.done(&["new", "route", "--domain", "route.example.org", "--version", "1.0.0"]);
    swarm.done(&["deploy", "route.example.org", "--no-health", "--health-window", "1"]);
    for (version, expected) in [
        ("1.0.0", format!("the port {}/tcp, which the stack route_example_org has", app.port)),
        ("1.1.0", "`shown.example.org` is served by the stack route_example_org already".to_owned()),
    ] {
        let _ = swarm.app(&["new", "route", "--domain", "second.example.org", "--version", version]);
        let refused = swarm.app(&["deploy", "second.example.org", "--version", version, "--no-health"]).code(1);
        assert!(refused.stderr.contains(&expected), "{}", refused.stderr);
        assert_eq!(swarm.services_of("second.example.org"), "");
    }
    swarm.done(&["undeploy", "route.example.org"]);
}

fn a_version_is_an_annotated_tag(swarm: &Swarm) {
    swarm.commit("light", "1.0.0", &[("compose.yml", HEAD), (".env.sample", "TYPE=light\nDOMAIN=light.example.com\n")]);
    swarm.git("light", &["tag", "1.0.0+1.0.0"]);
    swarm.done(&["new", "light", "--domain", "light.example.org"]);
    let refused = swarm.app(&["deploy", "light.example.org", "--no-health"]).code(1);
    assert!(refused.stderr.contains("`1.0.0+1.0.0` is a lightweight tag"), "{}", refused.stderr);
    assert!(refused.stderr.contains("hint: in the recipe: `git tag -a -f"), "{}", refused.stderr);
    let unknown = swarm.app(&["deploy", "light.example.org", "--version", "9.9.9"]).code(1);
    assert!(
        unknown.stderr.contains("no version `9.9.9`") && unknown.stderr.contains("1.0.0+1.0.0"),
        "{}",
        unknown.stderr
    );
}

fn the_main_service_is_called_app(swarm: &Swarm) {
    let files = [
        ("compose.yml", "version: \"3.8\"\nservices:\n  web:\n    image: freehold-stub:1\n"),
        (".env.sample", "TYPE=web\nDOMAIN=web.example.com\n"),
    ];
    swarm.publish("web", "1.0.0+1.0.0", &files);
    swarm.done(&["new", "web", "--domain", "web.example.org"]);
    let refused = swarm.app(&["deploy", "web.example.org", "--no-health"]).code(1);
    assert!(refused.stderr.contains("the recipe has no service `app`, only web"), "{}", refused.stderr);
    assert!(refused.stderr.contains("hint: the main service of a recipe is called `app`"), "{}", refused.stderr);
}

fn new_takes_no_broken_recipe(swarm: &Swarm) {
    swarm.publish("empty", "1.0.0+1.0.0", &[("README.md", "nothing")]);
    swarm.publish("yaml", "1.0.0+1.0.0", &[("compose.yml", "services:\n  app:\n    image: x\n   networks: [x\n")]);
    let gone = format!("file://{}", swarm.scratch.join("recipes/gone").display());
    for (recipe, expected) in
        [("empty", "it has no compose file at all"), ("yaml", "compose.yml:4:"), ("gone", gone.as_str())]
    {
        let refused = swarm.app(&["new", recipe, "--domain", "new.example.org"]).code(1);
        assert!(refused.stderr.contains(expected), "{recipe}: {}", refused.stderr);
        assert!(!swarm.scratch.exists("abra/servers/default/new.example.org.env"), "{recipe}");
    }
}

fn docker_itself_is_looked_at(swarm: &Swarm) {
    let away = swarm.command(&["deploy", "light.example.org"]).env("DOCKER_HOST", "unix:///nowhere.sock").run().code(1);
    assert!(away.stderr.contains("Docker cannot be reached at `unix:///nowhere.sock`"), "{}", away.stderr);
    // As 20.10 answers.
    let old = "#!/bin/sh\ncase \"$1\" in --version) echo 'Docker version 20.10.24, build 1' ;;\n\
        *) echo 'unknown flag: --compose-file' >&2; exit 125 ;; esac\n";
    swarm.program("old/docker", old);
    let path = format!("{}:/usr/bin:/bin", swarm.scratch.join("old").display());
    let refused = swarm.command(&["config", "light.example.org"]).env("PATH", path).run().code(1);
    assert!(refused.stderr.contains("the docker CLI 20.10.24 is too old"), "{}", refused.stderr);
}
