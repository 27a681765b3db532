//! Lengths of time on the command line: `30s`, `5m`, `1h`.

use std::time::Duration;

/// Reads one: a number and `ms`, `s`, `m`, `h` or `d`; seconds without a unit.
///
/// # Errors
/// It is none, or longer than a year.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let number: u64 = digits.parse().map_err(|_| "write a number and a unit: 30s, 5m, 1h".to_owned())?;
    let seconds = match &text[digits.len()..] {
        "ms" => return Ok(Duration::from_millis(number.clamp(1, 365 * 24 * 3_600_000))),
        "s" | "" => number,
        "m" => number.saturating_mul(60),
        "h" => number.saturating_mul(3600),
        "d" => number.saturating_mul(24 * 3600),
        other => return Err(format!("`{other}` is no unit of time: there are ms, s, m, h and d")),
    };
    if seconds > 365 * 24 * 3600 {
        return Err("a year is the longest".to_owned());
    }
    Ok(Duration::from_secs(seconds.max(1)))
}
