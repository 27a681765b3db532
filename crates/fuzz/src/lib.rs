//! What the fuzzers check: every parser of foreign bytes, each with the properties that must hold for whatever it is given.
//!
//! The functions are called twice: by `fuzz/fuzz_targets/` with bytes that a fuzzer makes up, and by `tests/replay.rs` with the
//! committed corpus, which holds a seed of every form and every input that once failed. They panic when a property is broken.
//!
//! To add a target: a function and a line in [`TARGETS`] here, a file in `fuzz/fuzz_targets/`, a folder in `fuzz/corpus/`.

use std::str::FromStr as _;

use freehold_model::{MemberPath, PathError};
use freehold_nar::{CacheInfo, Compression, NarInfo, PublicKey, SecretKey, Sha256, StorePath, TrustedKeys};
use freehold_protocol::{WireAttrs, WireValue, v0, v1};
use freehold_recipe::{AbraSh, AppType, Backup, ComposeFile, EnvFile, Modifiers, Pin, Stack, Subject, Version, lint};
use freehold_rollout::{Decision, Effect, Event, Gate, Look, Machine, Record, Settling};
use freehold_state::nixops4::{import_nixops4, nixops4_event, nixops4_patch, parse_nixops4};

/// A target: what is fuzzed, and the check of one input.
pub type Target = (&'static str, fn(&[u8]));

/// All targets by the name of their corpus folder.
pub const TARGETS: [Target; 17] = [
    ("state_log", state_log),
    ("nixops4_state", nixops4_state),
    ("provider_v1", provider_v1),
    ("provider_v0", provider_v0),
    ("wire_value", wire_value),
    ("member_path", member_path),
    ("rollout_gate", rollout_gate),
    ("rollout_record", rollout_record),
    ("narinfo", narinfo),
    ("cache_key", cache_key),
    ("nar", nar),
    ("signature", signature),
    ("manifest", manifest),
    ("recipe_env", recipe_env),
    ("recipe_abra_sh", recipe_abra_sh),
    ("recipe_version", recipe_version),
    ("recipe_compose", recipe_compose),
];

/// A state log never panics, and when a log can be read, so can what was there after each of its lines.
///
/// The bytes are tried as they are, and with the checksum of every line made right: no fuzzer guesses a CRC.
pub fn state_log(data: &[u8]) {
    let _ = freehold_state::parse_log(data);
    let summed = with_checksums(data);
    if freehold_state::parse_log(&summed).is_err() {
        return;
    }
    for (at, byte) in summed.iter().enumerate() {
        if *byte == b'\n' {
            let prefix = freehold_state::parse_log(&summed[..=at]);
            assert!(prefix.is_ok(), "the first {} bytes of a good log are not one", at + 1);
        }
    }
}

/// A NixOps4 state file never panics, and a record that is taken out of one and put back is the same.
pub fn nixops4_state(data: &[u8]) {
    let (Ok(document), Ok(records)) = (parse_nixops4(data), import_nixops4(data)) else {
        return;
    };
    for (member, resource) in records.iter().take(4) {
        let Ok(removal) = nixops4_patch(&document, member, None) else {
            continue;
        };
        let without = [data, nixops4_event(1, "", "", &removal).as_bytes()].concat();
        let rest = import_nixops4(&without);
        assert!(rest.is_ok_and(|rest| !rest.contains_key(member)), "`{member}` stays after its removal");
        // A file may hold what can no longer be written: marks of ours, which it never meant.
        let addition = parse_nixops4(&without).and_then(|document| nixops4_patch(&document, member, Some(resource)));
        if let Ok(addition) = addition {
            let again = [without.as_slice(), nixops4_event(2, "", "", &addition).as_bytes()].concat();
            let again = import_nixops4(&again);
            assert!(again.is_ok_and(|again| again.get(member) == Some(resource)), "`{member}` changes when written");
        }
    }
}

/// A message of protocol v1 is read back as it was written; attributes in it keep their values.
pub fn provider_v1(data: &[u8]) {
    let Ok(message) = v1::parse_message(data) else {
        return;
    };
    let line = message.to_line();
    assert!(line.ends_with(b"\n") && !line[..line.len() - 1].contains(&b'\n'), "a message is one line");
    let again = v1::parse_message(&line);
    assert!(again.is_ok_and(|again| again == message), "a message changes when it is written");
}

/// A response of protocol v0 is read back as it was written.
pub fn provider_v0(data: &[u8]) {
    let Ok(response) = v0::parse_response(data) else {
        return;
    };
    let again = serde_json::to_vec(&response).ok().and_then(|line| v0::parse_response(&line).ok());
    assert!(again.is_some_and(|again| again == response), "a response changes when it is written");
}

/// A value, and a set of attributes, survive the way onto the wire and back.
pub fn wire_value(data: &[u8]) {
    if let Some(value) = serde_json::from_slice::<WireValue>(data).ok().and_then(|wire| wire.into_value().ok()) {
        let again = WireValue::from_value(&value).into_value();
        assert!(again.is_ok_and(|again| again == value), "a value changes on the wire");
    }
    if let Some(attrs) = serde_json::from_slice::<WireAttrs>(data).ok().and_then(|wire| wire.into_attrs().ok()) {
        let again = WireAttrs::from_attrs(&attrs).into_attrs();
        assert!(again.is_ok_and(|again| again == attrs), "attributes change on the wire");
    }
}

/// A manifest never panics; one that can be read is written and read back the same, keeps its signature, and has no difference to itself.
pub fn manifest(data: &[u8]) {
    use freehold_manifest::{Manifest, diff, suspicions};
    let Ok(read) = Manifest::parse(data) else {
        return;
    };
    let bytes = read.to_bytes();
    assert!(Manifest::parse(&bytes).is_ok_and(|again| again == read), "a manifest changes when it is written");
    assert!(diff(Some(&read), Some(&read)).is_empty(), "a manifest differs from itself");
    let _ = suspicions(&read);
    for service in &read.services {
        assert!(service.exec.words().is_some(), "a command that was checked is none");
    }
}

/// A member path is read back as it was written.
pub fn member_path(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(path) = MemberPath::from_str(text) {
        assert_eq!(MemberPath::from_str(&path.to_string()).as_ref(), Ok(&path), "a path changes when it is written");
    }
    // Whatever the names are, there is a way to write them.
    let path = MemberPath::new(text.split('\n').filter(|name| !name.is_empty()));
    let again = MemberPath::from_str(&path.to_string());
    let expected = if path.is_within_limits() { Ok(&path) } else { Err(&PathError::TooLong) };
    assert_eq!(again.as_ref(), expected, "names change when they are written");
}

/// A gate is read back as it was written, and one that is read can be used.
pub fn rollout_gate(data: &[u8]) {
    let Ok(gate) = Gate::parse(data) else {
        return;
    };
    assert_eq!(gate.validate(), Ok(()), "a gate that was read cannot be used");
    let again = serde_json::to_vec(&gate).ok().and_then(|text| Gate::parse(&text).ok());
    assert!(again.is_some_and(|again| again == gate), "a gate changes when it is written");
    if let Some(http) = &gate.http {
        let _ = http.accepts(200, &String::from_utf8_lossy(data));
    }
}

/// A record is read back as it was written, and a rollout that is found in it can be gone on with, to an end, through records
/// that can be read themselves.
pub fn rollout_record(data: &[u8]) {
    const STEPS: usize = 1000;
    let Ok(record) = Record::parse(data) else {
        return;
    };
    let again = Record::parse(&record.to_bytes());
    assert!(again.is_ok_and(|again| again == record), "a record changes when it is written");
    let waits = u64::from(record.settings.gate.window_seconds) / u64::from(record.settings.gate.interval_seconds);
    let successes = record.good_gate.as_ref().map_or(1, |gate| gate.successes).max(record.settings.gate.successes);
    let (mut machine, mut effects) = Machine::begin(record, Decision::Resume, 0);
    for _ in 0..STEPS.saturating_add(usize::try_from(4 * waits).unwrap_or(STEPS)) + 8 * successes as usize {
        let event = match effects.iter().find_map(|effect| asks(effect, machine.record())) {
            Some(event) => event,
            None => break,
        };
        effects = machine.step(event, 0);
    }
    assert!(machine.report().is_some(), "a rollout that is gone on with does not end");
}

/// The answer of a world in which all goes well.
fn asks(effect: &Effect, record: &Record) -> Option<Event> {
    Some(match effect {
        Effect::Persist(written) => {
            assert_eq!(**written, *record, "what is written is not what is known");
            let read = Record::parse(&written.to_bytes());
            assert!(read.is_ok(), "a record that is written cannot be read: {read:?}");
            Event::Persisted
        }
        Effect::Wait { .. } => Event::Tick,
        Effect::Settle { .. } => Event::Settled(Settling::Settled),
        Effect::Probe { .. } => Event::Probed(Look::Green),
        Effect::Journal(_) | Effect::Alert(_) | Effect::ClearAlert | Effect::Finished(_) => return None,
        _ => Event::Done,
    })
}

/// The same lines, each with the checksum that belongs to it.
#[must_use]
pub fn with_checksums(log: &[u8]) -> Vec<u8> {
    const MARK: &[u8] = b",\"crc\":\"";
    let mut out = Vec::with_capacity(log.len());
    for line in log.split_inclusive(|byte| *byte == b'\n') {
        let at = line.windows(MARK.len()).rposition(|window| window == MARK);
        let Some(at) = at.filter(|_| line.ends_with(b"\n")) else {
            out.extend_from_slice(line);
            continue;
        };
        let body = &line[..at];
        out.extend_from_slice(body);
        out.extend_from_slice(MARK);
        out.extend_from_slice(format!("{:08x}\"}}\n", crc32c::crc32c(body)).as_bytes());
    }
    out
}

/// A narinfo that is read is written and read the same, and names nothing outside its cache. So are the small texts of a cache.
pub fn narinfo(data: &[u8]) {
    if let Ok(info) = NarInfo::parse(data) {
        assert_eq!(
            NarInfo::parse(info.render().as_bytes()).as_ref(),
            Ok(&info),
            "a narinfo changes when it is written"
        );
        assert!(
            !info.url.starts_with('/') && !info.url.split('/').any(|part| part == ".."),
            "`{}` leads out",
            info.url
        );
        assert!(info.references.iter().all(|reference| reference.dir() == info.path.dir()), "another store's path");
        assert!(!info.fingerprint().contains('\n'), "a fingerprint of several lines");
    }
    if let Ok(info) = CacheInfo::parse(data) {
        assert_eq!(CacheInfo::parse(info.render().as_bytes()).as_ref(), Ok(&info), "it changes when it is written");
    }
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(path) = StorePath::parse(text) {
        assert_eq!(format!("{}/{}-{}", path.dir(), path.hash_part(), path.name()), text, "a path has other parts");
    }
    if let Ok(hash) = Sha256::parse(text) {
        assert_eq!(Sha256::parse(&hash.to_string()), Ok(hash), "a hash changes when it is written");
    }
}

/// A key that is read is written and read the same; a secret one signs what its public one verifies. Nothing else is a signature.
pub fn cache_key(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(key) = PublicKey::parse(text) {
        assert_eq!(PublicKey::parse(&key.to_string()).as_ref(), Ok(&key), "a key changes when it is written");
        assert!(!key.verify(b"anything", text), "a key is taken for a signature");
    }
    if let Ok(key) = SecretKey::parse(text) {
        assert!(key.public().verify(data, &key.sign(data)), "a signature is not good");
        assert_eq!(key.to_text().expose().as_str(), text.trim(), "a key changes when it is written");
    }
    if let Ok(keys) = TrustedKeys::parse(text) {
        assert_eq!(TrustedKeys::parse(&keys.to_string()), Ok(keys), "keys change when they are written");
    }
}

/// The file of a NAR, by its first byte in one of the compressions, is unpacked within its limit or refused; what it unpacks to is
/// hashed as it is.
pub fn nar(data: &[u8]) {
    const LIMIT: u64 = 1 << 20;
    let Some((first, file)) = data.split_first() else {
        return;
    };
    let compression = match first % 3 {
        0 => Compression::None,
        1 => Compression::Zstd,
        _ => Compression::Xz,
    };
    let Ok((hash, size)) = freehold_cache::digest(file, &compression, LIMIT) else {
        return;
    };
    assert!(size <= LIMIT, "{size} bytes were unpacked");
    if compression == Compression::None {
        assert_eq!((hash, size), (Sha256::of(file), file.len() as u64), "it is not hashed as it is");
    }
}

/// A text that nobody has signed is no signature of anything, of whatever form it is: of a narinfo, of a manifest, among others.
pub fn signature(data: &[u8]) {
    use freehold_manifest::Manifest;
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    // A key of the fuzzer's own, the same each time; nobody has signed with it.
    let Ok(key) = PublicKey::parse("k:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=") else {
        return;
    };
    assert!(!key.verify(b"anything", text), "`{text}` is taken for a signature");
    let trusted = TrustedKeys::new(vec![key]);
    let texts: Vec<String> = text.lines().map(str::to_owned).collect();
    assert!(trusted.signer(b"anything", &texts).is_none(), "one of several is taken for a signature");
    let (name, sig) = text.split_once(':').unwrap_or(("k", text));
    let manifest = serde_json::json!({
        "version": 1, "generation": "2026-11-21T12:00:00Z", "services": [], "signatures": [{ "key": name, "sig": sig }],
    });
    assert!(Manifest::verify(manifest.to_string().as_bytes(), &trusted).is_err(), "a manifest is taken for signed");
}

/// An `.env` that is read keeps its bytes; a value that is set is read back, and what stands in the other lines stays.
pub fn recipe_env(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(env) = EnvFile::parse("fuzz.env", text) else {
        return;
    };
    assert_eq!(env.text(), text, "reading changes a text");
    let _ = AppType::of(&env);
    for assignment in env.assignments() {
        let _ = Modifiers::of(assignment);
    }
    let value = text.lines().last().unwrap_or_default();
    for name in env.variables().into_keys().take(3).chain(["FUZZ".to_owned()]) {
        let mut changed = env.clone();
        if changed.set(&name, value).is_ok() {
            assert_eq!(changed.get(&name), Some(value), "a value changes when it is written");
            assert!(changed.assignments().len() >= env.assignments().len(), "an assignment is lost");
        }
        let mut removed = env.clone();
        assert_eq!(removed.unset(&name), env.get(&name).is_some(), "it is not told whether `{name}` was there");
        assert_eq!(removed.get(&name), None, "`{name}` stays after its removal");
        let others = env.assignments().iter().filter(|assignment| assignment.name != name).map(|other| &other.name);
        let left = removed.assignments().iter().map(|assignment| &assignment.name);
        assert!(left.eq(others), "removing `{name}` removes others");
    }
}

/// An `abra.sh` never panics, and what it exports can be written as it was read.
pub fn recipe_abra_sh(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(read) = AbraSh::parse("abra.sh", text) else {
        return;
    };
    for (name, value) in read.exports.iter().filter(|(_, value)| !value.contains('\'')) {
        let again = AbraSh::parse("abra.sh", &format!("export {name}='{value}'\n"));
        assert!(again.is_ok_and(|again| again.exports.get(name) == Some(value)), "`{name}` changes when it is written");
    }
}

/// A version is read back as it was written, and two of them have one order, and the same distance either way.
pub fn recipe_version(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let read: Vec<Version> = text.lines().take(8).filter_map(|line| line.parse().ok()).collect();
    for a in &read {
        assert_eq!(a.to_string().parse().as_ref(), Ok(a), "a version changes when it is written");
        for b in &read {
            assert_eq!(a.cmp(b), b.cmp(a).reverse(), "`{a}` and `{b}` have two orders");
            assert_eq!(a.jumps(b).longest(), b.jumps(a).longest(), "`{a}` and `{b}` have two distances");
        }
    }
    let mut sorted = read.clone();
    sorted.sort();
    assert!(sorted.windows(2).all(|pair| pair[0] <= pair[1]), "an order that does not hold");
    if let Ok(pin) = text.parse::<Pin>() {
        assert_eq!(pin.to_string().parse().as_ref(), Ok(&pin), "a pin changes when it is written");
    }
}

/// A compose file never panics, as it is written or as it is composed; what is put into a stack is read back from what is deployed.
pub fn recipe_compose(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let file = ComposeFile::parse("compose.yml", text);
    let Ok(mut stack) = Stack::parse(text) else {
        return;
    };
    let _ = Backup::of(&stack);
    if let (Ok(file), Ok(env)) = (file, EnvFile::parse("fuzz.env", "A=1\n")) {
        let files = [file];
        let _ = freehold_recipe::secrets(&stack, &files, &env, Some(&env));
        let subject = Subject {
            files: &files,
            texts: &std::collections::BTreeMap::new(),
            env: &env,
            sample: None,
            abra_sh: &AbraSh::default(),
            stack: &stack,
            stack_name: "s",
            domain: "s.org",
            tags: &[],
            wildcard: Some("org"),
            taken: &[],
            served: &[],
        };
        let _ = lint(&subject);
    }
    stack.set_label("fuzz", "$1");
    let services: Vec<_> = stack.services().collect();
    assert!(services.iter().all(|service| service.labels().get("fuzz") == Some(&"$1")), "a label is lost");
    let deployed: Result<serde_json::Value, _> = serde_json::from_str(&stack.to_deploy());
    assert!(deployed.is_ok(), "what is deployed is not JSON");
}
