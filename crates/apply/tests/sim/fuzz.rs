//! Random valid state → changed deployment → random outcomes → one operation → what must hold, and the way back to order.

use freehold_model::MemberPath;
use freehold_plan::{Action, Mode, Plan, PlanOptions};

use super::check;
use super::deployment::{Deployment, Expr, Part, Resource};
use super::driver::{Ended, Knobs, Sim, problem_texts};
use super::world;
use freehold_testkit::Rng;

/// One story: everything in it follows from the two deployments and the seed.
#[derive(Debug, Clone)]
pub struct Story {
    pub before: Deployment,
    pub after: Deployment,
    pub seed: u64,
}

/// A random story.
pub fn story(seed: u64) -> Story {
    let mut rng = Rng::new(seed);
    let before = deployment(&mut rng);
    let after = changed(&before, "n", &mut rng);
    Story { before, after, seed }
}

/// A random story with more in it: what is rare, and what was not thought of at first. Seeds of plain stories stay what they are.
pub fn spiced_story(seed: u64) -> Story {
    let mut story = story(seed);
    let mut rng = Rng::new(seed ^ 0x5_91ce);
    for d in [&mut story.before, &mut story.after] {
        for r in d.members.values_mut().filter(|_| rng.one_in(3)) {
            let kept: Vec<&String> =
                r.inputs.keys().filter(|i| !["path", "name", "of"].contains(&i.as_str())).collect();
            if let Some(input) = kept.first() {
                r.flags.push(("ignore".to_owned(), Expr::parse(input)));
            }
        }
    }
    if rng.one_in(2) {
        take_objects(&mut story, &mut rng);
    }
    story
}

/// A spiced story with members whose objects are kept, and some that can be made twice without harm. Seeds of others stay what they are.
pub fn kept_story(seed: u64) -> Story {
    let mut story = spiced_story(seed);
    let mut rng = Rng::new(seed ^ 0x6_ee9);
    let (kept, hooks) = (rng.next(), rng.next());
    let is_one = |bits: u64, path: &MemberPath| {
        let sum: u64 = path.to_string().bytes().map(u64::from).sum();
        bits >> (sum % 64) & 1 == 1
    };
    for d in [&mut story.before, &mut story.after] {
        for (path, r) in &mut d.members {
            if r.type_name == "file" && r.each.is_none() && is_one(hooks, path) {
                r.type_name = "hook".to_owned();
            }
            // Now and then it is said later, or taken back.
            if is_one(kept, path) && !rng.one_in(4) {
                r.flags.push(("keep".to_owned(), Expr::parse("true")));
            }
        }
        // A hook has no etag.
        let hooks: Vec<MemberPath> =
            d.members.iter().filter(|(_, r)| r.type_name == "hook").map(|(path, _)| path.clone()).collect();
        let rename = |e: &mut Expr| {
            for part in &mut e.parts {
                if let Part::Ref(r) = part
                    && hooks.contains(&r.member)
                {
                    r.output = "path".to_owned();
                }
            }
        };
        for r in d.members.values_mut() {
            r.inputs.values_mut().for_each(rename);
            r.flags.iter_mut().for_each(|(_, e)| rename(e));
        }
    }
    story
}

/// A plain story in which members that become known on the way are used by others.
pub fn late_story(seed: u64) -> Story {
    let mut story = story(seed);
    let mut rng = Rng::new(seed ^ 0x1a7e);
    // A list with one more name leaves open what the members that were there are now; half of those change.
    for r in story.after.members.values_mut() {
        match (&r.each, r.inputs.get_mut("of")) {
            (None, Some(of)) if r.type_name == "random" => of.parts.push(Part::Text(",z".to_owned())),
            (Some(_), _) if rng.one_in(2) => drop(r.inputs.insert("content".to_owned(), Expr::parse("late"))),
            _ => {}
        }
    }
    for d in [&mut story.before, &mut story.after] {
        let pools: Vec<(MemberPath, Expr)> =
            d.members.iter().filter_map(|(path, r)| Some((path.clone(), r.each.clone()?))).collect();
        for (n, (pool, each)) in pools.into_iter().enumerate() {
            let list = each.refs().next().and_then(|list| d.members.get(&list.member)?.inputs.get("of"));
            let Some(Part::Text(names)) = list.and_then(|of| of.parts.first()) else { continue };
            let used = names.split(',').next().unwrap_or_default();
            let inputs = [("path", format!("uses-{n}")), ("content", format!("<${pool}.{used}.etag>"))];
            let inputs = inputs.map(|(name, text)| (name.to_owned(), Expr::parse(&text))).into();
            let user = Resource { each: None, type_name: "file".to_owned(), inputs, flags: Vec::new() };
            d.members.insert(MemberPath::new([format!("uses{n}")]), user);
        }
    }
    story
}

/// Plays a story in which nothing goes wrong: what an apply makes known reaches all that use it in the same run.
pub fn play_calm(story: &Story) {
    let mut sim = Sim::new("", story.seed ^ 0xca11);
    for d in [&story.before, &story.after] {
        sim.deployment = d.clone();
        let plan = untangled(&mut sim);
        assert_eq!(problem_texts(&plan.problems), Vec::<String>::new());
        let summary = sim.apply(plan, Knobs::default()).summary();
        if !summary.is_ok() {
            return;
        }
        let plan = sim.plan(PlanOptions::normal());
        assert!(plan.is_noop(), "not all of it was done: {:#?}", super::show::plan(&plan));
    }
}

/// One member takes the object of another, which goes on to another object: a free one, or that of the first.
fn take_objects(story: &mut Story, rng: &mut Rng) {
    let files = |d: &Deployment| -> Vec<MemberPath> {
        let named = d.members.iter().filter(|(_, r)| r.each.is_none() && r.type_name == "file");
        named.map(|(path, _)| path.clone()).collect()
    };
    let (had, have) = (files(&story.before), files(&story.after));
    let owners: Vec<&MemberPath> = have.iter().filter(|path| had.contains(path)).collect();
    if owners.is_empty() || have.len() < 2 {
        return;
    }
    let owner = (*rng.pick(&owners)).clone();
    let Some(taker) = have.iter().filter(|path| **path != owner).nth(rng.below(have.len() - 1)) else { return };
    let object = story.before.members[&owner].inputs["path"].clone();
    let other = match story.before.members.get(taker).filter(|_| rng.one_in(3)) {
        Some(r) if r.type_name == "file" => r.inputs["path"].clone(),
        _ => Expr::parse("given-up"),
    };
    for (path, name) in [(&owner, other), (taker, object)] {
        if let Some(r) = story.after.members.get_mut(path) {
            r.inputs.insert("path".to_owned(), name);
        }
    }
}

/// Plays a story; panics where something does not hold.
pub fn play(story: &Story) {
    let mut sim = Sim::new("", story.seed ^ 0xabcd);
    sim.deployment = story.before.clone();
    settle(&mut sim, "the first apply");
    sim.deployment = story.after.clone();
    disturbed(&mut sim);
    if sim.rng.one_in(3) {
        // The person goes on before putting things in order.
        sim.deployment = changed(&sim.deployment.clone(), "k", &mut sim.rng);
    }
    recover(&mut sim);
}

/// One operation to which anything may happen.
fn disturbed(sim: &mut Sim) {
    let options = options(sim);
    sim.strict_order = options.targets.is_empty() && options.excludes.is_empty();
    sim.chaos = [None, Some(2), Some(4), Some(8)][sim.rng.below(4)];
    let knobs = knobs(&mut sim.rng);
    let plan = sim.plan(options);
    if plan.problems.is_empty() {
        let gone_before = check::phantoms(sim);
        let closed = plan.open.is_empty();
        let planned: Vec<(MemberPath, Action)> = plan
            .steps
            .iter()
            .filter(|s| !s.open && s.exact && s.deposed.is_none())
            .map(|s| (s.member.clone(), s.action))
            .collect();
        if let Ended::Finished(summary) = sim.apply(plan, knobs)
            && summary.is_ok()
        {
            let mut gone = check::phantoms(sim);
            gone.retain(|name, _| !gone_before.contains_key(name));
            assert!(gone.is_empty(), "deleted by a run that ended well: {gone:?}");
            if closed {
                as_planned(sim, &planned);
            }
        }
    }
    check::no_orphans(sim);
    check::every_prefix_replays(sim);
}

/// Several operations to which anything may happen, each on a changed deployment, before things are put in order.
pub fn play_long(seed: u64) {
    let mut rng = Rng::new(seed);
    let mut sim = Sim::new("", seed ^ 0x10_4f);
    sim.deployment = deployment(&mut rng);
    settle(&mut sim, "the first apply");
    for prefix in ["n", "k", "o"] {
        sim.deployment = changed(&sim.deployment.clone(), prefix, &mut rng);
        disturbed(&mut sim);
        if rng.one_in(2) {
            sim.answer_questions();
        }
    }
    recover(&mut sim);
}

/// A deployment with circles, missing members and doubled objects, planned and, where there is no problem, applied: it ends.
pub fn play_wild(seed: u64) {
    let mut rng = Rng::new(seed);
    let before = deployment(&mut rng);
    let mut sim = Sim::new("", seed);
    sim.strict_order = false;
    sim.deployment = before.clone();
    if rng.one_in(2) {
        let plan = sim.plan(PlanOptions::normal());
        sim.apply(plan, Knobs::default()).summary();
    }
    let mut wild = changed(&before, "n", &mut rng);
    if rng.one_in(2) {
        sim.deployment = wild.clone();
        sim.chaos = Some(3);
        let plan = sim.plan(PlanOptions::normal());
        if plan.problems.is_empty() {
            let knobs = knobs(&mut rng);
            sim.apply(plan, knobs);
        }
        sim.chaos = None;
    }
    // The same names again: members change their types and become composites.
    wild = changed(&wild, "n", &mut rng);
    let mut members: Vec<MemberPath> = wild.members.keys().cloned().collect();
    members.push(MemberPath::new(["nowhere"]));
    for r in wild.members.values_mut() {
        let used = rng.pick(&members).clone();
        let output = *rng.pick(&["value", "etag", "id", "path"]);
        let value = Expr::parse(&format!("${used}.{output}"));
        match rng.below(4) {
            0 => drop(r.inputs.values_mut().next().map(|v| *v = value)),
            1 => r.flags.push(("after".into(), Expr::parse(&used.to_string()))),
            2 if r.each.is_some() => r.each = Some(value),
            _ => {}
        }
    }
    sim.deployment = wild;
    let plan = sim.plan(PlanOptions::normal());
    if plan.problems.is_empty() {
        sim.apply(plan, Knobs::default()).summary();
        check::no_orphans(&sim);
        check::every_prefix_replays(&sim);
    }
}

/// Nothing was done to a member for which nothing was planned.
fn as_planned(sim: &Sim, planned: &[(MemberPath, Action)]) {
    for (member, action) in planned {
        let called = sim.calls.iter().any(|c| c.ends_with(&format!(" {member}")) && !c.starts_with("delete-deposed"));
        let expected = matches!(action, Action::Create | Action::Update | Action::Replace | Action::Delete);
        assert!(called == expected, "`{member}` was planned `{}` and {:?} came", action.as_str(), sim.calls);
    }
}

/// After whatever happened: the operator answers, plans and applies, and everything is as declared; then it is destroyed.
pub fn recover(sim: &mut Sim) {
    sim.chaos = None;
    sim.faults.clear();
    sim.strict_order = true;
    sim.answer_questions();
    settle(sim, "the recovery");
    let plan = sim.plan(PlanOptions { mode: Mode::Destroy, ..PlanOptions::normal() });
    assert_eq!(problem_texts(&plan.problems), Vec::<String>::new(), "destroy");
    sim.apply(plan, Knobs::default()).summary();
    let left: Vec<&String> = sim.world.objects.keys().filter(|name| !sim.left_alone.contains(*name)).collect();
    assert!(left.is_empty(), "destroy leaves {left:?}: {:?}", sim.world.objects);
    assert_eq!(sim.journal.records().len(), 0, "destroy leaves records");
    assert!(sim.journal.view.intents().is_empty(), "destroy leaves open operations: {:?}", sim.journal.view.intents());
}

/// Applies until there is nothing to do; that must be soon.
fn settle(sim: &mut Sim, what: &str) {
    for _ in 0..6 {
        let plan = untangled(sim);
        assert_eq!(problem_texts(&plan.problems), Vec::<String>::new(), "{what}");
        if plan.is_noop() {
            check::no_orphans(sim);
            check::no_phantoms(sim);
            let summary = sim.apply(plan, Knobs::default()).summary();
            assert!(sim.calls.is_empty() && summary.is_ok(), "an apply without changes calls {:?}", sim.calls);
            return;
        }
        let summary = sim.apply(plan, Knobs::default()).summary();
        let kept: Vec<MemberPath> = summary
            .failed
            .iter()
            .filter(|(.., f)| f.message.starts_with(KEPT))
            .map(|(member, ..)| member.clone())
            .collect();
        kept.iter().for_each(|member| keep_no_longer(sim, member));
        if !kept.is_empty() {
            continue;
        }
        assert!(summary.is_ok(), "{what}: {:#?}", super::show::run(sim, &summary));
        check::no_phantoms(sim);
        check::every_prefix_replays(sim);
    }
    panic!("{what}: still not settled: {:#?}", super::show::plan(&sim.plan(PlanOptions::normal())));
}

/// What is said where the new object would have the name of the one that is kept.
const KEPT: &str = "is kept (`lifecycle.keep`)";

/// The person lets the old object go.
fn keep_no_longer(sim: &mut Sim, member: &MemberPath) {
    let composite = member.parent().filter(|_| sim.deployment.resource(member).is_none());
    let declared = sim.deployment.members.get_mut(composite.as_ref().unwrap_or(member)).expect("a declared member");
    declared.flags.retain(|(flag, _)| flag != "keep");
}

/// The plan, after members that cannot have each other's objects were given names that are free, as the plan says.
fn untangled(sim: &mut Sim) -> Plan {
    for n in 0..10 {
        let plan = sim.plan(PlanOptions::normal());
        if let Some(kept) = plan.problems.iter().find(|p| p.message.starts_with(KEPT)) {
            keep_no_longer(sim, &kept.member);
            continue;
        }
        let takes = plan.problems.iter().find(|p| p.message.starts_with("takes the object that"));
        let Some(problem) = takes else { return plan };
        let member = sim.deployment.members.get_mut(&problem.member).expect("a member of the deployment");
        let name = if member.type_name == "db" { "name" } else { "path" };
        member.inputs.insert(name.to_owned(), Expr::parse(&format!("free-{n}")));
    }
    panic!("objects that cannot be untangled");
}

fn options(sim: &mut Sim) -> PlanOptions {
    let mut options = PlanOptions { refresh: !sim.rng.one_in(3), ..PlanOptions::default() };
    options.mode = match sim.rng.below(6) {
        0 => Mode::Destroy,
        1 => Mode::RefreshOnly,
        _ => Mode::Normal,
    };
    let members: Vec<MemberPath> = sim.deployment.members.keys().cloned().collect();
    if members.is_empty() {
        return options;
    }
    let some = |rng: &mut Rng| members[rng.below(members.len())].clone();
    match sim.rng.below(6) {
        0 => drop(options.targets.insert(some(&mut sim.rng))),
        1 => drop(options.excludes.insert(some(&mut sim.rng))),
        2 => drop(options.replace.insert(some(&mut sim.rng))),
        _ => {}
    }
    options
}

fn knobs(rng: &mut Rng) -> Knobs {
    let at = Some(rng.below(60));
    let parallelism = Some(1 + rng.below(5));
    match rng.below(6) {
        0 => Knobs { crash_at: at, parallelism, ..Knobs::default() },
        1 => Knobs { interrupt_at: at, parallelism, ..Knobs::default() },
        2 => Knobs { interrupt_at: at, hard: true, parallelism, ..Knobs::default() },
        3 => Knobs { state_fails_at: at, parallelism, ..Knobs::default() },
        _ => Knobs { parallelism, ..Knobs::default() },
    }
}

// `hook` comes in by `kept_story`.
const TYPES: [&str; 5] = ["random", "file", "file", "db", "server"];

fn deployment(rng: &mut Rng) -> Deployment {
    let mut d = Deployment::default();
    for n in 0..1 + rng.below(6) {
        add(&mut d, &format!("m{n}"), rng);
    }
    d
}

/// Adds a member that uses members there are.
fn add(d: &mut Deployment, name: &str, rng: &mut Rng) {
    let users: Vec<MemberPath> = d.members.keys().cloned().collect();
    let path = if rng.one_in(4) { MemberPath::new(["site", name]) } else { MemberPath::new([name]) };
    if rng.one_in(6) {
        let mut list = d.members.iter().filter(|(_, r)| r.each.is_none() && r.type_name == "random");
        if let Some((list, _)) = list.next() {
            let each = Expr::parse(&format!("${list}.value"));
            let inputs = [("path".into(), Expr::parse(&format!("/{name}/$item"))), ("content".into(), literal(rng))];
            let type_name = "file".to_owned();
            let r = Resource { each: Some(each), type_name, inputs: inputs.into(), flags: Vec::new() };
            d.members.insert(path, r);
            return;
        }
    }
    let type_name = (*rng.pick(&TYPES)).to_owned();
    let mut inputs = std::collections::BTreeMap::new();
    for input in names(&type_name) {
        let value = match *input {
            // What names an object in the world is its own.
            "path" | "name" if rng.one_in(3) => Expr::parse(&format!("{name}-{}", rng.below(2))),
            "path" | "name" => Expr::parse(name),
            "of" => Expr::parse(rng.pick::<&str>(&["a", "a,b", "b,c", "c"])),
            _ => value(d, &users, rng),
        };
        inputs.insert((*input).to_owned(), value);
    }
    let mut flags = Vec::new();
    if rng.one_in(3) {
        flags.push(("cbd".to_owned(), Expr::parse("true")));
    }
    if !users.is_empty() && rng.one_in(5) {
        flags.push(("after".to_owned(), Expr::parse(&rng.pick(&users).to_string())));
    }
    if rng.one_in(6) {
        flags.push(("when".to_owned(), value(d, &users, rng)));
    }
    d.members.insert(path, Resource { each: None, type_name, inputs, flags });
}

fn names(type_name: &str) -> &'static [&'static str] {
    match type_name {
        "random" => &["of"],
        "file" => &["path", "content"],
        "db" => &["name", "version"],
        _ => &["image", "size"],
    }
}

fn literal(rng: &mut Rng) -> Expr {
    Expr::parse(rng.pick::<&str>(&["x", "y", "z", "secret:canary-1", "secret:canary-2"]))
}

fn value(d: &Deployment, users: &[MemberPath], rng: &mut Rng) -> Expr {
    if users.is_empty() || rng.one_in(2) {
        return literal(rng);
    }
    let used = rng.pick(users);
    let r = &d.members[used];
    if r.each.is_some() {
        return literal(rng);
    }
    let output = rng.pick(world::outputs(&r.type_name));
    Expr::parse(&format!("${used}.{output}"))
}

/// What a person might do next to a deployment.
fn changed(before: &Deployment, prefix: &str, rng: &mut Rng) -> Deployment {
    let mut d = Deployment::default();
    let mut gone: Vec<MemberPath> = Vec::new();
    for (path, r) in &before.members {
        let mut r = r.clone();
        r.inputs.values_mut().for_each(|e| without(e, &gone));
        r.flags.retain(|(flag, e)| flag != "after" || !gone.iter().any(|g| *e == Expr::parse(&g.to_string())));
        r.flags.iter_mut().for_each(|(_, e)| without(e, &gone));
        if r.each.as_mut().is_some_and(|e| e.refs().any(|o| gone.contains(&o.member))) {
            gone.push(path.clone());
            continue;
        }
        match rng.below(8) {
            0 => {
                gone.push(path.clone());
                continue;
            }
            1 | 2 => change_input(&mut r, rng),
            3 => match r.flags.iter().position(|(f, _)| f == "cbd") {
                Some(at) => drop(r.flags.remove(at)),
                None => r.flags.push(("cbd".into(), Expr::parse("true"))),
            },
            _ => {}
        }
        d.members.insert(path.clone(), r);
    }
    // Order by name is not order of use: references to what was dropped later are dropped too.
    let orphaned = |r: &Resource| r.each.as_ref().is_some_and(|e| e.refs().any(|o| gone.contains(&o.member)));
    let orphans: Vec<MemberPath> =
        d.members.iter().filter(|(_, r)| orphaned(r)).map(|(path, _)| path.clone()).collect();
    d.members.retain(|path, _| !orphans.contains(path));
    gone.extend(orphans);
    for r in d.members.values_mut() {
        r.inputs.values_mut().for_each(|e| without(e, &gone));
        r.flags.iter_mut().for_each(|(_, e)| without(e, &gone));
        r.flags.retain(|(flag, e)| flag != "after" || !gone.iter().any(|g| *e == Expr::parse(&g.to_string())));
    }
    for n in 0..rng.below(3) {
        add(&mut d, &format!("{prefix}{n}"), rng);
    }
    d
}

fn change_input(r: &mut Resource, rng: &mut Rng) {
    let names: Vec<String> = r.inputs.keys().cloned().collect();
    let name = rng.pick(&names).clone();
    let value = match name.as_str() {
        "path" | "name" if r.each.is_none() => Expr::parse(&format!("moved-{}", rng.next() % 100_000)),
        "path" | "name" => return,
        "of" => Expr::parse(rng.pick::<&str>(&["a", "a,b", "b,c", "c"])),
        _ => literal(rng),
    };
    r.inputs.insert(name, value);
}

fn without(e: &mut Expr, gone: &[MemberPath]) {
    for part in &mut e.parts {
        if matches!(part, Part::Ref(r) if gone.contains(&r.member)) {
            *part = Part::Text("x".to_owned());
        }
    }
}

/// A smaller story that goes wrong in some way too.
pub fn shrink(story: &Story, fails: &dyn Fn(&Story) -> bool) -> Story {
    let mut best = story.clone();
    loop {
        let smaller = candidates(&best).into_iter().find(|c| fails(c));
        match smaller {
            Some(next) => best = next,
            None => return best,
        }
    }
}

fn candidates(story: &Story) -> Vec<Story> {
    let mut all = Vec::new();
    let members: std::collections::BTreeSet<_> =
        story.before.members.keys().chain(story.after.members.keys()).collect();
    for path in members {
        let used = |d: &Deployment| d.members.values().any(|r| r.refs().contains(path) || r.comes_after(path));
        if !used(&story.before) && !used(&story.after) {
            let mut c = story.clone();
            c.before.members.remove(path);
            c.after.members.remove(path);
            all.push(c);
        }
        if let (Some(a), Some(b)) = (story.before.members.get(path), story.after.members.get(path))
            && a != b
        {
            let mut c = story.clone();
            c.before.members.insert(path.clone(), b.clone());
            all.push(c);
        }
    }
    all
}
