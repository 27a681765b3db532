//! A port that must take connections, several one after the other.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use freehold_model::limits;
use freehold_rollout::Tcp;

use super::{ProbeTarget, no_port};

pub(super) fn look(tcp: &Tcp, target: &ProbeTarget, limit: Duration) -> Result<(), String> {
    look_for(tcp, target, limit, limits::TCP_STAYS_OPEN)
}

/// The same; a connection counts when it has stayed open for this long.
fn look_for(tcp: &Tcp, target: &ProbeTarget, limit: Duration, stays: Duration) -> Result<(), String> {
    let port = tcp.port.or(target.port).ok_or_else(|| no_port("tcp"))?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let end = Instant::now() + limit;
    for connection in 1..=tcp.connects {
        // One limit for all of them: a look is bounded, however many connections it takes.
        let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        TcpStream::connect_timeout(&address, left)
            .and_then(|stream| stays_open(&stream, stays))
            .map_err(|error| format!("connection {connection} of {} to port {port}: {error}", tcp.connects))?;
    }
    Ok(())
}

/// Docker's own proxy takes connections to a published port whether or not the container listens, and then closes them.
fn stays_open(stream: &TcpStream, stays: Duration) -> std::io::Result<()> {
    use std::io::ErrorKind;
    stream.set_read_timeout(Some(stays))?;
    match stream.peek(&mut [0]) {
        Ok(0) => Err(std::io::Error::new(ErrorKind::ConnectionAborted, "closed at once")),
        Ok(_) => Ok(()),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// What a busy machine may take to serve.
    const LONG: Duration = Duration::from_secs(120);

    fn look_at(stays: Duration, serve: impl Fn(TcpStream) + Send + 'static) -> Result<(), String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        // It ends with the test's process.
        std::thread::spawn(move || listener.incoming().flatten().for_each(serve));
        let tcp = Tcp { port: Some(port), connects: 2 };
        look_for(&tcp, &ProbeTarget::default(), LONG, stays).map_err(|error| error.replace(&port.to_string(), "N"))
    }

    #[test]
    fn a_connection_has_to_be_kept_or_to_be_greeted() {
        assert_eq!(look_at(limits::TCP_STAYS_OPEN, std::mem::forget), Ok(()));
        let greets = |mut stream: TcpStream| drop(std::io::Write::write_all(&mut stream, b"220 hello"));
        // Both end as soon as the server has done its part.
        assert_eq!(look_at(LONG, greets), Ok(()));
        let closed = look_at(LONG, drop);
        assert_eq!(closed, Err("connection 1 of 2 to port N: closed at once".to_owned()));
    }
}
