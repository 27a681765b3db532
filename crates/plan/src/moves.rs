//! Where records go that the deployment moves (`moved`, `lifecycle.moved`).

use freehold_model::MemberPath;

/// Where what stands at `path` goes when what is at and below `from` stands at `to` now; `None` when it stays. Where `to` lies within
/// `from`, what is there has arrived: the words may stay in the deployment after they were followed.
pub fn moved_path(path: &MemberPath, from: &MemberPath, to: &MemberPath) -> Option<MemberPath> {
    let has_arrived = to.is_within(from) && path.is_within(to);
    if has_arrived { None } else { path.rebase(from, to) }
}
