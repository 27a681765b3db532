//! What must hold, whatever happens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use freehold_apply::{Call, Report};
use freehold_model::{MemberPath, Record};
use freehold_plan::Plan;
use freehold_state::{Action as Begun, Event, State};

use super::deployment::{Expr, plain_text};
use super::driver::Sim;
use super::world::World;

/// A plan is consistent in itself.
pub fn plan(plan: &Plan) {
    let wrong = plan.lint();
    assert!(wrong.is_empty(), "the plan is inconsistent: {wrong:#?}\n{plan:#?}");
}

/// What is deleted for good is used by no record; what is made or changed finds what it was declared to come after.
pub fn order(member: &MemberPath, what: &str, call: &Call, sim: &Sim, declared: bool) {
    let (view, deployment) = (&sim.journal.view, &sim.deployment);
    match call {
        // The first half of a replacement may come before its users follow.
        Call::Delete { .. } if what == "delete" && !declared => {
            // What a member that stays no longer uses may still stand in its record.
            let left_behind = |m: &MemberPath| {
                sim.reports.iter().any(|report| match report {
                    Report::Failed { member, .. } | Report::Skipped { member, .. } => member == m,
                    _ => false,
                })
            };
            let no_longer = |m: &MemberPath| {
                !left_behind(m)
                    && deployment.resource(m).is_some_and(|r| !r.refs().contains(member) && !r.comes_after(member))
            };
            // One whose object another member takes goes early: what leaves and is still used by what stays cannot go before.
            let taken = is_taken(member, sim);
            let gives_way = |m: &MemberPath| {
                let by_what_stays =
                    |(user, r): (&MemberPath, &Record)| deployment.resource(user).is_some() && r.edges.contains(m);
                taken && deployment.resource(m).is_none() && view.records().any(by_what_stays)
            };
            let uses = |m: &MemberPath, r: &Record| m != member && r.edges.contains(member);
            let users = view.records().filter(|(m, r)| uses(m, r) && !no_longer(m) && !gives_way(m));
            let users: Vec<String> = users.map(|(m, _)| m.to_string()).collect();
            assert!(users.is_empty(), "{member} is deleted while {users:?} uses it");
        }
        // But what leaves and uses it goes before, unless what stays uses that.
        Call::Delete { .. } if what == "delete" => {
            let stays = |m: &MemberPath| {
                let item = m.parent().and_then(|p| deployment.resource(&p)).is_some_and(|r| r.each.is_some());
                item || deployment.resource(m).is_some()
            };
            // In turn, what leaves and is still used uses what it did.
            let now = view.records().filter(|(m, r)| stays(m) || r.keep).flat_map(|(_, r)| r.edges.iter().cloned());
            let mut trail: Vec<MemberPath> = sim.used_at_first.iter().cloned().chain(now).collect();
            let mut still = BTreeSet::new();
            while let Some(m) = trail.pop() {
                let record = view.record(&m).filter(|_| !stays(&m));
                if still.insert(m) {
                    trail.extend(record.into_iter().flat_map(|r| r.edges.iter().cloned()));
                }
            }
            let used = |m: &MemberPath| still.contains(m);
            let leaving = view.records().filter(|(m, r)| !stays(m) && !r.keep && r.edges.contains(member) && !used(m));
            let leaving: Vec<String> = leaving.map(|(m, _)| m.to_string()).collect();
            assert!(leaving.is_empty(), "{member} makes way while {leaving:?}, which leaves, uses it");
            let old = view.record(member).map_or(0, |r| r.deposed.len());
            assert_eq!(old, 0, "{member} makes way while its record lists old objects");
        }
        Call::Create { declaration } | Call::Update { declaration, .. } => {
            for used in &declaration.depends_on {
                let made = match deployment.resource(used).and_then(|r| r.each.as_ref()) {
                    None if deployment.resource(used).is_none() => {
                        let mut within = deployment.members.keys().filter(|m| m.is_within(used));
                        within.all(|m| view.record(m).is_some())
                    }
                    None => view.record(used).is_some(),
                    Some(each) => members_of(each, view)
                        .is_some_and(|names| names.iter().all(|name| view.record(&used.child(name)).is_some())),
                };
                assert!(made, "{member} is made before {used}, which it depends on");
            }
        }
        Call::Delete { .. } => {}
    }
}

/// What is ignored is left as it is.
pub fn ignored_stays(member: &MemberPath, call: &Call) {
    let Call::Update { declaration, prior } = call else { return };
    for place in &declaration.lifecycle.ignore_changes {
        let part = |inputs: &freehold_model::Attrs| freehold_model::Value::Map(inputs.clone()).get(place).cloned();
        assert_eq!(part(&declaration.inputs), part(&prior.inputs), "`{place}` of {member} is ignored");
    }
}

/// What is kept is not deleted: the declaration counts, or the record where there is none.
pub fn kept_stays(member: &MemberPath, what: &str, call: &Call, sim: &Sim, destroy: bool) {
    let Call::Delete { prior } = call else { return };
    // One item of an `each` may leave while that stays.
    let item = sim.deployment.resource(member).is_none();
    let is_declared = !destroy && sim.declares(member);
    let keeps = if is_declared { sim.keeps(member) && (!item || prior.keep) } else { prior.keep };
    assert!(!keeps || what != "delete", "{member} is kept and would be deleted");
}

/// Whether the object of a member that leaves is to be that of another.
fn is_taken(member: &MemberPath, sim: &Sim) -> bool {
    let object = sim.journal.view.record(member).and_then(World::name_of);
    let literal = |e: &Expr| e.eval(None, &mut |_| None).ok();
    let named = |r: &super::deployment::Resource| {
        let inputs = r.inputs.iter().filter_map(|(name, e)| Some((name.clone(), literal(e)?))).collect();
        World::name(&r.type_name, &inputs, &freehold_model::Attrs::new())
    };
    object.is_some() && sim.deployment.members.values().any(|r| named(r) == object)
}

/// The names that `each` stands for with the outputs that are recorded.
fn members_of(each: &Expr, view: &State) -> Option<Vec<String>> {
    let value = each.eval(None, &mut |r| view.record(&r.member)?.outputs.get(&r.output).cloned()).ok()?;
    Some(plain_text(&value).split(',').map(str::to_owned).collect())
}

/// Every object stands in a record or may have been made by an operation that is open.
pub fn no_orphans(sim: &Sim) {
    let recorded = objects(&sim.journal.records());
    let intents = sim.journal.view.intents();
    for (name, object) in &sim.world.objects {
        let expected = intents.iter().any(|i| {
            i.action == Begun::Create
                && i.type_name == object.type_name
                && (i.op == object.made_by.to_string()
                    || World::name(&i.type_name, &i.inputs, &freehold_model::Attrs::new()).as_ref() == Some(name))
        });
        let kept = sim.left_alone.contains(name);
        assert!(
            recorded.contains_key(name) || expected || kept,
            "object `{name}` is known to nobody: {:#?}",
            sim.world
        );
    }
}

/// Every record that is about an object finds it.
pub fn no_phantoms(sim: &Sim) {
    assert_eq!(phantoms(sim), BTreeMap::new(), "recorded, and the object is gone");
}

/// Objects that are recorded and gone, with who records them.
pub fn phantoms(sim: &Sim) -> BTreeMap<String, MemberPath> {
    let recorded = objects(&sim.journal.records()).into_iter();
    recorded.filter(|(name, _)| !sim.world.objects.contains_key(name)).collect()
}

/// Every beginning of the log is a state that can be planned on.
pub fn every_prefix_replays(sim: &Sim) {
    let whole = super::journal::replay(&sim.journal.durable);
    assert_eq!(whole.seq(), sim.journal.view.seq(), "the log and what is seen of it differ");
    assert!(
        whole.records().eq(sim.journal.view.records()) && whole.intents() == sim.journal.view.intents(),
        "the log and what is seen of it differ"
    );
    ends_what_was_begun(sim);
}

/// What is ended was begun, by that id.
fn ends_what_was_begun(sim: &Sim) {
    let mut begun = BTreeSet::new();
    for (stamp, event) in &sim.journal.durable {
        match event {
            Event::Begin(_) => drop(begun.insert(&stamp.op)),
            Event::End { member, .. } => {
                assert!(begun.contains(&stamp.op), "an operation of `{member}` ends that nobody began: {}", stamp.op);
            }
            _ => {}
        }
    }
}

/// Objects by name, with who records them (deposed ones too).
fn objects(records: &BTreeMap<MemberPath, Arc<Record>>) -> BTreeMap<String, MemberPath> {
    let all = records.iter().flat_map(|(member, record)| {
        let deposed = record.deposed.iter().map(|d| d.record.as_ref());
        std::iter::once(&**record).chain(deposed).map(move |r| (member.clone(), r))
    });
    all.filter_map(|(member, record)| Some((World::name_of(record)?, member))).collect()
}
