//! [`Watched`]: a TCP stream that notices when our own address is gone.
//!
//! When this machine gets another address, the relay's packets go to the old one, and nothing says so:
//! the connection is merely silent.

use std::io;
use std::net::{IpAddr, UdpSocket};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// How often a silent stream is looked at.
const INTERVAL: Duration = Duration::from_secs(2);

/// A stream whose reads fail once this machine has lost the address that it was opened from.
pub(super) struct Watched<S> {
    inner: S,
    address: IpAddr,
    interval: Duration,
    next_look: Pin<Box<Sleep>>,
}

impl<S> Watched<S> {
    /// A stream that was opened from this address of ours.
    pub(super) fn new(inner: S, address: IpAddr) -> Self {
        Self::every(INTERVAL, inner, address)
    }

    fn every(interval: Duration, inner: S, address: IpAddr) -> Self {
        Self {
            inner,
            address,
            interval,
            next_look: Box::pin(sleep(interval)),
        }
    }
}

/// Whether this machine has lost this address. Where that cannot be told, it has not.
fn is_gone(address: IpAddr) -> bool {
    let bound = UdpSocket::bind((address, 0));
    bound.is_err_and(|error| error.kind() == io::ErrorKind::AddrNotAvailable)
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Poll::Ready(read) = Pin::new(&mut this.inner).poll_read(context, buffer) {
            this.next_look
                .as_mut()
                .reset(Instant::now() + this.interval);
            return Poll::Ready(read);
        }
        loop {
            ready!(this.next_look.as_mut().poll(context));
            if is_gone(this.address) {
                let words = format!("this machine has lost its address {}", this.address);
                let error = io::Error::new(io::ErrorKind::ConnectionAborted, words);
                return Poll::Ready(Err(error));
            }
            this.next_look
                .as_mut()
                .reset(Instant::now() + this.interval);
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::timeout;

    #[tokio::test]
    async fn a_silent_stream_ends_once_our_address_is_gone_and_not_before() {
        let interval = Duration::from_millis(10);
        // TEST-NET-1 (RFC 5737), which no machine has.
        for (address, ends) in [("127.0.0.1", false), ("192.0.2.1", true)] {
            let (mut relay, ours) = duplex(100);
            let mut ours = Watched::every(interval, ours, address.parse().unwrap());
            relay.write_all(b"first").await.unwrap();
            let mut bytes = [0; 5];
            ours.read_exact(&mut bytes).await.unwrap();
            let wait = if ends { interval * 1000 } else { interval * 10 };
            let silent = timeout(wait, ours.read(&mut bytes)).await;
            assert_eq!(silent.is_ok(), ends, "{address}");
            if let Ok(read) = silent {
                assert!(read.unwrap_err().to_string().contains("lost its address"));
            }
        }
    }
}
