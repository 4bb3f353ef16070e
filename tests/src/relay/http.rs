//! The HTTP side of a relay's port: which requests become WebSockets, and NIP-11.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Nip11;
use super::behaviour::{Behaviour, Front};

/// What a connection's first bytes ask for.
pub(super) enum Asked {
    /// Something that the front answers; the request was taken from the stream.
    Front(String),
    /// A WebSocket; nothing was taken from the stream.
    Upgrade,
    /// The NIP-11 document; the request was taken from the stream.
    Document,
    /// Something else; the request was taken from the stream.
    Page,
}

/// Looks at the request without taking it, so that the handshake can still read it.
pub(super) async fn asked(
    stream: &mut TcpStream,
    front: &Front,
    fronted: &AtomicU64,
) -> io::Result<Asked> {
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
        let is_upgrade = text.contains("\r\nupgrade:");
        if let Some(answer) = answer_of(front, &text, is_upgrade, fronted) {
            stream.read_exact(&mut head[..length]).await?;
            return Ok(Asked::Front(answer));
        }
        if is_upgrade {
            return Ok(Asked::Upgrade);
        }
        stream.read_exact(&mut head[..length]).await?;
        return Ok(match text.contains("application/nostr+json") {
            true => Asked::Document,
            false => Asked::Page,
        });
    }
}

/// What the front answers, after `HTTP/1.1 `.
fn answer_of(front: &Front, head: &str, is_upgrade: bool, fronted: &AtomicU64) -> Option<String> {
    let end = "Content-Length: 0\r\nConnection: close\r\n\r\n";
    match front {
        Front::WantsName if !head.contains("\r\nuser-agent: constellation-sync/") => {
            Some(format!("403 Forbidden\r\n{end}"))
        }
        Front::Busy {
            times,
            status,
            headers,
        } if is_upgrade && fronted.fetch_add(1, Ordering::SeqCst) < *times => {
            Some(format!("{status}\r\n{headers}{end}"))
        }
        Front::Elsewhere { status, location } => {
            Some(format!("{status}\r\nLocation: {location}\r\n{end}"))
        }
        _ => None,
    }
}

/// Answers with what follows `HTTP/1.1 `.
pub(super) async fn answer_raw(mut stream: TcpStream, answer: &str) -> io::Result<()> {
    let answer = format!("HTTP/1.1 {answer}");
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
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
