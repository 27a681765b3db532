//! Names that Docker and abra know: of stacks, secrets, configs, and of what a recipe is called on disk.
//!
//! The rule for stacks is abra's: the domain with `_` for `.`, cut off at 45 characters, unless the `.env` says `STACK_NAME`.

use crate::{EnvFile, RecipeError};

/// Where abra cuts a stack's name off.
pub const STACK_NAME_CHARACTERS: usize = 45;
/// The longest name of a secret or config that Docker takes.
pub const SECRET_NAME_CHARACTERS: usize = 64;
/// The longest name of a service that Docker takes.
pub const SERVICE_NAME_CHARACTERS: usize = 63;

/// The name of an app's stack.
///
/// # Errors
/// [`RecipeError::Name`] when Docker would refuse it.
pub fn stack_name(domain: &str, env: &EnvFile) -> Result<String, RecipeError> {
    let name = match env.get("STACK_NAME").filter(|name| !name.is_empty()) {
        Some(name) => name.to_owned(),
        None => domain.replace('.', "_").chars().take(STACK_NAME_CHARACTERS).collect(),
    };
    let is_part = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-' | '.');
    let reason = match name.chars().next() {
        None => "it is empty",
        Some(first) if !first.is_ascii_alphanumeric() => "it begins with neither a letter nor a digit",
        Some(_) if !name.chars().all(is_part) => "it takes letters, digits, `_`, `-` and `.`",
        Some(_) => return Ok(name),
    };
    Err(RecipeError::Name { name, what: "a stack", reason })
}

/// A domain that an app may be named after: it becomes a file's name, a host's name, and part of a rule for Traefik.
///
/// # Errors
/// [`RecipeError::Name`].
pub fn check_domain(domain: &str) -> Result<(), RecipeError> {
    let wrong = |reason| Err(RecipeError::Name { name: domain.to_owned(), what: "an app", reason });
    let is_part = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '.' | '_');
    if domain.is_empty() || domain.len() > 253 {
        return wrong("a domain has 1 to 253 characters");
    }
    if !domain.chars().all(is_part) {
        return wrong("a domain takes letters, digits, `-`, `_` and `.`");
    }
    let bad = |label: &str| label.is_empty() || label.len() > 63 || label.starts_with('-') || label.ends_with('-');
    if domain.split('.').any(bad) {
        return wrong("the parts between its dots have 1 to 63 characters, and no `-` at their ends");
    }
    Ok(())
}

/// A domain that a new app is named after: names of hosts are the same in capitals, names of files and stacks are not.
///
/// # Errors
/// [`RecipeError::Name`].
pub fn check_new_domain(domain: &str) -> Result<(), RecipeError> {
    check_domain(domain)?;
    if domain.chars().any(|char| char.is_ascii_uppercase()) {
        let reason = "a new one has no capitals";
        return Err(RecipeError::Name { name: domain.to_owned(), what: "an app", reason });
    }
    Ok(())
}

/// The folder of a recipe under `$ABRA_DIR/recipes`: `mygit.org/myorg/cool` is `mygit_org_myorg_cool`.
///
/// # Errors
/// [`RecipeError::Name`].
pub fn recipe_folder(recipe: &str) -> Result<String, RecipeError> {
    let wrong = |reason| Err(RecipeError::Name { name: recipe.to_owned(), what: "a recipe", reason });
    let is_part = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.' | '/');
    if recipe.is_empty() || recipe.len() > 200 {
        return wrong("it has 1 to 200 characters");
    }
    if !recipe.chars().all(is_part) {
        return wrong("it takes letters, digits, `-`, `_`, and `.` and `/` for another remote");
    }
    let bad = |part: &str| part.is_empty() || part.starts_with(['.', '-']) || part.ends_with(".lock");
    if recipe.split('/').any(bad) {
        return wrong("its parts are not empty and begin with neither `.` nor `-`");
    }
    Ok(recipe.replace(['.', '/'], "_"))
}

/// The remote that a recipe's name stands for when it names one itself: `mygit.org/myorg/cool`.
pub fn custom_remote(recipe: &str) -> Option<String> {
    let (host, _) = recipe.split_once('/')?;
    host.contains('.').then(|| format!("https://{recipe}.git"))
}

/// The name of a secret or config without its version, and the version: what stands behind the last `_`.
pub fn split_version(name: &str) -> Option<(&str, &str)> {
    name.rsplit_once('_').filter(|(name, version)| !name.is_empty() && !version.is_empty())
}

/// The version that follows `v1` when a secret or config is changed. Versions that do not end in a number get one.
pub fn next_version(version: &str) -> String {
    let digits = version.len() - version.trim_end_matches(|char: char| char.is_ascii_digit()).len();
    let (word, number) = version.split_at(version.len() - digits);
    match number.parse::<u64>().ok().and_then(|number| number.checked_add(1)) {
        Some(number) => format!("{word}{number}"),
        None => format!("{version}2"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(domain: &str, env: &str) -> Result<String, RecipeError> {
        stack_name(domain, &EnvFile::parse("x.env", env).unwrap())
    }

    #[test]
    fn a_stack_is_named_after_its_domain_or_as_the_env_says() {
        assert_eq!(stack("blog.example.org", "").unwrap(), "blog_example_org");
        assert_eq!(stack("blog.example.org", "STACK_NAME=blog").unwrap(), "blog");
        let long = stack("a-very-long-name-of-a-house.in-a-long-street.example.org", "").unwrap();
        assert_eq!((long.as_str(), long.len()), ("a-very-long-name-of-a-house_in-a-long-street_", 45));
        assert!(stack("blog.example.org", "STACK_NAME=\"a b\"").is_err());
        assert!(stack("", "").is_err());
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for domain in ["", "../x", "a/b", "a..b", "-a.org", "a b", "x`y", ".hidden"] {
            assert!(check_domain(domain).is_err(), "{domain}");
        }
        assert_eq!(check_domain("blog.example.org"), Ok(()));
        assert_eq!(check_domain("Blog.example.org"), Ok(()), "one that is there stays an app");
        assert!(check_new_domain("Blog.example.org").is_err() && check_new_domain("blog.example.org").is_ok());
        for recipe in ["", "..", "a/../b", "/a", "a//b", "-x", "a b", "a.lock", "host:a"] {
            assert!(recipe_folder(recipe).is_err(), "{recipe}");
        }
    }

    #[test]
    fn a_recipe_of_another_remote_has_a_folder_of_its_own() {
        assert_eq!(recipe_folder("mygit.org/myorg/cool").unwrap(), "mygit_org_myorg_cool");
        assert_eq!(custom_remote("mygit.org/myorg/cool").unwrap(), "https://mygit.org/myorg/cool.git");
        assert_eq!(
            (recipe_folder("custom-html").unwrap().as_str(), custom_remote("custom-html")),
            ("custom-html", None)
        );
    }

    #[test]
    fn a_version_follows_another() {
        assert_eq!(["v1", "v9", "1", "abc"].map(next_version), ["v2", "v10", "2", "abc2"]);
        assert_eq!(split_version("x_org_db_password_v1"), Some(("x_org_db_password", "v1")));
        assert_eq!((split_version("x_"), split_version("x")), (None, None));
    }
}
