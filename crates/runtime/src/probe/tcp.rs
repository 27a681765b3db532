//! A port that must take connections, several one after the other.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use freehold_model::limits;
use freehold_rollout::Tcp;

use super::{ProbeTarget, no_port};

pub(super) fn look(tcp: &Tcp, target: &ProbeTarget, limit: Duration) -> Result<(), String> {
    let port = tcp.port.or(target.port).ok_or_else(|| no_port("tcp"))?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let end = Instant::now() + limit;
    for connection in 1..=tcp.connects {
        // One limit for all of them: a look is bounded, however many connections it takes.
        let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        TcpStream::connect_timeout(&address, left)
            .and_then(|stream| stays_open(&stream))
            .map_err(|error| format!("connection {connection} of {} to port {port}: {error}", tcp.connects))?;
    }
    Ok(())
}

/// Docker's own proxy takes connections to a published port whether or not the container listens, and then closes them.
fn stays_open(stream: &TcpStream) -> std::io::Result<()> {
    use std::io::ErrorKind;
    stream.set_read_timeout(Some(limits::TCP_STAYS_OPEN))?;
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

    fn look_at(serve: impl Fn(TcpStream) + Send + 'static) -> Result<(), String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        // It ends with the test's process.
        std::thread::spawn(move || listener.incoming().flatten().for_each(serve));
        let tcp = Tcp { port: Some(port), connects: 2 };
        look(&tcp, &ProbeTarget::default(), Duration::from_secs(10))
            .map_err(|error| error.replace(&port.to_string(), "N"))
    }

    #[test]
    fn a_connection_has_to_be_kept_or_to_be_greeted() {
        assert_eq!(look_at(std::mem::forget), Ok(()));
        let greets = |mut stream: TcpStream| drop(std::io::Write::write_all(&mut stream, b"220 hello"));
        assert_eq!(look_at(greets), Ok(()));
        let closed = look_at(drop);
        assert_eq!(closed, Err("connection 1 of 2 to port N: closed at once".to_owned()));
    }
}
