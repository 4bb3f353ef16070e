//! [`ScriptedRelay`]: a nostr relay on the loopback that behaves as it is told to, and
//! counts what happened.

mod behaviour;
mod connection;
mod http;
pub mod raw;
mod reconcile;
mod store;
pub mod tls;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use constellation_shared::Event;
use tokio::sync::{broadcast, oneshot, watch};

pub use behaviour::{Behaviour, Front, Nip11, Nip77, RefusedBy, Takes};
pub use raw::RawRelay;
use store::Store;

use crate::record::Record;

/// A relay in a thread of its own, on a port of its own, gone when it is dropped.
pub struct ScriptedRelay {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What the connections share.
struct Shared {
    behaviour: Mutex<Arc<Behaviour>>,
    store: Mutex<Arc<Store>>,
    counts: Counts,
    /// The text messages that came in, of all connections.
    received: Mutex<Vec<String>>,
    closed_once: AtomicBool,
    /// What is told to open subscriptions.
    published: broadcast::Sender<Arc<Record>>,
    /// Whether it is away: it ends all connections and takes no others.
    is_away: watch::Sender<bool>,
}

/// How many events may be told at once.
const MOST_PUBLISHED: usize = 65_536;

#[derive(Default)]
struct Counts {
    connections: AtomicU64,
    documents: AtomicU64,
    requests: AtomicU64,
    refused: AtomicU64,
    fronted: AtomicU64,
    reconciliations: AtomicU64,
    events_sent: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    most_open: AtomicU64,
}

impl ScriptedRelay {
    /// Starts a relay that holds these events: exactly these, whatever they replace,
    /// delete or forge.
    pub fn start(events: &[Event], behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            behaviour: Mutex::new(Arc::new(behaviour)),
            store: Mutex::new(Arc::new(Store::new(events))),
            counts: Counts::default(),
            received: Mutex::default(),
            closed_once: AtomicBool::new(false),
            published: broadcast::Sender::new(MOST_PUBLISHED),
            is_away: watch::Sender::new(false),
        });
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let serving = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    failed = accept(listener, &serving) => failed.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        Self {
            address,
            shared,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Its `ws://` address.
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Holds these too from now on; open subscriptions are not told.
    pub fn add(&self, events: &[Event]) {
        let mut store = lock(&self.shared.store);
        *store = Arc::new(store.with(events));
    }

    /// Holds these too from now on, and tells open subscriptions that want them.
    ///
    /// # Panics
    /// Never: events can be spelled.
    pub fn publish(&self, events: &[Event]) {
        self.add(events);
        for event in events {
            let record = Record::from_json(&event.to_json()).unwrap();
            // Without a connection, nobody is told.
            let _ = self.shared.published.send(Arc::new(record));
        }
    }

    /// Ends all connections, and takes no others until it comes back.
    pub fn go_away(&self) {
        self.shared.is_away.send_replace(true);
    }

    /// Takes connections again.
    pub fn come_back(&self) {
        self.shared.is_away.send_replace(false);
    }

    /// Holds these too from now on, spelled as a strfry serves them.
    pub fn add_spelled(&self, events: &[String]) {
        let mut store = lock(&self.shared.store);
        *store = Arc::new(store.with_spelled(events));
    }

    /// Holds these too from now on, and serves them without the field that tells their time.
    pub fn add_without_time(&self, events: &[Event]) {
        let mut store = lock(&self.shared.store);
        *store = Arc::new(store.with(events).without_time(events));
    }

    /// Behaves so towards connections yet to come.
    pub fn behave(&self, behaviour: Behaviour) {
        *lock(&self.shared.behaviour) = Arc::new(behaviour);
    }

    /// WebSocket connections that were opened.
    pub fn connections(&self) -> u64 {
        self.shared.counts.connections.load(Ordering::SeqCst)
    }

    /// Times that its NIP-11 document was asked for.
    pub fn documents(&self) -> u64 {
        self.shared.counts.documents.load(Ordering::SeqCst)
    }

    /// REQ messages that came in.
    pub fn requests(&self) -> u64 {
        self.shared.counts.requests.load(Ordering::SeqCst)
    }

    /// REQ messages that were refused because they asked for too much.
    pub fn refused(&self) -> u64 {
        self.shared.counts.refused.load(Ordering::SeqCst)
    }

    /// Requests for a WebSocket that came to a front that is busy.
    pub fn fronted(&self) -> u64 {
        self.shared.counts.fronted.load(Ordering::SeqCst)
    }

    /// NEG-OPEN messages that came in.
    pub fn reconciliations(&self) -> u64 {
        self.shared.counts.reconciliations.load(Ordering::SeqCst)
    }

    /// EVENT messages that were sent.
    pub fn events_sent(&self) -> u64 {
        self.shared.counts.events_sent.load(Ordering::SeqCst)
    }

    /// Bytes of the messages that came in, without their framing.
    pub fn bytes_in(&self) -> u64 {
        self.shared.counts.bytes_in.load(Ordering::SeqCst)
    }

    /// Bytes of the messages that were sent, without their framing.
    pub fn bytes_out(&self) -> u64 {
        self.shared.counts.bytes_out.load(Ordering::SeqCst)
    }

    /// The most subscriptions that one connection had open at once.
    pub fn most_open(&self) -> u64 {
        self.shared.counts.most_open.load(Ordering::SeqCst)
    }

    /// The messages that came in, in order, of all connections.
    pub fn received(&self) -> Vec<String> {
        lock(&self.shared.received).clone()
    }
}

impl Drop for ScriptedRelay {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            // A panic in there has been printed; a second one here would hide the first.
            let _ = thread.join();
        }
    }
}

/// A `ws://` address of this machine at which nobody listens.
pub fn dead_url() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    format!("ws://{}", listener.local_addr().unwrap())
}

async fn accept(listener: TcpListener, shared: &Arc<Shared>) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        if *shared.is_away.borrow() {
            continue;
        }
        stream.set_nodelay(true)?;
        let behaviour = Arc::clone(&lock(&shared.behaviour));
        tokio::spawn(connection::serve(stream, behaviour, Arc::clone(shared)));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Counts {
    fn add(counter: &AtomicU64, count: usize) {
        counter.fetch_add(count as u64, Ordering::SeqCst);
    }
}
