//! Manifests as they come: read, refused, signed, edited, compared.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use freehold_manifest::{Change, Edit, Known, Manifest, ManifestError, ServiceFlags, diff, suspicions};
use freehold_nar::{SecretKey, TrustedKeys};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

const SEED: &str = include_str!("seed.json");
const NOW: u64 = 1_795_262_925_123;

fn seed() -> Manifest {
    Manifest::parse(SEED.as_bytes()).unwrap()
}

fn changed(change: impl FnOnce(&mut Json)) -> Vec<u8> {
    let mut json: Json = serde_json::from_str(SEED).unwrap();
    change(&mut json);
    serde_json::to_vec(&json).unwrap()
}

/// What is said of a manifest that differs from the seed's in one place.
fn refusal(change: impl FnOnce(&mut Json)) -> String {
    let error = Manifest::parse(&changed(change)).unwrap_err();
    match error.hint() {
        Some(hint) => format!("{error}\nhint: {hint}"),
        None => error.to_string(),
    }
}

#[test]
fn the_manifest_that_people_have_is_read_and_written_as_it_is() {
    let manifest = seed();
    assert_eq!(manifest.services[0].exec.user.as_deref(), Some("pil-web"));
    assert_eq!(manifest.services_of("biz").count(), 1);
    assert_eq!(manifest.services_of("other").count(), 0);
    let written: Json = serde_json::from_slice(&manifest.to_bytes()).unwrap();
    assert_eq!(written, serde_json::from_str::<Json>(SEED).unwrap());
    let minimal = json!({ "version": 1, "generation": "2025-01-15T12:34:56Z", "services": [] });
    assert_eq!(Manifest::parse(minimal.to_string().as_bytes()).unwrap().services, []);
}

#[test]
fn what_is_wrong_is_said_with_the_place_and_the_way_out() {
    type Spoil = Box<dyn FnOnce(&mut Json)>;
    let cases: Vec<(&str, Spoil)> = vec![
        ("an unknown field", Box::new(|j| j["services"][0]["systemd"]["restrat"] = json!("always"))),
        ("an unknown word", Box::new(|j| j["services"][0]["systemd"]["restart"] = json!("on-failre"))),
        ("no word at all", Box::new(|j| j["services"][0]["systemd"]["restart"] = json!(true))),
        ("a number for a word", Box::new(|j| j["services"][0]["runtime"] = json!(3))),
        ("a list for a word", Box::new(|j| j["services"][0]["instances"] = json!(["single"]))),
        ("a choice", Box::new(|j| j["services"][0]["hardening"]["protectSystem"] = json!("very"))),
        ("a wrong type", Box::new(|j| j["services"][0]["http"]["internalPort"] = json!("8000"))),
        ("a number in quotes", Box::new(|j| j["serial"] = json!("5"))),
        ("a text without them", Box::new(|j| j["services"][0]["env"]["PORT"] = json!(8000))),
        ("a text instead of a list", Box::new(|j| j["services"][0]["hosts"] = json!("biz"))),
        ("an object instead of a list", Box::new(|j| j["services"] = json!({}))),
        ("a number out of range", Box::new(|j| j["services"][0]["http"]["internalPort"] = json!(70_000))),
        ("a missing field", Box::new(|j| drop(j["services"][0].as_object_mut().unwrap().remove("exec")))),
        (
            "a missing port",
            Box::new(|j| drop(j["services"][0]["http"].as_object_mut().unwrap().remove("internalPort"))),
        ),
        ("a version in quotes", Box::new(|j| j["version"] = json!("1"))),
        ("a version with decimals", Box::new(|j| j["version"] = json!(1.0))),
        ("a newer version", Box::new(|j| j["version"] = json!(2))),
        ("no time", Box::new(|j| j["generation"] = json!("tuesday"))),
        ("a time of another form", Box::new(|j| j["generation"] = json!("2025-01-15T12:34:56Z[Europe/Berlin]"))),
        ("a name that leads elsewhere", Box::new(|j| j["services"][0]["name"] = json!("../ssh"))),
        ("no store path", Box::new(|j| j["services"][0]["artifact"]["storePath"] = json!("/etc/passwd"))),
        ("a command of two lines", Box::new(|j| j["services"][0]["exec"]["command"] = json!("a\nUser=root"))),
        ("an open quote", Box::new(|j| j["services"][0]["exec"]["command"] = json!("a 'b"))),
        ("a user with a line's end", Box::new(|j| j["services"][0]["exec"]["user"] = json!("a\nb"))),
        ("a relative file", Box::new(|j| j["services"][0]["envFile"] = json!("web.env"))),
        ("a bad variable", Box::new(|j| j["services"][0]["env"]["A-B"] = json!("x"))),
        ("a domain with a path", Box::new(|j| j["services"][0]["http"]["domain"] = json!("example.org/x"))),
        ("a path that servers take for another", Box::new(|j| j["services"][0]["http"]["path"] = json!("/a//b/../c"))),
        ("a path that must be encoded", Box::new(|j| j["services"][0]["http"]["path"] = json!("/café"))),
        ("a unit without a kind", Box::new(|j| j["services"][0]["systemd"]["after"] = json!(["postgresql"]))),
        ("a gate that cannot be", Box::new(|j| j["services"][0]["gate"] = json!({ "http": { "expect": [] } }))),
        ("an unknown field of a gate", Box::new(|j| j["services"][0]["gate"] = json!({ "htp": {} }))),
        (
            "two colours without a port",
            Box::new(|j| {
                j["services"][0]["instances"] = json!("blue-green");
                j["services"][0].as_object_mut().unwrap().remove("http");
            }),
        ),
        (
            "twice the same",
            Box::new(|j| {
                let again = j["services"][0].clone();
                j["services"].as_array_mut().unwrap().push(again);
            }),
        ),
    ];
    let mut text = String::new();
    for (name, change) in cases {
        text += &format!("# {name}\n{}\n\n", refusal(change));
    }
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/refused.txt");
    if std::env::var_os("BLESS").is_some() {
        fs_err::write(file, &text).unwrap();
    }
    assert_eq!(fs_err::read_to_string(file).unwrap(), text, "BLESS=1 writes what is said now");
}

#[test]
fn the_schema_takes_what_is_read_and_refuses_what_is_not() {
    let schema = jsonschema::validator_for(&freehold_manifest::schemas()["manifest"]).unwrap();
    let good: Json = serde_json::from_str(SEED).unwrap();
    assert!(schema.is_valid(&good), "{:?}", schema.validate(&good).unwrap_err());
    let signed = seed().signed(&SecretKey::generate("k").unwrap());
    assert!(schema.is_valid(&serde_json::from_slice(&signed.to_bytes()).unwrap()));
    for (pointer, value) in
        [("/services/0/systemd/restrat", json!(1)), ("/version", json!(2)), ("/services/0/exec", json!({}))]
    {
        let mut bad = good.clone();
        let (above, last) = pointer.rsplit_once('/').unwrap();
        bad.pointer_mut(above).unwrap()[last] = value;
        assert!(!schema.is_valid(&bad), "{pointer}");
    }
}

#[test]
fn what_is_no_json_is_said_to_be_none() {
    for (bytes, message) in [
        (&b""[..], "`/` cannot be read: it is empty"),
        (b"{", "`/` cannot be read: it is no JSON: it ends too early (line 1, column 1)"),
        (
            b"{\"services\": [],}",
            "`/` cannot be read: it is no JSON: a comma with nothing behind it (line 1, column 17)",
        ),
        (
            b"{'version': 1}",
            "`/` cannot be read: it is no JSON: a name that is not in double quotes (line 1, column 2)",
        ),
        (b"// a\n{}", "`/` cannot be read: it is no JSON: something that is no value (line 1, column 1)"),
        (b"[]", "`/` cannot be read: it is no JSON object"),
        (b"null", "`/` cannot be read: it is no JSON object"),
        (b"\xef\xbb\xbf{}", "`/` cannot be read: it begins with a byte order mark"),
        (b"\x1f\x8b\x08", "`/` cannot be read: it is compressed"),
        (b"<html>", "`/` cannot be read: it is HTML or XML"),
    ] {
        let error = Manifest::parse(bytes).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert!(error.hint().is_some_and(|hint| hint.contains("one JSON object in UTF-8")), "{error}");
    }
    let twice = SEED.replacen("\"version\": 1,", "\"version\": 1, \"version\": 1,", 1);
    let error = Manifest::parse(twice.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("`version` is there twice"), "{error}");
    let after = format!("{SEED} {{}}");
    assert!(Manifest::parse(after.as_bytes()).is_err());
}

#[test]
fn a_signature_is_of_everything_and_of_nothing_else() {
    let (ours, theirs) = (SecretKey::generate("ours-1").unwrap(), SecretKey::generate("theirs-1").unwrap());
    let trusted = TrustedKeys::new(vec![ours.public()]);
    let signed = seed().signed(&ours);
    assert_eq!(signed.signatures.len(), 1);
    assert_eq!(signed.signatures[0].key, "ours-1");
    assert_eq!(Manifest::verify(&signed.to_bytes(), &trusted).unwrap(), "ours-1");
    // In another order and with other blanks it is the same manifest.
    let value: Json = serde_json::from_slice(&signed.to_bytes()).unwrap();
    assert_eq!(Manifest::verify(value.to_string().as_bytes(), &trusted).unwrap(), "ours-1");

    let mut edited = signed.clone();
    edited.services[0].env.insert("AREA".to_owned(), "Test".to_owned());
    let error = Manifest::verify(&edited.to_bytes(), &trusted).unwrap_err();
    assert_eq!(error, ManifestError::Tampered { key: "ours-1".to_owned() });
    assert_eq!(Manifest::verify(SEED.as_bytes(), &trusted).unwrap_err(), ManifestError::Unsigned);
    let foreign = seed().signed(&theirs);
    let error = Manifest::verify(&foreign.to_bytes(), &trusted).unwrap_err();
    assert_eq!(error, ManifestError::Untrusted { by: vec!["theirs-1".to_owned()] });
}

#[test]
fn a_publish_keeps_what_it_does_not_speak_of() {
    let before = seed();
    let path = "/nix/store/1c2mn5xhkzyyx7hbcmxgjvwqyxf1x7bd-podcastitlater-web-1.2.4".to_owned();
    let flags = ServiceFlags { store_path: Some(path.clone()), revision: Some("def".to_owned()), ..Default::default() };
    let service = flags.apply("podcastitlater-web", Some(&before.services[0])).unwrap();
    let after = Manifest::next(Some(&before), Edit::Put(Box::new(service)), NOW, &Known::default()).unwrap();
    assert_eq!(after.serial, Some(1));
    assert_eq!(after.generation.as_str(), "2026-11-21T12:08:45Z");
    let told = diff(Some(&before), Some(&after));
    let fields: Vec<String> = told[0].fields.iter().map(|f| format!("{} {} {}", f.at, f.before, f.after)).collect();
    assert_eq!(
        fields,
        [
            format!("/artifact/storePath {} \"{path}\"", json!(before.services[0].artifact.store_path)),
            "/revision \"abc123def\" \"def\"".to_owned(),
        ]
    );
    assert_eq!(diff(Some(&after), Some(&after)), []);
    assert_eq!(diff(None, Some(&after))[0].change, Change::Added);
    assert_eq!(diff(Some(&after), None)[0].change, Change::Removed);
}

#[test]
fn a_group_of_flags_replaces_the_group_and_reset_forgets_everything() {
    let before = seed();
    let service = &before.services[0];
    let apply = |flags: ServiceFlags| flags.apply("podcastitlater-web", Some(service)).unwrap();
    let env = vec![("PORT".to_owned(), "9000".to_owned())];
    let with_env = apply(ServiceFlags { env: env.clone(), hosts: vec!["b".into(), "c".into()], ..Default::default() });
    assert_eq!(with_env.env.into_iter().collect::<Vec<_>>(), env);
    assert_eq!(with_env.hosts, ["b", "c"]);
    assert_eq!(with_env.http, service.http);
    let set = vec![
        (vec!["systemd".to_owned(), "restartSec".to_owned()], json!(10)),
        (vec!["hardening".to_owned(), "protectHome".to_owned()], json!("read-only")),
        (vec!["revision".to_owned()], Json::Null),
        (vec!["systemd".to_owned(), "loadCredential".to_owned(), "db".to_owned()], json!("/run/keys/db")),
    ];
    let set = apply(ServiceFlags { set, ..Default::default() });
    assert_eq!((set.systemd.restart_sec, set.revision), (Some(10), None));
    assert_eq!(set.systemd.load_credential.unwrap()["db"], "/run/keys/db");
    let path = Some(service.artifact.store_path.clone());
    let flags = ServiceFlags { reset: true, store_path: path, command: Some("web".into()), ..Default::default() };
    let fresh = apply(flags);
    assert_eq!((fresh.http, fresh.hosts.len()), (None, 0));
}

#[test]
fn what_cannot_be_set_is_said() {
    let before = seed();
    let said = |flags: ServiceFlags, before| {
        let error = flags.apply("podcastitlater-web", before).unwrap_err();
        format!("{error}; {}", error.hint().unwrap_or_default())
    };
    let set = |path: &str, value: Json| ServiceFlags {
        set: vec![(path.split('/').map(str::to_owned).collect(), value)],
        ..Default::default()
    };
    let before = Some(&before.services[0]);
    assert_eq!(
        said(ServiceFlags::default(), None),
        "service `podcastitlater-web` is new and a store path is not given; say `--store-path PATH` or `--installable INSTALLABLE`"
    );
    assert_eq!(
        said(set("systemd/restrat", json!("no")), before),
        "`/podcastitlater-web/systemd/restrat` cannot be read: unknown field `restrat`; did you mean `restart`?"
    );
    assert!(said(set("name", json!("x")), before).starts_with("`name` cannot be set: the name is what"));
    // A list would be taken for the fields in order.
    let gate = ServiceFlags { gate: Some(json!([null, {"port": 80}])), ..Default::default() };
    let lists = [
        (gate, "gate"),
        (set("http", json!(["x.y", null, null, null, 80])), "http"),
        (set("exec", json!(["web", "x"])), "exec"),
    ];
    for (flags, field) in lists {
        let expected = format!("`/podcastitlater-web/{field}` cannot be read: it is a list, and should be an object");
        assert_eq!(said(flags, before).split(';').next(), Some(expected.as_str()));
    }
    assert!(
        said(set("revision/x", json!(1)), before).starts_with("`revision/x` cannot be set: `revision` has no fields")
    );
}

#[test]
fn a_service_is_removed_and_comes_back_with_a_new_generation() {
    let first = seed();
    let without =
        Manifest::next(Some(&first), Edit::Remove("podcastitlater-web".into()), NOW, &Known::default()).unwrap();
    assert_eq!(without.services, []);
    let back = Manifest::next(
        Some(&without),
        Edit::Restore(first.services.clone()),
        NOW,
        &Known { serial: 7, ..Known::default() },
    )
    .unwrap();
    assert_eq!(back.services, first.services);
    assert_eq!((back.serial, back.generation.as_str()), (Some(9), "2026-11-21T12:08:47Z"));
    let error =
        Manifest::next(Some(&first), Edit::Remove("podcastitlater-wep".into()), NOW, &Known::default()).unwrap_err();
    assert_eq!(error.hint().as_deref(), Some("did you mean `podcastitlater-web`?"));
}

#[test]
fn values_that_look_like_secrets_are_found_and_others_are_not() {
    let mut manifest = seed();
    let service = &mut manifest.services[0];
    for (name, value) in [
        ("DB_PASSWORD", "hunter22"),
        ("DB_PASSWORD_FILE", "/run/secrets/db"),
        ("TOKEN_TTL", "3600"),
        ("DATABASE_URL", "postgres://web:hunter22@db/web"),
        ("PLAIN_URL", "postgres://web@db/web"),
        ("WEBHOOK", "ghp_0123456789abcdef0123"),
        ("AUTH", "Basic dXNlcjpwYXNzd29yZA=="),
        ("ABOUT", "Basic authentication is off"),
        ("USE_TOKEN", "true"),
    ] {
        service.env.insert(name.to_owned(), value.to_owned());
    }
    service.exec.command = "web --api-key=abcdefgh --port=80 -u www -u www:hunter22".to_owned();
    let found: Vec<String> = suspicions(&manifest).iter().map(|s| format!("{} {}", s.at, s.why)).collect();
    assert_eq!(
        found,
        [
            "/env/AUTH it looks like a name with its password, as HTTP sends them",
            "/env/DATABASE_URL it is an address with a password in it",
            "/env/DB_PASSWORD its name speaks of a secret (`password`)",
            "/env/WEBHOOK it looks like a token of GitHub",
            "/exec/command its name speaks of a secret (`api_key`)",
            "/exec/command it is a name with its password",
        ]
    );
    assert!(!format!("{found:?}").contains("hunter22"));
    assert_eq!(suspicions(&seed()), []);
}

#[test]
fn commands_are_split_as_in_a_shell_and_programs_are_found_in_the_artifact() {
    let mut service = seed().services.remove(0);
    service.exec.command = "web --name 'a b' \"c\"".to_owned();
    assert_eq!(service.exec.words().unwrap(), ["web", "--name", "a b", "c"]);
    let store = service.artifact.store_path.clone();
    assert_eq!(service.artifact.program("web"), format!("{store}/bin/web"));
    assert_eq!(service.artifact.program("libexec/web"), format!("{store}/libexec/web"));
    assert_eq!(service.artifact.program("/bin/sh"), "/bin/sh");
}

proptest! {
    #[test]
    fn what_is_written_is_read_back_and_keeps_its_signature(
        env in proptest::collection::btree_map("[A-Z][A-Z0-9_]{0,8}", "\\PC{0,20}", 0..6),
        serial in 1_u64..1 << 53,
        restart in proptest::option::of(0_u32..),
    ) {
        let key = SecretKey::generate("k").unwrap();
        let mut manifest = seed();
        manifest.services[0].env = env;
        manifest.services[0].systemd.restart_sec = restart;
        manifest.serial = Some(serial);
        let signed = manifest.signed(&key);
        let bytes = signed.to_bytes();
        prop_assert_eq!(Manifest::parse(&bytes).unwrap(), signed);
        prop_assert!(Manifest::verify(&bytes, &TrustedKeys::new(vec![key.public()])).is_ok());
    }
}
