//! [`LibraryRelay`]: a relay that other people wrote, with NIP-77 and without NIP-11.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread::{self, JoinHandle};

use constellation_shared::Event;
use nostr::JsonUtil;
use nostr_relay_builder::LocalRelay;
use nostr_relay_builder::builder::{RateLimit, RelayBuilder};
use nostr_relay_builder::prelude::{MemoryDatabase, MemoryDatabaseOptions, NostrDatabase};
use tokio::sync::oneshot;

/// The relay of `nostr-relay-builder`, in a thread of its own, gone when it is dropped.
pub struct LibraryRelay {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl LibraryRelay {
    /// Starts a relay that was given these events, and answers a filter with at most
    /// `max_limit`. Unlike the scripted one it keeps what NIP-01 and NIP-09 let it keep.
    pub fn start(events: &[Event], max_limit: usize) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let database = MemoryDatabase::with_opts(MemoryDatabaseOptions {
            events: true,
            max_events: None,
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            for event in events {
                let event = nostr::Event::from_json(event.to_json()).unwrap();
                database.save_event(&event).await.unwrap();
            }
        });
        // `max_filter_limit` bounds what a filter names, the other what it does not name;
        // the rate is 60 events a minute otherwise.
        let builder = RelayBuilder::default()
            .database(database)
            .max_filter_limit(max_limit)
            .default_filter_limit(max_limit)
            .rate_limit(RateLimit {
                max_reqs: 100_000,
                notes_per_minute: 1_000_000,
            });
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    failed = accept(listener, LocalRelay::new(builder)) => failed.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        Self {
            address,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Its `ws://` address.
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }
}

impl Drop for LibraryRelay {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The library looks for a free port and binds it later, when it may be taken; so the
/// listening and the handshake are ours.
async fn accept(listener: TcpListener, relay: LocalRelay) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, from) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let relay = relay.clone();
        tokio::spawn(async move {
            if let Ok(socket) = tokio_tungstenite::accept_async(stream).await {
                // Whoever went away noticed it.
                let _ = relay.take_connection(socket.into_inner(), from).await;
            }
        });
    }
}
