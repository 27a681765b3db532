//! "Did you mean …?"

/// The known name nearest to `given`, when one is near enough to be meant.
pub fn did_you_mean<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = match given.chars().count() {
        0..=2 => 1,
        3..=5 => 2,
        _ => 3,
    };
    known
        .into_iter()
        .map(|name| (strsim::levenshtein(&given.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= allowed && *distance < name.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised_and_a_stranger_is_not() {
        let known = ["contents", "path", "mode"];
        assert_eq!(did_you_mean("content", known), Some("contents"));
        assert_eq!(did_you_mean("Path", known), Some("path"));
        assert_eq!(did_you_mean("executable", known), None);
        assert_eq!(did_you_mean("x", known), None);
        assert_eq!(did_you_mean("site.pgae", ["site.page", "id"]), Some("site.page"));
    }
}
