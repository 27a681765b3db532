//! Values that are made up: from the system's randomness, every character as likely as any other.

use freehold_model::Sensitive;
use freehold_recipe::{Generator, Secret};

use crate::AppError;

const CONSONANTS: &str = "bcdfghjklmnprstvwz";
const VOWELS: &str = "aeiou";
/// Words of a passphrase; each of two syllables, some 13 bits.
const WORDS: usize = 8;

/// Makes a secret up, when the recipe lets it be: another value than the one that a person gives helps nobody.
///
/// # Errors
/// [`AppError::NotMadeUp`], [`AppError::Random`].
pub(crate) fn secret(secret: &Secret) -> Result<Sensitive<Vec<u8>>, AppError> {
    if secret.generate { value(&secret.recipe) } else { Err(AppError::NotMadeUp { name: secret.key.clone() }) }
}

/// Makes a value up.
///
/// # Errors
/// [`AppError::Random`].
fn value(generator: &Generator) -> Result<Sensitive<Vec<u8>>, AppError> {
    let mut text = String::new();
    match generator {
        Generator::Characters { length, alphabet } => {
            for _ in 0..*length {
                text.push(one_of(alphabet)?);
            }
        }
        Generator::Passphrase => {
            for word in 0..WORDS {
                if word > 0 {
                    text.push('-');
                }
                for letters in [CONSONANTS, VOWELS, CONSONANTS, VOWELS] {
                    text.push(one_of(letters)?);
                }
            }
        }
    }
    Ok(Sensitive::new(text.into_bytes()))
}

fn one_of(alphabet: &str) -> Result<char, AppError> {
    let count = alphabet.chars().count().clamp(1, 256);
    // Bytes past the last whole multiple would favour the first characters.
    let fair = 256 - 256 % count;
    loop {
        let mut byte = [0_u8];
        getrandom::fill(&mut byte).map_err(|_| AppError::Random)?;
        let at = usize::from(byte[0]);
        if at < fair {
            return alphabet.chars().nth(at % count).ok_or(AppError::Random);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_their_length_and_characters() {
        let generator = Generator::Characters { length: 200, alphabet: "ab".to_owned() };
        let made = value(&generator).unwrap();
        let text = String::from_utf8(made.expose().clone()).unwrap();
        assert_eq!(text.len(), 200);
        assert!(text.contains('a') && text.contains('b') && text.chars().all(|char| "ab".contains(char)), "{text}");
        let phrase = String::from_utf8(value(&Generator::Passphrase).unwrap().expose().clone()).unwrap();
        assert_eq!(phrase.split('-').count(), WORDS, "{phrase}");
    }

    #[test]
    fn what_the_recipe_does_not_let_be_made_up_is_not() {
        let made = |generate| {
            let recipe = Generator::Passphrase;
            let [key, name, version] = ["smtp", "s_smtp_v1", "v1"].map(str::to_owned);
            secret(&Secret { key, name, version, variable: None, generate, recipe }).map(drop)
        };
        assert!(made(true).is_ok());
        let error = made(false).unwrap_err();
        assert_eq!(error.to_string(), "the secret `smtp` is not made up: the recipe says `generate=false`");
        assert_eq!(
            error.hint().as_deref(),
            Some("give its value to `secret insert`, or to `secret rotate`, with `--file FILE` or `-`")
        );
    }
}
