//! The smallest single write that turns one configuration into another.
//!
//! Caddy has no transactions (caddyserver/caddy#3296): what belongs together must be one write, at the deepest place that has all
//! of it. Guarded by the tag of the whole configuration, it replaces only what was read.

use serde_json::Value as Json;

/// One write to `/config/…` or `/id/…`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Write {
    /// There is nothing yet.
    Put(String, Json),
    /// What is there is replaced.
    Patch(String, Json),
    /// The whole configuration, where there was none.
    Post(String, Json),
    /// What is there goes.
    Delete(String),
}

/// The write; `None` when nothing differs.
pub(crate) fn between(old: &Json, new: &Json) -> Option<Write> {
    if old == new {
        return None;
    }
    let (mut old, mut new) = (old, new);
    let mut path = "/config".to_owned();
    loop {
        match step(&path, old, new) {
            Step::Down(deeper, a, b) => (path, old, new) = (deeper, a, b),
            Step::Put(deeper, value) => return Some(Write::Put(deeper, value.clone())),
            Step::Delete(deeper) => return Some(Write::Delete(deeper)),
            Step::Here if path == "/config" => return Some(Write::Post("/config/".to_owned(), new.clone())),
            Step::Here => return Some(Write::Patch(path, new.clone())),
        }
    }
}

enum Step<'a> {
    /// Everything that differs is below this one place.
    Down(String, &'a Json, &'a Json),
    Put(String, &'a Json),
    Delete(String),
    Here,
}

fn step<'a>(path: &str, old: &'a Json, new: &'a Json) -> Step<'a> {
    match (old, new) {
        (Json::Object(old), Json::Object(new)) => {
            let all = old.keys().chain(new.keys().filter(|key| !old.contains_key(*key)));
            let mut differing = all.filter(|key| old.get(*key) != new.get(*key));
            let (Some(key), None) = (differing.next(), differing.next()) else { return Step::Here };
            if !is_addressable(key) {
                return Step::Here;
            }
            let deeper = format!("{path}/{key}");
            match (old.get(key), new.get(key)) {
                (Some(a), Some(b)) => Step::Down(deeper, a, b),
                (None, Some(b)) => Step::Put(deeper, b),
                (Some(_), None) => Step::Delete(deeper),
                (None, None) => Step::Here,
            }
        }
        (Json::Array(old), Json::Array(new)) if old.len() == new.len() => {
            let mut differing = old.iter().zip(new).filter(|(a, b)| a != b);
            let (Some((a, b)), None) = (differing.next(), differing.next()) else { return Step::Here };
            match (id_of(a), id_of(b)) {
                (Some(one), Some(same)) if one == same => Step::Down(format!("/id/{one}"), a, b),
                _ => Step::Here,
            }
        }
        _ => Step::Here,
    }
}

fn id_of(object: &Json) -> Option<&str> {
    object.get("@id")?.as_str().filter(|id| is_addressable(id))
}

/// Whether Caddy finds a key again in an address: it splits at `/`, cleans dots, and gives `...` a meaning of its own.
fn is_addressable(key: &str) -> bool {
    !key.is_empty()
        && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:".contains(c))
        && key.chars().any(|c| c != '.')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_is_written_where_nothing_differs() {
        assert_eq!(between(&json!({ "a": [1] }), &json!({ "a": [1] })), None);
    }

    #[test]
    fn the_deepest_place_that_has_every_change_is_written() {
        let old =
            json!({ "apps": { "http": { "servers": { "s": { "routes": [{ "@id": "a", "handle": [1] }, 2] } } } } });
        let changed = |change: fn(&mut Json)| {
            let mut new = old.clone();
            change(&mut new);
            between(&old, &new).unwrap()
        };
        let patch = |path: &str, value: Json| Write::Patch(path.to_owned(), value);
        assert_eq!(
            changed(|new| new["apps"]["http"]["servers"]["s"]["routes"][0]["handle"] = json!([3])),
            patch("/id/a/handle", json!([3]))
        );
        assert_eq!(
            changed(|new| new["apps"]["http"]["servers"]["s"]["routes"] = json!([2])),
            patch("/config/apps/http/servers/s/routes", json!([2]))
        );
        assert_eq!(
            changed(|new| new["apps"]["http"]["servers"]["t"] = json!({})),
            Write::Put("/config/apps/http/servers/t".to_owned(), json!({}))
        );
        assert_eq!(
            changed(|new| {
                new["apps"]["http"]["servers"]["t"] = json!({});
                new["apps"]["tls"] = json!({});
            }),
            patch(
                "/config/apps",
                json!({ "http": { "servers": { "s": old["apps"]["http"]["servers"]["s"], "t": {} } }, "tls": {} })
            )
        );
    }

    #[test]
    fn what_is_gone_is_deleted_by_name() {
        let old = json!({ "servers": { "s": 1, "t": 2 } });
        assert_eq!(
            between(&old, &json!({ "servers": { "s": 1 } })),
            Some(Write::Delete("/config/servers/t".to_owned()))
        );
    }

    #[test]
    fn a_key_that_an_address_cannot_carry_is_written_with_what_is_around_it() {
        for key in ["a/b", "...", "..", "", "a b", "ä", "%61"] {
            let (old, new) = (json!({ "servers": { key: { "x": 1 } } }), json!({ "servers": { key: { "x": 2 } } }));
            let expected = Write::Patch("/config/servers".to_owned(), json!({ key: { "x": 2 } }));
            assert_eq!(between(&old, &new), Some(expected), "{key}");
        }
    }

    #[test]
    fn where_there_was_no_configuration_the_whole_is_written() {
        assert_eq!(
            between(&Json::Null, &json!({ "apps": {} })),
            Some(Write::Post("/config/".to_owned(), json!({ "apps": {} })))
        );
    }
}
