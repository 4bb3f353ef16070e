//! [`Stream`]: what carries the bytes to a relay.

use tokio::io::{AsyncRead, AsyncWrite};

/// A byte stream to a relay, with or without TLS.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}
