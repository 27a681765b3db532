//! Where records go that the deployment moves (`moved`, `lifecycle.moved`).

use std::collections::BTreeSet;

use freehold_model::MemberPath;

use crate::Move;

/// Where what stands at `path` goes when what is at and below `from` stands at `to` now; `None` when it stays. Where `to` lies within
/// `from`, what is there has arrived: the words may stay in the deployment after they were followed.
pub fn moved_path(path: &MemberPath, from: &MemberPath, to: &MemberPath) -> Option<MemberPath> {
    let has_arrived = to.is_within(from) && path.is_within(to);
    if has_arrived { None } else { path.rebase(from, to) }
}

/// Where everything at `places` goes by the word of one composite, in an order in which each finds its new place free. What is moved
/// on from an old name is followed as far as there is room (`b` to `a`, `a` to `c`); where the name in between is declared, as
/// `is_declared` says, it goes to another one (`a` to `c`, and then `b` to `a`).
///
/// # Errors
/// Gives back the circle if something would come back to where it was.
pub fn moved_together(
    words: &[(MemberPath, MemberPath)],
    places: &BTreeSet<MemberPath>,
    is_taken: impl Fn(&MemberPath) -> bool,
    is_declared: impl Fn(&MemberPath) -> bool,
) -> Result<Vec<Move>, Vec<MemberPath>> {
    let ways = places.iter().map(|from| way(words, from).map(|way| (from, way)));
    let mut ways = ways.collect::<Result<Vec<_>, _>>()?;
    // What stands on another's way has the shorter one, and makes room.
    ways.sort_by_key(|(_, way)| way.len());
    let (mut moves, mut left, mut filled) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for (from, way) in ways {
        let end = way.iter().position(|(_, name)| is_declared(name)).map_or(way.len(), |at| at + 1);
        let is_free = |place: &&MemberPath| !filled.contains(*place) && (left.contains(*place) || !is_taken(place));
        if let Some(to) = way[..end].iter().rev().map(|(place, _)| place).find(is_free) {
            left.insert(from.clone());
            filled.insert(to.clone());
            moves.push(Move { from: from.clone(), to: to.clone() });
        }
    }
    Ok(moves)
}

/// The places to which `from` is moved, one after the other, and what each word says for it.
fn way<'a>(
    words: &'a [(MemberPath, MemberPath)],
    from: &MemberPath,
) -> Result<Vec<(MemberPath, &'a MemberPath)>, Vec<MemberPath>> {
    let next = |path: &MemberPath| words.iter().find_map(|(old, new)| Some((moved_path(path, old, new)?, new)));
    let mut way: Vec<(MemberPath, &MemberPath)> = Vec::new();
    while let Some((place, name)) = next(way.last().map_or(from, |(place, _)| place)) {
        let is_known = place == *from || way.iter().any(|(known, _)| *known == place);
        way.push((place, name));
        if is_known {
            return Err([from.clone()].into_iter().chain(way.into_iter().map(|(place, _)| place)).collect());
        }
    }
    Ok(way)
}

/// What is wrong with words that lead in a circle, and how to mend it.
pub fn moved_in_a_circle(circle: &[MemberPath]) -> (String, String) {
    let text = circle.iter().map(|path| format!("`{path}`")).collect::<Vec<_>>().join(" → ");
    (
        format!("moves a record in a circle: {text} (`moved`)"),
        "take out what was done; to let two change places, move them by hand: `freehold state mv`, by way of a third name".to_owned(),
    )
}
