//! Each rule that the corpus does not break, broken once. The composed stack is what Docker would make of the file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;

use freehold_recipe::{AbraSh, ComposeFile, EnvFile, ServedRule, Stack, Subject, lint};

const LABELS: &str = "deploy: {labels: {coop-cloud.s.version: 1.0.0+1}}";

/// What is said of a recipe with one compose file; its composed form is the same unless given.
fn said(compose: &str, composed: Option<&str>, env: &str, sample: &str) -> String {
    let compose = compose.replace("LABELS", LABELS);
    let files = [ComposeFile::parse("compose.yml", &compose).unwrap()];
    let stack = Stack::parse(&composed.map_or_else(|| compose.clone(), |text| text.replace("LABELS", LABELS))).unwrap();
    let texts: BTreeMap<String, String> = [(".env.sample".to_owned(), sample.to_owned())].into();
    let subject = Subject {
        files: &files,
        texts: &texts,
        env: &EnvFile::parse("app.env", env).unwrap(),
        sample: Some(&EnvFile::parse(".env.sample", sample).unwrap()),
        abra_sh: &AbraSh::default(),
        stack: &stack,
        stack_name: "s",
        domain: "s.org",
        tags: &[],
        wildcard: None,
        taken: &[],
        served: &[],
    };
    let findings = lint(&subject);
    findings.iter().map(|finding| format!("{finding}\n  hint: {}\n", finding.hint)).collect()
}

#[test]
fn services_and_images_are_looked_at() {
    let all = [
        said("services: {web: {image: 'a:1.2.3'}}", None, "", ""),
        said("services: {app: {build: ., LABELS}}", None, "", ""),
        said("services: {app: {image: 'a:1.2.3', deploy: {labels: {coop-cloud.s.version: latest}}}}", None, "", ""),
        said(
            "services:\n  app:\n    image: a:1.2.3\n    mem_limit: 1g\n    extends: {service: b}\n    container_name: x\n    LABELS\n",
            None,
            "",
            "",
        ),
    ];
    insta::assert_snapshot!(all.join("---\n"), @r#"
    error[no-app-service]: there is no service `app`, only web
      hint: the main service of a recipe is called `app`: its labels say which version runs
    ---
    error[no-image]: `app` has no image
      hint: a stack builds nothing: name an image
    notice[ignored-field]: compose.yml:1:18: `app` has `build`, which a stack takes no notice of
      hint: remove it, or do not rely on it
    ---
    warning[version-label]: compose.yml:1:17: the label `coop-cloud.s.version`: `latest` is no recipe version: the part before the `+` is not three numbers
      hint: write `X.Y.Z+app`
    ---
    error[forbidden-field]: compose.yml:4:5: `app` has `mem_limit`, which no stack may have
      hint: write `deploy.resources.limits.memory`
    error[forbidden-field]: compose.yml:5:5: `app` has `extends`, which no stack may have
      hint: write the service out, or use a YAML anchor
    notice[ignored-field]: compose.yml:6:5: `app` has `container_name`, which a stack takes no notice of
      hint: remove it, or do not rely on it
    "#);
}

#[test]
fn variables_and_settings_are_looked_at() {
    let compose = "services: {app: {image: 'a:1.2.3', LABELS, environment: ['A=${NEEDED}', 'B=${OPTION}', 'C=${SET}', 'D=${E:-x}']}}";
    let env = "SET=\nMAIL=me@example.com\nX=\"${Y:-z}\"\nZ=\"a\\\"\"\n";
    let sample = "NEEDED=1\nLOST='a b'\n#OPTION=yes\nSET=\n";
    insta::assert_snapshot!(said(compose, None, env, sample), @r#"
    error[undefined-variable]: compose.yml:1:101: the setting `NEEDED` is missing: the recipe's .env.sample has `NEEDED=1`
      hint: set `NEEDED` in the app's .env, empty if that is meant
    warning[default-in-env]: app.env:3:1: the value of `X` gives a default for a variable; .env files have no defaults
      hint: set the variable on a line above
    warning[quote-lost]: app.env:4:1: the value of `Z` ends with an escaped quote, which is lost
      hint: put the value in single quotes
    warning[placeholder]: app.env:2:1: `MAIL` still has the value of the sample, `me@example.com`
      hint: set it to one of yours
    notice[undefined-variable]: compose.yml:1:116: `OPTION` is not set and has no default: Docker takes it as empty
      hint: set `OPTION` in the app's .env, empty if that is meant
    notice[missing-setting]: .env.sample:2:1: `LOST` is in the recipe's .env.sample and not in the app's .env
      hint: copy the line: `LOST='a b'`
    "#);
}

#[test]
fn a_domain_is_served_by_one_stack() {
    let rule = |rule: &str| {
        let labels =
            format!("deploy: {{labels: {{coop-cloud.s.version: 1.0.0+1, traefik.http.routers.s.rule: '{rule}'}}}}");
        let compose = format!("services: {{app: {{image: 'a:1.2.3', {labels}}}}}");
        let files = [ComposeFile::parse("compose.yml", &compose).unwrap()];
        let stack = Stack::parse(&compose).unwrap();
        let env = EnvFile::parse("app.env", "").unwrap();
        let served = ["Host(`a.org`) || Host(`b.org`)", "Host(`c.org`) && PathPrefix(`/x`)"]
            .map(|rule| ServedRule { rule: rule.to_owned(), by: "the stack other".to_owned() });
        let (texts, abra_sh) = (BTreeMap::new(), AbraSh::default());
        let subject = Subject {
            files: &files,
            texts: &texts,
            env: &env,
            sample: None,
            abra_sh: &abra_sh,
            stack: &stack,
            stack_name: "s",
            domain: "s.org",
            tags: &[],
            wildcard: None,
            taken: &[],
            served: &served,
        };
        lint(&subject).iter().map(|finding| finding.message.clone()).collect::<Vec<_>>()
    };
    assert_eq!(rule("Host(`b.org`)"), ["`b.org` is served by the stack other already"]);
    // Rules that say more than a host may share it.
    assert_eq!(
        rule("Host(`B.org`)"),
        ["`B.org` is served by the stack other already"],
        "a name is the same in capitals"
    );
    for shared in ["Host(`c.org`)", "Host(`b.org`) && PathPrefix(`/y`)", "Host(`d.org`)"] {
        assert_eq!(rule(shared), [""; 0], "{shared}");
    }
}

#[test]
fn names_and_aliases_are_looked_at() {
    let compose = "services:\n  app:\n    image: a:1.2.3\n    LABELS\n    networks: {proxy: {aliases: [www]}}\n    secrets: [key]\n    configs: [own, plain]\n\
        networks: {proxy: {external: true}}\nsecrets:\n  key: {external: true, name: '${STACK_NAME}_key_${SECRET_KEY_VERSION:-v1}'}\n\
        configs:\n  own: {file: a, name: '${STACK_NAME}_own_${OWN_VERSION:-v1}'}\n  plain: {file: b}\n";
    let long = "x".repeat(60);
    let composed = compose.replace("${STACK_NAME}_key_${SECRET_KEY_VERSION:-v1}", &format!("s_{long}_key_v1"));
    insta::assert_snapshot!(said(compose, Some(&composed), "", ""), @r#"
    error[name-too-long]: compose.yml:10:31: the secret `s_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx_key_v1` has 69 characters; Docker takes 64
      hint: set a shorter STACK_NAME in the app's .env
    warning[config-version]: compose.yml:13:10: the config `plain` has no variable for its version: once deployed it cannot change
      hint: name it `${STACK_NAME}_NAME_${NAME_VERSION}`
    warning[shared-alias]: compose.yml:3:5: `app` is called `www` on the shared network `proxy`, for every app
      hint: leave aliases to networks of the stack
    notice[config-version]: compose.yml:12:24: `OWN_VERSION`, the version of the config `own`, is exported by no abra.sh
      hint: export it: a change of the config needs another version
    "#);
}

#[test]
fn what_services_use_has_to_be_declared() {
    let compose = "services:\n  app:\n    image: a:1.2.3\n    LABELS\n    networks: [default, own, other]\n    secrets: [key]\n    volumes: ['data:/a', '/etc:/b']\n\
        networks: {own: {}}\n";
    let composed = "services: {app: {image: 'a:1.2.3', LABELS, networks: [default, own, other], secrets: [{source: key}],
        volumes: [{type: volume, source: data, target: /a}, {type: bind, source: /etc, target: /b}]}}\nnetworks: {own: {}}";
    insta::assert_snapshot!(said(compose, Some(composed), "", ""), @r#"
    error[undeclared]: compose.yml:5:15: `app` uses `other`, which `networks` of the recipe does not have
      hint: add `other:` to `networks:`
    error[undeclared]: compose.yml:7:14: `app` uses `data`, which `volumes` of the recipe does not have
      hint: add `data:` to `volumes:`
    error[undeclared]: compose.yml:6:14: `app` uses `key`, which `secrets` of the recipe does not have
      hint: add `key:` to `secrets:`
    "#);
}

#[test]
fn files_of_the_host_are_told() {
    let compose = "services:\n  app:\n    image: a:1.2.3\n    LABELS\n    env_file: [own.env, /etc/shadow, {path: ../x.env}]\n\
        configs:\n  own: {file: ./conf/../a.conf, name: 'own_${V:-v1}'}\n  host: {file: /etc/passwd, name: 'host_${V:-v1}'}\n\
        secrets:\n  up: {file: ../../etc/hostname}\n";
    insta::assert_snapshot!(said(compose, None, "", ""), @r#"
    error[foreign-file]: compose.yml:8:16: `host` is made of `/etc/passwd`, which is a file of the host and not of the recipe
      hint: put the file into the recipe and name it from its root
    error[foreign-file]: compose.yml:10:14: `up` is made of `../../etc/hostname`, which is a file of the host and not of the recipe
      hint: put the file into the recipe and name it from its root
    error[foreign-file]: compose.yml:5:25: the environment of `app` is made of `/etc/shadow`, which is a file of the host and not of the recipe
      hint: put the file into the recipe and name it from its root
    error[foreign-file]: compose.yml:5:45: the environment of `app` is made of `../x.env`, which is a file of the host and not of the recipe
      hint: put the file into the recipe and name it from its root
    "#);
}

#[test]
fn a_variable_in_a_default_is_told() {
    let compose = "services:\n  app:\n    image: a:1.2.3\n    LABELS\n    environment:\n      - A=${NOPE:-${OTHER}}\n      - B=${N-$OTHER}\n      \
        - C=${X:-x} ${Y:-y} $${Z:-${X:-x}}\n      - D=${X:-a-b} ${OTHER}-${OTHER}\n      - E=a-${OTHER}?\n";
    insta::assert_snapshot!(said(compose, None, "OTHER=set", ""), @r#"
    warning[default-in-default]: compose.yml:6:9: the default of `NOPE` holds a variable, which Docker leaves as it is: the container gets the text of it
      hint: give the default in the recipe's .env.sample, or write it out
    warning[default-in-default]: compose.yml:7:9: the default of `N` holds a variable, which Docker leaves as it is: the container gets the text of it
      hint: give the default in the recipe's .env.sample, or write it out
    "#);
}

#[test]
fn an_app_in_order_is_met_with_silence() {
    assert_eq!(
        said(
            "services: {app: {image: 'a:1.2.3', LABELS}}",
            None,
            "TYPE=x\nDOMAIN=s.org\n",
            "TYPE=x\nDOMAIN=x.example.com\n"
        ),
        ""
    );
}
