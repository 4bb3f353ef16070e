//! [`RawRelay`]: a peer whose every byte a test chooses, for what no relay should say.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use serde_json::Value;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

/// How a script ends: whatever goes wrong in it is the client's leaving.
pub type Done = Result<(), Box<dyn Error>>;

/// A peer in threads of its own, on a port of its own. A connection ends when its script
/// does, or when the client leaves.
pub struct RawRelay {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
    connections: Arc<AtomicU64>,
}

impl RawRelay {
    /// Hands each connection to the script as it was accepted.
    pub fn start(script: impl Fn(TcpStream) -> Done + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let stopped = Arc::new(AtomicBool::new(false));
        let connections = Arc::new(AtomicU64::new(0));
        let script = Arc::new(script);
        let (stop, count) = (Arc::clone(&stopped), Arc::clone(&connections));
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                count.fetch_add(1, Ordering::SeqCst);
                let script = Arc::clone(&script);
                thread::spawn(move || drop(script(stream)));
            }
        });
        Self {
            address,
            stopped,
            connections,
        }
    }

    /// Has no NIP-11 document, and hands each WebSocket to the script.
    pub fn talking(script: impl Fn(&mut Talk) -> Done + Send + Sync + 'static) -> Self {
        Self::start(move |stream| {
            let head = peek_head(&stream)?;
            if !head.to_ascii_lowercase().contains("\r\nupgrade:") {
                return respond(stream, "404 Not Found", "");
            }
            let socket = tungstenite::accept(stream).map_err(|error| error.to_string())?;
            script(&mut Talk { socket })
        })
    }

    /// The same; the script answers one REQ after the other, named by its subscription.
    pub fn answering(script: impl Fn(&mut Talk, &str) -> Done + Send + Sync + 'static) -> Self {
        Self::talking(move |talk| {
            loop {
                let name = talk.question()?;
                script(talk, &name)?;
            }
        })
    }

    /// Its `ws://` address.
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Connections that were accepted.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for RawRelay {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
    }
}

/// An open WebSocket, seen from the relay's side.
pub struct Talk {
    socket: WebSocket<TcpStream>,
}

impl Talk {
    /// Waits for the next REQ; its subscription.
    ///
    /// # Errors
    /// The client has left.
    pub fn question(&mut self) -> Result<String, Box<dyn Error>> {
        loop {
            let Message::Text(text) = self.socket.read()? else {
                continue;
            };
            let message: Value = serde_json::from_str(&text)?;
            if message[0] == "REQ" {
                return Ok(message[1].as_str().unwrap_or_default().to_owned());
            }
        }
    }

    /// Sends a text message.
    ///
    /// # Errors
    /// The client has left.
    pub fn text(&mut self, text: impl Into<String>) -> Done {
        Ok(self.socket.send(Message::text(text.into()))?)
    }

    /// Sends an event, of any spelling, for a subscription.
    ///
    /// # Errors
    /// The client has left.
    pub fn event(&mut self, name: &str, json: &str) -> Done {
        self.text(format!("[\"EVENT\",\"{name}\",{json}]"))
    }

    /// Says that all stored events have come.
    ///
    /// # Errors
    /// The client has left.
    pub fn eose(&mut self, name: &str) -> Done {
        self.text(format!("[\"EOSE\",\"{name}\"]"))
    }

    /// Sends bytes past the WebSocket.
    ///
    /// # Errors
    /// The client has left.
    pub fn bytes(&mut self, bytes: &[u8]) -> Done {
        Ok(self.socket.get_mut().write_all(bytes)?)
    }

    /// Sends one frame: its first byte, and whatever it holds.
    ///
    /// # Errors
    /// The client has left.
    pub fn frame(&mut self, first: u8, payload: &[u8]) -> Done {
        self.bytes(&frame_head(first, payload.len() as u64))?;
        self.bytes(payload)
    }

    /// Says nothing more, until the client leaves.
    ///
    /// # Errors
    /// The client has left.
    pub fn fall_silent(&mut self) -> Done {
        loop {
            self.socket.read()?;
        }
    }

    /// Breaks the connection off as a crash does.
    ///
    /// # Errors
    /// None that matters.
    pub fn reset(&mut self) -> Done {
        reset(self.socket.get_ref())
    }
}

/// The head of an unmasked frame of so many bytes.
pub fn frame_head(first: u8, length: u64) -> Vec<u8> {
    let mut head = vec![first];
    match length {
        0..126 => head.push(length as u8),
        126..65_536 => {
            head.push(126);
            head.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            head.push(127);
            head.extend_from_slice(&length.to_be_bytes());
        }
    }
    head
}

/// The head of an HTTP request, left in the stream.
///
/// # Errors
/// The client has left.
pub fn peek_head(stream: &TcpStream) -> io::Result<String> {
    let mut head = vec![0; 16_384];
    loop {
        let length = stream.peek(&mut head)?;
        let text = String::from_utf8_lossy(&head[..length]).into_owned();
        if length == 0 || text.contains("\r\n\r\n") {
            return Ok(text);
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Answers the HTTP request that is in the stream, and waits until the client leaves.
///
/// # Errors
/// The client has left.
pub fn respond(stream: TcpStream, status: &str, body: &str) -> Done {
    let length = body.len();
    respond_with(
        stream,
        &format!("{status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"),
    )
}

/// The same, with all that follows `HTTP/1.1 `.
///
/// # Errors
/// The client has left.
pub fn respond_with(mut stream: TcpStream, rest: &str) -> Done {
    write!(stream, "HTTP/1.1 {rest}")?;
    stream.shutdown(std::net::Shutdown::Write)?;
    io::copy(&mut stream, &mut io::sink())?;
    Ok(())
}

/// Hands a connection on to a relay at a `ws://` address, as a reverse proxy does.
///
/// # Errors
/// One of the two has left.
pub fn hand_on(mut near: TcpStream, relay: &str) -> Done {
    let mut far = TcpStream::connect(relay.trim_start_matches("ws://"))?;
    let (mut from, mut to) = (far.try_clone()?, near.try_clone()?);
    let back = thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Both);
    });
    io::copy(&mut near, &mut far)?;
    far.shutdown(std::net::Shutdown::Write)?;
    back.join().map_err(|_| "it ended")?;
    Ok(())
}

/// Breaks a connection off as a crash does: what is under way is lost, and the client is
/// told so (RST).
///
/// # Errors
/// None that matters.
pub fn reset(stream: &TcpStream) -> Done {
    set_socket_linger(stream, Some(Duration::ZERO))?;
    Err("reset".into())
}

/// Sends so many bytes without holding them.
///
/// # Errors
/// The client has left.
pub fn pour(stream: &mut TcpStream, byte: u8, length: u64) -> Done {
    io::copy(&mut io::repeat(byte).take(length), stream)?;
    Ok(())
}
