//! The directory that abra keeps: apps are listed, read and changed without harm to what others wrote.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;

use freehold_recipe::{AppPath, AppType, EnvFile};
use freehold_recipe_source::{AbraDir, SourceError};
use freehold_testkit::Scratch;

/// As abra leaves it: an app's sample with its comments, pinned.
const BLOG: &str = "TYPE=blog:1.2.0+6.30.0-alpine\n\n# DO NOT CHANGE AFTER DEPLOYMENT\nDOMAIN=blog.example.org\nCOMPOSE_FILE=\"compose.yml\"\n\
    #COMPOSE_FILE=\"$COMPOSE_FILE:compose.smtp.yml\"\nSECRET_DB_PASSWORD_VERSION=v1 # length=32\n";

fn app(server: &str, domain: &str) -> AppPath {
    AppPath::new(server, domain).unwrap()
}

#[test]
fn apps_are_listed_and_found_by_their_names() {
    let scratch = Scratch::new();
    let abra = AbraDir::new(scratch.path());
    assert_eq!(abra.apps().unwrap(), []);
    for path in
        ["default/blog.example.org.env", "two.example.org/blog.example.org.env", "two.example.org/pad.example.org.env"]
    {
        scratch.write(format!("servers/{path}"), BLOG);
    }
    scratch.write("servers/default/README.md", "");
    scratch.write("servers/default/.git/config.env", "");
    scratch.write("servers/notes.env", "");
    scratch.dir("servers/default/folder.example.org.env");
    std::os::unix::fs::symlink(scratch.join("gone"), scratch.join("servers/default/gone.example.org.env")).unwrap();
    let names: Vec<String> = abra.apps().unwrap().iter().map(AppPath::relative).collect();
    assert_eq!(
        names,
        [
            "servers/default/blog.example.org.env",
            "servers/two.example.org/blog.example.org.env",
            "servers/two.example.org/pad.example.org.env"
        ]
    );
    assert_eq!(abra.find("pad.example.org", None).unwrap(), app("two.example.org", "pad.example.org"));
    assert_eq!(abra.find("blog.example.org", Some("default")).unwrap(), app("default", "blog.example.org"));
    let error = abra.find("blog.example.org", None).unwrap_err();
    assert_eq!(error.to_string(), "there are apps `blog.example.org` on several servers: default, two.example.org");
    let error = abra.find("pat.example.org", None).unwrap_err();
    assert_eq!(error.hint().unwrap(), "did you mean `pad.example.org`?");
}

#[test]
fn a_deploy_changes_one_value_and_keeps_the_link_the_mode_and_every_other_byte() {
    let scratch = Scratch::new();
    let abra = AbraDir::new(scratch.join("abra"));
    let real = scratch.write("team/blog.env", BLOG);
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o640)).unwrap();
    scratch.dir("abra/servers/default");
    let link = scratch.join("abra/servers/default/blog.example.org.env");
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let app = app("default", "blog.example.org");
    let before = abra.read(&app).unwrap();
    let mut after = before.clone();
    let mut kind = AppType::of(&after).unwrap();
    kind.pin = Some("1.3.0+6.42.0-alpine".parse().unwrap());
    kind.write(&mut after).unwrap();
    abra.save(&app, &before, &after).unwrap();
    assert_eq!(scratch.read("team/blog.env"), BLOG.replace("1.2.0+6.30.0", "1.3.0+6.42.0"));
    assert!(link.symlink_metadata().unwrap().is_symlink());
    assert_eq!(std::fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(std::fs::read_dir(scratch.join("team")).unwrap().count(), 1);
    // Somebody saved the file in an editor meanwhile.
    scratch.write("team/blog.env", format!("{BLOG}A=1\n"));
    let error = abra.save(&app, &after, &before).unwrap_err();
    assert!(matches!(error, SourceError::Changed { .. }), "{error}");
    assert_eq!(scratch.read("team/blog.env"), format!("{BLOG}A=1\n"));
}

#[test]
fn a_new_app_is_its_owners_and_never_replaces_another() {
    let scratch = Scratch::new();
    let abra = AbraDir::new(scratch.path());
    let app = app("default", "blog.example.org");
    assert!(matches!(abra.read(&app), Err(SourceError::NoApp { .. })));
    let env = EnvFile::parse("blog.example.org.env", BLOG).unwrap();
    abra.create(&app, &env).unwrap();
    assert_eq!(std::fs::metadata(abra.file(&app)).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(matches!(abra.create(&app, &env), Err(SourceError::AppExists { .. })));
    assert_eq!(abra.read(&app).unwrap().text(), BLOG);
    abra.remove(&app).unwrap();
    assert_eq!(abra.apps().unwrap(), []);
}

#[test]
fn what_is_wrong_in_a_file_is_told_with_its_place() {
    let scratch = Scratch::new();
    let abra = AbraDir::new(scratch.path());
    let app = app("default", "blog.example.org");
    let path = scratch.write("servers/default/blog.example.org.env", b"A=1\nB=\xff\n");
    let told = |abra: &AbraDir| abra.read(&app).unwrap_err().to_string();
    assert_eq!(told(&abra), format!("{}:2:3: this is not UTF-8", path.display()));
    std::fs::write(&path, "A=1\nB 2\n").unwrap();
    assert_eq!(told(&abra), format!("{}:2:1: there is no `=`", path.display()));
}

#[test]
fn the_directory_is_where_abra_looks() {
    let find = |given: Option<&str>, home: Option<&str>| {
        let found = AbraDir::of_environment(given.map(OsStr::new), home.map(OsStr::new));
        found.map(|abra| abra.path().display().to_string())
    };
    assert_eq!(find(Some("/srv/abra"), Some("/root")).as_deref(), Some("/srv/abra"));
    assert_eq!(find(None, Some("/root")).as_deref(), Some("/root/.abra"));
    assert_eq!(find(Some(""), None), None);
}
