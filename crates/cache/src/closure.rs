//! What is pushed: the closure of some paths with the store's facts, and the order in which paths may become known.

use std::collections::{BTreeSet, HashMap, HashSet};

use freehold_nar::{Sha256, StorePath};
use freehold_store::{Nix, PathInfo};

use crate::error::CacheError;

/// A path of the store, as it will be described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fact {
    pub(crate) path: StorePath,
    pub(crate) nar_hash: Sha256,
    pub(crate) nar_size: u64,
    pub(crate) references: BTreeSet<StorePath>,
    pub(crate) deriver: Option<String>,
}

/// The closure of `roots`.
pub(crate) fn closure(nix: &Nix, roots: &[StorePath]) -> Result<Vec<StorePath>, CacheError> {
    let parse = |path: String| StorePath::parse(&path).map_err(|source| CacheError::OddPath { path, source });
    nix.requisites(&texts(roots))?.into_iter().map(parse).collect()
}

/// What the store knows of paths.
pub(crate) fn facts(nix: &Nix, paths: &[StorePath]) -> Result<Vec<Fact>, CacheError> {
    nix.path_info(&texts(paths))?.iter().map(fact).collect()
}

fn texts(paths: &[StorePath]) -> Vec<String> {
    paths.iter().map(|path| path.as_str().to_owned()).collect()
}

fn fact(info: &PathInfo) -> Result<Fact, CacheError> {
    let odd = |source| CacheError::OddPath { path: info.path.clone(), source };
    let path = StorePath::parse(&info.path).map_err(odd)?;
    let references =
        info.references.iter().map(|text| StorePath::parse(text)).collect::<Result<_, _>>().map_err(odd)?;
    let deriver = info.deriver.as_deref().map(StorePath::parse).transpose().map_err(odd)?;
    Ok(Fact {
        nar_hash: Sha256::parse(&format!("sha256:{}", info.nar_hash)).map_err(odd)?,
        nar_size: info.nar_size,
        references,
        deriver: deriver.map(|path| path.base_name().to_owned()),
        path,
    })
}

/// Groups such that whatever a path of one refers to is in an earlier one, itself, or not among them.
pub(crate) fn levels<'a>(
    items: Vec<(&'a StorePath, &'a BTreeSet<StorePath>)>,
) -> Result<Vec<Vec<&'a StorePath>>, CacheError> {
    let among: HashSet<&StorePath> = items.iter().map(|(path, _)| *path).collect();
    let mut waits: HashMap<&StorePath, usize> = HashMap::new();
    let mut waited_for: HashMap<&StorePath, Vec<&StorePath>> = HashMap::new();
    for (path, references) in items {
        let needs: Vec<_> = references.iter().filter(|r| *r != path && among.contains(r)).collect();
        waits.insert(path, needs.len());
        for need in needs {
            waited_for.entry(need).or_default().push(path);
        }
    }
    let mut levels = Vec::new();
    let mut ready: Vec<&StorePath> = waits.iter().filter(|(_, count)| **count == 0).map(|(path, _)| *path).collect();
    let mut placed = 0;
    while !ready.is_empty() {
        ready.sort();
        placed += ready.len();
        let mut next = Vec::new();
        for path in ready.iter().flat_map(|path| waited_for.get(path)).flatten() {
            if let Some(count) = waits.get_mut(path) {
                *count -= 1;
                if *count == 0 {
                    next.push(*path);
                }
            }
        }
        levels.push(std::mem::replace(&mut ready, next));
    }
    if placed < among.len() {
        let path = waits.iter().find(|(_, count)| **count > 0).map(|(path, _)| path.to_string());
        return Err(CacheError::Circle { path: path.unwrap_or_default() });
    }
    Ok(levels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> StorePath {
        StorePath::parse(&format!("/nix/store/bssq1i34r9ixn22c79qfqskrvfvh9ipq-{name}")).unwrap()
    }

    fn named(edges: &[(&str, &[&str])]) -> Result<Vec<Vec<String>>, CacheError> {
        let facts: Vec<(StorePath, BTreeSet<StorePath>)> =
            edges.iter().map(|(name, needs)| (path(name), needs.iter().map(|n| path(n)).collect())).collect();
        let levels = levels(facts.iter().map(|(path, needs)| (path, needs)).collect())?;
        Ok(levels.iter().map(|level| level.iter().map(|path| path.name().to_owned()).collect()).collect())
    }

    #[test]
    fn references_come_before_what_refers_to_them() {
        let levels = named(&[
            ("app", &["lib", "libc", "app"]),
            ("lib", &["libc", "lib"]),
            ("libc", &[]),
            ("doc", &["elsewhere"]),
        ]);
        assert_eq!(levels.unwrap(), [vec!["doc", "libc"], vec!["lib"], vec!["app"]]);
        assert!(named(&[]).unwrap().is_empty());
    }

    #[test]
    fn a_circle_is_refused() {
        assert!(matches!(named(&[("a", &["b"]), ("b", &["a"])]), Err(CacheError::Circle { .. })));
    }
}
