//! Encryption of single values under the data key of a segment (XChaCha20-Poly1305).
//!
//! What it deliberately does not do: decide who may read. That is [`crate::keys`], which wraps the data key with age.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use crate::error::StateError;

const NONCE_BYTES: usize = 24;

/// The 32 bytes under which the values of one segment or snapshot are encrypted.
pub(crate) type DataKey = Zeroizing<[u8; 32]>;

/// Encrypts and decrypts the values of one segment or snapshot.
pub(crate) struct Seal {
    cipher: Option<XChaCha20Poly1305>,
    /// Bound to every value, so that it cannot be carried elsewhere: lineage and segment.
    context: String,
}

impl Seal {
    /// With the key, or without one: then nothing can be encrypted and what is read stays locked.
    pub(crate) fn new(key: Option<&DataKey>, context: String) -> Self {
        Self { cipher: key.map(|key| XChaCha20Poly1305::new((&**key).into())), context }
    }

    /// Whether there is a key.
    pub(crate) fn is_open(&self) -> bool {
        self.cipher.is_some()
    }

    /// Base64 of nonce and ciphertext.
    pub(crate) fn seal(&self, clear: &[u8]) -> Result<String, StateError> {
        let cipher = self.cipher.as_ref().ok_or(StateError::NoRecipients)?;
        let mut sealed = vec![0; NONCE_BYTES];
        random(&mut sealed)?;
        let payload = Payload { msg: clear, aad: self.context.as_bytes() };
        let body = cipher
            .encrypt(XNonce::from_slice(&sealed), payload)
            .map_err(|e| StateError::Seal { reason: e.to_string() })?;
        sealed.extend_from_slice(&body);
        Ok(BASE64.encode(sealed))
    }

    /// What was sealed; `Ok(None)` without a key, `Err` when it is not ours or was tampered with.
    pub(crate) fn open(&self, data: &str) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
        let Some(cipher) = &self.cipher else { return Ok(None) };
        let bytes = BASE64.decode(data).map_err(|e| format!("encrypted value is not base64: {e}"))?;
        let (nonce, body) =
            bytes.split_at_checked(NONCE_BYTES).ok_or_else(|| "encrypted value is too short".to_owned())?;
        let payload = Payload { msg: body, aad: self.context.as_bytes() };
        cipher
            .decrypt(XNonce::from_slice(nonce), payload)
            .map(|clear| Some(Zeroizing::new(clear)))
            .map_err(|_| "encrypted value does not authenticate under the key of its segment".to_owned())
    }
}

/// Fills `bytes` from the system's source of random numbers.
pub(crate) fn random(bytes: &mut [u8]) -> Result<(), StateError> {
    getrandom::fill(bytes).map_err(|e| StateError::Seal { reason: format!("no random numbers: {e}") })
}

/// A new random data key.
pub(crate) fn new_data_key() -> Result<DataKey, StateError> {
    let mut key = Zeroizing::new([0; 32]);
    random(&mut *key)?;
    Ok(key)
}

/// A random identifier in the form of a version 4 UUID.
pub(crate) fn new_uuid() -> Result<String, StateError> {
    let mut b = [0; 16];
    random(&mut b)?;
    b[6] = b[6] & 0x0f | 0x40;
    b[8] = b[8] & 0x3f | 0x80;
    let hex: String = b.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}
