//! The loop of a provider: reads requests, works on them side by side, ends when its standard input ends.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use freehold_model::{SecretTexts, Value, did_you_mean, limits};
use freehold_protocol::v1::{self, ErrorObject, Id, Message, names, parse_message};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::context::Told;
use super::erased::AnyType;
use super::{Context, Failure, Provider, stdio};
use crate::validate::validate_value;

/// Serves requests on standard input and output until there are no more; gives the exit code of the program.
///
/// Stray prints cannot break the protocol: they go to standard error.
pub fn serve(provider: Provider) -> i32 {
    match stdio::take() {
        Ok((input, output)) => {
            serve_on(provider, input, output);
            0
        }
        Err(error) => {
            complain(&format!("standard input and output cannot be had: {error}"));
            1
        }
    }
}

fn serve_on(provider: Provider, input: File, output: File) {
    let server = Arc::new(Server {
        provider,
        sink: Arc::new(Sink(Mutex::new(output))),
        settings: Mutex::new(Settings::default()),
        running: Mutex::new(HashMap::new()),
    });
    let (jobs, queue) = mpsc::channel::<Job>();
    let queue = Arc::new(Mutex::new(queue));
    let mut workers = Vec::new();
    let mut reader = BufReader::with_capacity(64 * 1024, input);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader).take(limits::PROVIDER_MESSAGE_BYTES as u64 + 1).read_until(b'\n', &mut line) {
            Ok(0) => break,
            Err(error) => {
                complain(&format!("standard input cannot be read: {error}"));
                break;
            }
            Ok(_) if line.len() > limits::PROVIDER_MESSAGE_BYTES => {
                complain("a request is too long");
                break;
            }
            Ok(_) => server.take(line.trim_ascii(), &jobs, &queue, &mut workers),
        }
    }
    // The client is gone or wants us to end: nothing new comes; what runs is asked to stop and waited for.
    drop(jobs);
    for flag in lock(&server.running).values() {
        flag.store(true, Ordering::Relaxed);
    }
    for worker in workers {
        // A worker that panicked has answered already.
        let _: thread::Result<()> = worker.join();
    }
}

struct Server {
    provider: Provider,
    sink: Arc<Sink>,
    settings: Mutex<Settings>,
    running: Mutex<HashMap<Id, Arc<AtomicBool>>>,
}

#[derive(Default, Clone)]
struct Settings {
    working_directory: PathBuf,
    config: Option<Arc<Value>>,
}

struct Job {
    id: Id,
    method: String,
    params: Json,
    cancelled: Arc<AtomicBool>,
}

/// Where messages go, one line at a time.
pub(crate) struct Sink(Mutex<File>);

impl Sink {
    pub(crate) fn send(&self, message: &Message) {
        let line = message.to_line();
        // When nobody reads any more, standard input will end next.
        let _ = lock(&self.0).write_all(&line);
    }
}

impl Server {
    fn take(
        self: &Arc<Self>,
        line: &[u8],
        jobs: &Sender<Job>,
        queue: &Arc<Mutex<Receiver<Job>>>,
        workers: &mut Vec<thread::JoinHandle<()>>,
    ) {
        if line.is_empty() {
            return;
        }
        match parse_message(line) {
            Ok(Message::Request { id, method, params }) => {
                let cancelled = Arc::new(AtomicBool::new(false));
                let busy = {
                    let mut running = lock(&self.running);
                    running.insert(id.clone(), Arc::clone(&cancelled));
                    running.len()
                };
                let job = Job { id, method, params, cancelled };
                // The handshake changes what later requests see: it is done before they are read.
                if matches!(job.method.as_str(), names::INITIALIZE | names::CONFIGURE | names::SCHEMA) {
                    self.work(job);
                    return;
                }
                if busy > workers.len() && workers.len() < self.provider.concurrency as usize {
                    let (server, queue) = (Arc::clone(self), Arc::clone(queue));
                    let worker = thread::Builder::new().name("request".into()).spawn(move || {
                        while let Some(job) = next(&queue) {
                            server.work(job);
                        }
                    });
                    workers.extend(worker);
                }
                if workers.is_empty() {
                    self.work(job);
                } else {
                    // The receiver lives as long as this loop.
                    let _ = jobs.send(job);
                }
            }
            Ok(Message::Notification { method, params }) if method == names::CANCEL => {
                if let Ok(v1::CancelParams { id }) = serde_json::from_value(params)
                    && let Some(flag) = lock(&self.running).get(&id)
                {
                    flag.store(true, Ordering::Relaxed);
                }
            }
            // Later versions may say more; we ask nothing, so no response is for us.
            Ok(Message::Notification { .. } | Message::Response { .. }) => {}
            Err(error) => {
                let code = match error {
                    v1::ParseError::Json(_) => v1::codes::PARSE,
                    v1::ParseError::Envelope(_) => v1::codes::INVALID_REQUEST,
                };
                let error = ErrorObject::with_code(code, freehold_model::ErrorKind::Internal, error.to_string());
                self.sink.send(&Message::Response { id: None, outcome: Err(error) });
            }
        }
    }

    fn work(&self, job: Job) {
        let id = job.id.clone();
        let told = Told::default();
        let outcome = catch_unwind(AssertUnwindSafe(|| self.answer(job, &told)));
        let outcome = outcome.unwrap_or_else(|panic| {
            let said = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
            let said = said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            Err(Failure::internal(format!("the provider has a defect: {said}")).code(v1::codes::INTERNAL))
        });
        lock(&self.running).remove(&id);
        let outcome = outcome.map_err(|failure| failure.or_told(lock(&told).take()).into_error());
        self.sink.send(&Message::Response { id: Some(id), outcome });
    }

    fn answer(&self, job: Job, told: &Told) -> Result<Json, Failure> {
        let Job { id, method, params, cancelled } = job;
        match method.as_str() {
            names::INITIALIZE => return self.initialize(params),
            names::SCHEMA => return json(&self.provider.schema_result()),
            names::CONFIGURE => return self.configure(params),
            method if !names::REQUESTS.contains(&method) => {
                let failure =
                    Failure::internal(format!("there is no method `{method}`")).code(v1::codes::METHOD_NOT_FOUND);
                return Err(match did_you_mean(method, names::REQUESTS) {
                    Some(meant) => failure.hint(format!("did you mean `{meant}`?")),
                    None => failure,
                });
            }
            _ => {}
        }
        let of = self.type_named(params.get("type").and_then(Json::as_str))?;
        let member = params.get("member").and_then(Json::as_str).unwrap_or_default().to_owned();
        let mut ctx = self.context(id, member, cancelled);
        ctx.sensitive_outputs.clone_from(&of.schema().sensitive_outputs);
        ctx.told = Arc::clone(told);
        if ctx.is_cancelled() {
            return Err(Failure::cancelled());
        }
        let outcome = self.dispatch(of, &method, params, &mut ctx);
        outcome.map_err(|failure| failure.mark_partial(of.schema(), &ctx.secrets))
    }

    fn dispatch(&self, of: &dyn AnyType, method: &str, params: Json, ctx: &mut Context) -> Result<Json, Failure> {
        match method {
            names::VALIDATE => {
                let asked: v1::ValidateParams = shape(params)?;
                json(&v1::ValidateResult { diagnostics: of.validate(asked.inputs)? })
            }
            names::PLAN => json(&of.plan(ctx, shape(params)?)?),
            names::CREATE => {
                let asked: v1::CreateParams = shape(params)?;
                ctx.stateful = asked.stateful;
                json(&of.create(ctx, asked.inputs)?)
            }
            names::READ => {
                let asked: v1::ObjectParams = shape(params)?;
                json(&v1::ReadResult { object: of.read(ctx, asked.object)? })
            }
            names::UPDATE => {
                let asked: v1::UpdateParams = shape(params)?;
                json(&of.update(ctx, asked.prior, asked.inputs)?)
            }
            names::DELETE => {
                let asked: v1::ObjectParams = shape(params)?;
                of.delete(ctx, asked.object)?;
                json(&v1::Done {})
            }
            names::IMPORT => {
                let asked: v1::ImportParams = shape(params)?;
                json(&v1::ImportResult { objects: of.import(ctx, &asked.id)? })
            }
            names::RUN => json(&of.run(ctx, shape(params)?)?),
            names::STATE_READ => {
                let asked: v1::ObjectParams = shape(params)?;
                json(&of.state_read(ctx, asked.object)?)
            }
            names::STATE_APPEND => json(&of.state_append(ctx, shape(params)?)?),
            names::STATE_LOCK => json(&of.state_lock(ctx, shape(params)?)?),
            _ => {
                of.state_unlock(ctx, shape(params)?)?;
                json(&v1::Done {})
            }
        }
    }

    fn initialize(&self, params: Json) -> Result<Json, Failure> {
        let asked: v1::InitializeParams = shape(params)?;
        if !asked.protocol_versions.contains(&v1::VERSION) {
            return Err(Failure::config("this provider speaks protocol version 1 only"));
        }
        lock(&self.settings).working_directory = PathBuf::from(asked.working_directory);
        json(&v1::InitializeResult {
            protocol_version: v1::VERSION,
            provider: v1::Program { name: self.provider.name.clone(), version: self.provider.version.clone() },
            concurrency: Some(self.provider.concurrency),
        })
    }

    fn configure(&self, params: Json) -> Result<Json, Failure> {
        let asked: v1::ConfigureParams = shape(params)?;
        let config = asked.config.into_value().map_err(|e| Failure::config("settings cannot be read").because(&e))?;
        if let Some(schema) = &self.provider.config
            && config != Value::Null
        {
            let found = validate_value(schema, &config, true);
            if let Some(first) = found.first() {
                let failure = Failure::config(format!("settings are refused: {}", first.message));
                let failure = match first.hint.clone() {
                    Some(hint) => failure.hint(hint),
                    None => failure,
                };
                return Err(failure.diagnostics(found));
            }
        }
        lock(&self.settings).config = Some(Arc::new(config));
        json(&v1::Done {})
    }

    fn type_named(&self, name: Option<&str>) -> Result<&dyn AnyType, Failure> {
        let Some(name) = name else {
            return Err(Failure::internal("`type` is missing").code(v1::codes::INVALID_PARAMS));
        };
        if let Some(of) = self.provider.types.get(name) {
            return Ok(of.as_ref());
        }
        let known: Vec<&str> = self.provider.types.keys().map(String::as_str).collect();
        let hint = match did_you_mean(name, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("there are: {}", known.join(", ")),
        };
        let message = format!("provider `{}` has no resource type `{name}`", self.provider.name);
        Err(Failure::user(message).hint(hint).code(v1::codes::INVALID_PARAMS))
    }

    fn context(&self, id: Id, member: String, cancelled: Arc<AtomicBool>) -> Context {
        let Settings { working_directory, config } = lock(&self.settings).clone();
        Context {
            id,
            member,
            working_directory,
            config: config.unwrap_or_else(|| Arc::new(Value::Null)),
            stateful: true,
            sensitive_inputs: Vec::new(),
            sensitive_outputs: Vec::new(),
            secrets: SecretTexts::default(),
            told: Told::default(),
            cancelled,
            sink: Arc::clone(&self.sink),
        }
    }
}

fn next(queue: &Mutex<Receiver<Job>>) -> Option<Job> {
    lock(queue).recv().ok()
}

fn shape<T: DeserializeOwned>(params: Json) -> Result<T, Failure> {
    serde_json::from_value(params).map_err(|e| {
        Failure::internal("parameters are not as they should be").because(&e).code(v1::codes::INVALID_PARAMS)
    })
}

fn json<T: serde::Serialize>(result: &T) -> Result<Json, Failure> {
    serde_json::to_value(result).map_err(|e| Failure::internal("the result cannot be written").because(&e))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[allow(clippy::print_stderr, reason = "standard error is where a provider talks")]
fn complain(text: &str) {
    eprintln!("{text}");
}
