//! Operations of a resource: actions of its provider, or scripts of the deployment with access to outputs.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;

use freehold_model::{Attrs, ErrorKind, MemberPath, Record, ScriptOperation, Value};
use freehold_protocol::v1::OutputStream;
use freehold_provider::{Call, CallEvent, Reply};
use freehold_state::{Action, Begin, Event, NewEvent, Outcome, Owner, SystemClock};

use crate::EngineError;
use crate::catalog::{call_failure, internal};
use crate::engine::Engine;
use crate::error::nearest;

/// What is heard of a running operation.
type Listener<'a> = &'a mut dyn FnMut(OutputStream, &str);

impl Engine {
    /// Runs an operation of a recorded member under the lock, streams its output, and records that it was run.
    ///
    /// # Errors
    /// When there is no such member or operation, or it could not be started. That it failed is told by its exit code.
    pub fn run_operation(
        &mut self,
        member: &MemberPath,
        operation: &str,
        args: &[String],
        output: Listener<'_>,
    ) -> Result<i32, EngineError> {
        self.open_recorded_holders();
        let Some(record) = self.home(member).view().record(member).cloned() else {
            return Err(EngineError::NoMember {
                member: member.clone(),
                what: " in the state: an operation needs an object that was applied",
                suggestion: nearest(member, self.records().keys()),
            });
        };
        let schema = self.schema_of(&record.provider.provider)?;
        let of_provider = schema.types.get(&record.type_name).map(|t| t.operations.clone()).unwrap_or_default();
        let script = if of_provider.contains_key(operation) { None } else { self.find_script(member, operation)? };
        if script.is_none() && !of_provider.contains_key(operation) {
            let names: Vec<&str> = of_provider.keys().map(String::as_str).collect();
            return Err(member_error(
                member,
                ErrorKind::User,
                format!("has no operation `{operation}`"),
                Some(match names.as_slice() {
                    [] => "declare one with `operations.<name> = { executable = …; }`".to_owned(),
                    names => format!("its provider has {}", names.join(", ")),
                }),
            ));
        }
        self.make_keys()?;
        let owner = Owner::current(self.options.command.clone(), &SystemClock);
        let guard = self.store.lock(&owner)?;
        self.lock_holders()?;
        let op = self.next_op().to_string();
        self.begin_run(&op, member, &record, operation)?;
        let mut tail = String::new();
        let mut listen = |stream: OutputStream, data: &str| {
            tail.push_str(data);
            output(stream, data);
        };
        let ran = match script {
            Some(script) => self.run_script(member, &script, args, &mut listen).map(|code| (code, None)),
            None => self.run_at_provider(member, &record, operation, args, &mut listen),
        };
        let code = self.end_run(&op, member, operation, tail, ran);
        self.release_holders();
        self.store.close_writer();
        drop(guard);
        code
    }

    fn begin_run(
        &mut self,
        op: &str,
        member: &MemberPath,
        record: &Record,
        operation: &str,
    ) -> Result<(), EngineError> {
        let begin = Begin {
            member: member.clone(),
            action: Action::Run,
            type_name: record.type_name.clone(),
            provider: record.provider.clone(),
            inputs: Attrs::new(),
            deposed: None,
            operation: Some(operation.to_owned()),
        };
        self.home_mut(member).append_wait(vec![NewEvent::of(op, Event::Begin(Box::new(begin)))])?;
        Ok(())
    }

    fn end_run(
        &mut self,
        op: &str,
        member: &MemberPath,
        operation: &str,
        output: String,
        ran: Result<(i32, Option<Attrs>), EngineError>,
    ) -> Result<i32, EngineError> {
        let (exit_code, outputs) = match &ran {
            Ok((code, outputs)) => (Some(*code), outputs.clone()),
            Err(_) => (None, None),
        };
        // Output of a resource that holds secrets may hold them too: it is streamed, not kept.
        let secret = self.home(member).view().record(member).is_some_and(holds_secrets);
        let output = if secret { String::new() } else { output };
        let ran_event =
            Event::Ran { member: member.clone(), operation: operation.to_owned(), exit_code, output, outputs };
        let end = Event::End { member: member.clone(), outcome: Outcome::Unchanged };
        self.home_mut(member).append_wait(vec![NewEvent::of(op, ran_event), NewEvent::of(op, end)])?;
        ran.map(|(code, _)| code)
    }

    fn run_at_provider(
        &mut self,
        member: &MemberPath,
        record: &Record,
        operation: &str,
        args: &[String],
        listen: Listener<'_>,
    ) -> Result<(i32, Option<Attrs>), EngineError> {
        let failed = |f: freehold_apply::Failure| member_error(member, f.kind, f.message, f.hint);
        let launch = self.catalog.launch(&record.provider.provider).map_err(failed)?;
        let call = Call::Run {
            type_name: record.type_name.clone(),
            operation: operation.to_owned(),
            args: args.to_vec(),
            object: self.object_of(record).map_err(failed)?,
        };
        let (tell, told) = channel();
        let tell = Box::new(move |event| drop(tell.send(event)));
        self.submit(&record.provider.provider, &launch, call, member, tell);
        for event in told {
            match event {
                CallEvent::Output { stream, data } => listen(stream, &data),
                CallEvent::Log { message, .. } | CallEvent::Progress { message, .. } => {
                    listen(OutputStream::Stderr, &format!("{message}\n"));
                }
                CallEvent::Partial { .. } => {}
                CallEvent::Done(Ok(Reply::Ran { exit_code, outputs, .. })) => return Ok((exit_code, outputs)),
                CallEvent::Done(Ok(_)) => {
                    return Err(failed(internal("an operation was answered with something else")));
                }
                CallEvent::Done(Err(error)) => return Err(failed(call_failure(&error))),
            }
        }
        Err(failed(internal("the provider pool closed")))
    }

    /// The script of that name that the deployment declares for the member.
    fn find_script(&mut self, member: &MemberPath, operation: &str) -> Result<Option<ScriptOperation>, EngineError> {
        let evaluated = self.evaluate(std::slice::from_ref(member))?;
        if let Some(failure) = evaluated.failed.get(member) {
            return Err(member_error(member, failure.kind, failure.message.clone(), failure.hint.clone()));
        }
        let Some((declaration, _)) = evaluated.declarations.get(member) else { return Ok(None) };
        Ok(declaration.operations.get(operation).cloned())
    }

    fn run_script(
        &mut self,
        member: &MemberPath,
        script: &ScriptOperation,
        args: &[String],
        listen: Listener<'_>,
    ) -> Result<i32, EngineError> {
        let user = |message: String, hint: Option<String>| member_error(member, ErrorKind::User, message, hint);
        let context: Vec<String> = script.context.iter().cloned().collect();
        self.realise_now(&context).map_err(|f| member_error(member, f.kind, f.message, f.hint))?;
        if !script.command.is_known() {
            return Err(user(
                "the operation needs outputs that are not known".into(),
                Some("run `freehold apply` first".into()),
            ));
        }
        let text = |name: &str| script.command.part(name).map(clear_text);
        let Some(executable) = text("executable").filter(|e| !e.is_empty()) else {
            return Err(user("the operation has no `executable`".into(), None));
        };
        let program =
            if executable.contains('/') { self.options.entry.dir.join(&executable) } else { executable.clone().into() };
        let mut command = Command::new(program);
        if let Some(Value::List(own)) = script.command.part("args") {
            command.args(own.iter().map(clear_text));
        }
        if let Some(Value::Map(env)) = script.command.part("env") {
            command.envs(env.iter().map(|(name, value)| (name, clear_text(value))));
        }
        command.args(args).current_dir(&self.options.entry.dir);
        let stdin = text("stdin").filter(|_| script.command.part("stdin").is_some_and(|v| *v != Value::Null));
        stream(&mut command, stdin, listen).map_err(|e| user(format!("cannot run `{executable}`: {e}"), None))
    }
}

/// Runs a program and hands on what it prints as it comes.
fn stream(command: &mut Command, stdin: Option<String>, listen: Listener<'_>) -> std::io::Result<i32> {
    use std::io::Write;
    command.stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (tell, told) = channel();
    let pipes: [(OutputStream, Option<Box<dyn Read + Send>>); 2] = [
        (OutputStream::Stdout, child.stdout.take().map(|p| Box::new(p) as Box<dyn Read + Send>)),
        (OutputStream::Stderr, child.stderr.take().map(|p| Box::new(p) as Box<dyn Read + Send>)),
    ];
    for (stream, pipe) in pipes {
        let Some(mut pipe) = pipe else { continue };
        let tell = tell.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 8192];
            while let Ok(n) = pipe.read(&mut buffer) {
                if n == 0 || tell.send((stream, String::from_utf8_lossy(&buffer[..n]).into_owned())).is_err() {
                    return;
                }
            }
        });
    }
    drop(tell);
    if let (Some(text), Some(mut pipe)) = (stdin, child.stdin.take()) {
        // A program that does not read its input is free not to.
        std::thread::spawn(move || drop(pipe.write_all(text.as_bytes())));
    }
    for (stream, data) in told {
        listen(stream, &data);
    }
    let status = child.wait()?;
    Ok(status.code().unwrap_or(128))
}

fn holds_secrets(record: &Record) -> bool {
    record.inputs.values().chain(record.outputs.values()).any(Value::has_sensitive)
}

/// A value as text for a program: strings as they are, everything else as JSON.
fn clear_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Sensitive(inner) => clear_text(inner.expose()),
        other => other.to_clear_json().to_string(),
    }
}

pub(crate) fn member_error(member: &MemberPath, kind: ErrorKind, message: String, hint: Option<String>) -> EngineError {
    EngineError::Member { member: member.clone(), kind, message, hint }
}
