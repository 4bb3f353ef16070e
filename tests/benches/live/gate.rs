//! [`Gate`]: stands before a relay, and can be shut.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// How it is shut.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// All connections break off, and none is taken, as if the relay were stopped.
    Broken = 1,
    /// Nothing passes any more, and nobody is told, as if a cable were pulled.
    Silent = 2,
}

/// Hands on what two sides say to each other, for as long as it is open.
pub(crate) struct Gate {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: AtomicU8,
    streams: Mutex<Vec<TcpStream>>,
}

impl Gate {
    pub(crate) fn start(to: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared: Arc<Shared> = Arc::default();
        let serving = Arc::clone(&shared);
        // Ends with the bench.
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let state = serving.state.load(Ordering::SeqCst);
                if state == Manner::Broken as u8 {
                    continue;
                }
                serving.keep(&near);
                if state == 0
                    && let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, to))
                {
                    serving.keep(&far);
                    hand_on(&near, &far, &serving);
                    hand_on(&far, &near, &serving);
                }
            }
        });
        Self { port, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    pub(crate) fn shut(&self, manner: Manner) {
        self.shared.state.store(manner as u8, Ordering::SeqCst);
        if manner == Manner::Broken {
            self.shared.end_all();
        }
    }

    /// Takes connections again; those of before have ended.
    pub(crate) fn open(&self) {
        self.shared.end_all();
        self.shared.state.store(0, Ordering::SeqCst);
    }
}

impl Shared {
    fn keep(&self, stream: &TcpStream) {
        // Events are small, and must not wait for each other.
        let _ = stream.set_nodelay(true);
        let kept = stream.try_clone().unwrap();
        self.streams.lock().unwrap().push(kept);
    }

    fn end_all(&self) {
        for stream in self.streams.lock().unwrap().drain(..) {
            // The other side may have ended it.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn hand_on(from: &TcpStream, to: &TcpStream, shared: &Arc<Shared>) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    let shared = Arc::clone(shared);
    thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let is_open = shared.state.load(Ordering::SeqCst) == 0;
            if is_open && to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}
