//! `random`: random bytes in several notations, which stay as they are.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use freehold_provider::sdk::{Context, Existing, Failure, Made, Ran, ResourceType, Traits};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::secret;

pub(crate) struct Random;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Inputs {
    /// How many bytes.
    #[schemars(range(min = 1, max = 4096), extend("x-force-new" = true))]
    #[serde(default = "default_bytes")]
    bytes: u32,
    /// Any values; when one changes there are new bytes.
    #[schemars(extend("x-force-new" = true))]
    #[allow(dead_code, reason = "only its change matters")]
    keepers: Option<Json>,
    /// Whether the outputs are secrets.
    #[schemars(extend("x-force-new" = true))]
    #[serde(default)]
    secret: bool,
}

#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Outputs {
    /// Hexadecimal digits, two per byte.
    hex: String,
    /// Base64 (RFC 4648) with padding.
    base64: String,
    /// Base64 for URLs and file names, without padding.
    b64url: String,
    /// The bytes as one decimal number, most significant first.
    dec: String,
}

fn default_bytes() -> u32 {
    8
}

impl ResourceType for Random {
    type Inputs = Inputs;
    type Outputs = Outputs;
    const NAME: &'static str = "random";
    const DESCRIPTION: &'static str = "Random bytes that stay as they are.";

    fn traits(&self) -> Traits {
        let operations = vec![secret::rotate("makes new bytes")];
        Traits { stateful: true, repeatable: true, operations, ..Traits::default() }
            .examples_from(include_str!("../../examples/random.json"))
    }

    fn create(&self, _: &Context, inputs: Inputs) -> Result<Made<Outputs>, Failure> {
        make(&inputs)
    }

    fn run(&self, _: &Context, object: &Existing<Self>, _: &str, _: &[String]) -> Result<Ran<Outputs>, Failure> {
        Ok(Ran { exit_code: 0, made: Some(make(&object.typed_inputs()?)?) })
    }
}

fn make(inputs: &Inputs) -> Result<Made<Outputs>, Failure> {
    let bytes = secret::bytes(inputs.bytes as usize)?;
    let outputs = Outputs {
        hex: secret::hex(&bytes),
        base64: STANDARD.encode(&bytes),
        b64url: URL_SAFE_NO_PAD.encode(&bytes),
        dec: decimal(&bytes),
    };
    Ok(Made::new(outputs).sensitive_if(inputs.secret, &["hex", "base64", "b64url", "dec"]))
}

/// Long division by 10⁹, the largest power of ten below 2³².
fn decimal(bytes: &[u8]) -> String {
    const CHUNK: u64 = 1_000_000_000;
    let mut digits: Vec<u64> = vec![0];
    for byte in bytes {
        let mut carry = u64::from(*byte);
        for digit in &mut digits {
            let value = *digit * 256 + carry;
            *digit = value % CHUNK;
            carry = value / CHUNK;
        }
        if carry > 0 {
            digits.push(carry);
        }
    }
    let mut text = digits.pop().unwrap_or(0).to_string();
    for digit in digits.iter().rev() {
        text.push_str(&format!("{digit:09}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_as_one_decimal_number() {
        assert_eq!(decimal(&[0]), "0");
        assert_eq!(decimal(&[1, 0]), "256");
        assert_eq!(decimal(&[0xff; 16]), u128::MAX.to_string());
        assert_eq!(decimal(&1_000_000_000_000_000_001u64.to_be_bytes()), "1000000000000000001");
    }
}
