//! Randomness from the operating system, and what the random types share.

use freehold_provider::sdk::{Failure, Operation};

/// `count` random bytes.
pub(crate) fn bytes(count: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = vec![0; count];
    getrandom::fill(&mut bytes).map_err(|e| Failure::host(format!("the system gives no randomness: {e}")))?;
    Ok(bytes)
}

/// A random number below `limit`, all equally likely. `limit` must not be 0.
pub(crate) fn below(limit: u32) -> Result<u32, Failure> {
    // Numbers of the incomplete last round are thrown away, so that none is likelier than another.
    let rounds = u32::MAX - u32::MAX % limit;
    loop {
        let mut buffer = [0; 4];
        buffer.copy_from_slice(&bytes(4)?);
        let number = u32::from_le_bytes(buffer);
        if number < rounds {
            return Ok(number % limit);
        }
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The operation by which the random types get a new value.
pub(crate) fn rotate(description: &'static str) -> Operation {
    Operation { name: "rotate", description, arguments: "", changes_outputs: true }
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_stay_below_the_limit_and_reach_all_of_it() {
        let seen: std::collections::BTreeSet<u32> = (0..500).map(|_| super::below(7).unwrap()).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6]);
    }
}
