//! Nix's signing keys: `name:base64`, Ed25519. A secret key holds seed and public key (64 bytes), a public key 32 bytes.
//!
//! Signatures are `name:base64` too. Which key made one is told by the name; whether that is true, by verifying.

use data_encoding::BASE64;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use freehold_model::{Sensitive, limits};
use zeroize::Zeroizing;

use crate::error::NarError;

/// A key that signs. Its `Debug` shows the name only.
#[derive(Clone)]
pub struct SecretKey {
    name: String,
    key: SigningKey,
}

/// A key that verifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    name: String,
    key: VerifyingKey,
}

/// The keys whose signatures are believed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrustedKeys {
    keys: Vec<PublicKey>,
}

impl SecretKey {
    /// Makes a new key.
    ///
    /// # Errors
    /// A name that is empty or has a colon, a blank or a control character in it; a system without randomness.
    pub fn generate(name: &str) -> Result<Self, NarError> {
        let name = good_name(name).ok_or_else(|| NarError::BadKeyName { name: crate::error::shown(name) })?;
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut()).map_err(|e| NarError::NoRandomness { reason: e.to_string() })?;
        Ok(Self { name: name.to_owned(), key: SigningKey::from_bytes(&seed) })
    }

    /// Reads the text of a key file; whitespace around it is ignored.
    ///
    /// # Errors
    /// Any other form, and a key whose halves do not belong together.
    pub fn parse(text: &str) -> Result<Self, NarError> {
        let bad = |reason| NarError::BadSecretKey { reason };
        let (name, bytes) = read(text).map_err(bad)?;
        let bytes = Zeroizing::new(bytes);
        let pair: Zeroizing<[u8; 64]> = Zeroizing::new(bytes.as_slice().try_into().map_err(|_| match bytes.len() {
            32 => bad("it holds 32 bytes, as public keys do"),
            _ => bad("it does not hold 64 bytes"),
        })?);
        let key = SigningKey::from_keypair_bytes(&pair)
            .map_err(|_| bad("its secret and public halves do not belong together"))?;
        Ok(Self { name: name.to_owned(), key })
    }

    /// The text of its key file, without a line's end.
    pub fn to_text(&self) -> Sensitive<String> {
        let pair = Zeroizing::new(self.key.to_keypair_bytes());
        Sensitive::new(write(&self.name, pair.as_slice()))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key that verifies what this one signs.
    pub fn public(&self) -> PublicKey {
        PublicKey { name: self.name.clone(), key: self.key.verifying_key() }
    }

    /// Signs bytes: `name:base64`.
    pub fn sign(&self, message: &[u8]) -> String {
        write(&self.name, &self.key.sign(message).to_bytes())
    }
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecretKey({}, (sensitive))", self.name)
    }
}

impl PublicKey {
    /// Reads `name:base64`; whitespace around it is ignored.
    ///
    /// # Errors
    /// Any other form, and bytes that are no point of the curve.
    pub fn parse(text: &str) -> Result<Self, NarError> {
        let bad = |reason| NarError::BadPublicKey { reason };
        let (name, bytes) = read(text).map_err(bad)?;
        let bytes: [u8; 32] = bytes.as_slice().try_into().map_err(|_| match bytes.len() {
            64 => bad("it holds 64 bytes, as secret keys do; never give those away"),
            _ => bad("it does not hold 32 bytes"),
        })?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| bad("its bytes are no key of Ed25519"))?;
        Ok(Self { name: name.to_owned(), key })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether `signature` (`name:base64`) carries this key's name and is its signature of `message`.
    pub fn verify(&self, message: &[u8], signature: &str) -> bool {
        let Ok((name, bytes)) = read(signature) else { return false };
        let Ok(bytes) = <[u8; 64]>::try_from(bytes) else { return false };
        name == self.name && self.key.verify_strict(message, &Signature::from_bytes(&bytes)).is_ok()
    }
}

impl std::fmt::Display for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&write(&self.name, self.key.as_bytes()))
    }
}

impl TrustedKeys {
    /// These.
    pub fn new(keys: Vec<PublicKey>) -> Self {
        Self { keys }
    }

    /// Reads keys separated by blanks, as in Nix's `trusted-public-keys`.
    ///
    /// # Errors
    /// When one of them is no key.
    pub fn parse(text: &str) -> Result<Self, NarError> {
        Ok(Self { keys: text.split_whitespace().map(PublicKey::parse).collect::<Result<_, _>>()? })
    }

    /// The first trusted key that made one of the signatures; `None` when none did.
    pub fn signer<'a>(&'a self, message: &[u8], signatures: &[String]) -> Option<&'a PublicKey> {
        self.keys.iter().find(|key| signatures.iter().any(|signature| key.verify(message, signature)))
    }

    /// All of them.
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// As in Nix's `trusted-public-keys`: separated by blanks.
impl std::fmt::Display for TrustedKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
    }
}

fn good_name(name: &str) -> Option<&str> {
    let odd = |c: char| c == ':' || c.is_whitespace() || c.is_control();
    (!name.is_empty() && name.len() <= limits::KEY_BYTES && !name.contains(odd)).then_some(name)
}

fn read(text: &str) -> Result<(&str, Vec<u8>), &'static str> {
    if text.len() > limits::KEY_BYTES {
        return Err("it is too long");
    }
    let (name, digits) = text.trim().split_once(':').ok_or("there is no colon in it")?;
    let name = good_name(name).ok_or("it has no name, or one with blanks, before its colon")?;
    let bytes = BASE64.decode(digits.as_bytes()).map_err(|_| "what follows its colon is not base 64")?;
    Ok((name, bytes))
}

fn write(name: &str, bytes: &[u8]) -> String {
    format!("{name}:{}", BASE64.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use freehold_testkit::{Scratch, each_nix};
    use proptest::prelude::*;

    fn key(name: &str, seed: u8) -> SecretKey {
        SecretKey { name: name.to_owned(), key: SigningKey::from_bytes(&[seed; 32]) }
    }

    #[test]
    fn a_key_comes_back_from_its_text() {
        let made = SecretKey::generate("cache.example.org-1").unwrap();
        let text = made.to_text();
        let read = SecretKey::parse(&format!("{}\n", text.expose())).unwrap();
        assert_eq!(read.public(), made.public());
        assert_eq!(PublicKey::parse(&made.public().to_string()).unwrap(), made.public());
        assert_ne!(SecretKey::generate("cache.example.org-1").unwrap().public(), made.public(), "every key is new");
    }

    #[test]
    fn keys_that_nix_makes_are_read_and_written_the_same() {
        each_nix(|nix| {
            let scratch = Scratch::new();
            let output = nix
                .command("nix-store", scratch.path())
                .arg("--generate-binary-cache-key")
                .arg("test-1")
                .args([scratch.join("sec"), scratch.join("pub")])
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let secret = SecretKey::parse(&scratch.read("sec")).unwrap();
            assert_eq!(secret.to_text().expose(), scratch.read("sec").trim());
            assert_eq!(secret.public().to_string(), scratch.read("pub").trim());
        });
    }

    #[test]
    fn a_signature_is_valid_for_its_key_name_and_message_only() {
        let secret = key("a", 1);
        let signature = secret.sign(b"message");
        assert!(secret.public().verify(b"message", &signature));
        assert!(!secret.public().verify(b"massage", &signature));
        assert!(!key("a", 2).public().verify(b"message", &signature), "another key of the same name");
        assert!(!key("b", 1).public().verify(b"message", &signature), "the same key under another name");
        assert!(!secret.public().verify(b"message", "a:AAAA"));
        assert!(!secret.public().verify(b"message", ""));
    }

    #[test]
    fn one_trusted_signature_among_others_is_enough() {
        let trusted = TrustedKeys::parse(&format!("{} {}\n", key("b", 2).public(), key("a", 1).public())).unwrap();
        let signatures = [key("x", 9).sign(b"m"), key("a", 1).sign(b"m")];
        assert_eq!(trusted.signer(b"m", &signatures).map(PublicKey::name), Some("a"));
        assert_eq!(trusted.signer(b"m", &signatures[..1]), None);
        assert_eq!(TrustedKeys::default().signer(b"m", &signatures), None);
    }

    #[test]
    fn what_is_no_key_is_refused_with_the_reason_and_nothing_of_the_secret() {
        let public = key("a", 1).public().to_string();
        let secret = key("a", 1).to_text().into_exposed();
        let said = |text: &str| SecretKey::parse(text).unwrap_err().to_string();
        assert_eq!(said("abc"), "not a secret key: there is no colon in it");
        assert_eq!(said(":abc"), "not a secret key: it has no name, or one with blanks, before its colon");
        assert_eq!(said("a:%%"), "not a secret key: what follows its colon is not base 64");
        assert_eq!(said(&public), "not a secret key: it holds 32 bytes, as public keys do");
        let other = write("a", &[key("a", 1).key.to_bytes(), key("a", 2).key.verifying_key().to_bytes()].concat());
        assert_eq!(said(&other), "not a secret key: its secret and public halves do not belong together");
        assert_eq!(
            PublicKey::parse(&secret).unwrap_err().to_string(),
            "not a public key: it holds 64 bytes, as secret keys do; never give those away"
        );
        assert_eq!(format!("{:?}", key("a", 1)), "SecretKey(a, (sensitive))");
        assert_eq!(SecretKey::generate("a b").unwrap_err().to_string(), "`a b` cannot be the name of a key");
    }

    proptest! {
        #[test]
        fn no_text_makes_reading_panic(text in "\\PC{0,40}|[a-z]{1,5}:[A-Za-z0-9+/]{0,90}=?=?") {
            if let Ok(key) = PublicKey::parse(&text) {
                prop_assert_eq!(PublicKey::parse(&key.to_string()).ok(), Some(key));
            }
            if let Ok(key) = SecretKey::parse(&text) {
                prop_assert!(key.public().verify(b"m", &key.sign(b"m")));
            }
        }
    }
}
