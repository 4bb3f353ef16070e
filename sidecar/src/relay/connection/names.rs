//! [`Names`]: the IP addresses of hosts that were looked up a moment ago.
//!
//! A relay is connected to twice in a row, for its NIP-11 document and for its WebSocket, and some
//! resolvers take seconds.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::Instant;

use crate::support::mutex::lock;

/// How long an answer is used again.
const USED_AGAIN: Duration = Duration::from_secs(30);

/// What was found, and when.
type Found = (Vec<SocketAddr>, Instant);

/// Looks up hosts, each at most once in half a minute.
#[derive(Debug, Default)]
pub(super) struct Names(Mutex<HashMap<(String, u16), Found>>);

impl Names {
    /// The addresses of a host, with this port.
    ///
    /// # Errors
    /// That of the resolver, which is asked again the next time.
    pub(super) async fn look_up(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Some(known) = self.known(host, port, Instant::now()) {
            return Ok(known);
        }
        let addresses: Vec<SocketAddr> = lookup_host((host, port)).await?.collect();
        self.remember(host, port, (addresses.clone(), Instant::now()));
        Ok(addresses)
    }

    /// Forgets a host that could not be connected to: it may have moved.
    pub(super) fn forget(&self, host: &str, port: u16) {
        lock(&self.0).remove(&(host.to_owned(), port));
    }

    fn known(&self, host: &str, port: u16, now: Instant) -> Option<Vec<SocketAddr>> {
        let found = lock(&self.0);
        let (addresses, when) = found.get(&(host.to_owned(), port))?;
        (now.duration_since(*when) < USED_AGAIN).then(|| addresses.clone())
    }

    fn remember(&self, host: &str, port: u16, new: Found) {
        let mut found = lock(&self.0);
        found.retain(|_, (_, when)| new.1.duration_since(*when) < USED_AGAIN);
        found.insert((host.to_owned(), port), new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_is_used_again_for_half_a_minute_unless_it_led_nowhere() {
        let names = Names::default();
        let addresses: Vec<SocketAddr> = vec!["192.0.2.1:443".parse().unwrap()];
        let now = Instant::now();
        // The domain .invalid leads nowhere (RFC 6761).
        names.remember("relay.invalid", 443, (addresses.clone(), now));
        let found = names.look_up("relay.invalid", 443).await.unwrap();
        assert_eq!(found, addresses);
        assert_eq!(names.known("relay.invalid", 80, now), None);
        assert_eq!(names.known("relay.invalid", 443, now + USED_AGAIN), None);
        names.forget("relay.invalid", 443);
        assert_eq!(names.known("relay.invalid", 443, now), None);
    }
}
