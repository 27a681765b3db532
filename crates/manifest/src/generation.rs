//! The generation: when a manifest was made, as it is written in it, and the name under which it is archived.

use jiff::{Timestamp, ToSpan as _, Unit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When a manifest was made: an RFC 3339 time in UTC, such as `2025-01-15T12:34:56Z`. It is what people call a generation by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Generation(String);

impl Generation {
    /// The generation of a manifest that is made now, in milliseconds since 1970, after those `before`: never the same and never an
    /// earlier one, whatever clocks say.
    pub fn next<'a>(now_millis: u64, before: impl IntoIterator<Item = &'a Self>) -> Self {
        let now = i64::try_from(now_millis).ok().and_then(|millis| Timestamp::from_millisecond(millis).ok());
        let now = now.unwrap_or(Timestamp::UNIX_EPOCH);
        let now =
            now.round(Unit::Second).map_or(now, |rounded| if rounded > now { rounded - 1.second() } else { rounded });
        let latest = before.into_iter().filter_map(Self::time).max();
        let after = latest.and_then(|time| time.checked_add(1.second()).ok());
        let time = after.map_or(now, |after| now.max(after));
        Self(format!("{}", time.strftime("%Y-%m-%dT%H:%M:%SZ")))
    }

    #[cfg(test)]
    pub(crate) fn unchecked(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The moment; `None` when it is no RFC 3339 time.
    pub fn time(&self) -> Option<Timestamp> {
        self.0.parse().ok().filter(|_| is_rfc_3339(&self.0))
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where a manifest of this generation is archived in its bucket.
    pub fn archive_key(&self) -> String {
        format!("{ARCHIVE}manifest-{}.json", self.0)
    }

    /// The same moment and a few milliseconds: what a manifest is archived as when another one has its name already. `None` when it is no
    /// RFC 3339 time.
    pub fn beside(&self, milliseconds: u16) -> Option<Self> {
        let time = self.time()?.checked_add(i64::from(milliseconds).milliseconds()).ok()?;
        Some(Self(format!("{}", time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ"))))
    }

    /// The generation that an archived manifest's key names; `None` for other keys.
    pub fn from_archive_key(key: &str) -> Option<Self> {
        let name = key.strip_prefix(ARCHIVE)?.strip_prefix("manifest-")?.strip_suffix(".json")?;
        let generation = Self(name.to_owned());
        generation.time().map(|_| generation)
    }
}

/// Whether it is written as RFC 3339 says: what reads times knows forms that others do not.
fn is_rfc_3339(text: &str) -> bool {
    let is_like = |text: &str, form: &str| {
        let fits =
            |(c, form): (char, char)| if form == '0' { c.is_ascii_digit() } else { c.eq_ignore_ascii_case(&form) };
        text.len() == form.len() && text.chars().zip(form.chars()).all(fits)
    };
    let Some((moment, rest)) = text.split_at_checked("0000-00-00T00:00:00".len()) else { return false };
    let behind = rest.strip_prefix('.').map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
    let zone = match behind {
        // A point, and no digit behind it.
        Some(zone) if zone.len() + 1 == rest.len() => return false,
        Some(zone) => zone,
        None => rest,
    };
    is_like(moment, "0000-00-00T00:00:00") && ["Z", "+00:00", "-00:00"].into_iter().any(|form| is_like(zone, form))
}

/// The folder of the archive.
pub(crate) const ARCHIVE: &str = "manifests/";

impl std::fmt::Display for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is the report of a test")]

    use super::*;

    #[test]
    fn the_next_generation_is_now_or_a_second_after_the_last() {
        let now = 1_736_944_496_789;
        assert_eq!(Generation::next(now, None).as_str(), "2025-01-15T12:34:56Z");
        let ahead = Generation::unchecked("2025-01-15T12:34:56.5Z");
        assert_eq!(Generation::next(now, Some(&ahead)).as_str(), "2025-01-15T12:34:57Z");
        let behind = Generation::unchecked("2024-01-15T12:34:56+02:00");
        assert_eq!(Generation::next(now, Some(&behind)).as_str(), "2025-01-15T12:34:56Z");
        let strange = Generation::unchecked("tuesday");
        assert_eq!(Generation::next(now, Some(&strange)).as_str(), "2025-01-15T12:34:56Z");
        assert_eq!(Generation::next(now, [&ahead, &behind]).as_str(), "2025-01-15T12:34:57Z");
    }

    #[test]
    fn one_whose_name_is_taken_has_one_beside_it() {
        let generation = Generation::unchecked("2025-01-15T14:34:56+02:00");
        let beside = generation.beside(7).unwrap();
        assert_eq!(beside.as_str(), "2025-01-15T12:34:56.007Z");
        assert_eq!(Generation::from_archive_key(&beside.archive_key()), Some(beside));
    }

    #[test]
    fn a_time_is_one_of_rfc_3339_and_of_no_other_form() {
        let is_time = |text: &str| Generation::unchecked(text).time().is_some();
        for good in ["2025-01-15T12:34:56Z", "2025-01-15t12:34:56.25z", "2025-01-15T12:34:56-02:30"] {
            assert!(is_time(good), "{good}");
        }
        let bad = ["[Europe/Berlin]", "+02", "+0200", ".Z", ",5Z", "+02:00[x]", "", "Z ", "ä"];
        for bad in bad.map(|zone| format!("2025-01-15T12:34:56{zone}")) {
            assert!(!is_time(&bad), "{bad}");
        }
        for bad in
            ["2025-01-15T12:34:56Z[Europe/Berlin]", "2025-01-15 12:34:56Z", "20250115T123456Z", "2025-02-30T12:34:56Z"]
        {
            assert!(!is_time(bad), "{bad}");
        }
    }

    #[test]
    fn an_archived_manifest_is_found_by_its_generation() {
        let generation = Generation::unchecked("2025-01-15T12:34:56Z");
        let key = generation.archive_key();
        assert_eq!(key, "manifests/manifest-2025-01-15T12:34:56Z.json");
        assert_eq!(Generation::from_archive_key(&key), Some(generation));
        assert_eq!(Generation::from_archive_key("manifests/manifest-.json"), None);
        assert_eq!(Generation::from_archive_key("manifests/notes.txt"), None);
    }
}
