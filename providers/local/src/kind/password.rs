//! `password`: a random password made of the wanted kinds of characters.

use freehold_provider::sdk::{Context, Existing, Failure, Made, Ran, ResourceType, Traits};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::secret;

const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS: &str = "0123456789";

pub(crate) struct Password;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Inputs {
    /// How many characters.
    #[schemars(range(min = 4, max = 1024), extend("x-force-new" = true))]
    #[serde(default = "default_length")]
    length: u32,
    /// Whether it has lower-case letters.
    #[schemars(extend("x-force-new" = true))]
    #[serde(default = "yes")]
    lower: bool,
    /// Whether it has upper-case letters.
    #[schemars(extend("x-force-new" = true))]
    #[serde(default = "yes")]
    upper: bool,
    /// Whether it has digits.
    #[schemars(extend("x-force-new" = true))]
    #[serde(default = "yes")]
    digits: bool,
    /// Symbols it has beside; none when empty.
    #[schemars(extend("x-force-new" = true))]
    #[serde(default)]
    symbols: String,
    /// Any values; when one changes there is a new password.
    #[schemars(extend("x-force-new" = true))]
    #[allow(dead_code, reason = "only its change matters")]
    keepers: Option<Json>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Outputs {
    /// The password. It has at least one character of each wanted kind.
    #[schemars(extend("x-sensitive" = true))]
    password: String,
}

fn default_length() -> u32 {
    32
}

fn yes() -> bool {
    true
}

impl ResourceType for Password {
    type Inputs = Inputs;
    type Outputs = Outputs;
    const NAME: &'static str = "password";
    const DESCRIPTION: &'static str = "A random password that stays as it is.";

    fn traits(&self) -> Traits {
        let operations = vec![secret::rotate("makes a new password")];
        Traits { stateful: true, repeatable: true, operations, ..Traits::default() }
            .examples_from(include_str!("../../examples/password.json"))
    }

    fn create(&self, _: &Context, inputs: Inputs) -> Result<Made<Outputs>, Failure> {
        make(&inputs)
    }

    fn run(&self, _: &Context, object: &Existing<Self>, _: &str, _: &[String]) -> Result<Ran<Outputs>, Failure> {
        Ok(Ran { exit_code: 0, made: Some(make(&object.typed_inputs()?)?) })
    }
}

fn make(inputs: &Inputs) -> Result<Made<Outputs>, Failure> {
    let kinds: Vec<Vec<char>> =
        [(inputs.lower, LOWER), (inputs.upper, UPPER), (inputs.digits, DIGITS), (true, inputs.symbols.as_str())]
            .into_iter()
            .filter(|(wanted, characters)| *wanted && !characters.is_empty())
            .map(|(_, characters)| characters.chars().collect())
            .collect();
    if kinds.is_empty() {
        return Err(Failure::user("a password needs some kind of characters")
            .hint("leave one of lower, upper and digits on, or give symbols")
            .at("symbols"));
    }
    let all: Vec<char> = kinds.concat();
    let mut characters = kinds.iter().map(|kind| pick(kind)).collect::<Result<Vec<_>, _>>()?;
    while characters.len() < inputs.length as usize {
        characters.push(pick(&all)?);
    }
    // Shuffled (Fisher and Yates), so that it cannot be told which kind comes where.
    for last in (1..characters.len()).rev() {
        let other = secret::below(u32::try_from(last).unwrap_or(u32::MAX) + 1)? as usize;
        characters.swap(last, other);
    }
    Ok(Made::new(Outputs { password: characters.into_iter().collect() }))
}

fn pick(of: &[char]) -> Result<char, Failure> {
    let index = secret::below(u32::try_from(of.len()).unwrap_or(1))? as usize;
    Ok(of[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(inputs: Json) -> Result<String, String> {
        let made = make(&serde_json::from_value(inputs).unwrap()).map_err(|e| e.message().to_owned())?;
        Ok(made.outputs.password)
    }

    #[test]
    fn every_wanted_kind_of_character_occurs_and_no_other() {
        for _ in 0..200 {
            let password = password(serde_json::json!({ "length": 4, "symbols": "-", "upper": false })).unwrap();
            assert_eq!(password.chars().count(), 4);
            assert!(password.contains('-'));
            assert!(password.chars().any(|c| c.is_ascii_lowercase()) && password.chars().any(|c| c.is_ascii_digit()));
            assert!(!password.chars().any(|c| c.is_ascii_uppercase()));
        }
    }

    #[test]
    fn a_password_of_nothing_is_refused() {
        let refused = password(serde_json::json!({ "lower": false, "upper": false, "digits": false }));
        assert_eq!(refused, Err("a password needs some kind of characters".into()));
    }
}
