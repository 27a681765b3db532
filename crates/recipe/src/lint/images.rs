//! Rules about images: a tag that moves makes one version of a recipe into many.

use super::{Findings, Severity, Subject};

pub(super) fn moving_tags(subject: &Subject<'_>, findings: &mut Findings) {
    for service in subject.stack.services() {
        let image = service.image();
        let at = subject.place(&["services", service.name, "image"]);
        if image.is_empty() {
            let message = format!("`{}` has no image", service.name);
            findings.add(Severity::Error, "no-image", at, message, "a stack builds nothing: name an image");
            continue;
        }
        if image.contains("@sha256:") {
            continue;
        }
        let hint = "name the whole version, or a digest";
        match tag(image) {
            None => {
                let message = format!(
                    "the image of `{}`, `{image}`, has no tag: that is `latest`, whatever it is that day",
                    service.name
                );
                findings.add(Severity::Warning, "moving-tag", at, message, hint);
            }
            Some(tag) if numbers(tag) == 0 && !is_hash(tag) => {
                let message = format!("the tag of `{}`, `{tag}`, is moved with every release", service.name);
                findings.add(Severity::Warning, "moving-tag", at, message, hint);
            }
            Some(tag) if numbers(tag) < 3 && !is_hash(tag) => {
                let message = format!("the tag of `{}`, `{tag}`, moves within its version", service.name);
                findings.add(Severity::Notice, "moving-tag", at, message, hint);
            }
            Some(_) => {}
        }
    }
}

fn tag(image: &str) -> Option<&str> {
    // A `:` before the last `/` is a registry's port.
    let (_, tag) = image.rsplit('/').next()?.split_once(':')?;
    (!tag.is_empty()).then_some(tag)
}

/// How many numbers a tag's version begins with; a date counts as three.
fn numbers(tag: &str) -> usize {
    let start = tag.find(|char: char| char.is_ascii_digit()).unwrap_or(tag.len());
    let version = &tag[start..];
    let end = version.find(|char: char| !char.is_ascii_digit() && char != '.').unwrap_or(version.len());
    let parts: Vec<&str> = version[..end].split('.').filter(|part| !part.is_empty()).collect();
    match parts.as_slice() {
        [date] if date.len() >= 6 => 3,
        // RELEASE.2024-10-02T17-50-41Z
        [year] if year.len() == 4 && version[end..].starts_with('-') => 3,
        parts => parts.len(),
    }
}

fn is_hash(tag: &str) -> bool {
    let hash = tag.rsplit(['-', '_']).next().unwrap_or(tag);
    (7..=64).contains(&hash.len())
        && hash.chars().all(|char| char.is_ascii_hexdigit())
        && hash.contains(|char: char| char.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_told_from_a_port_and_a_version_from_a_word() {
        assert_eq!(tag("registry.example.org:5000/a/b"), None);
        assert_eq!(tag("registry.example.org:5000/a/b:1.2"), Some("1.2"));
        let counts =
            ["latest", "6-alpine", "8.0", "v0.4.219", "15.4", "RELEASE.2024-10-02T17-50-41Z", "20241002"].map(numbers);
        assert_eq!(counts, [0, 1, 2, 3, 2, 3, 3]);
        assert!(is_hash("main-6f1c2ab") && !is_hash("alpine"));
    }
}
