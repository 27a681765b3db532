//! `docs/how-to/routes.md`, "Take over a service that a unit of your own runs", command by command on a host.

use crate::farm::{Fleet, GATE, VISIT};

/// The unit that somebody has written, and their site in Caddy.
const OLD_UNIT: &str =
    "[Service]\nEnvironment=PORT=8000\nExecStart=/usr/bin/perl /opt/old.pl\n[Install]\nWantedBy=multi-user.target\n";
const OLD_SITE: &str = "{\n\tadmin localhost:2019\n\tskip_install_trust\n\tlocal_certs\n}\nwww.example.org {\n\treverse_proxy 127.0.0.1:8000\n}\n";

#[test]
fn a_service_of_a_foreign_unit_is_tried_beside_it_flipped_and_the_old_unit_disabled() {
    let Some(fleet) = Fleet::start(&["a"]) else { return };
    let host = fleet.host("a");
    let old = include_str!("web.pl").replace("@version@", "old").replace("@status@", "200").replace("@way@", "");
    host.write("/opt/old.pl", &old);
    host.write("/etc/systemd/system/old-web.service", OLD_UNIT);
    host.write("/etc/caddy/Caddyfile", OLD_SITE);
    host.shell("systemctl enable --quiet --now old-web; systemctl reload caddy");
    fleet.sees("a", "old");
    let theirs = "cat /etc/systemd/system/old-web.service /etc/caddy/Caddyfile | cksum";
    let before = host.shell(theirs);
    fleet.install_agents();

    // A second port, and a name for trying it out: both run.
    let new = fleet.build("new", "");
    let words = format!(
        "--store-path {new} --command web --host a --env PORT=8001 --http-domain staging.example.org --http-port 8001 --gate '{GATE}'"
    );
    fleet.publish("web", &words).ended(0);
    let staging = VISIT.replace("www.example.org", "staging.example.org");
    fleet.wait_until("a", "the staging route", &format!("{staging} | grep -qx 'version new'"));
    fleet.sees("a", "old");

    // Flip; back; flip again. Nothing of theirs is touched.
    for (domain, version) in [("www", "new"), ("staging", "old"), ("www", "new")] {
        fleet.publish("web", &format!("--set http/domain='\"{domain}.example.org\"'")).ended(0);
        fleet.sees("a", version);
        assert_eq!(host.shell("systemctl is-active old-web"), "active");
    }

    // The old unit goes by its owner's hand, and the site stays up, also over a reload and a restart of Caddy.
    host.shell("systemctl disable --quiet --now old-web");
    fleet.sees("a", "new");
    host.shell("systemctl reload caddy; freehold agent poke --state /var/lib/freehold");
    fleet.sees("a", "new");
    assert_eq!(host.shell(theirs), before);

    // A service that wants a unit's name that is somebody else's is refused, and that unit is left as it is.
    host.write("/etc/systemd/system/freehold-odd.service", OLD_UNIT);
    host.shell("systemctl daemon-reload");
    let gate = GATE.replace(r#""path""#, r#""port":8002,"path""#);
    let words = format!("--store-path {new} --command web --host a --env PORT=8002 --gate '{gate}'");
    let said = fleet.publish("odd", &words);
    assert!(matches!(said.code, 3 | 4), "{}", said.text);
    assert!(said.text.contains("freehold-odd.service"), "{}", said.text);
    assert_eq!(host.shell("cat /etc/systemd/system/freehold-odd.service"), OLD_UNIT.trim_end());
}
