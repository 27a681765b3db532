//! The contract for provider authors as a suite of checks: `freehold provider test EXE`.
//!
//! It speaks to the program over its pipes without the [`Pool`](crate::Pool), so that it can also say what the pool never
//! would. Each check starts the provider anew in an empty directory. What a check expects is written where it is checked.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use freehold_model::Pointer;
use freehold_protocol::v1::{self, ErrorObject, Id, Message, names, parse_message};
use freehold_protocol::{Example, TypeSchema};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value as Json, json};

use crate::{Launch, credentials};

/// What came of the suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Each check, in order.
    pub checks: Vec<Check>,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was looked at, as a sentence.
    pub name: String,
    /// How it went.
    pub outcome: Outcome,
}

/// How a check went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Passed,
    /// Not, and why.
    Failed(String),
    /// It could not be looked at, and why.
    NotRun(String),
}

impl Report {
    /// Whether nothing has failed.
    pub fn passed(&self) -> bool {
        !self.checks.iter().any(|check| matches!(check.outcome, Outcome::Failed(_)))
    }
}

/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(120);
/// Longest wait for a provider to end after its input has.
const END: Duration = Duration::from_secs(30);

type Checked = Result<(), Problem>;

enum Problem {
    Failed(String),
    NotRun(String),
}

impl From<String> for Problem {
    fn from(text: String) -> Self {
        Self::Failed(text)
    }
}

/// Runs the whole suite against the program of `launch`, in directories made below `scratch` (which must exist).
pub fn run(launch: &Launch, scratch: &Path) -> Report {
    let mut suite = Suite { launch, scratch, checks: Vec::new(), count: 0 };
    suite.check("it answers `initialize` and `configure`", |line| line.handshake().map(drop));
    if !matches!(suite.checks[0].outcome, Outcome::Passed) {
        return Report { checks: suite.checks };
    }
    let mut types = BTreeMap::new();
    suite.check("it describes its resource types", |line| {
        line.handshake()?;
        types = line.schema()?;
        Ok(())
    });
    suite.check("the schemas are sound", |_| check_schemas(&types));
    suite.check("it ends when its standard input ends", Line::ends_with_its_input);
    suite.check("it refuses an unknown method", |line| {
        line.handshake()?;
        let error = line.refused("no/such/method", json!({}))?;
        must(error.code == v1::codes::METHOD_NOT_FOUND, || {
            format!("the error code must be {}, not {}", v1::codes::METHOD_NOT_FOUND, error.code)
        })
    });
    suite.check("it refuses an unknown resource type", |line| {
        line.handshake()?;
        let params = json!({ "member": "x", "type": "no-such-type", "inputs": { "value": {} }, "stateful": true });
        line.refused(names::CREATE, params).map(drop)
    });
    suite.check("it survives lines that are not messages", |line| {
        line.handshake()?;
        for rubbish in ["rubbish", "{}", "[1,2", "\"\\ud800\"", "{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"x\"}"] {
            line.write(format!("{rubbish}\n").as_bytes())?;
        }
        line.schema().map(drop)
    });
    suite.check("it takes many requests at once and answers each", |line| {
        line.handshake()?;
        // Up to the largest that is allowed: a provider must not change them.
        let ids: Vec<u64> = (Id::LARGEST - 39..=Id::LARGEST).collect();
        for id in &ids {
            line.send(*id, names::SCHEMA, json!({}))?;
        }
        let mut answered = Vec::new();
        for _ in &ids {
            match line.next()? {
                Message::Response { id: Some(Id::Number(id)), outcome: Ok(_) } => answered.push(id),
                other => return Err(format!("expected a schema, got {}", describe(&other)).into()),
            }
        }
        answered.sort_unstable();
        must(answered == ids, || format!("answered were {answered:?}"))
    });
    suite.check("it does not mind a cancel for a request that is over", |line| {
        line.handshake()?;
        let cancel = Message::Notification { method: names::CANCEL.into(), params: json!({ "id": 99_999 }) };
        line.write(&cancel.to_line())?;
        line.schema().map(drop)
    });
    for (name, of) in &types {
        suite.check_type(name, of);
    }
    Report { checks: suite.checks }
}

struct Suite<'a> {
    launch: &'a Launch,
    scratch: &'a Path,
    checks: Vec<Check>,
    count: usize,
}

impl Suite<'_> {
    fn check(&mut self, name: &str, check: impl FnOnce(&mut Line) -> Checked) {
        self.count += 1;
        let directory = self.scratch.join(format!("check-{}", self.count));
        let outcome = fs_err::create_dir_all(&directory)
            .map_err(|e| Problem::Failed(e.to_string()))
            .and_then(|()| Line::open(self.launch, &directory))
            .and_then(|mut line| check(&mut line).map_err(|problem| line.explain(problem)));
        let outcome = match outcome {
            Ok(()) => Outcome::Passed,
            Err(Problem::Failed(why)) => Outcome::Failed(why),
            Err(Problem::NotRun(why)) => Outcome::NotRun(why),
        };
        self.checks.push(Check { name: name.to_owned(), outcome });
    }

    fn check_type(&mut self, name: &str, of: &TypeSchema) {
        self.check(&format!("`{name}` refuses an unrecognised input, in `validate` and in `create`"), |line| {
            line.handshake()?;
            let inputs = json!({ "value": { "no-such-input-1f2e": "x" } });
            let params = json!({ "member": "x", "type": name, "inputs": inputs });
            let found: v1::ValidateResult = line.result(names::VALIDATE, params)?;
            let place = "/no-such-input-1f2e";
            must(found.diagnostics.iter().any(|d| d.pointer.to_string() == place), || {
                format!("`validate` gives no diagnostic for `{place}`")
            })?;
            let params = json!({ "member": "x", "type": name, "inputs": inputs, "stateful": true });
            line.refused(names::CREATE, params).map(drop)
        });
        if of.examples.is_empty() {
            let why = "its schema gives no `examples`".to_owned();
            self.check(&format!("`{name}` lives through its examples"), |_| Err(Problem::NotRun(why)));
        }
        for example in &of.examples {
            let title = format!("`{name}` lives through its example \"{}\"", example.title);
            self.check(&title, |line| line.live(name, of, example));
        }
    }
}

/// A provider that is spoken to line by line.
struct Line {
    child: Child,
    stdin: Option<ChildStdin>,
    heard: Receiver<Vec<u8>>,
    said: Receiver<String>,
    config: Json,
    directory: String,
    next_id: u64,
}

impl Line {
    fn open(launch: &Launch, directory: &Path) -> Result<Self, Problem> {
        let config = credentials::resolve(&launch.config, directory).map_err(|e| e.to_string())?;
        let mut command = Command::new(&launch.program);
        command.args(&launch.args).current_dir(directory).process_group(0);
        launch.env.apply(&mut command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            command.spawn().map_err(|e| format!("`{}` cannot be started: {e}", launch.program.display()))?;
        let (tell, heard) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                    if tell.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        let (tell, said) = mpsc::channel();
        if let Some(mut stderr) = child.stderr.take() {
            std::thread::spawn(move || {
                let mut text = String::new();
                let _ = stderr.read_to_string(&mut text);
                let _ = tell.send(text);
            });
        }
        let stdin = child.stdin.take();
        let directory = directory.to_string_lossy().into_owned();
        Ok(Self { child, stdin, heard, said, config: config.to_clear_json(), directory, next_id: 1 })
    }

    /// With what the provider said last, if it has ended.
    fn explain(&mut self, problem: Problem) -> Problem {
        match problem {
            Problem::Failed(why) => {
                self.stdin = None;
                let said = self.said.recv_timeout(Duration::from_secs(1)).unwrap_or_default();
                let last = said.trim_end().lines().last().unwrap_or_default().to_owned();
                Problem::Failed(if last.is_empty() { why } else { format!("{why}; it said: {last}") })
            }
            other => other,
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Checked {
        let Some(stdin) = &mut self.stdin else { return Err("its standard input is closed".to_owned().into()) };
        stdin.write_all(bytes).and_then(|()| stdin.flush()).map_err(|e| format!("it does not read: {e}").into())
    }

    fn send(&mut self, id: u64, method: &str, params: Json) -> Checked {
        self.write(&Message::Request { id: Id::Number(id), method: method.into(), params }.to_line())
    }

    /// The next message that is not a notification and not a complaint about a line without an id.
    fn next(&mut self) -> Result<Message, Problem> {
        let until = Instant::now() + ANSWER;
        loop {
            let line = match self.heard.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => {
                    return Err(format!("it did not answer within {} s", ANSWER.as_secs()).into());
                }
                Err(RecvTimeoutError::Disconnected) => return Err("it ended instead of answering".to_owned().into()),
            };
            match parse_message(&line) {
                Ok(Message::Notification { .. } | Message::Response { id: None, .. }) => {}
                Ok(message) => return Ok(message),
                Err(error) => {
                    return Err(format!(
                        "it wrote `{}`: {error}",
                        crate::redact::excerpt(&String::from_utf8_lossy(&line))
                    )
                    .into());
                }
            }
        }
    }

    fn ask(&mut self, method: &str, params: Json) -> Result<Result<Json, ErrorObject>, Problem> {
        let asked = self.next_id;
        self.next_id += 1;
        self.send(asked, method, params)?;
        match self.next()? {
            Message::Response { id: Some(Id::Number(id)), outcome } if id == asked => Ok(outcome),
            other => Err(format!("`{method}` was asked with id {asked}, and it sent {}", describe(&other)).into()),
        }
    }

    fn result<T: serde::de::DeserializeOwned>(&mut self, method: &str, params: Json) -> Result<T, Problem> {
        match self.ask(method, params)? {
            Ok(json) => serde_json::from_value(json)
                .map_err(|e| format!("the result of `{method}` has the wrong shape: {e}").into()),
            Err(error) => Err(format!("`{method}` failed: {}", error.message).into()),
        }
    }

    fn refused(&mut self, method: &str, params: Json) -> Result<ErrorObject, Problem> {
        match self.ask(method, params)? {
            Err(error) => Ok(error),
            Ok(_) => Err(format!("`{method}` should have failed").into()),
        }
    }

    fn handshake(&mut self) -> Result<v1::InitializeResult, Problem> {
        let params = json!({
            "protocolVersions": [v1::VERSION],
            "client": { "name": "freehold", "version": env!("CARGO_PKG_VERSION") },
            "workingDirectory": self.directory,
        });
        let hello: v1::InitializeResult = self.result(names::INITIALIZE, params)?;
        must(hello.protocol_version == v1::VERSION, || format!("it answered version {}", hello.protocol_version))?;
        must(!hello.provider.name.is_empty(), || "it has no name".to_owned())?;
        let config = json!({ "config": { "value": self.config } });
        self.result::<v1::Done>(names::CONFIGURE, config)?;
        Ok(hello)
    }

    fn schema(&mut self) -> Result<BTreeMap<String, TypeSchema>, Problem> {
        Ok(self.result::<v1::SchemaResult>(names::SCHEMA, json!({}))?.types)
    }

    fn ends_with_its_input(&mut self) -> Checked {
        self.handshake()?;
        self.stdin = None;
        let until = Instant::now() + END;
        while Instant::now() < until {
            match self.child.try_wait() {
                Ok(Some(status)) => return must(status.success(), || format!("it ended with {status}")),
                Ok(None) => std::thread::sleep(Duration::from_millis(10)),
                Err(error) => return Err(error.to_string().into()),
            }
        }
        Err(format!("it was still there after {} s", END.as_secs()).into())
    }

    /// plan → create → plan (none) → read → update → read → delete → read (gone).
    fn live(&mut self, name: &str, of: &TypeSchema, example: &Example) -> Checked {
        self.handshake()?;
        let inputs = json!({ "value": example.inputs });
        let address = json!({ "member": "conformance.test", "type": name });
        let with = |more: Json| merge(&address, more);
        let found: v1::ValidateResult = self.result(names::VALIDATE, with(json!({ "inputs": inputs })))?;
        must(found.diagnostics.is_empty(), || format!("`validate` refuses the example: {:?}", found.diagnostics))?;
        let planned: v1::PlanResult = self.result(names::PLAN, with(json!({ "inputs": inputs })))?;
        let unknown = self.plans_of_unknowns(&address, example)?;
        let made: v1::WireObject = self.result(names::CREATE, with(json!({ "inputs": inputs, "stateful": true })))?;
        must_foretell(&planned, &made)?;
        unknown.iter().try_for_each(|(_, planned)| must_foretell(planned, &made))?;
        let mut object = object(&inputs, &made);
        let again: v1::PlanResult = self.result(names::PLAN, with(json!({ "prior": object, "inputs": inputs })))?;
        must(again.action == v1::PlanAction::None, || {
            format!("`plan` with the inputs of `create` says {:?} instead of none", again.action)
        })?;
        self.reads_as(&address, of, &object, &made)?;
        if let Some(update) = &example.update {
            let inputs = json!({ "value": update });
            let asked = with(json!({ "prior": object, "inputs": inputs }));
            let planned: v1::PlanResult = self.result(names::PLAN, asked.clone())?;
            if planned.action == v1::PlanAction::Update {
                must(of.can_update, || "`plan` says update, but the schema says that it cannot".to_owned())?;
                let made: v1::WireObject = self.result(names::UPDATE, asked)?;
                must_foretell(&planned, &made)?;
                object = self::object(&inputs, &made);
                self.reads_as(&address, of, &object, &made)?;
            }
        }
        if of.can_delete {
            self.result::<v1::Done>(names::DELETE, with(json!({ "object": object })))?;
            if of.can_read {
                let read: v1::ReadResult = self.result(names::READ, with(json!({ "object": object })))?;
                must(read.object.is_none(), || "`read` still finds what `delete` has removed".to_owned())?;
            }
            self.result::<v1::Done>(names::DELETE, with(json!({ "object": object }))).map_err(
                |problem| match problem {
                    Problem::Failed(why) => Problem::Failed(format!("deleting twice must not be an error: {why}")),
                    other => other,
                },
            )?;
            self.live_with_secrets(&address, of, example, &unknown)?;
        }
        Ok(())
    }

    /// What is promised while one of the inputs is not known.
    fn plans_of_unknowns(
        &mut self,
        address: &Json,
        example: &Example,
    ) -> Result<Vec<(String, v1::PlanResult)>, Problem> {
        let mut plans = Vec::new();
        for name in example.inputs.keys() {
            let mut inputs = example.inputs.clone();
            inputs.insert(name.clone(), json!({ "$freehold": "unknown" }));
            let asked = merge(address, json!({ "inputs": { "value": inputs } }));
            let planned = self.result(names::PLAN, asked).map_err(|problem| match problem {
                Problem::Failed(why) => Problem::Failed(format!("while `{name}` is not known: {why}")),
                other => other,
            })?;
            plans.push((name.clone(), planned));
        }
        Ok(plans)
    }

    /// plan → create → delete, once for each input as a secret. What was promised while it was not known must come true here, too.
    /// A type may refuse a secret.
    fn live_with_secrets(
        &mut self,
        address: &Json,
        of: &TypeSchema,
        example: &Example,
        unknown: &[(String, v1::PlanResult)],
    ) -> Checked {
        for (name, unknown) in unknown {
            let inputs = json!({ "value": example.inputs, "sensitive": [Pointer::new([name])] });
            let Ok(planned) = self.ask(names::PLAN, merge(address, json!({ "inputs": inputs })))? else { continue };
            let planned: v1::PlanResult = serde_json::from_value(planned)
                .map_err(|e| format!("the result of `{}` has the wrong shape: {e}", names::PLAN))?;
            let create = merge(address, json!({ "inputs": inputs, "stateful": true }));
            let made: v1::WireObject = self.result(names::CREATE, create)?;
            let as_a_secret = |problem| match problem {
                Problem::Failed(why) => Problem::Failed(format!("with `{name}` as a secret: {why}")),
                other => other,
            };
            must_foretell(&planned, &made).and_then(|()| must_foretell(unknown, &made)).map_err(as_a_secret)?;
            let object = object(&inputs, &made);
            self.reads_as(address, of, &object, &made).map_err(as_a_secret)?;
            self.result::<v1::Done>(names::DELETE, merge(address, json!({ "object": object })))?;
        }
        Ok(())
    }

    fn reads_as(&mut self, address: &Json, of: &TypeSchema, object: &Json, made: &v1::WireObject) -> Checked {
        if !of.can_read {
            return Ok(());
        }
        let read: v1::ReadResult = self.result(names::READ, merge(address, json!({ "object": object })))?;
        let Some(found) = read.object else { return Err("`read` does not find the object".to_owned().into()) };
        must(found.outputs == made.outputs, || "`read` gives other outputs than those that were returned".to_owned())?;
        must(found.inputs.is_none(), || "`read` reports changed inputs although nothing has changed".to_owned())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.stdin = None;
        // While it is not waited for the number is its own, and that of the group in which it may have started others.
        if let (Ok(None), Ok(pid)) = (self.child.try_wait(), i32::try_from(self.child.id()))
            && let Some(pid) = Pid::from_raw(pid)
        {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What was planned as known must come true.
fn must_foretell(planned: &v1::PlanResult, made: &v1::WireObject) -> Checked {
    for (name, foretold) in &planned.planned_outputs.value {
        let is_unknown = foretold.to_string().contains("\"$freehold\":\"unknown\"");
        let came = made.outputs.value.get(name).unwrap_or(&Json::Null);
        must(is_unknown || came == foretold, || format!("`plan` promised another value of output `{name}`"))?;
    }
    Ok(())
}

fn check_schemas(types: &BTreeMap<String, TypeSchema>) -> Checked {
    must(!types.is_empty(), || "there are no resource types".to_owned())?;
    for (name, of) in types {
        for (what, schema) in [("inputs", &of.inputs), ("outputs", &of.outputs)] {
            let is_object = schema.get("type").and_then(Json::as_str) == Some("object");
            must(is_object, || format!("the {what} of `{name}` must be a JSON Schema of type object"))?;
        }
        let inputs: Vec<&str> = of.input_properties().map(|(input, _)| input).collect();
        let listed = of
            .force_new
            .iter()
            .chain(&of.identity)
            .chain(&of.computed)
            .chain(&of.write_only)
            .chain(of.aliases.values());
        for input in listed {
            must(inputs.contains(&input.as_str()), || format!("`{name}` lists an input `{input}` that it has not"))?;
        }
        for place in &of.sensitive_inputs {
            let known = place.tokens().first().is_some_and(|first| inputs.contains(&first.as_str()));
            must(known, || format!("`{name}` lists a sensitive input `{place}` that it has not"))?;
        }
        let outputs: Vec<&str> = of.output_properties().map(|(output, _)| output).collect();
        for output in &of.stable_outputs {
            must(outputs.contains(&output.as_str()), || {
                format!("`{name}` lists an output `{output}` that it has not")
            })?;
        }
        for place in &of.sensitive_outputs {
            let known = place.tokens().first().is_some_and(|first| outputs.contains(&first.as_str()));
            must(known, || format!("`{name}` lists a sensitive output `{place}` that it has not"))?;
        }
    }
    Ok(())
}

fn object(inputs: &Json, made: &v1::WireObject) -> Json {
    let mut object = json!({ "inputs": inputs, "outputs": made.outputs });
    if let Some(private) = &made.private {
        object["private"] = private.clone();
    }
    object
}

fn merge(address: &Json, more: Json) -> Json {
    let mut all = address.clone();
    if let (Json::Object(all), Json::Object(more)) = (&mut all, more) {
        all.extend(more);
    }
    all
}

fn must(holds: bool, otherwise: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(otherwise().into()) }
}

fn describe(message: &Message) -> String {
    match message {
        Message::Request { method, .. } => format!("a request `{method}`"),
        Message::Notification { method, .. } => format!("a notification `{method}`"),
        Message::Response { id, outcome: Ok(_) } => format!("a result for id {id:?}"),
        Message::Response { id, outcome: Err(error) } => format!("an error for id {id:?}: {}", error.message),
    }
}
