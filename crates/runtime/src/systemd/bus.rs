//! Talking to systemd over D-Bus: jobs followed by their path, reloads, what a unit is doing.
//!
//! What systemd means by these calls is org.freedesktop.systemd1(5). A job's result says that its work was done, not that the service
//! is well: that is `state.rs`.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use freehold_model::limits;
use futures_core::Stream as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use zbus::{DynamicType, MessageStream, OwnedObjectPath, OwnedVariant, Type};

use super::state::State;
use crate::RuntimeError;

const SYSTEMD: &str = "org.freedesktop.systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
/// How often it is looked whether a job has ended.
const POLL: Duration = Duration::from_millis(5);

/// A connection to the host's systemd.
#[derive(Debug, Clone)]
pub(super) struct Bus {
    connection: zbus::Connection,
}

/// What is done to a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Job {
    /// Started, or started anew when it runs.
    Restart,
    /// Stopped.
    Stop,
}

impl Bus {
    /// Connects, and asks to be told of jobs.
    ///
    /// # Errors
    /// There is no bus, or no systemd on it.
    pub(super) fn connect() -> Result<Self, RuntimeError> {
        let connect = async {
            let builder = zbus::connection::Builder::system().method_timeout(limits::BUS_CALL);
            builder.build().await
        };
        let connection = zbus::block_on(connect).map_err(failed("reach the system's bus"))?;
        let bus = Self { connection };
        bus.manager::<_, ()>("Subscribe", &())?;
        Ok(bus)
    }

    /// Makes systemd read all units again.
    ///
    /// # Errors
    /// It does not.
    pub(super) fn reload(&self) -> Result<(), RuntimeError> {
        self.manager("Reload", &())
    }

    /// Starts a job and waits for its end; its result in systemd's words, `done` when all is well.
    ///
    /// # Errors
    /// systemd refuses, or the job goes on for longer than `limit`.
    pub(super) fn job(&self, job: Job, unit: &str, limit: Duration) -> Result<String, RuntimeError> {
        // Listening begins before the job does: it may be over before the call returns.
        let mut removed = self.jobs_removed()?;
        let method = match job {
            Job::Restart => "RestartUnit",
            Job::Stop => "StopUnit",
        };
        let path: OwnedObjectPath = self.manager(method, &(unit, "replace"))?;
        let end = Instant::now() + limit;
        while Instant::now() < end {
            match next_now(&mut removed) {
                Poll::Ready(Some(Ok(message))) => {
                    let body = message.body();
                    let Ok((_, ended, _, result)) = body.deserialize::<(u32, OwnedObjectPath, String, String)>() else {
                        continue;
                    };
                    if ended == path {
                        return Ok(result);
                    }
                }
                Poll::Ready(Some(Err(error))) => return Err(failed("follow a job")(error)),
                Poll::Ready(None) => {
                    return Err(failed("follow a job")(zbus::Error::Failure("the bus is gone".to_owned())));
                }
                Poll::Pending => std::thread::sleep(POLL),
            }
        }
        let action = if job == Job::Stop { "stop" } else { "start" };
        Err(RuntimeError::TooLong { what: format!("unit `{unit}`"), action, seconds: limit.as_secs() })
    }

    /// What a unit is doing, and where its file is. A unit that is not there has no file.
    ///
    /// # Errors
    /// systemd cannot be asked.
    pub(super) fn state(&self, unit: &str) -> Result<State, RuntimeError> {
        let path: OwnedObjectPath = self.manager("LoadUnit", &(unit,))?;
        let mut properties = self.properties(&path, "org.freedesktop.systemd1.Unit")?;
        properties.extend(self.properties(&path, "org.freedesktop.systemd1.Service")?);
        Ok(State {
            file: text(&properties, "FragmentPath"),
            load: text(&properties, "LoadState"),
            active: text(&properties, "ActiveState"),
            sub: text(&properties, "SubState"),
            result: text(&properties, "Result"),
            restarts: number(&properties, "NRestarts"),
            pid: number(&properties, "MainPID"),
            exit_code: number(&properties, "ExecMainCode"),
            exit_status: number(&properties, "ExecMainStatus"),
            active_for: since(&properties, "ActiveEnterTimestampMonotonic"),
            invocation: invocation(&properties),
        })
    }

    /// Lets a unit be started at boot.
    ///
    /// # Errors
    /// systemd refuses.
    pub(super) fn enable(&self, file: &str, until_reboot: bool) -> Result<(), RuntimeError> {
        type Changes = (bool, Vec<(String, String, String)>);
        self.manager::<_, Changes>("EnableUnitFiles", &(vec![file], until_reboot, true)).map(drop)
    }

    /// Lets a unit not be started at boot; one that never was is as good.
    ///
    /// # Errors
    /// systemd refuses.
    pub(super) fn disable(&self, unit: &str, until_reboot: bool) -> Result<(), RuntimeError> {
        type Changes = Vec<(String, String, String)>;
        self.manager::<_, Changes>("DisableUnitFiles", &(vec![unit], until_reboot)).map(drop)
    }

    /// Forgets that a unit has failed, and how often it was started again. One that systemd does not know has not.
    pub(super) fn reset_failed(&self, unit: &str) {
        let _: Result<(), _> = self.manager("ResetFailedUnit", &(unit,));
    }

    fn jobs_removed(&self) -> Result<MessageStream, RuntimeError> {
        let rule = format!("type='signal',sender='{SYSTEMD}',interface='{MANAGER}',member='JobRemoved'");
        let listen = async {
            let queue = NonZeroUsize::new(limits::UNIT_SIGNALS);
            MessageStream::for_match_rule(rule.as_str(), &self.connection, queue).await
        };
        zbus::block_on(listen).map_err(failed("listen to systemd"))
    }

    fn manager<B, R>(&self, method: &'static str, body: &B) -> Result<R, RuntimeError>
    where
        B: Serialize + DynamicType,
        R: DeserializeOwned + Type,
    {
        self.call(MANAGER_PATH, MANAGER, method, body)
    }

    fn properties(&self, path: &str, interface: &str) -> Result<Properties, RuntimeError> {
        self.call(path, PROPERTIES, "GetAll", &(interface,))
    }

    fn call<B, R>(&self, path: &str, interface: &str, method: &'static str, body: &B) -> Result<R, RuntimeError>
    where
        B: Serialize + DynamicType,
        R: DeserializeOwned + Type,
    {
        let call = self.connection.call_method(Some(SYSTEMD), path, Some(interface), method, body);
        let reply = zbus::block_on(call).map_err(failed(method))?;
        reply.body().deserialize().map_err(failed(method))
    }
}

type Properties = HashMap<String, OwnedVariant>;

fn text(properties: &Properties, name: &str) -> String {
    let value = properties.get(name).and_then(|value| value.downcast_ref::<&str>().ok());
    value.unwrap_or_default().to_owned()
}

/// A number of any of the kinds that systemd uses.
fn number(properties: &Properties, name: &str) -> u64 {
    let Some(value) = properties.get(name) else { return 0 };
    let small = value.downcast_ref::<u32>().map(u64::from).ok();
    let signed = || value.downcast_ref::<i32>().ok().and_then(|number| u64::try_from(number).ok());
    small.or_else(signed).or_else(|| value.downcast_ref::<u64>().ok()).unwrap_or(0)
}

/// How long ago that was, by the clock that does not jump.
fn since(properties: &Properties, name: &str) -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let now = Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0));
    now.saturating_sub(Duration::from_micros(number(properties, name)))
}

fn invocation(properties: &Properties) -> String {
    let bytes: Option<Vec<u8>> = properties
        .get("InvocationID")
        .and_then(|value| value.try_clone().ok())
        .and_then(|value| Vec::<u8>::try_from(value).ok());
    bytes.unwrap_or_default().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The next message, if it is there already.
fn next_now(stream: &mut MessageStream) -> Poll<Option<zbus::Result<zbus::Message>>> {
    Pin::new(stream).poll_next(&mut Context::from_waker(Waker::noop()))
}

fn failed(action: &'static str) -> impl FnOnce(zbus::Error) -> RuntimeError {
    move |source| RuntimeError::Bus { action, source: Box::new(source) }
}
