//! Hosts with systemd, Nix and Caddy in a network of their own, a bucket that they may only read, and one host more to publish from.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is the report of a test")]

use std::time::{Duration, Instant};

use freehold_testkit::s3::S3Server;
use freehold_testkit::{Host, Network, freehold_binary};
use serde_json::Value as Json;

const LIMIT: Duration = Duration::from_secs(300);
/// What every service of these tests is looked at by. One that is well passes as soon as it answers, however long that takes here.
pub(crate) const GATE: &str = r#"{"http":{"path":"/"},"timeoutSeconds":120,"windowSeconds":1}"#;
/// For a release of which it is known that it will never be healthy: it is not waited for as long as the others.
pub(crate) const SOON: &str = "--set gate/timeoutSeconds=6";

/// Hosts, the bucket between them, and one host more to publish from. Fields are dropped in this order.
pub(crate) struct Fleet {
    pub(crate) desk: Host,
    pub(crate) hosts: Vec<(&'static str, Host)>,
    pub(crate) server: S3Server,
    _network: Network,
}

/// How a command ended, and all that it said.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) text: String,
}

impl Fleet {
    /// Hosts with these names that follow the bucket; `None`, after a report, where hosts cannot run.
    pub(crate) fn start(names: &[&'static str]) -> Option<Self> {
        let network = Network::start()?;
        let server = S3Server::start_at(network.address());
        server.create_bucket("shop");
        server.create_bucket("reports");
        let desk = Host::start_in(&network, "desk")?;
        desk.install(&freehold_binary().display().to_string());
        desk.write("/etc/nix/nix.conf", "build-users-group =\nsubstituters =\nsandbox = false\n");
        desk.write("/root/web.nix", include_str!("web.nix"));
        desk.write("/root/web.pl", include_str!("web.pl"));
        desk.write("/root/.aws/credentials", &credentials());
        desk.shell("cd /root; freehold cache keygen k --dir keys");
        let mut fleet = Self { desk, hosts: Vec::new(), server, _network: network };
        let key = fleet.desk.shell("cat /root/keys/k.pub");
        for name in names {
            let host = Host::start_in(&fleet._network, name)?;
            host.install(&freehold_binary().display().to_string());
            host.write("/root/.aws/credentials", &credentials());
            host.write("/etc/nix/nix.conf", "build-users-group =\nsubstituters =\n");
            host.write("/root/k.pub", &key);
            host.write("/etc/caddy/Caddyfile", CADDYFILE);
            host.shell("systemctl start caddy");
            fleet.hosts.push((name, host));
        }
        Some(fleet)
    }

    /// The bucket as a host or a publisher names it.
    pub(crate) fn bucket(&self, name: &str, profile: &str) -> String {
        let endpoint = self.server.endpoint();
        let endpoint = endpoint.trim_start_matches("http://");
        format!("s3://{name}?endpoint={endpoint}&scheme=http&region=eu-1&profile={profile}")
    }

    /// Makes the agent of every host a service of it.
    pub(crate) fn install_agents(&self) {
        for (name, host) in &self.hosts {
            host.shell(&format!(
                "freehold agent install --from '{}' --host {name} --trusted-key /root/k.pub --state /var/lib/freehold --poll 500ms \
                 --create-users --caddy http://127.0.0.1:2019 --caddy-https internal --report '{}' 2>&1",
                self.bucket("shop", "reader"),
                self.bucket("reports", "writer")
            ));
        }
    }

    pub(crate) fn host(&self, name: &str) -> &Host {
        &self.hosts.iter().find(|(known, _)| *known == name).unwrap().1
    }

    /// Builds a release on the desk; its store path.
    pub(crate) fn build(&self, version: &str, further: &str) -> String {
        self.desk.shell(&format!(
            "cd /root; nix-build web.nix --no-out-link --argstr version {version} {further} 2>/dev/null"
        ))
    }

    pub(crate) fn freehold(&self, words: &str) -> Said {
        let output = self.desk.run(&["sh", "-c", &format!("cd /root; freehold {words} 2>&1")], b"");
        Said { code: output.status.code().unwrap_or(-1), text: String::from_utf8_lossy(&output.stdout).into_owned() }
    }

    /// Publishes on the desk, and waits for the hosts.
    pub(crate) fn publish(&self, service: &str, words: &str) -> Said {
        self.freehold(&format!(
            "publish {service} --to '{}' --key keys/k.sec {words} --wait --timeout 240s --reports '{}'",
            self.bucket("shop", "writer"),
            self.bucket("reports", "writer")
        ))
    }

    /// Publishes a release of `web` with all that is said of it.
    pub(crate) fn publish_web(&self, path: &str, words: &str) -> Said {
        self.publish(
            "web",
            &format!(
                "--store-path {path} --command web --env PORT=8000 --http-domain www.example.org --http-port 8000 --gate '{GATE}' {words}"
            ),
        )
    }

    pub(crate) fn status(&self, host: &str) -> Json {
        let text = self.host(host).shell("freehold agent status --state /var/lib/freehold --json");
        serde_json::from_str(&text).unwrap()
    }

    pub(crate) fn wait_until(&self, host: &str, what: &str, test: &str) {
        let end = Instant::now() + LIMIT;
        let host = self.host(host);
        while !host.run(&["sh", "-c", test], b"").status.success() {
            let log = || host.shell("journalctl -u freehold-agent -o cat --no-pager | tail -n 30");
            assert!(Instant::now() < end, "{what} did not come:\n{}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What a visitor of the host sees, certificate and all.
    pub(crate) fn sees(&self, host: &str, version: &str) {
        self.wait_until(
            host,
            &format!("version {version} at the front door"),
            &format!("{VISIT} | grep -qx 'version {version}'"),
        );
    }
}

impl Said {
    pub(crate) fn ended(self, code: i32) -> String {
        assert_eq!(self.code, code, "{}", self.text);
        self.text
    }
}

fn credentials() -> String {
    format!(
        "[writer]\naws_access_key_id = {}\naws_secret_access_key = {}\n[reader]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        S3Server::ACCESS_KEY,
        S3Server::SECRET_KEY,
        S3Server::READER_KEY,
        S3Server::READER_SECRET
    )
}

/// A Caddy that makes no certificates by others, and trusts nobody new.
const CADDYFILE: &str = "{\n\tadmin localhost:2019\n\tskip_install_trust\n\tlocal_certs\n}\n";
pub(crate) const VISIT: &str = "curl --silent --show-error --max-time 5 --resolve www.example.org:443:127.0.0.1 \
                     --cacert /var/lib/caddy/.local/share/caddy/pki/authorities/local/root.crt https://www.example.org/";
