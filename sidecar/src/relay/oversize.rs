//! [`Skipping`]: a byte stream to a relay without the WebSocket messages that are too long to be
//! taken. In the place of each comes a short one that says so, and the connection goes on.
//!
//! Only whole messages in one unmasked frame are skipped, as relays send them; the WebSocket
//! library refuses all others that are too long.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The first word of the message that stands for a skipped one. It ends with a number that no relay
/// knows, so that none can say of an event that it keeps back that it was too long.
pub(crate) static SKIPPED: LazyLock<String> = LazyLock::new(|| {
    let number = RandomState::new().hash_one(());
    format!("TOO-LONG-{number:016x}")
});

/// The longest message that is skipped, in bytes; a longer one ends the connection.
pub(crate) const MOST_SKIPPED: u64 = 64 * 1024 * 1024;

/// How much of a message is looked at for the name of its subscription, in bytes.
const LOOKED_AT: usize = 100;

/// How many bytes are read at once.
const CHUNK: usize = 16 * 1024;

/// The first byte of a whole text message, and of a whole binary message (RFC 6455, 5.2).
const WHOLE_MESSAGES: [u8; 2] = [0x81, 0x82];

/// A stream that leaves long messages out of what is read.
#[derive(Debug)]
pub(crate) struct Skipping<S> {
    inner: S,
    filter: Filter,
    chunk: Vec<u8>,
    /// What was let through and not read yet, from this place on.
    passed: Vec<u8>,
    place: usize,
}

impl<S> Skipping<S> {
    /// A stream before its WebSocket handshake, without messages of more than `most` bytes.
    pub(crate) fn new(inner: S, most: usize) -> Self {
        Self {
            inner,
            filter: Filter::new(most),
            chunk: vec![0; CHUNK],
            passed: Vec::new(),
            place: 0,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Skipping<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let left = this.passed.get(this.place..).unwrap_or_default();
            if !left.is_empty() {
                let taken = left.len().min(buffer.remaining());
                buffer.put_slice(left.get(..taken).unwrap_or_default());
                this.place += taken;
                return Poll::Ready(Ok(()));
            }
            this.passed.clear();
            this.place = 0;
            let mut chunk = ReadBuf::new(&mut this.chunk);
            ready!(Pin::new(&mut this.inner).poll_read(context, &mut chunk))?;
            if chunk.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.filter.pass(chunk.filled(), &mut this.passed);
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Skipping<S> {
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

/// Where in the stream the next byte stands.
#[derive(Debug)]
enum State {
    /// In the answer to the handshake; how many bytes of its end have been seen.
    Handshake(usize),
    /// In the head of a frame, these bytes of which have come.
    Head(Vec<u8>),
    /// In a frame that is let through; how many bytes of it are still to come.
    Passing(u64),
    /// In a message that is skipped.
    Skipping {
        left: u64,
        length: u64,
        beginning: Vec<u8>,
    },
}

/// Leaves long messages out of a stream.
#[derive(Debug)]
struct Filter {
    most: u64,
    state: State,
}

/// The head of a frame that has come whole.
struct Head {
    first: u8,
    is_masked: bool,
    length: u64,
}

impl Head {
    /// Reads a head; `None` if more bytes belong to it.
    fn read(bytes: &[u8]) -> Option<Self> {
        let (first, second) = (*bytes.first()?, *bytes.get(1)?);
        let is_masked = second & 0x80 != 0;
        let (length, end) = match second & 0x7f {
            126 => {
                let length: [u8; 2] = bytes.get(2..4)?.try_into().ok()?;
                (u64::from(u16::from_be_bytes(length)), 4)
            }
            127 => {
                let length: [u8; 8] = bytes.get(2..10)?.try_into().ok()?;
                (u64::from_be_bytes(length), 10)
            }
            length => (u64::from(length), 2),
        };
        let mask = if is_masked { 4 } else { 0 };
        (bytes.len() >= end + mask).then_some(Self {
            first,
            is_masked,
            length,
        })
    }
}

impl Filter {
    const fn new(most: usize) -> Self {
        Self {
            most: most as u64,
            state: State::Handshake(0),
        }
    }

    /// Appends what is let through of these bytes.
    fn pass(&mut self, mut bytes: &[u8], passed: &mut Vec<u8>) {
        const END: &[u8] = b"\r\n\r\n";
        while let Some((&byte, rest)) = bytes.split_first() {
            match &mut self.state {
                State::Handshake(seen) => {
                    passed.push(byte);
                    bytes = rest;
                    *seen = match END.get(*seen) {
                        Some(end) if *end == byte => *seen + 1,
                        _ => usize::from(byte == b'\r'),
                    };
                    if *seen == END.len() {
                        self.state = State::Head(Vec::new());
                    }
                }
                State::Head(head) => {
                    head.push(byte);
                    bytes = rest;
                    let Some(read) = Head::read(head) else {
                        continue;
                    };
                    let is_skipped = WHOLE_MESSAGES.contains(&read.first)
                        && !read.is_masked
                        && read.length > self.most
                        && read.length <= MOST_SKIPPED;
                    if !is_skipped {
                        passed.append(head);
                    }
                    self.state = if is_skipped {
                        State::Skipping {
                            left: read.length,
                            length: read.length,
                            beginning: Vec::new(),
                        }
                    } else if read.length == 0 {
                        State::Head(Vec::new())
                    } else {
                        State::Passing(read.length)
                    };
                }
                State::Passing(left) => {
                    let (now, later) = bytes.split_at(at_most(bytes, *left));
                    passed.extend_from_slice(now);
                    bytes = later;
                    *left -= now.len() as u64;
                    if *left == 0 {
                        self.state = State::Head(Vec::new());
                    }
                }
                State::Skipping {
                    left,
                    length,
                    beginning,
                } => {
                    let (now, later) = bytes.split_at(at_most(bytes, *left));
                    let room = LOOKED_AT.saturating_sub(beginning.len()).min(now.len());
                    beginning.extend_from_slice(now.get(..room).unwrap_or_default());
                    bytes = later;
                    *left -= now.len() as u64;
                    if *left == 0 {
                        passed.extend(substitute(beginning, *length));
                        self.state = State::Head(Vec::new());
                    }
                }
            }
        }
    }
}

/// How many of these bytes there are, at most this many.
fn at_most(bytes: &[u8], most: u64) -> usize {
    usize::try_from(most).unwrap_or(usize::MAX).min(bytes.len())
}

/// The frame that comes in the place of a message that begins so.
fn substitute(beginning: &[u8], length: u64) -> Vec<u8> {
    let subscription = subscription(beginning).unwrap_or_default();
    let text = format!("[\"{}\",\"{subscription}\",{length}]", *SKIPPED);
    let mut frame = vec![0x81, u8::try_from(text.len()).unwrap_or_default()];
    frame.extend_from_slice(text.as_bytes());
    frame
}

/// The subscription of a message with an event, if its name is one that we could have given.
fn subscription(beginning: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(beginning);
    let rest = text.trim_start().strip_prefix('[')?.trim_start();
    let rest = rest.strip_prefix("\"EVENT\"")?.trim_start();
    let rest = rest.strip_prefix(',')?.trim_start().strip_prefix('"')?;
    let (name, _) = rest.split_once('"')?;
    let is_plain = name.len() <= 20 && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_plain.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HANDSHAKE: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nA: b\r\n\r\n";

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            length @ 0..126 => frame.push(u8::try_from(length).unwrap()),
            length @ 126..65_536 => {
                frame.push(126);
                frame.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            length => {
                frame.push(127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(payload);
        frame
    }

    /// What is let through of these frames behind a handshake, read in pieces of this size.
    fn passed(frames: &[Vec<u8>], piece: usize) -> Vec<u8> {
        let stream = [HANDSHAKE.to_vec(), frames.concat()].concat();
        let mut filter = Filter::new(1000);
        let mut passed = Vec::new();
        for piece in stream.chunks(piece) {
            filter.pass(piece, &mut passed);
        }
        passed.split_off(HANDSHAKE.len())
    }

    #[test]
    fn messages_that_are_too_long_are_left_out_wherever_the_stream_is_cut() {
        let event = |name: &str, length: usize| {
            let text = format!("[ \"EVENT\" ,\"{name}\",{{\"content\":\"");
            frame(0x81, &[text.as_bytes(), &vec![b'x'; length]].concat())
        };
        let said = |name: &str, long: &[u8]| {
            // The head of a frame of less than 65,536 bytes has four.
            let length = long.len() - 4;
            let text = format!("[\"{}\",\"{name}\",{length}]", *SKIPPED);
            frame(0x81, text.as_bytes())
        };
        let (short, ping) = (event("0", 300), frame(0x89, b"x"));
        let long = [
            event("i7", 2000),
            event("\\u0041", 1500),
            frame(0x82, &[0; 1001]),
        ];
        let fragments = [frame(0x01, &[b'a'; 2000]), frame(0x80, &[])];
        let frames = [
            &[
                short.clone(),
                long[0].clone(),
                ping.clone(),
                long[1].clone(),
            ],
            &fragments[..],
            &[long[2].clone(), frame(0x81, &[]), short.clone()],
        ]
        .concat();
        let expected = [
            &[
                short.clone(),
                said("i7", &long[0]),
                ping,
                said("", &long[1]),
            ],
            &fragments[..],
            &[said("", &long[2]), frame(0x81, &[]), short],
        ]
        .concat()
        .concat();
        for piece in [1, 2, 3, 5, 7, 64, 1000, 100_000] {
            assert_eq!(passed(&frames, piece), expected, "{piece}");
        }
    }

    #[test]
    fn what_is_longer_than_is_ever_skipped_is_for_the_library_to_refuse() {
        let mut head = vec![0x81, 127];
        head.extend((MOST_SKIPPED + 1).to_be_bytes());
        assert_eq!(passed(&[head.clone()], 1), head);
        let mut masked = vec![0x81, 0xff];
        masked.extend(2000_u64.to_be_bytes());
        masked.extend([1, 2, 3, 4, 5]);
        assert_eq!(passed(&[masked.clone()], 1), masked);
    }
}
