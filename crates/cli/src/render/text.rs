//! Text of others made fit to be shown: no control characters, no surprising length.

use std::borrow::Cow;

/// Replaces control characters (all but line ends and tabs) and the characters that turn the direction of writing, which can make
/// a terminal show something other than what is there, by `\u{…}`.
pub(crate) fn escape_controls(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| is_unfit(c) && c != '\n' && c != '\t') {
        return Cow::Borrowed(text);
    }
    let mut fit = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unfit(c) && c != '\n' && c != '\t' {
            fit.extend(c.escape_unicode());
        } else {
            fit.push(c);
        }
    }
    Cow::Owned(fit)
}

/// Whether a character would act on the terminal instead of being shown.
pub(crate) fn is_unfit(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text with every line but the first moved in by `by`.
pub(crate) fn indent(text: &str, by: &str) -> String {
    text.replace('\n', &format!("\n{by}"))
}

/// The beginning of a text, and how many characters follow when it is longer than `limit`.
pub(crate) fn shorten(text: &str, limit: usize) -> (&str, usize) {
    match text.char_indices().nth(limit) {
        None => (text, 0),
        Some((end, _)) => (&text[..end], text[end..].chars().count()),
    }
}

/// `1 member`, `2 members`.
pub(crate) fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// Bytes as people say them: `812 B`, `1.4 MB`, `23 GB`.
#[allow(clippy::cast_precision_loss, reason = "two digits are shown")]
pub(crate) fn bytes(n: u64) -> String {
    let mut amount = n as f64;
    let mut unit = "B";
    for larger in ["kB", "MB", "GB", "TB"] {
        if amount < 999.5 {
            break;
        }
        amount /= 1000.0;
        unit = larger;
    }
    if unit == "B" || amount >= 9.95 { format!("{amount:.0} {unit}") } else { format!("{amount:.1} {unit}") }
}

/// Seconds as people say them: `0.4 s`, `12 s`, `3 min 05 s`.
pub(crate) fn seconds(seconds: f64) -> String {
    if seconds < 10.0 {
        format!("{seconds:.1} s")
    } else if seconds < 60.0 {
        format!("{seconds:.0} s")
    } else {
        let minutes = (seconds / 60.0).floor();
        format!("{minutes:.0} min {:02.0} s", (seconds - minutes * 60.0).floor())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_short() {
        let shown = [0, 812, 999, 1000, 9_949, 99_500, 999_499, 1_400_000, 23_000_000_000].map(bytes);
        assert_eq!(shown, ["0 B", "812 B", "999 B", "1.0 kB", "9.9 kB", "100 kB", "999 kB", "1.4 MB", "23 GB"]);
    }

    #[test]
    fn nothing_that_acts_on_a_terminal_is_left() {
        assert_eq!(escape_controls("plain\n\ttext"), "plain\n\ttext");
        assert_eq!(escape_controls("\u{1b}[31mred\r\u{202e}"), r"\u{1b}[31mred\u{d}\u{202e}");
    }

    #[test]
    fn durations_are_short() {
        assert_eq!([0.04, 9.96, 59.4, 185.2].map(seconds), ["0.0 s", "10.0 s", "59 s", "3 min 05 s"]);
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        assert_eq!(shorten("äöü", 2), ("äö", 1));
        assert_eq!(shorten("äöü", 3), ("äöü", 0));
    }
}
