//! Nix's base 32: an alphabet without `e`, `o`, `t`, `u`, lowest bits first, written from the end.

use data_encoding::{BitOrder, Encoding, Specification};

const ALPHABET: &str = "0123456789abcdfghijklmnpqrsvwxyz";

/// Writes bytes in Nix's base 32.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let forward = encoding().map(|encoding| encoding.encode(bytes)).unwrap_or_default();
    forward.chars().rev().collect()
}

/// Reads Nix's base 32; `None` for other characters, other lengths than bytes give, and bits beyond the last byte.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let forward: String = text.chars().rev().collect();
    encoding()?.decode(forward.as_bytes()).ok()
}

/// Whether a character may stand in Nix's base 32.
pub(crate) fn is_digit(character: char) -> bool {
    ALPHABET.contains(character)
}

fn encoding() -> Option<&'static Encoding> {
    static ENCODING: std::sync::OnceLock<Option<Encoding>> = std::sync::OnceLock::new();
    let make = || {
        let mut specification = Specification::new();
        specification.symbols.push_str(ALPHABET);
        specification.bit_order = BitOrder::LeastSignificantFirst;
        specification.encoding().ok()
    };
    ENCODING.get_or_init(make).as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_hash_of_nothing_is_written_as_nix_writes_it() {
        use sha2::Digest as _;
        let hash = sha2::Sha256::digest(b"");
        assert_eq!(encode(&hash), "0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73");
    }

    #[test]
    fn what_no_bytes_give_is_refused() {
        for text in ["0e", "0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c7", "z0", "A0", "0\u{e4}"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn bytes_come_back(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(decode(&encode(&bytes)), Some(bytes));
        }
    }
}
