//! State that other members hold: NixOps4 deployments with their own providers and state file, S3 objects, state files.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a panic is the report of a test"
)]

mod common;

use common::{Place, assert_has, assert_lacks, copy, fixture};
use freehold_testkit::repository_root;
use freehold_testkit::s3::{Fault, S3Server};

/// The example of the repository, with a provider that speaks protocol v0 in the place of NixOps4's.
fn nixops4() -> Place {
    let mut place = Place::new();
    let bin = place.scratch.dir("bin");
    std::os::unix::fs::symlink(fixture("nixops4-provider.py"), bin.join("nixops4-resources-local")).unwrap_or_default();
    place.env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
    copy(&repository_root().join("examples/nixops4"), &place.dir);
    let ledger = place.scratch.join("ledger").display().to_string();
    place.env("NIXOPS4_LEDGER", ledger);
    place
}

fn ledger(place: &Place) -> String {
    let text = place.scratch.read("ledger");
    place.scratch.write("ledger", "");
    text
}

#[test]
fn a_nixops4_deployment_is_applied_as_it_is_and_its_state_file_follows() {
    let place = nixops4();
    let plan = place.run(&["plan"]);
    assert_has(&plan.stdout, "3 to create");
    assert_has(&plan.stdout, "contents = (known after apply)");
    place.run(&["apply", "--yes"]);
    assert!(place.read("greeting.txt").starts_with("hello from "));
    assert_has(&place.read("nixops4-state.json"), "nixopsState");
    assert_has(&place.read("nixops4-state.json"), "/resources/greeting");
    // In NixOps4 a stateless file is made anew by each apply; here it is recorded.
    ledger(&place);
    place.assert_no_change();
    assert_lacks(&ledger(&place), "create");

    let text = place.read("nixops4.nix").replace(" from ", " out of ").replace("\"hello\"", "\"bye\"");
    place.write("nixops4.nix", text);
    place.run(&["apply", "--yes"]);
    let asked = ledger(&place);
    // A `file` has no update: its provider would refuse.
    assert_has(&asked, "createResourceRequest file");
    assert_has(&asked, "updateResourceRequest memo");
    assert_lacks(&asked, "updateResourceRequest file");
    // A memo keeps what it was initialised with.
    assert!(place.read("greeting.txt").starts_with("hello out of "));
    assert_has(&place.read("nixops4-state.json"), "\"bye\"");
    place.assert_no_change();
}

#[test]
fn a_record_that_leaves_a_nixops4_document_is_taken_out_of_it() {
    let place = nixops4();
    place.run(&["apply", "--yes"]);
    let resources = || {
        let text = place.read("nixops4-state.json");
        let found = freehold_state::import_nixops4(text.as_bytes()).unwrap();
        found.into_keys().map(|member| member.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(resources(), ["greeting"]);
    let held = place.read("nixops4.nix");
    let here = held.replace("state = [ \"state\" ];", "");
    assert_ne!(held, here);
    place.write("nixops4.nix", here);
    place.run(&["apply", "--yes"]);
    assert_eq!(resources(), [] as [&str; 0]);
    assert_has(&place.run(&["state", "list", "greeting"]).stdout, "greeting");
    place.assert_no_change();
    // And back again, without a change of the object.
    place.write("nixops4.nix", held);
    place.run(&["apply", "--yes"]);
    assert_eq!(resources(), ["greeting"]);
    place.assert_no_change();
}

#[test]
fn what_a_nixops4_document_does_not_take_is_recorded_all_the_same_and_told_to_it_later() {
    let place = nixops4();
    let one = place.read("nixops4.nix");
    let other =
        r#"other.resource = (local "memo" { initialize_with = "o"; } [ ]).resource // { state = [ "state" ]; };"#;
    place.write("nixops4.nix", one.replace("site.members", &format!("{other} site.members")));
    place.write("full", "");
    let applied = place.run(&["apply", "--yes"]);
    assert_has(&applied.stdout, "4 created");
    assert_has(&applied.stderr, "the state that `state` holds does not follow: ");
    assert_has(&applied.stderr, "no space left");
    assert_has(&place.run(&["state", "list", "greeting"]).stdout, "held by state");
    assert_lacks(&place.read("nixops4-state.json"), "/resources/greeting");
    place.assert_no_change();
    // An apply that has nothing else to do catches up.
    std::fs::remove_file(place.dir.join("full")).unwrap();
    let again = place.run(&["apply", "--yes"]);
    assert_lacks(&again.stderr, "does not follow");
    assert_has(&place.read("nixops4-state.json"), "/resources/greeting");
    place.assert_no_change();
    // So does what was forgotten in the meantime.
    assert_has(&place.read("nixops4-state.json"), "/resources/other");
    place.write("nixops4.nix", one);
    place.write("full", "");
    place.run(&["apply", "--yes", "--forget", "other"]);
    assert_lacks(&place.read("nixops4-state.json"), "\"remove\"");
    std::fs::remove_file(place.dir.join("full")).unwrap();
    place.run(&["apply", "--yes"]);
    assert_has(&place.read("nixops4-state.json"), "\"remove\"");
    place.assert_no_change();
}

#[test]
fn a_clone_of_a_nixops4_deployment_goes_on_from_its_state_file() {
    let place = nixops4();
    place.run(&["apply", "--yes"]);
    let clone = place.second_machine();
    ledger(&place);
    clone.run(&["apply", "--yes"]);
    assert_lacks(&ledger(&place), "createResourceRequest memo");
    let list = clone.run(&["state", "list"]).stdout;
    assert_has(&list, "greeting");
    assert_has(&list, "held by state");
    clone.assert_no_change();
    // What is changed there is written to the same document.
    let text = clone.read("nixops4.nix").replace("\"hello\"", "\"bye\"");
    clone.write("nixops4.nix", text);
    clone.run(&["apply", "--yes"]);
    assert_has(&clone.read("nixops4-state.json"), "\"bye\"");
}

#[test]
fn what_protocol_v0_cannot_delete_is_refused_and_can_be_forgotten() {
    let place = nixops4();
    place.run(&["apply", "--yes"]);
    let refused = place.fails(1, &["destroy", "--yes"]);
    assert_has(&refused.stderr, "`site.page`: cannot be deleted: type `file` of its provider has no delete");
    assert_has(&refused.stderr, "`--forget site.page` drops it from the record and leaves its object in the world");
    assert!(place.has("greeting.txt"));
    let forget = ["destroy", "--yes", "--forget", "site.page", "--forget", "greeting", "--forget", "state"];
    place.run(&forget);
    assert!(place.has("greeting.txt"), "it is forgotten, not deleted");
    assert_eq!(place.run(&["state", "list"]).stdout, "");
    // The document has let go of it, too.
    assert_has(&place.read("nixops4-state.json"), "\"remove\"");
}

#[test]
fn records_of_a_nixops4_state_file_are_imported() {
    let old = nixops4();
    old.run(&["apply", "--yes"]);
    let place = nixops4();
    place.write("old.json", old.read("nixops4-state.json"));
    let imported = place.run(&["state", "import", "old.json"]);
    assert_has(&imported.stdout, "imported 1 record");
    assert_has(&place.run(&["state", "list"]).stdout, "greeting");
    let plan = place.run(&["plan"]).stdout;
    assert_has(&plan, "2 to create, 0 to update");
    assert_lacks(&plan, "+   greeting");
    place.run(&["apply", "--yes"]);
    assert_lacks(&ledger(&place), "createResourceRequest memo");
    place.assert_no_change();
}

#[test]
fn a_type_that_a_v0_provider_does_not_know_fails_with_its_words() {
    let place = nixops4();
    let text = place.read("nixops4.nix").replace("\"memo\"", "\"mermo\"");
    place.write("nixops4.nix", text);
    let failed = place.fails(1, &["apply", "--yes"]);
    assert_has(&failed.stderr, "LocalResourceProvider::create: unknown resource type: mermo");
}

/// An S3 server with one bucket, and a deployment that may use it.
fn bucket(members: &str) -> (S3Server, Place) {
    let server = S3Server::start();
    server.create_bucket("bucket");
    let mut place = Place::new();
    place.env("AWS_ACCESS_KEY_ID", S3Server::ACCESS_KEY);
    place.env("AWS_SECRET_ACCESS_KEY", S3Server::SECRET_KEY);
    place.env("ENDPOINT", server.endpoint());
    in_bucket(&server, &place, members);
    (server, place)
}

/// Deploys `members` beside two holders, an object `x` and a file `y`.
fn in_bucket(server: &S3Server, place: &Place, members: &str) {
    place.deploy(&format!(
        r#"members.x = {{ type = providers.s3.object; inputs = {{ endpoint = "{}"; bucket = "bucket"; key = "state"; }}; }};
           members.y = {{ type = providers.local.state_file; inputs.path = "y.jsonl"; }};
           {members}"#,
        server.endpoint()
    ));
}

const KEY: &str = r#"members.key = { type = providers.ssh.keypair; state = members.x; };
    members.page = { type = providers.local.file; inputs = { path = "page"; contents = members.key.outputs.publicKey; }; };"#;

#[test]
fn a_record_is_held_by_an_object_in_a_bucket_and_nowhere_else() {
    let (server, place) = bucket(KEY);
    place.run(&["apply", "--yes"]);
    place.assert_no_change();
    let page = place.read("page");
    // Seen by every command that shows records.
    assert_has(&place.run(&["state", "list"]).stdout, "held by x");
    assert_has(&place.run(&["show", "key"]).stdout, "outputs.publicKey");
    assert_has(&place.run(&["outputs"]).stdout, "key.outputs.publicKey");
    assert_eq!(place.run(&["outputs", "key", "publicKey", "--raw"]).stdout.trim(), page.trim());
    assert_has(&place.run(&["history", "key"]).stdout, "key");
    assert_has(&place.run(&["status"]).stdout, "the state held by `x` (1 record)");
    assert_has(&place.run(&["drift"]).stdout, "4");
    // An operation of it is recorded where it is, and its dependents follow.
    place.run(&["run", "key", "rotate"]);
    place.run(&["apply", "--yes"]);
    assert_ne!(place.read("page"), page);
    let page = place.read("page");

    // A second machine has the key of the operator and no state of its own: what is held is taken as it is.
    let second = place.second_machine();
    second.run(&["apply", "--yes"]);
    assert_eq!(second.read("page"), page);
    second.assert_no_change();
    // Where the holder is down, nothing is decided.
    server.inject(Fault::Unavailable, "GET", "/bucket/state", 100);
    let down = place.fails(1, &["plan"]);
    assert_has(&down.stderr, "`x`: the state that it holds cannot be read");
    server.clear_faults();

    // What is removed goes, with its record.
    in_bucket(&server, &place, "");
    let removal = place.run(&["apply", "--yes"]);
    assert_has(&removal.stdout, "2 deleted");
    place.assert_no_change();
    assert_lacks(&place.run(&["state", "list"]).stdout, "key");
}

#[test]
fn what_is_held_is_exported_looked_back_on_and_rekeyed_with_the_rest() {
    let (_server, place) = bucket(KEY);
    place.run(&["apply", "--yes"]);
    let export = place.run(&["state", "export"]).stdout;
    assert_has(&export, "\"key\"");
    assert_has(&export, "\"page\"");
    assert_lacks(&place.run(&["state", "history"]).stdout, "key create");
    assert_has(&place.run(&["state", "history", "--held-by", "x"]).stdout, "key create");
    assert_has(&place.run(&["state", "diff", "0", "--held-by", "x"]).stdout, "+ key");
    let none = place.fails(1, &["state", "history", "--held-by", "page"]);
    assert_has(&none.stderr, "`page` holds no log");

    // A second operator is let in: what is held opens for both.
    let identity = place.scratch.join("second-operator");
    let recipient = place.call(&["identity"]).env("FREEHOLD_IDENTITY", &identity).run().success().stdout;
    place.write("freehold.recipients", place.read("freehold.recipients") + &recipient);
    place.run(&["state", "rekey"]);
    let mut second = place.second_machine();
    second.env("FREEHOLD_IDENTITY", identity.display().to_string());
    second.run(&["apply", "--yes"]);
    assert_eq!(second.read("page"), place.read("page"));
    second.assert_no_change();
    place.assert_no_change();
}

#[test]
fn a_holder_that_is_renamed_goes_on_holding() {
    let members = |holder: &str| {
        format!(
            r#"members.{holder} = {{ type = providers.local.state_file; inputs.path = "held"; }};
               members.f = {{ type = providers.local.file; inputs = {{ path = "f"; contents = "x"; }}; state = members.{holder}; }};
               members.g = {{ type = providers.local.file; inputs = {{ path = "g"; contents = members.f.outputs.sha256; }}; }};"#
        )
    };
    let place = Place::with(&members("before"));
    place.run(&["apply", "--yes"]);
    place.deploy(&members("after"));
    place.run(&["apply", "--yes"]);
    place.assert_no_change();
    assert_has(&place.run(&["state", "list", "f"]).stdout, "held by after");
    assert_lacks(&place.run(&["members"]).stdout, "not made yet");
    let refused = place.fails(1, &["state", "rm", "--yes", "after"]);
    assert_has(&refused.stderr, "`after` holds records, that of `f` among them");
    place.run(&["destroy", "--yes"]);
    assert!(!place.has("f") && !place.has("g") && !place.has("held"));
}

#[test]
fn a_holder_is_renamed_together_with_what_it_holds() {
    let members = |holder: &str, held: &str, moved: &str| {
        format!(
            r#"members.{holder} = {{ type = providers.local.state_file; inputs.path = "held"; {moved} }}; {held}
               members.own = {{ type = providers.local.file; inputs = {{ path = "own"; contents = "x"; }}; }};"#
        )
    };
    let password = |name: &str, holder: &str, moved: &str| {
        format!("members.{name} = {{ type = providers.local.password; state = members.{holder}; {moved} }};")
    };
    let first = members("st", &password("b", "st", ""), "");
    // Both by word.
    let place = Place::with(&first);
    place.run(&["apply", "--yes"]);
    let before = place.run(&["state", "show", "b", "--json"]).stdout;
    let moved = password("c", "st2", "lifecycle.moved = [ \"b\" ];");
    place.deploy(&members("st2", &moved, "lifecycle.moved = [ \"st\" ];"));
    let plan = place.run(&["plan"]).stdout;
    assert_has(&plan, "0 to create, 0 to update, 2 to move, 1 to write down as it is, 0 to delete");
    let applied = place.run(&["apply", "--yes"]);
    assert_has(&applied.stdout, "2 moved");
    place.assert_no_change();
    assert_has(&place.run(&["state", "list", "c"]).stdout, "held by st2");
    let id = |text: &str| text.lines().find(|l| l.contains("\"began\"")).map(str::to_owned);
    assert_eq!(id(&place.run(&["state", "show", "c", "--json"]).stdout), id(&before));
    place.run(&["destroy", "--yes"]);
    assert!(!place.has("held") && !place.has("own"));

    // The holder by word, and what it held is gone.
    let place = Place::with(&first);
    place.run(&["apply", "--yes"]);
    place.deploy(&members("st2", "", "lifecycle.moved = [ \"st\" ];"));
    assert_has(&place.run(&["apply", "--yes"]).stdout, "1 deleted, 1 moved");
    place.assert_no_change();
    place.run(&["destroy", "--yes"]);
    assert!(!place.has("held"));

    // Both with the composite that has them.
    let inside = |name: &str, moved: &str| {
        format!(
            r#"{moved} members.{name} = {{ members, ... }}: {{
                 members.st = {{ type = providers.local.state_file; inputs.path = "held"; }};
                 members.b = {{ type = providers.local.password; state = members.st; }};
               }};"#
        )
    };
    let place = Place::with(&inside("g", ""));
    place.run(&["apply", "--yes"]);
    place.deploy(&inside("h", r#"moved = [ { from = "g"; to = "h"; } ];"#));
    assert_lacks(&place.run(&["plan"]).stdout, "no longer declared");
    assert_has(&place.run(&["apply", "--yes"]).stdout, "2 moved");
    place.assert_no_change();
    assert_has(&place.run(&["state", "list", "h.b"]).stdout, "held by h.st");
    place.run(&["destroy", "--yes"]);
    assert!(!place.has("held"));
}

#[test]
fn what_cannot_hold_state_is_refused_by_the_plan() {
    let members = |held: &str| {
        format!(
            r#"members.c = {{ members.x = {{ type = providers.local.random; inputs.bytes = 4; }}; }};
               members.r = {{ type = providers.local.random; inputs.bytes = 4; }}; {held}"#
        )
    };
    let held = |name: &str, holder: &str| {
        format!(r#"members.{name} = {{ type = providers.local.random; inputs.bytes = 4; state = "{holder}"; }};"#)
    };
    let place = Place::with(&members(&format!("{}{}", held("in-c", "c"), held("in-r", "r"))));
    let assert_refused = || {
        let refused = place.fails(1, &["plan"]).stderr;
        assert_has(
            &refused,
            "`in-c`: its record is to be held by `c`, which cannot hold state: it is a composite (`state`)",
        );
        assert_has(
            &refused,
            "`in-r`: its record is to be held by `r`, which cannot hold state: its type is `random` (`state`)",
        );
    };
    assert_refused();
    let all = place.read("freehold.nix");
    place.deploy(&members(""));
    place.run(&["apply", "--yes"]);
    place.write("freehold.nix", all);
    assert_refused();
}

#[test]
fn what_comes_after_or_is_held_by_a_member_decided_at_apply_waits_for_it() {
    let place = Place::with(
        r#"members.a = { type = providers.local.random; inputs.bytes = 4; };
           members.h.members = if members.a.outputs.hex != "" then {
             k = { type = providers.local.state_file; inputs.path = "held"; };
             f = { type = providers.local.file; inputs = { path = "first"; contents = "x"; }; };
           } else { };
           members.p = { type = providers.local.password; state = "h.k"; };
           members.w = { type = providers.local.exec; inputs = { executable = "/bin/sh"; args = [ "-c" "cat first" ]; }; dependsOn = [ "h.f" ]; };"#,
    );
    assert_has(&place.run(&["apply", "--yes"]).stdout, "5 created");
    assert_has(&place.run(&["state", "list", "p"]).stdout, "held by h.k");
    place.assert_no_change();
}

#[test]
fn a_holder_cannot_be_held_itself() {
    let place = Place::with(
        r#"members.st = { type = providers.local.state_file; inputs.path = "one"; };
           members.st2 = { type = providers.local.state_file; inputs.path = "two"; state = members.st; };
           members.f = { type = providers.local.file; inputs = { path = "f"; contents = "x"; }; state = members.st2; };"#,
    );
    let refused = place.fails(1, &["apply", "--yes"]);
    assert_has(&refused.stderr, "`st2`: holds state, and is to be held by `st` itself (`state`)");
    assert!(!place.has("f"));
}

#[test]
fn a_destroy_deletes_what_is_held_before_its_holder() {
    let (server, place) = bucket(KEY);
    place.run(&["apply", "--yes"]);
    let destroyed = place.run(&["destroy", "--yes", "--parallelism", "1"]);
    let at = |text: &str| destroyed.stderr.find(text).unwrap_or_else(|| panic!("{text}: {}", destroyed.stderr));
    assert!(at("page: deleted") < at("key: deleting"), "{}", destroyed.stderr);
    assert!(at("key: deleted") < at("x: deleting"), "{}", destroyed.stderr);
    assert_eq!(place.run(&["state", "list"]).stdout, "");
    assert_eq!(server.objects("bucket").len(), 0, "the bucket is as it was");
}

#[test]
fn records_move_when_the_deployment_names_another_holder() {
    let held_by =
        |holder: &str| format!("members.id = {{ type = providers.local.random; inputs.bytes = 4; {holder} }};");
    let (server, place) = bucket(&held_by(""));
    place.run(&["apply", "--yes"]);
    let hex = place.run(&["outputs", "id", "hex", "--raw"]).stdout;
    for (holder, said) in [
        ("state = members.x;", "held by x"),
        ("state = members.y;", "held by y"),
        ("state = members.x;", "held by x"),
        ("", ""),
    ] {
        in_bucket(&server, &place, &held_by(holder));
        place.run(&["apply", "--yes"]);
        place.assert_no_change();
        let list = place.run(&["state", "list", "id"]).stdout;
        assert_eq!(list.lines().count(), 1, "{list}");
        assert_has(&list, said);
        assert_eq!(place.run(&["outputs", "id", "hex", "--raw"]).stdout, hex, "the same object");
    }
    assert_lacks(&place.run(&["state", "list"]).stdout, "held by");
    place.run(&["destroy", "--yes"]);
    assert_eq!(server.objects("bucket").len(), 0);
}

#[test]
fn a_member_that_is_renamed_keeps_its_object_and_its_holder() {
    let (server, place) =
        bucket("members.id = { type = providers.local.random; inputs.bytes = 4; state = members.x; };");
    place.run(&["apply", "--yes"]);
    let hex = place.run(&["outputs", "id", "hex", "--raw"]).stdout;
    in_bucket(
        &server,
        &place,
        "members.new = { type = providers.local.random; inputs.bytes = 4; state = members.x; lifecycle.moved = [ \"id\" ]; };",
    );
    place.run(&["apply", "--yes"]);
    place.assert_no_change();
    assert_eq!(place.run(&["outputs", "new", "hex", "--raw"]).stdout, hex);
    place.run(&["state", "mv", "new", "newer"]);
    assert_has(&place.run(&["state", "list", "newer"]).stdout, "held by x");
    place.run(&["state", "rm", "--yes", "newer"]);
    assert_lacks(&place.run(&["state", "list"]).stdout, "newer");
}

#[test]
fn what_is_asked_for_brings_its_holder_along_and_a_holder_is_not_lost_by_mistake() {
    let members = |file: &str| {
        format!(
            r#"members.x = {{ type = providers.local.state_file; inputs.path = "{file}"; }};
               members.other = {{ type = providers.local.memo; inputs.initialize_with = 1; }};
               members."q\"d.o t" = {{ type = providers.local.file; state = members.x; inputs = {{ path = "f"; contents = "x"; }}; }};
               members.imp = {{ type = providers.local.file; state = members.x; inputs = {{ path = "have"; contents = "mine"; }}; }};"#
        )
    };
    let place = Place::with(&members("x.jsonl"));
    place.write("have", "theirs");
    let early = place.fails(1, &["import", "imp", "have"]);
    assert_has(&early.stderr, "its record is to be held by `x`, which is not there yet");
    let targeted = place.run(&["apply", "--yes", r#""q\"d.o t""#]);
    assert_has(&targeted.stdout, "2 created");
    // An object that exists is imported into the log that is to have it.
    place.run(&["import", "imp", "have"]);
    assert_has(&place.run(&["state", "list", "imp"]).stdout, "held by x");
    assert_has(&place.run(&["apply", "--yes"]).stdout, "1 created, 1 updated");
    place.assert_no_change();

    place.deploy(&members("z.jsonl"));
    let refused = place.fails(1, &["plan"]);
    assert_has(&refused.stderr, "`x`: would be replaced and holds records");
    place.deploy(&members("x.jsonl"));
    std::fs::rename(place.dir.join("x.jsonl"), place.dir.join("away")).unwrap_or_default();
    for command in [&["plan"][..], &["destroy", "--yes"]] {
        let refused = place.fails(1, command);
        assert_has(&refused.stderr, "`x`: the state that it holds cannot be read");
        assert_has(&refused.stderr, "--forget x");
    }
    std::fs::rename(place.dir.join("away"), place.dir.join("x.jsonl")).unwrap_or_default();
    place.run(&["destroy", "--yes"]);
    assert!(!place.has("f") && !place.has("have") && !place.has("x.jsonl"));
}

#[test]
fn an_apply_that_is_killed_between_holder_and_held_is_taken_up_again() {
    let slow = r#"members.id = { type = providers.local.random; inputs.bytes = 4; state = members.x; };
        members.slow = { type = providers.local.exec; state = members.x;
          inputs = { executable = "/bin/sh"; args = [ "-c" "touch begun; sleep 600; echo ${members.id.outputs.hex}" ]; }; };"#;
    let (server, place) = bucket(slow);
    let mut apply = place.call(&["apply", "--yes"]).spawn();
    wait_until("the member runs", || place.has("begun"));
    apply.signal_group("KILL");
    let _ = apply.wait_at_most(std::time::Duration::from_secs(30));
    drop(apply);
    let list = place.run(&["state", "list"]);
    assert_has(&list.stdout, "id");
    assert_has(&list.stderr, "create of `slow` was begun");
    // The lock of the held log is its lease's; the operator knows that the run is gone.
    let hex = place.run(&["outputs", "id", "hex", "--raw"]).stdout;
    in_bucket(&server, &place, &slow.replace("sleep 600", "true"));
    let blocked = place.call(&["apply", "--yes"]).run();
    if blocked.code != 0 {
        assert_has(&blocked.stderr, "lock");
        place.run(&["state", "unlock", "--yes"]);
        place.run(&["apply", "--yes"]);
    }
    place.assert_no_change();
    assert_eq!(place.run(&["outputs", "id", "hex", "--raw"]).stdout, hex, "the id is the one that was made");
}

#[test]
fn what_a_killed_run_left_open_in_a_held_log_stays_open_until_its_member_is_planned() {
    let slow = |run: &str| {
        format!(
            r#"members.y = {{ type = providers.local.state_file; inputs.path = "y.jsonl"; }};
               members.many.members = builtins.listToAttrs (map (n: {{ name = "m${{toString n}}"; value = {{
                 type = providers.local.memo; inputs.initialize_with = n; }}; }}) (builtins.genList (n: n) 20));
               members.slow.members = builtins.listToAttrs (map (n: {{ name = "s${{toString n}}"; value = {{
                 type = providers.local.exec; state = members.y; inputs = {{ executable = "/bin/sh"; args = [ "-c" "{run}" ]; }}; }}; }})
                 (builtins.genList (n: n) 4));
               members.other = {{ type = providers.local.memo; inputs.initialize_with = 1; state = members.y; }};"#
        )
    };
    let place = Place::with(&slow("touch begun$$; sleep 600"));
    place.run(&["apply", "--yes", "many"]);
    let mut apply = place.call(&["apply", "--yes", "slow"]).spawn();
    let begun = || std::fs::read_dir(&place.dir).unwrap().flatten().map(|e| e.file_name()).collect::<Vec<_>>();
    wait_until("all run", || begun().iter().filter(|n| n.to_string_lossy().starts_with("begun")).count() == 4);
    apply.signal_group("KILL");
    let _ = apply.wait_at_most(std::time::Duration::from_secs(30));
    drop(apply);
    place.run(&["state", "unlock", "--yes"]);
    let open = || {
        let said = place.run(&["state", "list"]).stderr;
        (0..4).filter(|n| said.contains(&format!("create of `slow.s{n}` was begun"))).count()
    };
    assert_eq!(open(), 4);
    place.run(&["apply", "--yes", "other"]);
    assert_eq!(open(), 4, "none was overwritten by the operation on `other`");
    place.deploy(&slow("true"));
    place.run(&["apply", "--yes"]);
    place.assert_no_change();
    assert_eq!(open(), 0);
}

const TWO_HOLDERS: &str = r#"members.x = { type = providers.local.state_file; inputs.path = "x.jsonl"; };
    members.y = { type = providers.local.state_file; inputs.path = "y.jsonl"; };"#;

#[test]
fn a_lock_that_was_taken_is_given_back_when_another_cannot_be_had() {
    let members = |n: u8| {
        format!(
            "{TWO_HOLDERS}
             members.a = {{ type = providers.local.memo; inputs.initialize_with = {n}; state = members.x; }};
             members.b = {{ type = providers.local.memo; inputs.initialize_with = {n}; state = members.y; }};
             members.c = {{ type = providers.local.file; inputs = {{ path = \"c\"; contents = \"{n}\"; }}; }};"
        )
    };
    let place = Place::with(&members(1));
    place.run(&["apply", "--yes"]);
    place.deploy(&members(2));
    place.write("y.jsonl.lock", r#"{ "token": "t", "owner": { "user": "bob" }, "expires": 9999999999, "fence": 9 }"#);
    let refused = place.fails(1, &["apply", "--yes"]);
    assert_has(&refused.stderr, "bob");
    assert_has(&place.read("x.jsonl.lock"), r#""token":null"#);
}

#[test]
fn the_lock_of_a_held_log_is_renewed_while_its_provider_is_busy_with_something_else() {
    let place = Place::with(&format!(
        r#"{TWO_HOLDERS}
           members.slow = {{ type = providers.local.exec; state = members.x; inputs = {{ executable = "/bin/sh"; args = [ "-c"
             "echo $PPID > starting; mv starting begun; while ! test -e go; do sleep 0.05; done" ]; }}; }};"#
    ));
    let mut apply = place.call(&["apply", "--yes"]).spawn();
    wait_until("the member runs", || place.has("begun"));
    let provider = place.read("begun").trim().to_owned();
    let signal = |name: &str| std::process::Command::new("kill").args([name, &provider]).status().unwrap();
    let expires = || {
        let lock: serde_json::Value = serde_json::from_str(&place.read("x.jsonl.lock")).unwrap_or_default();
        lock["expires"].as_i64().unwrap_or_default()
    };
    assert!(signal("-STOP").success());
    let before = expires();
    wait_until("the lease is longer", || expires() > before);
    assert!(signal("-CONT").success());
    place.write("go", "");
    assert_eq!(apply.wait_at_most(std::time::Duration::from_secs(60)).and_then(|s| s.code()), Some(0));
    place.assert_no_change();
}

#[test]
fn a_member_on_which_an_operation_is_open_can_be_given_another_holder() {
    let members = |run: &str, holder: &str| {
        let exec = |name: &str, always: &str| {
            format!(
                r#"members.{name} = {{ type = providers.local.exec; {holder} inputs = {{ executable = "/bin/sh"; args = [ "-c" "{always}{run}" ]; }}; }};"#
            )
        };
        format!("{TWO_HOLDERS} {} {}", exec("old", "touch old;"), exec("new", "touch new;"))
    };
    let place = Place::with(&members("", "state = members.x;"));
    place.run(&["apply", "--yes", "old"]);
    for (from, to) in
        [("state = members.x;", "state = members.y;"), ("state = members.y;", ""), ("", "state = members.x;")]
    {
        let _ = std::fs::remove_file(place.dir.join("old"));
        let _ = std::fs::remove_file(place.dir.join("new"));
        place.deploy(&members(&format!("sleep 600 # {}", to.len()), from));
        let mut apply = place.call(&["apply", "--yes"]).spawn();
        wait_until("both run", || place.has("old") && place.has("new"));
        apply.signal_group("KILL");
        let _ = apply.wait_at_most(std::time::Duration::from_secs(30));
        drop(apply);
        place.run(&["state", "unlock", "--yes"]);
        place.deploy(&members(&format!("true # {}", to.len()), to));
        place.run(&["apply", "--yes"]);
        place.assert_no_change();
        let list = place.run(&["state", "list"]);
        assert_lacks(&list.stderr, "was begun");
        let held = list.stdout.lines().filter(|l| l.contains("held by")).count();
        assert_eq!(held, if to.is_empty() { 0 } else { 2 }, "{}", list.stdout);
    }
}

#[track_caller]
fn wait_until(what: &str, done: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(180);
    while !done() {
        assert!(std::time::Instant::now() < deadline, "never: {what}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn a_composite_is_renamed_in_all_logs_that_have_something_of_it_or_in_none() {
    let holder = r#"members.x = { type = providers.local.state_file; inputs.path = "x.jsonl"; };"#;
    let place = Place::with(holder);
    place.run(&["apply", "--yes"]);
    place.deploy(&format!(
        "{holder}{}",
        r#"members.sub.members.own = { type = providers.local.memo; inputs.initialize_with = 1; };
           members.sub.members.held = { type = providers.local.memo; inputs.initialize_with = 2; state = members.x; };
           members.taken.members.held = { type = providers.local.memo; inputs.initialize_with = 3; state = members.x; };"#
    ));
    place.run(&["apply", "--yes"]);
    let refused = place.fails(1, &["state", "mv", "sub", "taken"]);
    assert_has(&refused.stderr, "`taken.held` has a record already");
    assert_has(&place.run(&["state", "list"]).stdout, "sub.own");
    assert_has(&place.run(&["state", "mv", "sub", "moved"]).stdout, "moved 2 records");
    let listed = place.run(&["state", "list"]).stdout;
    assert_has(&listed, "moved.own");
    assert_has(&listed, "moved.held");
    assert_lacks(&listed, "sub.");
}

/// The built-in provider `local`, as a program of somebody else that does not start while there is a file `broken`.
fn foreign(place: &Place, members: &str) {
    place.write(
        "foreign",
        format!(
            "#!/bin/sh\necho >> started\nif test -e broken; then rm broken; exit 3; fi\nexec {} internal provider local\n",
            freehold_testkit::freehold_binary().display()
        ),
    );
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(place.dir.join("foreign"), mode).unwrap();
    place.deploy(&format!(
        r#"providers.foreign = {{ executable = "./foreign"; types.state_file.outputs.path = {{ }}; }}; {members}"#
    ));
}

#[test]
fn a_holder_whose_provider_does_not_start_is_not_taken_for_one_that_holds_nothing() {
    let place = Place::new();
    foreign(
        &place,
        r#"members.x = { type = providers.foreign.state_file; inputs.path = "x.jsonl"; };
           members.f = { type = providers.local.file; inputs = { path = "f"; contents = "x"; }; state = members.x; };"#,
    );
    place.run(&["apply", "--yes"]);
    foreign(&place, "");
    for command in [&["destroy", "--yes"], &["apply", "--yes"]] {
        place.write("broken", "");
        let refused = place.fails(1, command);
        assert_has(&refused.stderr, "`x`: provider `foreign`");
        assert!(place.has("f") && place.has("x.jsonl"), "{}", refused.stderr);
    }
    assert_has(&place.run(&["plan"]).stdout, "2 to delete");
    place.run(&["destroy", "--yes"]);
    assert!(!place.has("f") && !place.has("x.jsonl"));
}

#[test]
fn a_provider_that_does_not_start_is_asked_once_in_a_command() {
    let place = Place::new();
    foreign(
        &place,
        r#"members.x = { type = providers.foreign.state_file; inputs.path = "x.jsonl"; };
           members.f = { type = providers.local.file; inputs = { path = "f"; contents = "x"; }; };"#,
    );
    place.run(&["apply", "--yes"]);
    place.write("foreign", "#!/bin/sh\necho >> started\nexit 3\n");
    for (code, command) in [(0, &["apply", "--yes", "--exclude", "x"][..]), (1, &["plan"]), (1, &["destroy", "--yes"])]
    {
        place.write("started", "");
        place.fails(code, command);
        assert_eq!(place.read("started").lines().count(), 1, "{command:?}");
    }
}

#[test]
fn a_held_log_that_forks_is_a_problem_and_not_an_empty_one() {
    let members = |n: u8| {
        format!(
            r#"members.x = {{ type = providers.local.state_file; inputs.path = "x.jsonl"; }};
               members.f = {{ type = providers.local.file; inputs = {{ path = "f"; contents = "{n}"; }}; state = members.x; }};"#
        )
    };
    let place = Place::with(&members(1));
    place.run(&["apply", "--yes"]);
    let before = place.read("x.jsonl");
    let went_on = |n: u8| {
        place.write("x.jsonl", &before);
        place.deploy(&members(n));
        place.run(&["apply", "--yes"]);
        place.read("x.jsonl")
    };
    let (one, other) = (went_on(2), went_on(3));
    place.write("x.jsonl", format!("{one}{}", &other[before.len()..]));
    for command in [&["plan"][..], &["destroy", "--yes"]] {
        let refused = place.fails(1, command);
        assert_has(&refused.stderr, "`x`: the state that it holds cannot be read: the state log forks");
        assert_lacks(&refused.stdout, "local.file");
        assert!(place.has("f") && place.has("x.jsonl"));
    }
    place.write("x.jsonl", other);
    place.run(&["destroy", "--yes"]);
    assert!(!place.has("f") && !place.has("x.jsonl"));
}

#[test]
fn an_object_that_could_hold_state_and_has_content_is_deleted_like_any_other() {
    let (server, place) = bucket("");
    let with_content = |members: &str| {
        place.deploy(&format!(
            r#"members.c = {{ type = providers.s3.object; inputs = {{ endpoint = "{}"; bucket = "bucket"; key = "c"; contents = "c"; }}; }}; {members}"#,
            server.endpoint()
        ));
    };
    with_content("");
    place.run(&["apply", "--yes"]);
    place.assert_no_change();
    place.run(&["destroy", "--yes"]);
    assert_eq!(server.objects("bucket").len(), 0);
}
