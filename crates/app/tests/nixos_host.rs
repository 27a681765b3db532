//! What the NixOS modules of Co-op Cloud emit, run by systemd on a host with Docker: the Swarm, the proxy with a wildcard certificate
//! from files, two apps behind it over TLS, the timer; and what each unit does when somebody has removed what it made.
//!
//! Units and settings are evaluated from `nix/nixos` and written as NixOS writes them. Traefik is the real one, from a recipe in the
//! real format (`recipes/traefik`); the apps' recipes are stubs. The host has no network: the gate asks its own proxy, and believes
//! the authority that the host trusts.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is the report of a test")]

mod stubs;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use freehold_testkit::{Host, Scratch, freehold_binary, nixes, not_run, repository_root, run_limited};
use serde_json::Value as Json;
use stubs::{Behaviour, stub};

const LIMIT: Duration = Duration::from_secs(300);
/// In the order in which they start.
const UNITS: [&str; 4] = ["swarm-init", "deploy-proxy", "cc-app-ghost", "cc-app-custom-html"];

#[test]
fn a_nixos_host_brings_up_swarm_proxy_and_apps_heals_what_is_removed_and_fails_where_it_cannot_on_a_swarm() {
    let Some((scratch, host)) = installed() else { return };
    comes_up_at_boot_in_order(&host);
    serves_two_apps_over_tls_without_acme(&host);
    an_activation_touches_nothing_that_is_as_it_should_be(&host);
    a_stack_that_was_removed_is_deployed_again(&host);
    a_secret_that_was_removed_is_inserted_again(&host);
    a_certificate_that_is_gone_is_a_failed_unit_until_it_is_back(&host);
    a_renewed_certificate_reaches_the_proxy_by_itself(&host);
    the_reconciler_upgrades_and_takes_back(&host, &scratch);
}

/// A host with all that NixOS would have put there, not yet started.
fn installed() -> Option<(Scratch, Host)> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let traefik = cache?.join("freehold/interop/bin/traefik");
    if !traefik.is_file() {
        not_run("Co-op Cloud on a NixOS host", "Traefik is not here; run scripts/interop-tools traefik");
        return None;
    }
    let host = Host::start_with_docker()?;
    let scratch = Scratch::new();
    host.install(&freehold_binary().display().to_string());
    image(&host, &traefik, "/usr/local/bin/traefik", &["traefik:v3.7.15"], &scratch);
    let service = scratch.dir("services").join("service");
    stubs::build_service(&service);
    let names: Vec<&str> = stub("ghost").images().chain(stub("custom-html").images()).collect();
    image(&host, &service, "/service", &names, &scratch);
    let recipes = scratch.dir("recipes");
    stub("ghost").publish(&recipes, "1.0.0+1.0.0", Behaviour::Healthy);
    stub("custom-html").publish(&recipes, "1.0.0+1.0.0", Behaviour::Healthy);
    let upstream = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recipes/traefik");
    let copied = Command::new("cp").args(["-r", upstream]).arg(recipes.join("traefik")).status().unwrap();
    assert!(copied.success());
    stubs::commit(&recipes.join("traefik"), "1.0.0+v3.7.15");
    push(&host, &recipes);
    host.write("/srv/keys/db_password", "a password of the operator");
    host.shell(AUTHORITY);
    certify(&host);
    for (path, text) in rendered(&scratch) {
        host.write(&path, &text);
    }
    // As NixOS enables what is wanted by a target.
    host.shell("systemctl daemon-reload; systemctl enable --quiet swarm-init deploy-proxy cc-app-ghost cc-app-custom-html cc-app-ghost-reconcile.timer deploy-proxy-certificate.path coop-cloud-prune.timer");
    Some((scratch, host))
}

/// Makes an image of one static program inside of the host.
fn image(host: &Host, program: &Path, at: &str, names: &[&str], scratch: &Scratch) {
    let root = scratch.dir(format!("image{}", at.replace('/', "-")));
    let place = root.join(at.trim_start_matches('/'));
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    std::fs::copy(program, &place).unwrap();
    host.copy(&root.display().to_string(), "/srv/image");
    host.shell(&format!("tar --create --directory /srv/image . | docker import --change 'ENTRYPOINT [\"{at}\"]' - {} >/dev/null; rm -r /srv/image", names[0]));
    for name in &names[1..] {
        host.shell(&format!("docker tag {} {name}", names[0]));
    }
}

/// Brings the recipes to the host.
fn push(host: &Host, recipes: &Path) {
    host.shell("rm -rf /srv/recipes");
    host.copy(&recipes.display().to_string(), "/srv/recipes");
    host.shell("chown -R root:root /srv/recipes");
}

/// An authority of the operator's own, which the host trusts.
const AUTHORITY: &str = "mkdir -p /srv/authority /srv/certificates; cd /srv/authority
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=authority -keyout ca.key -out ca.crt \
      -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign 2>/dev/null
    cp ca.crt /usr/local/share/ca-certificates/authority.crt; update-ca-certificates >/dev/null 2>&1";

/// A new certificate for every name below the domain; its serial number.
fn certify(host: &Host) -> String {
    host.shell(
        "cd /srv/authority; printf 'subjectAltName=DNS:*.example.org\nbasicConstraints=CA:FALSE\n' >san
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '/CN=wildcard' -keyout new.key -out new.csr 2>/dev/null
        openssl x509 -req -in new.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 20 -extfile san -out new.crt 2>/dev/null
        cp new.key /srv/certificates/privkey.pem; cp new.crt /srv/certificates/fullchain.pem
        openssl x509 -in new.crt -noout -serial",
    )
}

/// Files of the host by their paths.
fn rendered(scratch: &Scratch) -> Vec<(String, String)> {
    let nix = nixes().first().unwrap();
    let tests = repository_root().join("nix/tests");
    let mut command = Command::new(nix.bin.join("nix-instantiate"));
    command.args(["--eval", "--strict", "--json"]).arg(tests.join("coop-cloud-host.nix")).args(["-A", "render"]);
    command.arg("--arg").arg("configuration").arg(tests.join("fixtures/coop-cloud-host.nix"));
    for (name, value) in
        [("freehold", "/usr/local"), ("docker", "/usr"), ("programs", "/usr"), ("files", "/var/lib/store")]
    {
        command.args(["--argstr", name, value]);
    }
    let output = run_limited(command.envs(nix.env(&scratch.dir("nix"))), b"", LIMIT);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let host: Json = serde_json::from_slice(&output.stdout).unwrap();
    let texts = |part: &str| host[part].as_object().unwrap().clone();
    let units = texts("units").into_iter().map(|(name, text)| (format!("/etc/systemd/system/{name}"), text));
    let all = units.chain(texts("files"));
    all.map(|(path, text)| (path, text.as_str().unwrap().to_owned())).collect()
}

fn property(host: &Host, unit: &str, name: &str) -> String {
    host.shell(&format!("systemctl show {unit} -P {name}"))
}

fn state(host: &Host, unit: &str) -> String {
    property(host, unit, "ActiveState")
}

/// Every unit stands, or what was said stands here.
fn all_stand(host: &Host) {
    let journal = || host.shell("journalctl --no-pager --boot -u 'cc-app-*' -u deploy-proxy -u swarm-init --lines 60");
    assert_eq!(UNITS.map(|unit| state(host, unit)), ["active"; 4], "{}", journal());
}

/// Waits for a test of the shell to be true.
fn wait_until(host: &Host, what: &str, test: &str) {
    let end = Instant::now() + LIMIT;
    while !host.run(&["sh", "-c", test], b"").status.success() {
        let told = || {
            host.shell("systemctl list-jobs --no-pager; docker service ls; journalctl --no-pager --lines 60 -u 'cc-app-*' -u 'deploy-proxy*' -u swarm-init || true")
        };
        assert!(Instant::now() < end, "{what} did not come:\n{}", told());
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Waits until systemd has nothing left to do.
fn settled(host: &Host) {
    wait_until(
        host,
        "the end of all jobs",
        "test -z \"$(systemctl list-jobs --no-legend --plain | grep -v 'No jobs')\"",
    );
}

/// Starts a unit, or starts it again, and waits until it has ended, however long that takes.
fn run_unit(host: &Host, verb: &str, unit: &str) {
    host.shell(&format!("systemctl {verb} --no-block {unit}"));
    settled(host);
}

/// What an activation does.
fn activate(host: &Host) {
    host.shell("systemctl restart swarm-init");
    settled(host);
}

/// `Version.Index` of every service.
fn versions(host: &Host) -> String {
    host.shell(
        "docker service inspect --format '{{.Spec.Name}} {{.Version.Index}}' $(docker service ls --quiet) | sort",
    )
}

/// The serial number of the certificate that is served for a name.
fn serial(host: &Host, name: &str) -> String {
    host.shell(&format!(
        "openssl s_client -connect 127.0.0.1:443 -servername {name} -verify_return_error </dev/null 2>/dev/null | openssl x509 -noout -serial"
    ))
}

/// Status, version and body of an app behind the proxy.
fn ask(host: &Host, name: &str, path: &str) -> String {
    host.shell(&format!(
        "printf 'GET {path} HTTP/1.0\\r\\nHost: {name}\\r\\n\\r\\n' | openssl s_client -quiet -connect 127.0.0.1:443 -servername {name} -verify_return_error 2>/dev/null | tr -d '\\r'"
    ))
}

fn comes_up_at_boot_in_order(host: &Host) {
    host.restart();
    settled(host);
    all_stand(host);
    let at = |unit: &str, name: &str| property(host, unit, name).parse::<u64>().unwrap();
    for (first, then) in [
        ("docker", "swarm-init"),
        ("swarm-init", "deploy-proxy"),
        ("deploy-proxy", "cc-app-ghost"),
        ("deploy-proxy", "cc-app-custom-html"),
    ] {
        // One that stays is active from when its program has ended.
        let (up, begins) = (at(first, "ActiveEnterTimestampMonotonic"), at(then, "ExecMainStartTimestampMonotonic"));
        assert!(up <= begins, "{first} at {up}, {then} at {begins}");
    }
    assert_eq!(state(host, "cc-app-ghost-reconcile.timer"), "active");
    assert_eq!(state(host, "coop-cloud-prune.timer"), "active");
    host.shell("docker network inspect proxy --format '{{.Driver}}' | grep -q overlay");
}

fn serves_two_apps_over_tls_without_acme(host: &Host) {
    let blog = ask(host, "blog.example.org", "/ghost/api/admin/site/");
    assert!(blog.starts_with("HTTP/1.0 200") || blog.starts_with("HTTP/1.1 200"), "{blog}");
    assert!(blog.contains("Version: 1.0.0") && blog.ends_with("{\"site\":{}}"), "{blog}");
    let pages = ask(host, "pages.example.org", "/");
    assert!(pages.contains(" 200 ") && !pages.contains("site"), "{pages}");
    let ours = host.shell("openssl x509 -in /srv/certificates/fullchain.pem -noout -serial");
    assert_eq!([serial(host, "blog.example.org"), serial(host, "pages.example.org")], [ours.clone(), ours]);
    let log = host.shell("docker service logs traefik_example_org_app 2>&1");
    // It starts its resolvers, and nobody asks them for anything.
    assert!(log.contains("SwarmProvider") && !log.contains("btain") && !log.contains("egister"), "{log}");
    let found = host.shell("docker service inspect blog_example_org_app --format '{{json .Spec.Labels}}'");
    assert!(found.contains("tls.certresolver\":\"\""), "no resolver anywhere: {found}");
}

fn an_activation_touches_nothing_that_is_as_it_should_be(host: &Host) {
    let before = versions(host);
    activate(host);
    all_stand(host);
    assert_eq!(versions(host), before);
}

fn a_stack_that_was_removed_is_deployed_again(host: &Host) {
    host.shell("docker stack rm blog_example_org >/dev/null 2>&1");
    wait_until(
        host,
        "the end of the stack",
        "test -z \"$(docker ps --quiet --filter label=com.docker.stack.namespace=blog_example_org)\"",
    );
    run_unit(host, "restart", "cc-app-ghost");
    all_stand(host);
    assert!(ask(host, "blog.example.org", "/ghost/api/admin/site/").contains("Version: 1.0.0"));
}

fn a_secret_that_was_removed_is_inserted_again(host: &Host) {
    let secrets = || host.shell("docker secret ls --format '{{.Name}}' | grep blog_example_org | sort");
    let before = secrets();
    host.shell("docker stack rm blog_example_org >/dev/null 2>&1");
    wait_until(host, "the end of the secret", "docker secret rm blog_example_org_db_password_v1");
    activate(host);
    all_stand(host);
    assert_eq!(secrets(), before);
    let before = versions(host);
    activate(host);
    assert_eq!(versions(host), before, "repaired, it is left alone");
}

fn a_certificate_that_is_gone_is_a_failed_unit_until_it_is_back(host: &Host) {
    let before = versions(host);
    host.shell("systemctl stop deploy-proxy-certificate.path; mv /srv/certificates /srv/elsewhere");
    activate(host);
    assert_eq!(state(host, "deploy-proxy"), "failed");
    let said = host.shell("journalctl --no-pager --boot -u deploy-proxy --lines 20");
    assert!(said.contains("/srv/certificates/fullchain.pem"), "{said}");
    assert_eq!(
        [state(host, "cc-app-ghost"), state(host, "cc-app-custom-html")],
        ["active"; 2],
        "apps do not go down with it"
    );
    assert_eq!(versions(host), before, "and the proxy runs on");
    host.shell("mv /srv/elsewhere /srv/certificates; systemctl start deploy-proxy-certificate.path");
    activate(host);
    assert_eq!(state(host, "deploy-proxy"), "active");
    assert_eq!(versions(host), before);
}

fn a_renewed_certificate_reaches_the_proxy_by_itself(host: &Host) {
    let renewed = certify(host);
    let test = "openssl s_client -connect 127.0.0.1:443 -servername blog.example.org </dev/null 2>/dev/null | openssl x509 -noout -serial";
    wait_until(host, "the new certificate", &format!("test \"$({test})\" = '{renewed}'"));
    settled(host);
    assert_eq!(property(host, "deploy-proxy-certificate", "Result"), "success");
    let before = versions(host);
    activate(host);
    assert_eq!(versions(host), before);
}

fn the_reconciler_upgrades_and_takes_back(host: &Host, scratch: &Scratch) {
    let recipes = scratch.join("recipes");
    stub("ghost").publish(&recipes, "1.1.0+1.1.0", Behaviour::Healthy);
    push(host, &recipes);
    run_unit(host, "start", "cc-app-ghost-reconcile");
    assert_eq!(property(host, "cc-app-ghost-reconcile", "Result"), "success");
    assert!(ask(host, "blog.example.org", "/ghost/api/admin/site/").contains("Version: 1.1.0"));
    stub("ghost").publish(&recipes, "1.2.0+1.2.0", Behaviour::Answers(500));
    push(host, &recipes);
    run_unit(host, "start", "cc-app-ghost-reconcile");
    assert_eq!(property(host, "cc-app-ghost-reconcile", "Result"), "exit-code", "it is told where people look");
    assert!(ask(host, "blog.example.org", "/ghost/api/admin/site/").contains("Version: 1.1.0"));
    let alert: Json = serde_json::from_str(&host.shell("cat /var/lib/coop-cloud/alerts/ghost.json")).unwrap();
    assert_eq!((alert["app"].as_str(), alert["kind"].as_str()), (Some("ghost"), Some("rolled-back")), "{alert}");
    let data = "cat /var/lib/docker/volumes/blog_example_org_mysql/_data/versions";
    assert!(!host.shell(data).contains("1.2.0"), "its data are as they were");
    run_unit(host, "start", "cc-app-ghost-reconcile");
    assert_eq!(property(host, "cc-app-ghost-reconcile", "Result"), "success", "held now: an alert stands");
    let before = versions(host);
    activate(host);
    assert_eq!(versions(host), before, "what has moved on is not taken back by the declared floor");
}
