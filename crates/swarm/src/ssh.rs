//! Docker on another machine by ssh: as the docker CLI goes there, with the operator's own `ssh` and what it is configured to.
//!
//! Every connection is one `ssh HOST docker system dial-stdio`; the client above keeps one open for as long as it asks. Deliberately
//! without a password prompt (nobody may sit there), and without a say in which host keys are good: both are ssh's affair. Why not
//! bollard's own way stands in ADR 019.

use std::future::Future;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bollard::{BollardRequest, ClientVersion, Docker as Client};
use freehold_model::limits;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, Join, join};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

/// Where an `ssh://` address leads, in words for `ssh`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Words(Vec<String>);

/// A client of the Docker at `ssh://[USER@]HOST[:PORT][/SOCKET]`; `None` when it is no such address. Nothing is asked yet.
pub(crate) fn connect(
    address: &str,
    seconds: u64,
    version: &ClientVersion,
) -> Option<Result<Client, bollard::errors::Error>> {
    let words = Words::of(address)?;
    let said = Said::default();
    let dial = Dial { words, said: said.clone() };
    let client = Arc::new(hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(dial));
    let transport = move |request: BollardRequest| {
        let (client, said) = (Arc::clone(&client), said.clone());
        async move {
            match client.request(request).await {
                Ok(answer) => Ok(answer),
                Err(error) => Err(said.instead_of(error).await),
            }
        }
    };
    // The name is for the header `host` alone.
    Some(Client::connect_with_custom_transport(transport, Some("http://docker"), seconds, version))
}

impl Words {
    /// As docker/cli puts them together.
    fn of(address: &str) -> Option<Self> {
        let rest = address.strip_prefix("ssh://")?;
        let (authority, socket) = rest.split_once('/').map_or((rest, None), |(name, path)| (name, Some(path)));
        let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        let (host, port) = match host.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
            Some((inner, rest)) => (inner, rest.strip_prefix(':')),
            None => host.rsplit_once(':').map_or((host, None), |(host, port)| (host, Some(port))),
        };
        let is_port = |port: &str| port.parse::<u16>().is_ok();
        if host.is_empty() || host.starts_with('-') || !port.is_none_or(is_port) {
            return None;
        }
        let seconds = limits::DOCKER_DIAL.as_secs();
        let mut words = vec!["-o".to_owned(), format!("ConnectTimeout={seconds}"), "-o".to_owned()];
        words.extend(["BatchMode=yes", "-T"].map(str::to_owned));
        for (option, value) in [("-l", user), ("-p", port)] {
            words.extend(value.into_iter().flat_map(|value| [option.to_owned(), value.to_owned()]));
        }
        words.extend(["--", host, "docker"].map(str::to_owned));
        if let Some(socket) = socket.filter(|socket| !socket.is_empty()) {
            words.push(format!("--host=unix:///{socket}"));
        }
        words.extend(["system", "dial-stdio"].map(str::to_owned));
        Some(Self(words))
    }
}

/// What the newest `ssh` complains of: why a connection ended that never began.
#[derive(Debug, Clone, Default)]
struct Said(Arc<Mutex<Option<ChildStderr>>>);

impl Said {
    fn slot(&self) -> std::sync::MutexGuard<'_, Option<ChildStderr>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn instead_of(&self, error: hyper_util::client::legacy::Error) -> bollard::errors::Error {
        let pipe = self.slot().take();
        let words = match pipe {
            Some(pipe) => read(pipe).await,
            None => String::new(),
        };
        if words.is_empty() { error.into() } else { std::io::Error::other(words).into() }
    }
}

/// What is in the pipe when `ssh` ends, on one line.
async fn read(mut pipe: ChildStderr) -> String {
    let mut bytes = vec![0; limits::DOCKER_WORDS_BYTES];
    let mut length = 0;
    let fill = async {
        while let Some(rest) = bytes.get_mut(length..).filter(|rest| !rest.is_empty()) {
            match pipe.read(rest).await {
                Ok(0) | Err(_) => break,
                Ok(more) => length += more,
            }
        }
    };
    // It may run on; what it said until then counts.
    let _ = tokio::time::timeout(limits::DOCKER_LAST_WORDS, fill).await;
    let text = String::from_utf8_lossy(bytes.get(..length).unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("; ")
}

/// Starts an `ssh` for each connection.
#[derive(Debug, Clone)]
struct Dial {
    words: Words,
    said: Said,
}

impl tower_service::Service<hyper::Uri> for Dial {
    type Response = Dialled;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = std::io::Result<Dialled>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: hyper::Uri) -> Self::Future {
        let dial = self.clone();
        Box::pin(async move { dial.start() })
    }
}

impl Dial {
    fn start(&self) -> std::io::Result<Dialled> {
        let mut command = Command::new("ssh");
        command.args(&self.words.0).kill_on_drop(true);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| std::io::Error::new(error.kind(), format!("cannot run `ssh`: {error}")))?;
        let none = || std::io::Error::other("`ssh` has no pipe");
        let (output, input) = (child.stdout.take().ok_or_else(none)?, child.stdin.take().ok_or_else(none)?);
        *self.said.slot() = child.stderr.take();
        Ok(Dialled { pipes: TokioIo::new(join(output, input)), _child: child })
    }
}

/// One `ssh`, as a connection. It is ended with it.
struct Dialled {
    pipes: TokioIo<Join<ChildStdout, ChildStdin>>,
    _child: Child,
}

impl Connection for Dialled {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Dialled {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: ReadBufCursor<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.pipes).poll_read(cx, into)
    }
}

impl Write for Dialled {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.pipes).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.pipes).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.pipes).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::Words;

    #[test]
    fn an_address_is_put_in_words_as_the_docker_cli_does() {
        let words = |address: &str| Words::of(address).map(|words| words.0[5..].join(" "));
        let check = |address: &str, expected: &str| assert_eq!(words(address).as_deref(), Some(expected));
        check("ssh://swarm", "-- swarm docker system dial-stdio");
        check("ssh://root@10.0.0.1:2222", "-l root -p 2222 -- 10.0.0.1 docker system dial-stdio");
        check("ssh://[fe80::1]:22/", "-p 22 -- fe80::1 docker system dial-stdio");
        check("ssh://me@a/run/d.sock", "-l me -- a docker --host=unix:///run/d.sock system dial-stdio");
        for wrong in ["ssh://", "ssh://-oProxyCommand=x", "ssh://a:port", "tcp://a"] {
            assert_eq!(words(wrong), None, "{wrong}");
        }
    }
}
