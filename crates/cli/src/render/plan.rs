//! A plan for people: drift first, then a block per changed member, then one line that says it all.

use freehold_model::Value;
use freehold_plan::{Action, Drift, Plan, Problem, Reason, Step, Summary};

use super::diff;
use super::style::{self, paint};
use super::text::{count, escape_controls, indent};
use super::value::{self, Style};

/// The whole plan; `whole` shortens nothing and shows unchanged members too.
pub(crate) fn plan(plan: &Plan, whole: bool) -> String {
    let style = Style::plan(whole);
    let mut text = String::new();
    if !plan.drift.is_empty() {
        text += &format!("{}\n", paint(style::STRONG, "the world is not as recorded:"));
        text += &plan.drift.iter().map(|d| drift(d, style)).collect::<String>();
        text += "\n";
    }
    for moved in &plan.moves {
        text += &format!("  {} {} → {}\n", paint(style::LOOK, "→ "), moved.from, paint(style::STRONG, &moved.to));
    }
    for one in plan.steps.iter().filter(|s| whole || s.action != Action::None || s.is_undecided()) {
        text += &step(one, style);
    }
    for open in &plan.open {
        let needs: Vec<String> = open.needs.iter().map(|n| escape_controls(&n.to_string()).into_owned()).collect();
        let what = if needs.is_empty() { String::new() } else { format!(": {}", needs.join(", ")) };
        let why = paint(style::FAINT, format!("its members are known during apply{what}"));
        text += &format!("  {} {}  {why}\n", paint(style::LOOK, "? "), paint(style::STRONG, &open.member));
    }
    if !text.is_empty() && !text.ends_with("\n\n") {
        text += "\n";
    }
    text + &conclusion(plan) + "\n"
}

/// Drift alone, with a line that says it all.
pub(crate) fn drifts(drifts: &[Drift], recorded: usize, whole: bool) -> String {
    if drifts.is_empty() {
        return paint(
            style::STRONG,
            format!("no drift: {} as recorded", count(recorded, "resource is", "resources are")),
        ) + "\n";
    }
    let text: String = drifts.iter().map(|d| drift(d, Style::plan(whole))).collect();
    let resources = count(drifts.len(), "resource is", "resources are");
    format!("{text}\n{resources} not as recorded; `freehold apply` mends it, `freehold refresh` accepts it\n")
}

/// How many problems are told one by one: a mistake in a function makes one for each member that uses it.
const PROBLEMS_SHOWN: usize = 50;

/// Why a plan cannot be applied, as errors; many are counted.
pub(crate) fn problems(problems: &[Problem]) -> String {
    let mut text: String = problems.iter().take(PROBLEMS_SHOWN).map(problem).collect();
    let more = problems.len().saturating_sub(PROBLEMS_SHOWN);
    if more > 0 {
        let more = count(more, "more problem", "more problems");
        text += &format!("{} {more}: `freehold plan --json` has them all\n", paint(style::ERROR, "error:"));
    }
    text
}

/// What may go wrong, as warnings.
pub(crate) fn warnings(warnings: &[Problem]) -> String {
    warnings.iter().map(|warning| labelled(&paint(style::WARN, "warning:"), warning)).collect()
}

/// The last line.
pub(crate) fn conclusion(plan: &Plan) -> String {
    let summary = plan.summary();
    if plan.is_noop() && plan.problems.is_empty() {
        return paint(style::STRONG, nothing(plan, &summary));
    }
    if plan.steps.iter().all(|s| s.action == Action::None) && plan.moves.is_empty() && !plan.problems.is_empty() {
        return paint(style::ERROR, format!("no plan: {}", count(plan.problems.len(), "problem", "problems")));
    }
    let mut parts = vec![
        paint(some(summary.create, style::ADD), format!("{} to create", summary.create)),
        paint(some(summary.update, style::CHANGE), format!("{} to update", summary.update)),
    ];
    let mut also = |n: usize, what: &str, style| {
        if n > 0 {
            parts.push(paint(style, format!("{n} {what}")));
        }
    };
    also(summary.replace, "to replace", style::CHANGE);
    also(summary.adopt, "to adopt", style::LOOK);
    also(plan.moves.len(), "to move", style::LOOK);
    also(summary.read, "to write down as it is", style::LOOK);
    also(summary.forget, "to forget", style::LOOK);
    parts.push(paint(some(summary.delete, style::REMOVE), format!("{} to delete", summary.delete)));
    let rest = if !plan.problems.is_empty() {
        paint(style::ERROR, format!("; cannot be applied: {}", count(plan.problems.len(), "problem", "problems")))
    } else if summary.open + summary.undecided > 0 {
        format!("; {} decided during apply", count(summary.open + summary.undecided, "part is", "parts are"))
    } else {
        "; nothing else changes".to_owned()
    };
    format!("{}{rest}", parts.join(", "))
}

fn nothing(plan: &Plan, summary: &Summary) -> String {
    let resources = count(summary.none, "resource is", "resources are");
    let is_whole = plan.options.targets.is_empty() && plan.options.excludes.is_empty();
    match () {
        () if plan.is_destroy() && is_whole => "nothing to destroy: nothing is recorded".to_owned(),
        () if plan.is_destroy() => "nothing to destroy: nothing of what was asked for is recorded".to_owned(),
        () if summary.none == 0 && is_whole => "nothing to change: the deployment has no resources".to_owned(),
        () if summary.none == 0 => "nothing to change: no resource is left of what was asked for".to_owned(),
        () if is_whole => format!("nothing to change: {resources} as declared"),
        () => format!("nothing to change in what was asked for: {resources} as declared or left out"),
    }
}

fn some(n: usize, style: anstyle::Style) -> anstyle::Style {
    if n > 0 { style } else { style::FAINT }
}

fn problem(problem: &Problem) -> String {
    labelled(&paint(style::ERROR, "error:"), problem)
}

fn labelled(label: &str, problem: &Problem) -> String {
    let at = if problem.member.is_root() { String::new() } else { format!("`{}`: ", problem.member) };
    let message = indent(&escape_controls(&problem.message), "  ");
    let hint = problem
        .hint
        .as_ref()
        .map(|hint| format!("{} {}\n", paint(style::HINT, "hint:"), indent(&escape_controls(hint), "  ")));
    format!("{label} {at}{message}\n{}", hint.unwrap_or_default())
}

fn drift(drift: &Drift, style: Style) -> String {
    let what = if drift.gone { paint(style::REMOVE, "gone") } else { paint(style::CHANGE, "changed") };
    let mut text = format!("  {}  {what}\n", paint(style::STRONG, &drift.member));
    for change in &drift.changes {
        text += &diff::change(change, 6, style);
    }
    text
}

/// The sign of an action, as wide as the widest, in its colour.
pub(crate) fn sign(step: &Step) -> String {
    let (style, sign) = match step.action {
        Action::None | Action::Read if step.is_undecided() => (style::LOOK, "?  "),
        Action::Create => (style::ADD, "+  "),
        Action::Update => (style::CHANGE, "~  "),
        Action::Replace if step.create_first => (style::CHANGE, "+/-"),
        Action::Replace => (style::CHANGE, "-/+"),
        Action::Delete => (style::REMOVE, "-  "),
        Action::Read => (style::LOOK, "<= "),
        Action::Adopt => (style::LOOK, "=> "),
        Action::Forget => (style::LOOK, "x  "),
        Action::None => (style::FAINT, "=  "),
    };
    paint(style, sign)
}

fn step(step: &Step, style: Style) -> String {
    let kind = type_of(&step.provider, &step.type_name);
    let mut text = format!("  {} {}  {kind}", sign(step), paint(style::STRONG, &step.member));
    if let Some(key) = &step.deposed {
        text += &paint(style::FAINT, format!("  (old object {})", escape_controls(key)));
    }
    let reasons: Vec<String> = step.reasons.iter().filter(|r| worth_saying(r, step)).map(reason).collect();
    if !reasons.is_empty() {
        text += &format!("  {}", paint(style::FAINT, reasons.join("; ")));
    }
    if step.is_undecided() || step.open && matches!(step.action, Action::Update | Action::Replace) {
        text += &paint(style::FAINT, "  (decided during apply)");
    }
    text.push('\n');
    match step.action {
        Action::Create | Action::Adopt => text += &inputs(step, style),
        Action::Update | Action::Replace | Action::Read => {
            for change in &step.changes {
                text += &diff::change(change, 6, style);
            }
        }
        Action::Delete | Action::Forget | Action::None => {}
    }
    text
}

/// What a new object has: one line per input.
fn inputs(step: &Step, style: Style) -> String {
    let Some(declaration) = &step.declaration else { return String::new() };
    let names: Vec<String> = declaration.inputs.keys().map(|n| value::name(n)).collect();
    let widest = names.iter().map(|n| n.chars().count()).max().unwrap_or_default().min(24);
    let mut text = String::new();
    for (name, value) in names.iter().zip(declaration.inputs.values()) {
        if *value == Value::Null {
            continue;
        }
        let gap = " ".repeat(widest.saturating_sub(name.chars().count()));
        text += &format!("      {name}{gap} = {}\n", style.show(value, 6));
    }
    text
}

/// `local.file`, or the program's name and the type; faint.
pub(crate) fn type_of(provider: &str, type_name: &str) -> String {
    let provider = provider.rsplit('/').next().unwrap_or(provider);
    paint(style::FAINT, escape_controls(&format!("{provider}.{type_name}")))
}

fn reason(reason: &Reason) -> String {
    escape_controls(&reason.to_string()).into_owned()
}

/// What the sign says already is not said again.
fn worth_saying(reason: &Reason, step: &Step) -> bool {
    !matches!(
        (reason, step.action),
        (Reason::New, Action::Create)
            | (Reason::Changed, Action::Update | Action::Replace)
            | (Reason::Destroyed, Action::Delete)
            | (Reason::Unchanged, Action::None)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    use freehold_model::{Attrs, Declaration, Lifecycle, MemberPath, OutputRef, Pointer, ProviderRef};
    use freehold_plan::{Change, Move, OpenStructure, PlanOptions};
    use serde_json::json;

    fn attrs(json: serde_json::Value) -> Attrs {
        match Value::from_json(json).unwrap() {
            Value::Map(attrs) => attrs,
            other => panic!("{other:?}"),
        }
    }

    fn path(text: &str) -> MemberPath {
        text.parse().unwrap()
    }

    fn a_step(member: &str, action: Action, reasons: Vec<Reason>, inputs: serde_json::Value) -> Step {
        let declaration = Declaration {
            provider: ProviderRef::Builtin { name: "local".into(), config: Value::Map(Attrs::new()) },
            type_name: "file".into(),
            inputs: attrs(inputs),
            context: BTreeSet::new(),
            outputs: BTreeSet::new(),
            holder: None,
            lifecycle: Lifecycle::default(),
            depends_on: BTreeSet::new(),
            preconditions: Vec::new(),
            postconditions: Vec::new(),
            operations: BTreeMap::new(),
        };
        Step {
            member: path(member),
            deposed: None,
            action,
            create_first: false,
            reasons,
            provider: "local".into(),
            type_name: "file".into(),
            changes: Vec::new(),
            declaration: Some(declaration.into()),
            exact: true,
            identity: freehold_plan::Identity::default(),
            open: false,
            outputs: Attrs::new(),
            edges: BTreeSet::new(),
            prior: None,
            resumes: None,
            old: freehold_plan::Old::Deleted,
            told: false,
            recovery: freehold_plan::Recovery::Read,
        }
    }

    fn shown(plan: &Plan) -> String {
        anstream::adapter::strip_str(&super::plan(plan, false)).to_string()
    }

    fn change(at: &str, before: serde_json::Value, after: serde_json::Value, forces_replace: bool) -> Change {
        let read = |json| Some(Value::from_json(json).unwrap());
        Change { at: Pointer::parse(at).unwrap(), before: read(before), after: read(after), forces_replace }
    }

    #[test]
    fn every_kind_of_step_has_its_sign_and_its_reason() {
        let mut secret = a_step("id", Action::Create, vec![Reason::New], json!({ "bytes": 4, "pass word": null }));
        let declaration = secret.declaration.as_mut().unwrap();
        std::sync::Arc::make_mut(declaration).inputs.insert("token".into(), Value::from("canary").into_sensitive());
        let needs = BTreeSet::from([OutputRef { member: path("id"), output: "hex".into() }]);
        let mut open = a_step("site.page", Action::Update, vec![Reason::MayChange(needs.clone())], json!({}));
        open.open = true;
        open.changes = vec![change("/contents", json!("hello 1\n"), json!({ "$freehold": "unknown" }), false)];
        let mut replace =
            a_step("files.\"a.txt\"", Action::Replace, vec![Reason::CannotChange(vec!["path".into()])], json!({}));
        replace.changes = vec![change("/path", json!("a.txt"), json!("b.txt"), true)];
        let mut gone = a_step("old", Action::Delete, vec![Reason::Deposed], json!({}));
        gone.deposed = Some("k1".into());
        let plan = Plan {
            options: PlanOptions::normal(),
            moves: vec![Move { from: path("a"), to: path("b") }],
            steps: vec![
                secret,
                a_step("quiet", Action::None, vec![Reason::Unchanged], json!({})),
                open,
                replace,
                a_step("kept", Action::Forget, vec![Reason::Kept], json!({})),
                gone,
            ],
            drift: vec![Drift { member: path("site.page"), gone: true, changes: Vec::new() }],
            open: vec![OpenStructure { member: path("hosts"), needs }],
            ..Plan::default()
        };
        insta::assert_snapshot!(shown(&plan), @r##"
        the world is not as recorded:
          site.page  gone

          →  a → b
          +   id  local.file
              bytes       = 4
              token       = (sensitive)
          ~   site.page  local.file  depends on id.outputs.hex  (decided during apply)
              ~ contents: "hello 1\n" → (known after apply)
          -/+ files."a.txt"  local.file  `path` cannot be changed in place
              ~ path: "a.txt" → "b.txt"  # forces replacement
          x   kept  local.file  lifecycle.keep leaves its object in the world
          -   old  local.file  (old object k1)  replaced earlier, its old object is still to be deleted
          ?  hosts  its members are known during apply: id.outputs.hex

        1 to create, 1 to update, 1 to replace, 1 to move, 1 to forget, 1 to delete; 1 part is decided during apply
        "##);
    }

    #[test]
    fn a_plan_without_changes_says_so() {
        let mut plan = Plan { options: PlanOptions::normal(), ..Plan::default() };
        assert_eq!(shown(&plan), "nothing to change: the deployment has no resources\n");
        plan.steps = vec![a_step("id", Action::None, vec![Reason::Unchanged], json!({}))];
        assert_eq!(shown(&plan), "nothing to change: 1 resource is as declared\n");
        plan.options.targets = BTreeSet::from([path("id")]);
        assert_eq!(shown(&plan), "nothing to change in what was asked for: 1 resource is as declared or left out\n");
    }

    #[test]
    fn what_a_provider_says_cannot_act_on_the_terminal() {
        let reason = Reason::Provider("because \u{1b}[2J".into());
        let plan = Plan { steps: vec![a_step("id", Action::Create, vec![reason], json!({}))], ..Plan::default() };
        assert!(shown(&plan).contains(r"because \u{1b}[2J"), "{}", shown(&plan));
    }

    #[test]
    fn problems_are_errors_with_hints() {
        let found = [
            Problem { member: path("site"), message: "two\nlines".into(), hint: Some("mend it".into()) },
            Problem { member: MemberPath::root(), message: "nobody's fault".into(), hint: None },
        ];
        insta::assert_snapshot!(anstream::adapter::strip_str(&problems(&found)).to_string(), @r"
        error: `site`: two
          lines
        hint: mend it
        error: nobody's fault
        ");
    }

    #[test]
    fn many_problems_are_counted() {
        let one = |n: usize| Problem { member: path(&format!("m{n}")), message: "no".into(), hint: None };
        let found: Vec<Problem> = (0..PROBLEMS_SHOWN + 3).map(one).collect();
        let text = anstream::adapter::strip_str(&problems(&found)).to_string();
        assert_eq!(text.lines().count(), PROBLEMS_SHOWN + 1);
        assert!(text.ends_with("error: 3 more problems: `freehold plan --json` has them all\n"), "{text}");
    }
}
