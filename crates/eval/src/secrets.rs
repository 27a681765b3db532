//! Sensitive outputs enter Nix as opaque tokens; this is where tokens are made and turned back.
//!
//! A token is made of code points that nobody writes (of the last private plane), with a few letters among them: so each piece of two
//! bytes or more is known for one, by such a code point or by the half of one, which is no UTF-8; and a token whose letters were
//! changed to capitals is no longer whole. (They are no control characters, which `builtins.toJSON` would write in another way.)
//! What cannot be noticed is a question that leaves nothing of a token in the answer: its length, a comparison, a hash.

use std::collections::HashMap;

use freehold_model::{Attrs, OutputRef, Pointer, Sensitive, Value};
use serde_json::Value as Json;

/// The code points of tokens: from here on one for each hexadecimal digit, then the end.
const RARE: u32 = 0x10_F800;
const END: u32 = RARE + 16;
/// After so many of them there is a letter.
const LETTER_AFTER: usize = 8;
/// What is said of a secret that is no longer whole.
pub(crate) const CUT: &str =
    "a secret was cut or changed in Nix, which never sees it: use it whole (or `freehold.lib.reveal` it)";
/// What is shown of a token.
const SHOWN: &str = "(sensitive)";

/// All tokens handed to one evaluator.
#[derive(Debug)]
pub(crate) struct Tokens {
    prefix: String,
    secrets: Vec<Sensitive<Value>>,
    by_place: HashMap<(OutputRef, Pointer), usize>,
}

impl Tokens {
    pub(crate) fn new(nonce: &str) -> Self {
        let mut prefix = String::new();
        for (at, digit) in nonce.chars().enumerate() {
            prefix.extend(rare(digit).or(char::from_u32(RARE)));
            if at % LETTER_AFTER == LETTER_AFTER - 1 {
                // Changed by making capitals of it, or the opposite.
                prefix.push(if at % (2 * LETTER_AFTER) < LETTER_AFTER { 'q' } else { 'Z' });
            }
        }
        Self { prefix, secrets: Vec::new(), by_place: HashMap::new() }
    }

    /// What every token starts with.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether any secret has been handed out.
    pub(crate) fn is_empty(&self) -> bool {
        self.secrets.is_empty()
    }

    /// The token for the secret at `place` of an output; the same place keeps its token.
    pub(crate) fn token(&mut self, output: &OutputRef, place: &Pointer, secret: &Value) -> String {
        let index = *self.by_place.entry((output.clone(), place.clone())).or_insert_with(|| {
            self.secrets.push(Sensitive::new(Value::Null));
            self.secrets.len() - 1
        });
        self.secrets[index] = Sensitive::new(secret.clone());
        let digits = format!("{index:x}");
        self.prefix.chars().chain(digits.chars().filter_map(rare)).chain(char::from_u32(END)).collect()
    }

    /// The secret behind a whole token.
    pub(crate) fn reveal(&self, token: &str) -> Option<&Sensitive<Value>> {
        let (secret, rest) = self.token_at(token)?;
        rest.is_empty().then_some(secret)
    }

    /// The secret whose token a text begins with, and what follows it.
    fn token_at<'a>(&self, text: &'a str) -> Option<(&Sensitive<Value>, &'a str)> {
        let mut rest = text.strip_prefix(&self.prefix)?.chars();
        let mut index: usize = 0;
        loop {
            let next = u32::from(rest.next()?);
            if next == END {
                return Some((self.secrets.get(index)?, rest.as_str()));
            }
            let digit = next.checked_sub(RARE).filter(|digit| *digit < 16)?;
            index = index.checked_mul(16)?.checked_add(usize::try_from(digit).ok()?)?;
        }
    }

    /// Whether a text holds a token or any piece of one.
    pub(crate) fn are_in(&self, text: &str) -> bool {
        !self.is_empty() && text.contains(is_rare)
    }

    /// A failure for people. A Nix that does not write what is not UTF-8 says so, and no more.
    pub(crate) fn explained(&self, message: String) -> String {
        let message = self.shown(message);
        let may_be_cut = !self.is_empty() && message.contains("UTF-8") && !message.starts_with(CUT);
        if may_be_cut { format!("{CUT}; or else a text is not UTF-8: {message}") } else { message }
    }

    /// A text of Nix for people: what is left of tokens in it says nothing to them.
    pub(crate) fn shown(&self, text: String) -> String {
        if !self.are_in(&text) {
            return text;
        }
        let (mut shown, mut rest) = (String::new(), text.as_str());
        while let Some(at) = rest.find(is_rare) {
            shown.push_str(&rest[..at]);
            shown.push_str(SHOWN);
            rest = match self.token_at(&rest[at..]) {
                Some((_, after)) => after,
                None => rest[at..].trim_start_matches(is_rare),
            };
        }
        shown + rest
    }

    /// What a string from Nix means: itself, or a secret when it holds tokens.
    pub(crate) fn resolve(&self, text: String) -> Value {
        if !text.contains(&self.prefix) {
            return Value::String(text);
        }
        if let Some(secret) = self.reveal(&text) {
            return secret.expose().clone().into_sensitive();
        }
        let mut clear = String::new();
        let mut rest = text.as_str();
        while let Some(at) = rest.find(&self.prefix) {
            clear.push_str(&rest[..at]);
            match self.token_at(&rest[at..]) {
                Some((secret, after)) => {
                    clear.push_str(&as_text(secret.expose()));
                    rest = after;
                }
                None => {
                    clear.push_str(&self.prefix);
                    rest = &rest[at + self.prefix.len()..];
                }
            }
        }
        clear.push_str(rest);
        Value::String(clear).into_sensitive()
    }

    /// Whether a text has pieces of a token that is no longer whole: cut, or with other letters. What it stands for cannot be told.
    pub(crate) fn is_mangled(&self, text: &str) -> bool {
        if !self.are_in(text) {
            return false;
        }
        let mut rest = text;
        while let Some(at) = rest.find(is_rare) {
            match self.token_at(&rest[at..]) {
                Some((_, after)) => rest = after,
                None => return true,
            }
        }
        false
    }

    /// The driver's form of one output: `[0, value]`, `[1, value with unknown parts]`, `[2]` when it is not known at all, or
    /// `[3, reason]` when Nix cannot hold it.
    pub(crate) fn encode(&mut self, output: &OutputRef, value: &Value, nonce: &str) -> Json {
        if matches!(value, Value::Unknown) {
            return serde_json::json!([2]);
        }
        if has_nul(value) {
            let reason = format!("`{output}` holds a NUL character, which a Nix string cannot");
            return serde_json::json!([3, reason]);
        }
        let json = self.encode_part(output, &Pointer::root(), value, nonce);
        serde_json::json!([u8::from(!value.is_known()), json])
    }

    fn encode_part(&mut self, output: &OutputRef, at: &Pointer, value: &Value, nonce: &str) -> Json {
        match value {
            Value::Null => Json::Null,
            Value::Bool(b) => Json::Bool(*b),
            Value::Number(n) => Json::Number(n.clone()),
            Value::String(s) => Json::String(s.clone()),
            Value::List(items) => Json::Array(
                items
                    .iter()
                    .enumerate()
                    .map(|(i, item)| self.encode_part(output, &at.child(i.to_string()), item, nonce))
                    .collect(),
            ),
            Value::Map(attrs) => self.encode_attrs(output, at, attrs, nonce),
            Value::Unknown => serde_json::json!({ nonce: "unknown" }),
            Value::Sensitive(secret) => Json::String(self.token(output, at, secret.expose())),
        }
    }

    fn encode_attrs(&mut self, output: &OutputRef, at: &Pointer, attrs: &Attrs, nonce: &str) -> Json {
        let encoded =
            attrs.iter().map(|(name, value)| (name.clone(), self.encode_part(output, &at.child(name), value, nonce)));
        Json::Object(encoded.collect())
    }
}

/// The code point for a hexadecimal digit.
fn rare(digit: char) -> Option<char> {
    char::from_u32(RARE + digit.to_digit(16)?)
}

fn is_rare(c: char) -> bool {
    (RARE..=END).contains(&u32::from(c))
}

/// Whether a text that Nix would see holds a NUL character (a secret is not seen).
fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::List(items) => items.iter().any(has_nul),
        Value::Map(attrs) => attrs.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
        _ => false,
    }
}

/// How a secret reads inside a longer text.
fn as_text(secret: &Value) -> String {
    match secret {
        Value::String(text) => text.clone(),
        other => other.to_clear_json().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use freehold_model::MemberPath;

    fn output() -> OutputRef {
        OutputRef { member: MemberPath::new(["key"]), output: "private".into() }
    }

    #[test]
    fn a_token_inside_a_text_makes_the_whole_text_a_secret() {
        let mut tokens = Tokens::new("n");
        let token = tokens.token(&output(), &Pointer::root(), &"canary".into());
        assert_eq!(tokens.resolve(format!("<{token}|{token}>")), Value::from("<canary|canary>").into_sensitive());
        assert_eq!(tokens.resolve(token), Value::from("canary").into_sensitive());
        assert_eq!(tokens.resolve("plain".into()), "plain".into());
        assert!(!format!("{tokens:?}").contains("canary"));
    }

    #[test]
    fn a_token_that_was_cut_or_changed_is_noticed() {
        let mut tokens = Tokens::new("0123456789abcdef0123456789abcdef");
        let token = tokens.token(&output(), &Pointer::root(), &"canary".into());
        for whole in [token.clone(), format!("<{token}>{token}"), "sensitive words of freehold".to_owned()] {
            assert!(!tokens.is_mangled(&whole), "{whole}");
        }
        for words in ["FREEHOLD_SENSITIVE_VAR=1", "__freehold_sensitive", "a \u{e0a0} b \u{10fffd}"] {
            assert!(!tokens.is_mangled(words), "{words}");
        }
        let start: String = token.chars().take(token.chars().count() / 2).collect();
        let end = &token[start.len()..];
        for changed in [&start, end, &token.to_uppercase(), &token.to_lowercase(), &format!("a {start}…")] {
            assert!(tokens.is_mangled(changed), "{changed}");
        }
        // Nix cuts bytes: a piece is noticed, or is no text.
        let bytes = token.as_bytes();
        for (from, to) in (0..token.len() - 1).flat_map(|from| [(from, from + 2), (from, (from + 4).min(token.len()))])
        {
            let noticed = std::str::from_utf8(&bytes[from..to]).map(|piece| tokens.is_mangled(piece));
            assert_ne!(noticed, Ok(false), "{from} to {to}");
        }
        let twenty =
            (0..20).map(|n| tokens.token(&output(), &Pointer::new([n.to_string()]), &n.to_string().as_str().into()));
        let twenty: Vec<String> = twenty.collect();
        assert_eq!(tokens.resolve(twenty.concat()), Value::from("012345678910111213141516171819").into_sensitive());
        let piece: String = token.chars().take(3).collect();
        let shown = tokens.shown(format!("<{token}{token}, {piece}.>"));
        assert_eq!(shown, "<(sensitive)(sensitive), (sensitive).>");
    }

    #[test]
    fn the_same_place_keeps_its_token_and_a_forged_one_reveals_nothing() {
        let mut tokens = Tokens::new("n");
        let token = tokens.token(&output(), &Pointer::root(), &"a".into());
        assert_eq!(tokens.token(&output(), &Pointer::root(), &"b".into()), token);
        let forged: String =
            tokens.prefix().chars().chain([char::from_u32(RARE + 7).unwrap(), char::from_u32(END).unwrap()]).collect();
        assert!(tokens.reveal(&forged).is_none());
        assert_eq!(tokens.resolve(forged.clone()), Value::from(forged).into_sensitive());
    }

    #[test]
    fn a_value_with_unknown_parts_says_so() {
        let mut tokens = Tokens::new("n");
        let value = Value::Map([("a".to_owned(), Value::Unknown), ("b".to_owned(), 1.into())].into());
        assert_eq!(tokens.encode(&output(), &value, "N"), serde_json::json!([1, { "a": { "N": "unknown" }, "b": 1 }]));
        assert_eq!(tokens.encode(&output(), &Value::Unknown, "N"), serde_json::json!([2]));
    }
}
