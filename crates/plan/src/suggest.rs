//! The nearest known name to one that does not exist.

/// The known name that `name` was probably meant to be.
pub(crate) fn did_you_mean(name: &str, known: impl Iterator<Item = String>) -> Option<String> {
    let limit = name.chars().count().div_ceil(3).max(1);
    known
        .map(|candidate| (distance(name, &candidate), candidate))
        .filter(|(d, _)| *d <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised_and_a_stranger_is_not() {
        let known = || ["site.page", "id"].into_iter().map(str::to_owned);
        assert_eq!(did_you_mean("site.pgae", known()).as_deref(), Some("site.page"));
        assert_eq!(did_you_mean("database", known()), None);
    }
}
