//! A port that must take connections, several one after the other.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use freehold_rollout::Tcp;

use super::{ProbeTarget, no_port};

pub(super) fn look(tcp: &Tcp, target: &ProbeTarget, limit: Duration) -> Result<(), String> {
    let port = tcp.port.or(target.port).ok_or_else(|| no_port("tcp"))?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    for connection in 1..=tcp.connects {
        TcpStream::connect_timeout(&address, limit)
            .map_err(|error| format!("connection {connection} of {} to port {port}: {error}", tcp.connects))?;
    }
    Ok(())
}
