//! The HTTP side of a relay's port: which requests become WebSockets, and NIP-11.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Nip11;
use super::behaviour::Behaviour;

/// What a connection's first bytes ask for.
pub(super) enum Asked {
    /// A WebSocket; nothing was taken from the stream.
    Upgrade,
    /// The NIP-11 document; the request was taken from the stream.
    Document,
    /// Something else; the request was taken from the stream.
    Page,
}

/// Looks at the request without taking it, so that the handshake can still read it.
pub(super) async fn asked(stream: &mut TcpStream) -> io::Result<Asked> {
    let mut head = vec![0; 16_384];
    loop {
        let length = stream.peek(&mut head).await?;
        let text = String::from_utf8_lossy(&head[..length]).to_ascii_lowercase();
        let whole = text.find("\r\n\r\n");
        if whole.is_none() && length > 0 && length < head.len() {
            // The rest of the head is still under way; peeking again shows it.
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            continue;
        }
        if text.contains("\r\nupgrade:") {
            return Ok(Asked::Upgrade);
        }
        stream.read_exact(&mut head[..length]).await?;
        return Ok(match text.contains("application/nostr+json") {
            true => Asked::Document,
            false => Asked::Page,
        });
    }
}

/// Answers a request for the NIP-11 document.
pub(super) async fn answer(mut stream: TcpStream, behaviour: &Behaviour) -> io::Result<()> {
    let date = behaviour.date.as_deref();
    match &behaviour.nip11 {
        Nip11::Truthful => respond(&mut stream, date, "200 OK", &behaviour.document()).await,
        Nip11::Body(body) => respond(&mut stream, date, "200 OK", body).await,
        Nip11::Absent => respond(&mut stream, date, "404 Not Found", "").await,
        Nip11::Hang => std::future::pending().await,
    }
}

/// Answers any other request.
pub(super) async fn page(mut stream: TcpStream) -> io::Result<()> {
    respond(
        &mut stream,
        None,
        "200 OK",
        "Please use a Nostr client to connect.",
    )
    .await
}

async fn respond(
    stream: &mut TcpStream,
    date: Option<&str>,
    status: &str,
    body: &str,
) -> io::Result<()> {
    let length = body.len();
    let date = date.map_or_else(String::new, |date| format!("Date: {date}\r\n"));
    let response = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/nostr+json\r\n\
         {date}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(response.as_bytes()).await?;
    stream.shutdown().await
}
