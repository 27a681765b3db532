//! State that other members hold: NixOps4 deployments with their own providers and state file, S3 objects, state files.

mod common;

use common::{Place, assert_has, assert_lacks, copy, fixture};
use freehold_testkit::repository_root;

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
