//! Values that look like secrets: a manifest lies in a bucket and is read by every host, so secrets stay on the hosts.
//!
//! A guess, and a careful one: names that speak of secrets with a value that is no path, and values of the well-known forms.

use freehold_model::Pointer;

use crate::manifest::Manifest;
use crate::service::Service;

/// A value that looks like a secret. It is not repeated here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspicion {
    /// The service.
    pub service: String,
    /// Where, within the service.
    pub at: Pointer,
    /// Why.
    pub why: String,
}

/// Words in a variable's name that speak of a secret.
const NAMES: [&str; 11] = [
    "PASSWORD",
    "PASSWD",
    "SECRET",
    "TOKEN",
    "APIKEY",
    "API_KEY",
    "PRIVATE_KEY",
    "ACCESS_KEY",
    "CREDENTIAL",
    "PASSPHRASE",
    "AUTH_KEY",
];
/// Ends of such names that say where the secret is, or something about it.
const HARMLESS_ENDS: [&str; 12] =
    ["_FILE", "_PATH", "_DIR", "_NAME", "_ID", "_URL", "_URI", "_TTL", "_EXPIRY", "_LENGTH", "_HEADER", "_TYPE"];
/// How tokens of well-known services and formats begin.
const FORMS: [(&str, &str); 12] = [
    ("-----BEGIN", "it holds a key in PEM form"),
    ("AKIA", "it looks like an access key of AWS"),
    ("ghp_", "it looks like a token of GitHub"),
    ("github_pat_", "it looks like a token of GitHub"),
    ("glpat-", "it looks like a token of GitLab"),
    ("xoxb-", "it looks like a token of Slack"),
    ("xoxp-", "it looks like a token of Slack"),
    ("sk_live_", "it looks like a key of Stripe"),
    ("sk-ant-", "it looks like a key of an API"),
    ("AGE-SECRET-KEY-", "it is a key of age"),
    ("eyJhbGciOi", "it looks like a JSON web token"),
    ("SG.", "it looks like a key of SendGrid"),
];

/// Everything in the manifest that looks like a secret.
pub fn suspicions(manifest: &Manifest) -> Vec<Suspicion> {
    manifest.services.iter().flat_map(service_suspicions).collect()
}

/// What of one service looks like a secret.
pub fn service_suspicions(service: &Service) -> Vec<Suspicion> {
    let env = service.env.iter().filter_map(|(name, value)| {
        let why = by_name(name, value).or_else(|| by_form(value))?;
        Some((Pointer::new(["env", name]), why))
    });
    let command = words("exec/command", &service.exec.words().unwrap_or_default());
    let gate = service.gate.as_ref();
    let program = gate.and_then(|gate| gate.exec.as_ref()).map_or(&[][..], |exec| exec.command.as_slice());
    let program = words("gate/exec/command", program);
    let url = gate.and_then(|gate| gate.http.as_ref()?.url.as_deref());
    let url = url.and_then(|url| Some((pointer("gate/http/url"), by_form(url)?)));
    let found = env.chain(command).chain(program).chain(url);
    found.map(|(at, why)| Suspicion { service: service.name.clone(), at, why }).collect()
}

fn pointer(path: &str) -> Pointer {
    Pointer::new(path.split('/'))
}

/// What of a command line looks like a secret: `--password=VALUE`, `--password VALUE`, `PASSWORD=VALUE`, and the well-known forms anywhere.
fn words(path: &str, words: &[String]) -> Vec<(Pointer, String)> {
    let mut found = Vec::new();
    let mut option = None;
    for word in words {
        let (name, value) = word.trim_start_matches('-').split_once('=').unwrap_or((option.take().unwrap_or(""), word));
        let is_login = ["u", "user", "proxy-user"].contains(&name)
            && value.split_once(':').is_some_and(|(user, password)| !user.is_empty() && !password.is_empty());
        let login = || is_login.then(|| "it is a name with its password".to_owned());
        if let Some(why) = by_name(&name.replace('-', "_"), value).or_else(login).or_else(|| by_form(word)) {
            found.push((pointer(path), why));
        }
        // Only what begins as an option says what the next word is.
        option = word.starts_with('-').then(|| word.trim_start_matches('-')).filter(|word| !word.contains('='));
    }
    found
}

fn by_name(name: &str, value: &str) -> Option<String> {
    let upper = name.to_ascii_uppercase();
    let speaks = NAMES.iter().find(|word| upper.contains(*word))?;
    let is_harmless = value.is_empty()
        || value.starts_with('/')
        || HARMLESS_ENDS.iter().any(|end| upper.ends_with(end))
        || ["true", "false", "yes", "no", "none", "null"].contains(&value.to_ascii_lowercase().as_str())
        || value.chars().all(|c| c.is_ascii_digit()) && value.len() < 8;
    (!is_harmless).then(|| format!("its name speaks of a secret (`{}`)", speaks.to_ascii_lowercase()))
}

/// The well-known forms, at the beginning or behind a blank, a quote or a sign.
fn by_form(value: &str) -> Option<String> {
    let begins = |at: usize| value[..at].chars().next_back().is_none_or(|c| !c.is_ascii_alphanumeric() && c != '_');
    let is_there = |start: &str| {
        value.match_indices(start).any(|(at, _)| {
            let rest = &value[at..];
            let token = rest.split([' ', '"', '\'', ',', ';', '&', '\n']).next().unwrap_or(rest);
            begins(at) && (token.len() >= 16 || start.starts_with("-----"))
        })
    };
    let known = FORMS.iter().find(|(start, _)| is_there(start));
    let basic = || {
        let (_, token) = value.split_once("Basic ").or_else(|| value.split_once("basic "))?;
        let token = token.split(|c: char| !(c.is_ascii_alphanumeric() || "+/=_-".contains(c))).next()?;
        // A word of a sentence has no digits.
        let is_code = token.len() >= 8 && token.contains(|c: char| c.is_ascii_digit() || c == '=');
        is_code.then(|| "it looks like a name with its password, as HTTP sends them".to_owned())
    };
    known.map(|(_, why)| (*why).to_owned()).or_else(basic).or_else(|| {
        let (_, rest) = value.split_once("://")?;
        let (user, _) = rest.split(['/', '?']).next()?.rsplit_once('@')?;
        let (_, password) = user.split_once(':')?;
        (!password.is_empty()).then(|| "it is an address with a password in it".to_owned())
    })
}
