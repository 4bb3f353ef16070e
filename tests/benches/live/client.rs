//! A client of a relay, which blocks the thread that uses it.

use std::collections::HashMap;
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use constellation_shared::{Event, EventId};
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

/// An open connection to a relay of this machine.
pub(crate) struct Client {
    socket: WebSocket<TcpStream>,
}

impl Client {
    /// `None` if nobody listens there.
    pub(crate) fn connect(port: u16) -> Option<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
        stream.set_nodelay(true).ok()?;
        let url = format!("ws://127.0.0.1:{port}/");
        let (socket, _) = tungstenite::client(url, stream).ok()?;
        Some(Self { socket })
    }

    /// Asks for all that is new, and waits until the relay has understood.
    pub(crate) fn subscribe(&mut self) -> Option<()> {
        self.socket
            .send(Message::text(r#"["REQ","all",{"limit":0}]"#))
            .ok()?;
        loop {
            if self.text()?.starts_with("[\"EOSE\"") {
                return Some(());
            }
        }
    }

    /// When the relay said `OK` to this event; `None` if it refused it, or the connection broke.
    pub(crate) fn publish(&mut self, event: &Event) -> Option<Instant> {
        let message = format!("[\"EVENT\",{}]", event.to_json());
        self.socket.send(Message::text(message)).ok()?;
        let id = event.id.to_hex();
        loop {
            let text = self.text()?;
            if text.starts_with("[\"OK\"") && text.contains(&id) {
                return text.contains(",true,").then(Instant::now);
            }
        }
    }

    fn text(&mut self) -> Option<String> {
        loop {
            if let Message::Text(text) = self.socket.read().ok()? {
                return Some(text.to_string());
            }
        }
    }
}

/// Notes when each event can be read from a relay, in a thread of its own.
pub(crate) struct Reader {
    seen: Arc<Mutex<HashMap<String, Instant>>>,
    is_over: Arc<AtomicBool>,
}

impl Reader {
    /// Subscribes to all that is new at the relay on this port, again whenever it goes.
    pub(crate) fn start(port: u16) -> Self {
        let reader = Self {
            seen: Arc::default(),
            is_over: Arc::default(),
        };
        let (seen, is_over) = (Arc::clone(&reader.seen), Arc::clone(&reader.is_over));
        let (ready, is_ready) = std::sync::mpsc::channel();
        thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                if let Some(mut client) = Client::connect(port)
                    && client.subscribe().is_some()
                {
                    // Only the first time is waited for.
                    let _ = ready.send(());
                    while let Some(text) = client.text() {
                        note(&seen, &text);
                    }
                }
                thread::sleep(Duration::from_millis(20));
            }
        });
        is_ready.recv().unwrap();
        reader
    }

    /// When this event could be read first.
    pub(crate) fn seen_at(&self, id: EventId) -> Option<Instant> {
        self.lock().get(&id.to_hex()).copied()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Instant>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

fn note(seen: &Mutex<HashMap<String, Instant>>, text: &str) {
    let now = Instant::now();
    if let Some((_, rest)) = text.split_once("\"id\":\"")
        && let Some(id) = rest.get(..64)
    {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.entry(id.to_owned()).or_insert(now);
    }
}
