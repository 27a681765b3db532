//! Operations of a resource: actions of its provider, or scripts of the deployment with access to outputs.

use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{RecvTimeoutError, channel};

use freehold_model::{Attrs, ErrorKind, MemberPath, Record, ScriptOperation, Value, limits};
use freehold_protocol::v1::OutputStream;
use freehold_provider::program::{self, Ended, Wish};
use freehold_provider::{Call, CallEvent, Private, Reply};
use freehold_state::{Action, Begin, Event, NewEvent, Outcome, Owner, SystemClock, commands};

use crate::EngineError;
use crate::catalog::{call_failure, internal};
use crate::engine::Engine;
use crate::error::nearest;

/// What is heard of a running operation.
type Listener<'a> = &'a mut dyn FnMut(OutputStream, &str);

/// What is to be run, and on what.
struct Operation {
    member: MemberPath,
    name: String,
    record: Record,
    /// `None` when the provider does it.
    script: Option<ScriptOperation>,
}

/// What came of it.
struct Ran {
    exit_code: i32,
    outputs: Option<Attrs>,
    private: Private,
}

impl Engine {
    /// Runs an operation of a recorded member under the lock, streams its output, and records that it was run.
    ///
    /// # Errors
    /// When there is no such member or operation, it could not be started, or it was stopped. That it failed is told by its exit
    /// code.
    pub fn run_operation(
        &mut self,
        member: &MemberPath,
        operation: &str,
        args: &[String],
        output: Listener<'_>,
    ) -> Result<i32, EngineError> {
        self.open_recorded_holders();
        let found = self.find_operation(member, operation)?;
        self.make_keys()?;
        let found_on = self.store.view().seq();
        let owner = Owner::current(self.options.command.clone(), &SystemClock);
        let guard = self.store.lock(&owner)?;
        let code = self.run_locked(found, found_on, args, output);
        self.release_holders();
        self.store.close_writer();
        drop(guard);
        code
    }

    fn run_locked(
        &mut self,
        mut found: Operation,
        found_on: freehold_state::Seq,
        args: &[String],
        output: Listener<'_>,
    ) -> Result<i32, EngineError> {
        self.lock_holders(&[])?;
        if self.store.view().seq() != found_on {
            // Somebody has written since it was looked up.
            self.open_recorded_holders();
            self.lock_holders(&[])?;
            found = self.find_operation(&found.member, &found.name)?;
        }
        if self.interrupts.load(Ordering::SeqCst) > 0 {
            return Err(EngineError::Interrupted);
        }
        let op = self.next_op().to_string();
        self.begin_run(&op, &found)?;
        let mut tail = String::new();
        let mut listen = |stream: OutputStream, data: &str| {
            keep_end(&mut tail, data);
            output(stream, data);
        };
        let ran = match &found.script {
            Some(script) => self.run_script(&found, script, args, &mut listen),
            None => self.run_at_provider(&found, args, &mut listen),
        };
        cut_beginning(&mut tail);
        self.end_run(&op, &found, tail, ran)
    }

    fn find_operation(&mut self, member: &MemberPath, operation: &str) -> Result<Operation, EngineError> {
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
        if let Some(script) = &script {
            refuse_secret_words(member, operation, script)?;
        }
        Ok(Operation { member: member.clone(), name: operation.to_owned(), record, script })
    }

    fn begin_run(&mut self, op: &str, found: &Operation) -> Result<(), EngineError> {
        let begin = Begin {
            member: found.member.clone(),
            action: Action::Run,
            type_name: found.record.type_name.clone(),
            provider: found.record.provider.clone(),
            inputs: Attrs::new(),
            deposed: None,
            operation: Some(found.name.clone()),
        };
        let home = self.home_mut(&found.member);
        commands::close_runs(home, &found.member)?;
        home.append_wait(vec![NewEvent::of(op, Event::Begin(Box::new(begin)))])?;
        Ok(())
    }

    fn end_run(
        &mut self,
        op: &str,
        found: &Operation,
        output: String,
        ran: Result<Ran, EngineError>,
    ) -> Result<i32, EngineError> {
        let member = &found.member;
        let (exit_code, outputs, private) = match &ran {
            Ok(ran) => (Some(ran.exit_code), ran.outputs.clone(), ran.private.clone()),
            Err(_) => (None, None, None),
        };
        // Output of what is given secrets, or has some, may hold them too: it is streamed, not kept.
        let secret = holds_secrets(&found.record)
            || found.script.as_ref().is_some_and(|script| script.command.has_sensitive())
            || outputs.iter().flatten().any(|(_, value)| value.has_sensitive());
        let output = if secret { String::new() } else { output };
        let mut events = vec![Event::Ran {
            member: member.clone(),
            operation: found.name.clone(),
            exit_code,
            output,
            outputs: outputs.clone(),
        }];
        if let (Some(outputs), Some(_)) = (outputs, &private) {
            let record = Box::new(Record { outputs, private, ..found.record.clone() });
            events.push(Event::Amended { member: member.clone(), record });
        }
        events.push(Event::End { member: member.clone(), outcome: Outcome::Unchanged });
        let events = events.into_iter().map(|event| NewEvent::of(op, event)).collect();
        self.home_mut(member).append_wait(events)?;
        ran.map(|ran| ran.exit_code)
    }

    fn run_at_provider(
        &mut self,
        found: &Operation,
        args: &[String],
        listen: Listener<'_>,
    ) -> Result<Ran, EngineError> {
        let Operation { member, name, record, .. } = found;
        let failed = |f: freehold_apply::Failure| member_error(member, f.kind, f.message, f.hint);
        let launch = self.catalog.launch(&record.provider.provider).map_err(failed)?;
        let call = Call::Run {
            type_name: record.type_name.clone(),
            operation: name.clone(),
            args: args.to_vec(),
            object: self.object_of(record).map_err(failed)?,
        };
        let (tell, told) = channel();
        let tell = Box::new(move |event| drop(tell.send(event)));
        let id = self.submit(&record.provider.provider, &launch, call, member, tell);
        let mut interrupts = 0;
        loop {
            let count = self.interrupts.load(Ordering::SeqCst);
            match count {
                _ if count == interrupts => {}
                1 => self.pool.cancel(id),
                _ => self.pool.kill_all(),
            }
            interrupts = count;
            match told.recv_timeout(limits::INTERRUPT_LOOK) {
                Ok(CallEvent::Output { stream, data }) => listen(stream, &data),
                Ok(CallEvent::Log { message, .. } | CallEvent::Progress { message, .. }) => {
                    listen(OutputStream::Stderr, &format!("{message}\n"));
                }
                Ok(CallEvent::Partial { .. }) | Err(RecvTimeoutError::Timeout) => {}
                Ok(CallEvent::Done(Ok(Reply::Ran { exit_code, outputs, private }))) => {
                    return Ok(Ran { exit_code, outputs, private });
                }
                Ok(CallEvent::Done(Ok(_))) => {
                    return Err(failed(internal("an operation was answered with something else")));
                }
                Ok(CallEvent::Done(Err(_))) if interrupts > 0 => return Err(stopped(found)),
                Ok(CallEvent::Done(Err(error))) => return Err(failed(call_failure(&error))),
                Err(RecvTimeoutError::Disconnected) => return Err(failed(internal("the provider pool closed"))),
            }
        }
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
        found: &Operation,
        script: &ScriptOperation,
        args: &[String],
        listen: Listener<'_>,
    ) -> Result<Ran, EngineError> {
        let member = &found.member;
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
        let wish = || match self.interrupts.load(Ordering::SeqCst) {
            0 => Wish::GoOn,
            1 => Wish::Stop,
            _ => Wish::Kill,
        };
        match stream(&mut command, stdin, &wish, listen) {
            Ok(Ended::Exited(status)) => Ok(Ran { exit_code: exit_code(status), outputs: None, private: None }),
            Ok(Ended::Stopped | Ended::TimedOut(_)) => Err(stopped(found)),
            Err(error) => Err(user(format!("cannot run `{executable}`: {error}"), None)),
        }
    }
}

/// Runs a program and hands on what it prints as it comes.
fn stream(
    command: &mut Command,
    stdin: Option<String>,
    wish: &dyn Fn() -> Wish,
    listen: Listener<'_>,
) -> std::io::Result<Ended> {
    command.stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut cut: [(OutputStream, Vec<u8>); 2] =
        [(OutputStream::Stdout, Vec::new()), (OutputStream::Stderr, Vec::new())];
    let ended = program::follow(&mut child, stdin, None, wish, &mut |stream, data| {
        for (_, rest) in cut.iter_mut().filter(|(of, _)| *of == stream) {
            listen(stream, &whole_text(rest, data));
        }
    })?;
    for (stream, rest) in cut.iter().filter(|(_, rest)| !rest.is_empty()) {
        listen(*stream, &String::from_utf8_lossy(rest));
    }
    Ok(ended)
}

/// What is there of `rest` and `data` but for a character of which the end is still to come, which stays in `rest`.
fn whole_text(rest: &mut Vec<u8>, data: &[u8]) -> String {
    rest.extend_from_slice(data);
    let whole = match std::str::from_utf8(rest) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => rest.len(),
    };
    let text = String::from_utf8_lossy(&rest[..whole]).into_owned();
    rest.drain(..whole);
    text
}

/// As a shell tells it.
fn exit_code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| Some(128 + status.signal()?)).unwrap_or(128)
}

/// Appends, and forgets from the beginning what the history would not keep; now and then, not at each piece.
fn keep_end(tail: &mut String, data: &str) {
    tail.push_str(data);
    if tail.len() > 4 * limits::HISTORY_OUTPUT_BYTES {
        cut_beginning(tail);
    }
}

fn cut_beginning(tail: &mut String) {
    let cut = tail.len().saturating_sub(limits::HISTORY_OUTPUT_BYTES);
    let cut = (cut..tail.len()).find(|at| tail.is_char_boundary(*at)).unwrap_or(tail.len());
    tail.drain(..cut);
}

/// Arguments of a process are seen by everybody on the machine.
fn refuse_secret_words(member: &MemberPath, operation: &str, script: &ScriptOperation) -> Result<(), EngineError> {
    for name in ["executable", "args"] {
        let places = script.command.part(name).map(Value::sensitive_places).unwrap_or_default();
        if let Some(place) = places.first() {
            return Err(member_error(
                member,
                ErrorKind::User,
                format!(
                    "`operations.{operation}.{name}{place}` is a secret, and everybody on the machine can see what programs are \
                     called with"
                ),
                Some("hand it over with `stdin` or `env`".into()),
            ));
        }
    }
    Ok(())
}

fn stopped(found: &Operation) -> EngineError {
    EngineError::Stopped { member: found.member.clone(), operation: found.name.clone() }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_the_output_is_its_end() {
        let mut tail = String::new();
        for n in 0..40_000 {
            keep_end(&mut tail, &format!("ä{n}\n"));
            assert!(tail.len() <= 4 * limits::HISTORY_OUTPUT_BYTES);
        }
        cut_beginning(&mut tail);
        assert!(tail.len() <= limits::HISTORY_OUTPUT_BYTES && tail.len() > limits::HISTORY_OUTPUT_BYTES - 4);
        assert!(tail.ends_with("ä39999\n"));
    }

    #[test]
    fn a_character_that_comes_in_two_pieces_is_one() {
        let mut rest = Vec::new();
        let (first, second) = "aä".as_bytes().split_at(2);
        assert_eq!(whole_text(&mut rest, first), "a");
        assert_eq!(whole_text(&mut rest, second), "ä");
        assert_eq!(whole_text(&mut rest, b"\xff\n"), "\u{fffd}\n");
        assert!(rest.is_empty());
    }
}
