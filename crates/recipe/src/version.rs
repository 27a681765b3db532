//! Versions of recipes: `X.Y.Z+app`, where the left half is the recipe's own and the right one the main image's tag.
//!
//! Both halves count: a recipe may call a jump of its app from 8 to 9 a patch. The right half has no grammar; it is compared in
//! runs of digits and of letters. Source: the packaging handbook of Co-op Cloud.

use std::cmp::Ordering;
use std::str::FromStr;

use freehold_model::did_you_mean;

use crate::RecipeError;

/// A version as a tag names it.
///
/// Ordered by the left half, then by the right one; two that are written differently are never equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Version {
    major: u64,
    minor: u64,
    patch: u64,
    app: String,
}

/// How far two versions, or one half of them, are apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Jump {
    /// The same.
    None,
    /// The third number or what comes after it.
    Patch,
    /// The second number.
    Minor,
    /// The first number, or two texts of which nobody can tell how far they are apart.
    Major,
}

/// How far two versions are apart in both halves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jumps {
    /// The recipe's own half.
    pub recipe: Jump,
    /// The half of the app.
    pub app: Jump,
    /// Whether the second version is the older one.
    pub is_downgrade: bool,
}

impl Jumps {
    /// The longer of both.
    pub fn longest(self) -> Jump {
        self.recipe.max(self.app)
    }
}

impl Version {
    /// The half of the app, such as `6.42.0-alpine`; empty when the tag has none.
    pub fn app(&self) -> &str {
        &self.app
    }

    /// How far it is from here to `to`, either way.
    pub fn jumps(&self, to: &Self) -> Jumps {
        let numbers = |version: &Self| [version.major, version.minor, version.patch];
        let recipe = [Jump::Major, Jump::Minor, Jump::Patch];
        let differs = numbers(self).iter().zip(numbers(to)).position(|(a, b)| *a != b);
        Jumps {
            recipe: differs.map_or(Jump::None, |at| recipe[at]),
            app: app_jump(&self.app, &to.app),
            is_downgrade: to < self,
        }
    }
}

impl FromStr for Version {
    type Err = RecipeError;

    /// Reads `X.Y.Z+app`; the older form `X.Y.Z` is taken, too.
    fn from_str(text: &str) -> Result<Self, RecipeError> {
        let wrong = |reason| RecipeError::Version { text: text.to_owned(), reason };
        let (left, app) = match text.split_once('+') {
            Some((_, "")) => return Err(wrong("there is nothing behind the `+`")),
            Some((left, app)) => (left, app),
            None => (text, ""),
        };
        let is_part = |char: char| char.is_ascii_alphanumeric() || matches!(char, '.' | '-' | '_');
        if !app.chars().all(is_part) {
            return Err(wrong("the part behind the `+` takes letters, digits, `.`, `-` and `_`"));
        }
        let number = |part: &str| {
            let is_number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            let is_plain = part == "0" || !part.starts_with('0');
            if is_number && is_plain { part.parse().ok() } else { None }
        };
        let numbers: Option<Vec<u64>> = left.split('.').map(number).collect();
        match numbers.as_deref() {
            Some([major, minor, patch]) => {
                Ok(Self { major: *major, minor: *minor, patch: *patch, app: app.to_owned() })
            }
            _ => Err(wrong("the part before the `+` is not three numbers")),
        }
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        if self.app.is_empty() { Ok(()) } else { write!(f, "+{}", self.app) }
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let numbers = |version: &Self| (version.major, version.minor, version.patch);
        let halves = numbers(self).cmp(&numbers(other)).then_with(|| compare_apps(&self.app, &other.app));
        halves.then_with(|| self.app.cmp(&other.app))
    }
}

/// The version of that name, or the one that can only be meant: `1.2.0` for `1.2.0+6.1` when no other begins so.
///
/// # Errors
/// [`RecipeError::NoVersion`] with one that may be meant.
pub fn find_version<'a>(versions: &'a [Version], wanted: &str) -> Result<&'a Version, RecipeError> {
    if let Some(version) = versions.iter().find(|version| version.to_string() == wanted) {
        return Ok(version);
    }
    let begins = |version: &&Version| version.to_string().split('+').next() == Some(wanted);
    let mut found = versions.iter().filter(begins);
    if let (Some(version), None) = (found.next(), found.next()) {
        return Ok(version);
    }
    let names: Vec<String> = versions.iter().map(ToString::to_string).collect();
    let hint = match (did_you_mean(wanted, names.iter().map(String::as_str)), versions.iter().max()) {
        (Some(name), _) => Some(format!("did you mean `{name}`?")),
        (None, Some(newest)) => Some(format!("the newest is `{newest}`")),
        (None, None) => Some("it has no versions at all; give a commit".to_owned()),
    };
    Err(RecipeError::NoVersion { version: wanted.to_owned(), hint })
}

/// Words that come before the version that they are named after.
const BEFORE: [&str; 7] = ["alpha", "beta", "dev", "nightly", "pre", "preview", "rc"];

/// A run of a version: numbers count as numbers.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Run<'a> {
    Before(&'a str),
    End,
    Word(&'a str),
    Number(Digits<'a>),
}

/// Digits of any length, in the order of their number.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Digits<'a>(usize, &'a str);

fn compare_apps(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (runs(a), runs(b));
    loop {
        let (x, y) = (a.next().unwrap_or(Run::End), b.next().unwrap_or(Run::End));
        match x.cmp(&y) {
            Ordering::Equal if x == Run::End => return Ordering::Equal,
            Ordering::Equal => {}
            different => return different,
        }
    }
}

fn runs(app: &str) -> impl Iterator<Item = Run<'_>> {
    let mut rest = without_v(app);
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(['.', '-', '_']);
        let first = rest.chars().next()?;
        let is_same = |char: char| char.is_ascii_digit() == first.is_ascii_digit() && !matches!(char, '.' | '-' | '_');
        let end = rest.find(|char| !is_same(char)).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        rest = after;
        Some(if first.is_ascii_digit() {
            let digits = run.trim_start_matches('0');
            Run::Number(Digits(digits.len(), digits))
        } else if BEFORE.contains(&run.to_ascii_lowercase().as_str()) {
            Run::Before(run)
        } else {
            Run::Word(run)
        })
    })
}

/// `v1.2` is `1.2`.
fn without_v(app: &str) -> &str {
    let rest = app.strip_prefix(['v', 'V']).unwrap_or(app);
    if rest.starts_with(|char: char| char.is_ascii_digit()) { rest } else { app }
}

/// The numbers that an app's version begins with, behind a name as in `pg15.4` or `RELEASE.2024`.
fn leading_numbers(app: &str) -> Vec<&str> {
    let start = app.find(|char: char| char.is_ascii_digit()).unwrap_or(app.len());
    let numbers = &app[start..];
    let end = numbers.find(|char: char| !char.is_ascii_digit() && char != '.').unwrap_or(numbers.len());
    numbers[..end].split('.').filter(|part| !part.is_empty()).map(|part| part.trim_start_matches('0')).collect()
}

fn app_jump(from: &str, to: &str) -> Jump {
    if from == to {
        return Jump::None;
    }
    let name = |app: &str| without_v(app).split(|char: char| char.is_ascii_digit()).next().map(str::to_owned);
    let (a, b) = (leading_numbers(from), leading_numbers(to));
    // A commit's hash, or another kind of name altogether: nobody can tell.
    if a.is_empty() || b.is_empty() || name(from) != name(to) {
        return Jump::Major;
    }
    let get = |numbers: &[&str], at: usize| numbers.get(at).copied().unwrap_or_default().to_owned();
    match (0..3).find(|at| get(&a, *at) != get(&b, *at)) {
        Some(0) => Jump::Major,
        Some(1) => Jump::Minor,
        _ => Jump::Patch,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn versions_are_ordered_by_both_halves() {
        let ordered = [
            "0.9.0",
            "1.0.0+1.0.5-social-amd64",
            "1.0.0+1.0.10-social-amd64",
            "1.2.0+6.1.0-beta2",
            "1.2.0+6.1.0-rc1",
            "1.2.0+6.1.0",
            "1.2.0+v6.1.1",
            "1.2.0+6.42.0-alpine",
            "1.10.0+6.2.0",
            "2.0.0+1.0.0",
        ];
        for pair in ordered.windows(2) {
            assert!(version(pair[0]) < version(pair[1]), "{} is not before {}", pair[0], pair[1]);
        }
    }

    #[test]
    fn both_halves_say_how_far_a_step_is() {
        let check = |from: &str, to: &str, recipe: Jump, app: Jump| {
            let jumps = version(from).jumps(&version(to));
            assert_eq!((jumps.recipe, jumps.app), (recipe, app), "{from} → {to}");
            assert_eq!(jumps.is_downgrade, version(to) < version(from));
        };
        check("1.2.0+6.1.0", "1.2.0+6.1.0", Jump::None, Jump::None);
        check("1.2.0+6.1.0", "1.2.1+6.1.1", Jump::Patch, Jump::Patch);
        check("1.2.0+6.1.0", "1.3.0+7.0.0-alpine", Jump::Minor, Jump::Major);
        check("1.2.0+6.1.0", "2.0.0+6.2.0", Jump::Major, Jump::Minor);
        check("1.0.0+v1.6.870-0", "1.0.1+v1.6.870-1", Jump::Patch, Jump::Patch);
        check("1.0.0+v1.6.8", "1.0.1+1.6.8", Jump::Patch, Jump::Patch);
        check("1.0.0+2024.12.1", "1.0.1+2025.1.0", Jump::Patch, Jump::Major);
        check("1.0.0+6f1c2ab", "1.0.1+77aa0c1", Jump::Patch, Jump::Major);
        check("1.0.0+stable", "1.0.1+main", Jump::Patch, Jump::Major);
        check("1.0.0", "1.0.1+2.0", Jump::Patch, Jump::Major);
        check("2.0.0+6.1", "1.0.0+6.1.2", Jump::Major, Jump::Patch);
    }

    #[test]
    fn what_is_no_version_is_said_to_be_none() {
        for text in
            ["", "1.0", "1.0.0+", "v1.0.0+1", "1.0.0.0", "01.0.0+1", "1.0.-1", "1.0.0+a b", "latest", "1.0.0+../x"]
        {
            let error = text.parse::<Version>().unwrap_err();
            assert!(error.hint().is_some(), "{error}");
        }
    }

    #[test]
    fn a_version_is_found_by_its_left_half_when_that_is_enough() {
        let versions = [version("1.0.0+5"), version("1.0.0+6"), version("1.1.0+6.1")];
        assert_eq!(find_version(&versions, "1.1.0"), Ok(&versions[2]));
        assert_eq!(find_version(&versions, "1.0.0+5"), Ok(&versions[0]));
        let said = |wanted| find_version(&versions, wanted).unwrap_err().hint().unwrap();
        assert_eq!(said("1.0.0"), "did you mean `1.0.0+5`?");
        assert_eq!(said("7.7.7+nothing-like-it"), "the newest is `1.1.0+6.1`");
    }

    proptest! {
        #[test]
        fn the_order_is_one(a in app(), b in app(), c in app()) {
            let [a, b, c] = [a, b, c].map(|app| version(&format!("1.0.0+{app}")));
            prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
            prop_assert_eq!(a.cmp(&b) == Ordering::Equal, a == b);
            if a <= b && b <= c {
                prop_assert!(a <= c);
            }
            prop_assert_eq!(&version(&a.to_string()), &a);
            prop_assert_eq!(a.jumps(&b).longest(), b.jumps(&a).longest());
            prop_assert_eq!(a.jumps(&a).longest(), Jump::None);
        }
    }

    fn app() -> impl Strategy<Value = String> {
        "(v|pg)?[0-9]{1,3}(\\.[0-9]{1,2}){0,3}(-(rc|beta|alpine|0)[0-9]?)?|[a-z0-9]{1,7}"
    }
}
