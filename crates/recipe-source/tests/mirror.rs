//! Recipes fetched from real repositories: versions, commits, remotes that are away, processes at once, and what leads astray.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use common::{World, git};
use freehold_recipe_source::{Mirror, NamedBy, Remote, SourceError, Wanted, WorkTree};

fn version(name: &str) -> Wanted {
    Wanted::Version(name.to_owned())
}

#[test]
fn versions_are_tags_and_each_is_a_commit() {
    let world = World::new();
    let recipe = world.recipe("blog", "first");
    let old = recipe.release("1.2.0+6.30.0");
    let new = recipe.release("1.10.0+6.42.0");
    recipe.git(&["tag", "1.9.0+6.41.0", &old]);
    recipe.git(&["tag", "nightly"]);
    let later = recipe.commit("not yet released");
    let mirror = Mirror::open("blog", &world.settings).unwrap();
    let names: Vec<String> = mirror.versions().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["1.2.0+6.30.0", "1.9.0+6.41.0", "1.10.0+6.42.0"]);
    let tags = mirror.tags();
    let light: Vec<&str> = tags.iter().filter(|tag| !tag.is_annotated).map(|tag| tag.name.as_str()).collect();
    assert_eq!(light, ["1.9.0+6.41.0", "nightly"]);
    let commit = |wanted: &Wanted| mirror.resolve(wanted).map(|revision| (revision.commit, revision.pin.to_string()));
    assert_eq!(commit(&Wanted::Newest).unwrap(), (new.clone(), "1.10.0+6.42.0".to_owned()));
    let light_version = version("1.9.0+6.41.0");
    assert_eq!(commit(&light_version).unwrap().0, old, "named, it is what it says");
    assert_eq!(commit(&version("1.2.0")).unwrap(), (old, "1.2.0+6.30.0".to_owned()));
    let short = later[..7].to_owned();
    assert_eq!(commit(&Wanted::Commit(short)).unwrap(), (later.clone(), later[..8].to_owned()));
    let error = commit(&version("1.10.0+6.43.0")).unwrap_err();
    assert_eq!(error.hint().unwrap(), "did you mean `1.10.0+6.42.0`?");
    for odd in ["HEAD", "main", "0000000", "-h", ""] {
        assert!(matches!(commit(&Wanted::Commit(odd.to_owned())), Err(SourceError::NoCommit { .. })), "{odd}");
    }
    assert_eq!(mirror.tree(&new).unwrap().texts()["compose.yml"], "1.10.0+6.42.0");
    let config = std::fs::read_to_string(mirror.path().join("config")).unwrap();
    assert!(!config.contains("remote") && !config.contains("url"), "{config}");
}

#[test]
fn a_lightweight_tag_is_no_release() {
    let world = World::new();
    let recipe = world.recipe("blog", "first");
    recipe.release("1.0.1+1");
    recipe.commit("later");
    recipe.git(&["tag", "1.1.0+1"]);
    let mirror = Mirror::open("blog", &world.settings).unwrap();
    let releases: Vec<String> = mirror.releases().iter().map(ToString::to_string).collect();
    assert_eq!((releases, mirror.versions().len()), (vec!["1.0.1+1".to_owned()], 2));
    assert_eq!(mirror.resolve(&Wanted::Newest).unwrap().pin.to_string(), "1.0.1+1");
    // Where there are no others, lint tells what it is.
    world.recipe("page", "first").git(&["tag", "1.0.0+1"]);
    let mirror = Mirror::open("page", &world.settings).unwrap();
    assert_eq!(mirror.resolve(&Wanted::Newest).unwrap().pin.to_string(), "1.0.0+1");
}

#[test]
fn a_recipe_without_versions_is_taken_at_its_default_branch() {
    let world = World::new();
    let recipe = world.recipe("page", "one");
    let two = recipe.commit("two");
    recipe.git(&["branch", "aside", "HEAD^"]);
    let newest = || Mirror::open("page", &world.settings).unwrap().resolve(&Wanted::Newest);
    assert_eq!(newest().unwrap().commit, two);
    // A HEAD that names no branch is no reason to fail.
    recipe.git(&["symbolic-ref", "HEAD", "refs/heads/gone"]);
    assert_eq!(newest().unwrap().commit, two);
    let empty = world.scratch.dir("recipes/empty");
    git(&empty, &["init", "--quiet"]);
    let mirror = Mirror::open("empty", &world.settings).unwrap();
    assert!(matches!(mirror.resolve(&Wanted::Newest), Err(SourceError::NoCommit { .. })));
}

#[test]
fn the_first_remote_that_applies_is_taken() {
    let mut world = World::new();
    let named = |recipe: &str, world: &World| {
        Remote::of(recipe, &world.settings).map(|remote| (remote.url().to_owned(), remote.named_by))
    };
    assert_eq!(named("blog", &world).unwrap().1, NamedBy::Base);
    world.settings.base = None;
    assert_eq!(
        named("blog", &world).unwrap(),
        ("https://git.coopcloud.tech/coop-cloud/blog.git".to_owned(), NamedBy::Forge)
    );
    let custom = named("mygit.org/me/cool", &world).unwrap();
    assert_eq!(custom, ("https://mygit.org/me/cool.git".to_owned(), NamedBy::Recipe));
    for (recipe, folder) in [("blog", "blog"), ("mygit.org/me/cool", "mygit_org_me_cool")] {
        let work_tree = world.scratch.dir(format!("abra/recipes/{folder}"));
        git(&work_tree, &["init", "--quiet"]);
        git(&work_tree, &["remote", "add", "origin", "ssh://git@git.example.org:2222/ours.git"]);
        let expected = ("ssh://git@git.example.org:2222/ours.git".to_owned(), NamedBy::AbraOrigin);
        assert_eq!(named(recipe, &world).unwrap(), expected);
        git(&work_tree, &["remote", "set-url", "origin", "https://me:canary@git.example.org/ours.git"]);
        let error = named(recipe, &world).unwrap_err();
        assert!(!format!("{error} {error:?} {:?}", error.hint()).contains("canary"), "{error:?}");
    }
    assert!(named("../blog", &world).is_err());
}

#[test]
fn a_remote_that_is_away_is_a_warning_when_there_is_a_mirror_and_an_error_when_there_is_none() {
    let mut world = World::new();
    let recipe = world.recipe("blog", "first");
    let commit = recipe.release("1.0.0+6");
    world.settings.offline = true;
    let error = Mirror::open("blog", &world.settings).unwrap_err();
    assert!(matches!(error, SourceError::Offline { .. }), "{error}");
    world.settings.offline = false;
    assert_eq!(Mirror::open("blog", &world.settings).unwrap().warnings, [""; 0]);
    std::fs::rename(&recipe.path, world.scratch.join("elsewhere")).unwrap();
    for offline in [false, true] {
        world.settings.offline = offline;
        let mirror = Mirror::open("blog", &world.settings).unwrap();
        assert_eq!(mirror.warnings.len(), usize::from(!offline), "{:?}", mirror.warnings);
        if !offline {
            let (since, why) = mirror.warnings[0].split_once("Z: ").unwrap();
            assert!(since.starts_with("using what was fetched at 20"), "{since}");
            assert!(why.starts_with("cannot fetch the recipe `blog`"), "{why}");
        }
        assert_eq!(
            mirror.tree(&mirror.resolve(&version("1.0.0")).unwrap().commit).unwrap().texts()["compose.yml"],
            "1.0.0+6"
        );
        assert_eq!(mirror.resolve(&Wanted::Newest).unwrap().commit, commit);
    }
    world.settings.offline = false;
    let error = Mirror::open("nobodys", &world.settings).unwrap_err();
    assert!(matches!(error, SourceError::Fetch { .. }) && error.to_string().contains("`nobodys`"), "{error}");
    let left: Vec<_> =
        std::fs::read_dir(&world.settings.cache).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("draft")), "{left:?}");
}

#[test]
fn a_version_that_was_moved_or_withdrawn_is_told_and_its_commit_stays() {
    let world = World::new();
    let recipe = world.recipe("blog", "first");
    let good = recipe.release("1.0.0+6");
    recipe.release("1.1.0+6");
    Mirror::open("blog", &world.settings).unwrap();
    recipe.git(&["tag", "--delete", "1.1.0+6"]);
    recipe.git(&["reset", "--quiet", "--hard", "HEAD^^"]);
    recipe.commit("another history");
    recipe.git(&["tag", "--annotate", "--force", "--message", "again", "1.0.0+6"]);
    let mirror = Mirror::open("blog", &world.settings).unwrap();
    assert_eq!(
        mirror.warnings,
        [
            "the version `1.0.0+6` is not what it was: its tag was moved",
            "the version `1.1.0+6` was withdrawn: its tag is gone"
        ]
    );
    assert_ne!(mirror.resolve(&version("1.0.0")).unwrap().commit, good);
    let pinned = mirror.resolve(&Wanted::Commit(good.clone())).unwrap();
    assert_eq!(mirror.tree(&pinned.commit).unwrap().texts()["compose.yml"], "1.0.0+6");
}

#[test]
fn branches_and_tags_are_renamed_below_and_above_their_own_names() {
    let mut world = World::new();
    let recipe = world.recipe("blog", "first");
    recipe.release("1.0.0+6");
    recipe.git(&["branch", "feature"]);
    recipe.git(&["branch", "deep/er/one"]);
    recipe.git(&["tag", "old"]);
    Mirror::open("blog", &world.settings).unwrap();
    recipe.git(&["branch", "--move", "feature", "feature/x"]);
    recipe.git(&["branch", "--move", "deep/er/one", "deep"]);
    recipe.git(&["tag", "--delete", "old"]);
    recipe.git(&["tag", "old/er"]);
    let commit = recipe.release("1.1.0+6");
    let refs = |path: &std::path::Path| git(path, &["for-each-ref", "--format=%(refname)", "refs/heads", "refs/tags"]);
    // A fetch that breaks behind what made room for it leaves what was there.
    let hook = world.scratch.write("hooks/reference-transaction", "#!/bin/sh\n! grep -q refs/heads/feature/x\n");
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    world.settings.git_settings.push(format!("core.hooksPath={}", hook.parent().unwrap().display()));
    let mirror = Mirror::open("blog", &world.settings).unwrap();
    assert!(mirror.warnings[0].contains("Z: cannot fetch the recipe `blog`"), "{:?}", mirror.warnings);
    assert!(mirror.warnings[0].contains("hook"), "{:?}", mirror.warnings);
    let before = "refs/heads/deep/er/one\nrefs/heads/feature\nrefs/heads/main\nrefs/tags/1.0.0+6\nrefs/tags/old";
    assert_eq!(refs(mirror.path()), before);
    world.settings.git_settings.clear();
    let mirror = Mirror::open("blog", &world.settings).unwrap();
    assert_eq!(mirror.warnings, ["the version `old` was withdrawn: its tag is gone"]);
    assert_eq!(mirror.resolve(&Wanted::Newest).unwrap().commit, commit);
    assert_eq!(refs(mirror.path()), refs(&recipe.path));
}

#[test]
fn a_fetch_that_is_stopped_leaves_nothing_and_the_next_one_does_not_mind_what_a_crash_left() {
    let mut world = World::new();
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("git://{}", silent.local_addr().unwrap());
    let files = world.settings.base.replace(url.clone());
    let (settings, stop) = (world.settings.clone(), world.settings.stop.clone());
    let opening = std::thread::spawn(move || Mirror::open("blog", &settings));
    // It has begun when it talks to the server, which never answers.
    let _connection = silent.accept().unwrap();
    stop.store(true, Ordering::Relaxed);
    let started = Instant::now();
    assert!(matches!(opening.join().unwrap(), Err(SourceError::Stopped { .. })));
    // It would wait for minutes on its own.
    assert!(started.elapsed() < Duration::from_secs(120));
    let left = || {
        let names = std::fs::read_dir(&world.settings.cache)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !name.ends_with(".lock")).collect::<Vec<_>>()
    };
    assert_eq!(left(), [""; 0]);
    stop.store(false, Ordering::Relaxed);
    world.settings.base = files;
    let recipe = world.recipe("blog", "first");
    let mirror = Mirror::open("blog", &world.settings).unwrap();
    // As a kill -9 leaves it: half a mirror beside the place, locks of git within.
    recipe.release("1.0.0+6");
    std::fs::create_dir_all(mirror.path().with_extension("draft")).unwrap();
    for lock in ["packed-refs.lock", "HEAD.lock", "refs/heads/main.lock"] {
        std::fs::write(mirror.path().join(lock), "").unwrap();
    }
    let mirror = Mirror::open("blog", &world.settings).unwrap();
    assert_eq!((mirror.warnings.len(), mirror.versions().len()), (0, 1));
    std::fs::remove_dir_all(mirror.path()).unwrap();
    Mirror::open("blog", &world.settings).unwrap();
    assert!(!mirror.path().with_extension("draft").exists());
}

#[test]
fn several_at_once_do_not_meet() {
    let world = World::new();
    let recipe = world.recipe("blog", "first");
    recipe.release("1.0.0+6");
    let open = |settings| move || Mirror::open("blog", &settings).unwrap().resolve(&Wanted::Newest).unwrap().commit;
    let all: Vec<_> = (0..6).map(|_| std::thread::spawn(open(world.settings.clone()))).collect();
    let commits: Vec<String> = all.into_iter().map(|one| one.join().unwrap()).collect();
    assert!(commits.iter().all(|commit| *commit == commits[0]), "{commits:?}");
}

#[test]
fn files_are_written_as_they_are_and_links_only_within() {
    let world = World::new();
    let recipe = world.recipe("blog", "first");
    std::fs::create_dir_all(recipe.path.join("scripts")).unwrap();
    std::fs::write(recipe.path.join("scripts/run.sh"), "#!/bin/sh\n").unwrap();
    let mut mode = std::fs::metadata(recipe.path.join("scripts/run.sh")).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o755);
    std::fs::set_permissions(recipe.path.join("scripts/run.sh"), mode).unwrap();
    std::fs::write(recipe.path.join("logo.png"), [0x89, b'P', 0, 255]).unwrap();
    std::os::unix::fs::symlink("scripts/run.sh", recipe.path.join("start")).unwrap();
    let good = recipe.commit("with files");
    std::os::unix::fs::symlink("/etc/passwd", recipe.path.join("users.conf")).unwrap();
    let bad = recipe.commit("with a trap");
    let mirror = Mirror::open("blog", &world.settings).unwrap();
    let tree = mirror.tree(&good).unwrap();
    let into = world.scratch.join("out");
    tree.write(&into).unwrap();
    let is_link = std::fs::symlink_metadata(into.join("start")).unwrap().is_symlink();
    assert_eq!((is_link, std::fs::read_to_string(into.join("start")).unwrap().as_str()), (false, "#!/bin/sh\n"));
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(into.join("scripts/run.sh")).unwrap().permissions());
    assert_eq!((mode & 0o777, std::fs::read(into.join("logo.png")).unwrap().len()), (0o755, 4));
    assert!(!tree.texts().contains_key("logo.png") && !into.join(".git").exists());
    let told = tree.texts().read("logo.png").unwrap_err();
    assert_eq!(told.to_string(), "logo.png:1:1: this is not UTF-8", "it is not taken for absent");
    assert!(tree.write(&into).is_err(), "a directory with files in it is written to");
    let error = mirror.tree(&bad).unwrap_err();
    assert_eq!(error.to_string(), "the recipe `blog` holds `users.conf`, which is a symlink that leads out of it");
}

#[test]
fn chaos_takes_the_work_tree_as_it_is() {
    let world = World::new();
    let error = WorkTree::open("blog", &world.settings).unwrap_err();
    assert!(matches!(error, SourceError::NoWorkTree { .. }), "{error}");
    let recipe = world.recipe("blog", "first");
    let work_tree = world.scratch.join("abra/recipes/blog");
    std::fs::create_dir_all(world.scratch.join("abra/recipes")).unwrap();
    git(world.scratch.path(), &["clone", "--quiet", recipe.path.to_str().unwrap(), work_tree.to_str().unwrap()]);
    let short = &recipe.git(&["rev-parse", "HEAD"])[..8];
    assert_eq!(WorkTree::open("blog", &world.settings).unwrap().pin.to_string(), short);
    std::fs::write(work_tree.join("compose.yml"), "mended").unwrap();
    std::fs::write(work_tree.join(".gitignore"), "ignored\n").unwrap();
    std::fs::write(work_tree.join("ignored"), "").unwrap();
    let open = WorkTree::open("blog", &world.settings).unwrap();
    assert_eq!(open.pin.to_string(), format!("{short}+U"));
    assert_eq!(open.tree.files.keys().collect::<Vec<_>>(), [".gitignore", "compose.yml"]);
    assert_eq!(open.tree.texts()["compose.yml"], "mended");
    std::os::unix::fs::symlink("../../../outside", work_tree.join("link")).unwrap();
    assert!(matches!(WorkTree::open("blog", &world.settings), Err(SourceError::Unsafe { .. })));
}
