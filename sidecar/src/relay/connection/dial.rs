//! TCP connections to a host that has several IP addresses, some of which may lead nowhere.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::sleep;

/// How long an attempt has before another address is tried beside it (RFC 8305, section 5:
/// "Connection Attempt Delay").
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// The longest segment that either side sends, in bytes: what fits into 1280 bytes, the least that
/// every IPv6 path takes (RFC 8200, section 5). Tunnels, VPNs and PPPoE make paths narrower than the
/// usual 1500 bytes, and where a firewall drops the ICMP messages that would say so, longer segments
/// vanish: the handshake works, and then nothing comes.
const LONGEST_SEGMENT: u32 = 1220;

/// Connects to the first of these addresses that answers (Happy Eyeballs, RFC 8305). The families
/// of the addresses alternate, so that a network whose IPv6 leads nowhere costs a quarter of a
/// second instead of the whole timeout.
///
/// # Errors
/// The error of the last attempt that failed, if none succeeds.
pub(super) async fn dial(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut waiting = alternating(addresses).into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "it has no address");
    loop {
        let next = waiting.next();
        let is_last = next.is_none();
        attempts.extend(next.map(connect));
        tokio::select! {
            attempt = attempts.next() => match attempt {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(error)) => failure = error,
                None => return Err(failure),
            },
            () = sleep(ATTEMPT_DELAY), if !is_last => {}
        }
    }
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    socket_for(address)?.connect(address).await
}

/// Asks a silent machine whether it is still there, so that a connection that died without a word,
/// as when our own address changes, is noticed within a quarter of a minute.
fn keepalive() -> TcpKeepalive {
    TcpKeepalive::new()
        .with_time(Duration::from_secs(5))
        .with_interval(Duration::from_secs(3))
        .with_retries(3)
}

fn socket_for(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv6() {
        TcpSocket::new_v6()?
    } else {
        TcpSocket::new_v4()?
    };
    if !address.ip().is_loopback() {
        let options = SockRef::from(&socket);
        // If this fails, narrow paths may not work; all others do.
        let _ = options.set_tcp_mss(LONGEST_SEGMENT);
        // If this fails, a connection that has died is noticed only once patience is over.
        let _ = options.set_tcp_keepalive(&keepalive());
    }
    Ok(socket)
}

/// The addresses with their families in turn, beginning with that of the first one. The resolver
/// has already sorted them by preference (RFC 6724).
fn alternating(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, other): (Vec<SocketAddr>, Vec<SocketAddr>) = addresses
        .iter()
        .partition(|address| address.is_ipv6() == first_is_v6);
    let (mut first, mut other) = (first.into_iter(), other.into_iter());
    let mut sorted = Vec::with_capacity(addresses.len());
    while sorted.len() < addresses.len() {
        sorted.extend(first.next());
        sorted.extend(other.next());
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::{TcpListener, TcpSocket};
    use tokio::time::Instant;

    fn sockets(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_families_alternate() {
        let resolved = sockets(&["[2001:db8::1]:1", "[2001:db8::2]:1", "192.0.2.1:1"]);
        let tried = sockets(&["[2001:db8::1]:1", "192.0.2.1:1", "[2001:db8::2]:1"]);
        assert_eq!(alternating(&resolved), tried);
        assert_eq!(alternating(&[]), []);
    }

    #[tokio::test]
    async fn segments_fit_into_every_path_but_that_to_this_machine() {
        for (address, is_narrow) in [
            ("192.0.2.1:80", true),
            ("[2001:db8::1]:80", true),
            ("127.0.0.1:80", false),
            ("[::1]:80", false),
        ] {
            let socket = socket_for(address.parse().unwrap()).unwrap();
            let segment = SockRef::from(&socket).tcp_mss().unwrap();
            assert_eq!(segment == LONGEST_SEGMENT, is_narrow, "{address}");
        }
    }

    /// An address that takes no more connections and answers no SYN: its backlog is full.
    async fn dead_end() -> (SocketAddr, Vec<TcpStream>, TcpListener) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        while let Ok(Ok(stream)) =
            tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await
        {
            waiting.push(stream);
        }
        (address, waiting, listener)
    }

    #[tokio::test]
    async fn an_address_that_leads_nowhere_does_not_hold_up_a_good_one() {
        let (dead, _waiting, _listener) = dead_end().await;
        let good = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good_address = good.local_addr().unwrap();
        let begin = Instant::now();
        let connected = dial(&[dead, good_address]).await.unwrap();
        assert_eq!(connected.peer_addr().unwrap(), good_address);
        assert!(begin.elapsed() >= ATTEMPT_DELAY, "it was tried second");
    }

    #[tokio::test]
    async fn a_refused_address_leads_to_the_next_at_once_and_the_last_error_is_returned() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let closed_address = closed.local_addr().unwrap();
        drop(closed);
        let error = dial(&[closed_address, closed_address]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let error = dial(&[]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
