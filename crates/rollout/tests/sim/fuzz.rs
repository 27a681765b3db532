//! Stories from a seed: a few releases, good and bad, rolled out one after the other while things go wrong.
//!
//! At the end nothing goes wrong any more, and what runs must be what is wanted.

use freehold_rollout::{Declared, Exec, Gate, Outcome, Policy, Settings, Stage, Strategy, Wish};

use super::driver::{At, Ended, Knobs, Sim, When};
use super::world::{Fault, Health, release};
use freehold_testkit::Rng;

const RELEASES: [&str; 5] = ["v1", "v2", "v3", "v4", "v5"];
const FAULTS: [&str; 10] =
    ["prepare", "stop", "snapshot", "activate", "routes", "drain", "commit", "restore", "persist", "commit"];

/// One run of a driver within a story.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Round {
    pub declared: Option<&'static str>,
    pub retry: bool,
    pub reboot: bool,
    pub knobs: Knobs,
    pub faults: Vec<(&'static str, Fault)>,
}

/// A whole story, which follows from its seed.
#[derive(Debug, Clone)]
pub struct Story {
    pub settings: Settings,
    pub health: Vec<(&'static str, Health)>,
    pub rounds: Vec<Round>,
}

pub fn story(seed: u64) -> Story {
    let mut rng = Rng::new(seed);
    let strategy = if rng.one_in(3) { Strategy::BlueGreen } else { Strategy::Restart };
    let probe = Exec { command: vec!["look".to_owned()] };
    let gate = Gate {
        exec: (!rng.one_in(5)).then_some(probe),
        timeout_seconds: 5,
        successes: 1 + u32::from(rng.one_in(3)),
        window_seconds: *rng.pick(&[0, 1, 3]),
        ..Gate::default()
    };
    let stateful = strategy == Strategy::Restart && rng.one_in(2);
    let settings = Settings { gate, strategy, stateful, keep_releases: *rng.pick(&[1, 2, 5]) };
    let health = RELEASES.map(|id| (id, health(&mut rng))).to_vec();
    let rounds = (0..1 + rng.below(6)).map(|_| round(&mut rng)).collect();
    Story { settings, health, rounds }
}

fn health(rng: &mut Rng) -> Health {
    match rng.below(12) {
        0 => Health::Red,
        1 => Health::Flicker,
        2 => Health::Broken,
        3 => Health::Busy,
        4 => Health::Late(2),
        5 => Health::Stutter,
        6 => Health::Fade,
        _ => Health::Good,
    }
}

fn round(rng: &mut Rng) -> Round {
    let place = |rng: &mut Rng| At::Number(1 + rng.below(40));
    let mut knobs = Knobs::default();
    if rng.one_in(2) {
        knobs.crash = Some((place(rng), if rng.one_in(2) { When::Before } else { When::After }));
    }
    // Numbers that nothing is made of any more: without them every seed would be another story.
    if rng.one_in(8) {
        place(rng);
    }
    if rng.one_in(10) {
        knobs.lock = Some(place(rng));
    }
    if rng.one_in(5) {
        knobs.jump = Some((place(rng), *rng.pick(&[-86_400_000, -5_000, 5_000, 86_400_000])));
    }
    if rng.one_in(10) {
        knobs.restless = Some(rng.next());
    }
    let faults = (0..rng.below(3))
        .map(|_| (*rng.pick(&FAULTS), Fault { times: 1 + rng.below(5) as u32, done: rng.one_in(2) }))
        .collect();
    Round {
        declared: (!rng.one_in(10)).then(|| *rng.pick(&RELEASES)),
        retry: rng.one_in(8),
        reboot: rng.one_in(4),
        knobs,
        faults,
    }
}

pub fn wish(declared: Option<&str>, settings: &Settings, retry: bool) -> Wish {
    let declared = declared.map(|id| Declared {
        release: release(id),
        policy: Policy::PINNED,
        versions: Vec::new(),
        settings: settings.clone(),
    });
    Wish { declared, retry, take_over: false, resumed: false, adopts: false }
}

/// Plays a story, and puts everything in order at its end. Panics when something does not hold.
pub fn play(story: &Story) -> Sim {
    let mut sim = Sim::new();
    sim.world.blue_green = story.settings.strategy == Strategy::BlueGreen;
    sim.world.health = story.health.iter().map(|(id, health)| ((*id).to_owned(), *health)).collect();
    for round in &story.rounds {
        sim.log.push(format!("-- {round:?}"));
        sim.world.faults = round.faults.iter().copied().collect();
        sim.run(&wish(round.declared, &story.settings, round.retry), round.knobs);
        if round.reboot {
            sim.log.push("reboot".to_owned());
            sim.world.reboot();
        }
    }
    sim.world.faults.clear();
    put_in_order(&mut sim, story);
    sim
}

/// Calm runs: they settle, they say the same when asked again, and what runs is what should.
fn put_in_order(sim: &mut Sim, story: &Story) {
    let declared = story.rounds.last().and_then(|round| round.declared);
    let calm = wish(declared, &story.settings, false);
    sim.log.push("-- calm".to_owned());
    let mut last = None;
    for _ in 0..6 {
        let Ended::Finished(report) = sim.run(&calm, Knobs::default()) else { panic!("a calm run crashes") };
        assert!(sim.record().stage.is_settled(), "a calm run ends while {:?}", sim.record().stage);
        last = Some(report.outcome);
    }
    let told = |sim: &Sim| sim.log.join("\n");
    let outcome = last.unwrap();
    let Some(id) = declared else {
        assert!(sim.world.instances.is_empty(), "it is not declared and runs:\n{}", told(sim));
        return;
    };
    let record = sim.record();
    let is_well = |id: &str| matches!(sim.world.health_of(id), Health::Good | Health::Late(_)) || passes(story, id);
    let runs: Vec<&str> = sim.world.instances.iter().map(String::as_str).collect();
    let good = record.last_good.as_ref().map(|release| release.id().to_owned());
    let was_taken = record.taken_back(&release(id)).is_some();
    if is_well(id) && !was_taken {
        assert_eq!((runs.as_slice(), outcome), ([id].as_slice(), Outcome::None), "it should run:\n{}", told(sim));
    } else if let Some(good) = good.filter(|good| is_well(good)) {
        assert_eq!((runs.as_slice(), outcome), ([good.as_str()].as_slice(), Outcome::Held), "{}", told(sim));
    } else {
        assert!(
            matches!(outcome, Outcome::Failed | Outcome::RolledBack | Outcome::Held | Outcome::None),
            "{}",
            told(sim)
        );
    }
    assert_ne!(record.stage, Stage::Idle, "{}", told(sim));
    try_again(sim, story, id);
}

/// Whether a release without a probe is good enough as long as it settles.
fn passes(story: &Story, id: &str) -> bool {
    let health = story.health.iter().find(|(name, _)| *name == id).map(|(_, health)| *health);
    !story.settings.gate.looks() && matches!(health, Some(Health::Red | Health::Flicker))
}

/// The operator mends the release and asks for it again: nothing stands in its way.
fn try_again(sim: &mut Sim, story: &Story, id: &str) {
    sim.log.push("-- again".to_owned());
    sim.world.health.clear();
    for retry in [true, true, false] {
        sim.run(&wish(Some(id), &story.settings, retry), Knobs::default());
    }
    let runs: Vec<&str> = sim.world.instances.iter().map(String::as_str).collect();
    assert_eq!(runs, [id], "mended and asked for again, it should run:\n{}", sim.log.join("\n"));
    assert!(sim.world.alert.is_none(), "an alert stands for ever:\n{}", sim.log.join("\n"));
}

/// A smaller story that fails in the same way.
pub fn shrink(story: &Story, fails: &dyn Fn(&Story) -> bool) -> Story {
    let mut best = story.clone();
    loop {
        let next = smaller(&best).into_iter().find(|candidate| fails(candidate));
        match next {
            Some(candidate) => best = candidate,
            None => return best,
        }
    }
}

fn smaller(story: &Story) -> Vec<Story> {
    let mut all = Vec::new();
    for at in 0..story.rounds.len() {
        let mut less = story.clone();
        less.rounds.remove(at);
        all.push(less);
        let round = &story.rounds[at];
        let mut change = |edit: &dyn Fn(&mut Round)| {
            let mut less = story.clone();
            edit(&mut less.rounds[at]);
            if less.rounds[at] != *round {
                all.push(less);
            }
        };
        change(&|round| round.reboot = false);
        change(&|round| round.retry = false);
        change(&|round| round.knobs.crash = None);
        change(&|round| round.knobs.lock = None);
        change(&|round| round.knobs.jump = None);
        change(&|round| round.knobs.restless = None);
        for fault in 0..round.faults.len() {
            change(&|round| {
                round.faults.remove(fault);
            });
        }
    }
    all.retain(|story| !story.rounds.is_empty());
    for at in 0..story.health.len() {
        let mut less = story.clone();
        less.health[at].1 = Health::Good;
        if less.health != story.health {
            all.push(less);
        }
    }
    all
}
