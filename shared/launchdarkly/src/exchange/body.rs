//! An answer's body: read as it comes, decompressed on the way, held once.
//!
//! The compressed bytes are never kept and the decompressed ones never copied. Counts what
//! arrives on the wire, so that a body that is cut off can say where; and stops where the limit is
//! passed, so that a few KB cannot unfold into all of the memory.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use reqwest::Response;
use reqwest::header::CONTENT_ENCODING;
use tokio::time::{Instant, timeout_at};

use super::ExchangeError;
use crate::connection;

/// Most that is reserved on the word of a `Content-Length` alone.
const MOST_RESERVED: usize = 32 << 20;

/// Reads the body of `response`, up to `limit` bytes decompressed, until `until`; `start` is when
/// the attempt began.
pub(crate) async fn read(
    mut response: Response,
    limit: usize,
    start: Instant,
    until: Instant,
) -> Result<Bytes, ExchangeError> {
    let expected = response.content_length();
    let mut sink = Sink::new(&response, limit)?;
    let mut received = 0;
    loop {
        let chunk = timeout_at(until, response.chunk())
            .await
            .map_err(|_| ExchangeError::timed_out(start, received))?
            .map_err(|error| ExchangeError::CutOff { received, expected, source: error.without_url() })?;
        let Some(chunk) = chunk else {
            break;
        };
        received += chunk.len() as u64;
        sink.write(&chunk, received)?;
    }
    sink.finish(received)
}

/// Where the body goes.
enum Sink {
    Plain(Capped),
    Gzip(Box<MultiGzDecoder<Capped>>),
}

impl Sink {
    fn new(response: &Response, limit: usize) -> Result<Self, ExchangeError> {
        let encoding = connection::text(response.headers(), CONTENT_ENCODING).unwrap_or("identity");
        match encoding.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => {
                let body = Capped::new(limit, 0);
                Ok(Self::Gzip(Box::new(MultiGzDecoder::new(body))))
            }
            "identity" | "" => {
                let expected = response.content_length().unwrap_or(0);
                let expected = usize::try_from(expected).unwrap_or(usize::MAX);
                if expected > limit {
                    return Err(ExchangeError::TooLarge { limit });
                }
                Ok(Self::Plain(Capped::new(limit, expected.min(MOST_RESERVED))))
            }
            _ => Err(ExchangeError::UnknownEncoding { encoding: encoding.to_owned() }),
        }
    }

    fn write(&mut self, chunk: &[u8], received: u64) -> Result<(), ExchangeError> {
        let written = match self {
            Self::Plain(body) => body.write_all(chunk),
            Self::Gzip(decoder) => decoder.write_all(chunk),
        };
        written.map_err(|error| self.failed(error, received))
    }

    fn finish(mut self, received: u64) -> Result<Bytes, ExchangeError> {
        if let Self::Gzip(decoder) = &mut self
            && let Err(error) = decoder.try_finish()
        {
            return Err(self.failed(error, received));
        }
        let body = match &mut self {
            Self::Plain(body) => body,
            Self::Gzip(decoder) => decoder.get_mut(),
        };
        Ok(Bytes::from(std::mem::take(&mut body.bytes)))
    }

    fn failed(&self, source: io::Error, received: u64) -> ExchangeError {
        let body = match self {
            Self::Plain(body) => body,
            Self::Gzip(decoder) => decoder.get_ref(),
        };
        if body.is_full {
            ExchangeError::TooLarge { limit: body.limit }
        } else {
            ExchangeError::NotGzip { received, source }
        }
    }
}

/// A buffer that refuses to grow beyond `limit`.
struct Capped {
    bytes: Vec<u8>,
    limit: usize,
    /// Set by the write that would have passed the limit.
    is_full: bool,
}

impl Capped {
    fn new(limit: usize, capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity), limit, is_full: false }
    }
}

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.limit - self.bytes.len() {
            self.is_full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
