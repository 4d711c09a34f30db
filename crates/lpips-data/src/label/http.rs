//! Minimal HTTP/1.1 for the labelling page: one small request per connection, with time limits.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// Largest size of a request's head, in bytes.
const HEAD_LIMIT: usize = 16 << 10;
/// Largest size of a request's body, in bytes.
pub(super) const BODY_LIMIT: usize = 64 << 10;
/// Time from the first byte of a request's head or body to its last.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time to drain what a client still sends after its answer.
const LINGER: Duration = Duration::from_secs(2);

/// Connection and the bytes read from it.
pub(super) struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

/// Head of a request.
pub(super) struct Head {
    pub(super) method: String,
    /// The path, without the query.
    pub(super) path: String,
    /// The Host header, where there is exactly one.
    pub(super) host: Option<String>,
    /// Length of the body, or why it is unknown.
    length: Result<usize, &'static str>,
}

/// Response with a status, a content type and a body.
pub(super) struct Response {
    status: u16,
    kind: &'static str,
    body: Vec<u8>,
    /// The Content-Security-Policy.
    policy: String,
}

impl Response {
    pub(super) fn new(kind: &'static str, body: Vec<u8>) -> Self {
        Self { status: 200, kind, body, policy: "default-src 'none'; frame-ancestors 'none'".to_string() }
    }

    /// Plain text response of one sentence.
    pub(super) fn text(status: u16, text: &str) -> Self {
        Self { status, ..Self::new("text/plain; charset=utf-8", format!("{text}\n").into_bytes()) }
    }

    pub(super) fn with_policy(self, policy: String) -> Self {
        Self { policy, ..self }
    }

    fn reason(&self) -> &'static str {
        match self.status {
            200 => "OK",
            400 => "Bad Request",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            411 => "Length Required",
            413 => "Content Too Large",
            422 => "Unprocessable Content",
            431 => "Request Header Fields Too Large",
            _ => "Internal Server Error",
        }
    }
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, read: Vec::new() }
    }

    /// Reads the head. `None` where the client has closed the connection or takes too long.
    pub(super) fn head(&mut self) -> Option<Result<Head, Response>> {
        let until = Instant::now() + PATIENCE;
        loop {
            match parse(&self.read) {
                Ok(Some((head, length))) => {
                    self.read.drain(..length);
                    return Some(Ok(head));
                }
                Ok(None) if self.read.len() < HEAD_LIMIT => self.read_more(until)?,
                Ok(None) => return Some(Err(Response::text(431, "the request's headers are too long"))),
                Err(response) => return Some(Err(response)),
            }
        }
    }

    /// Reads the body. `None` where the client has closed the connection or takes too long.
    pub(super) fn body(&mut self, head: &Head) -> Option<Result<Vec<u8>, Response>> {
        let until = Instant::now() + PATIENCE;
        let length = match head.length {
            Ok(length) if length <= BODY_LIMIT => length,
            Ok(_) => {
                let text = format!("the request's body is too large: expected at most {BODY_LIMIT} bytes");
                return Some(Err(Response::text(413, &text)));
            }
            Err(reason) => return Some(Err(Response::text(411, reason))),
        };
        while self.read.len() < length {
            self.read_more(until)?;
        }
        Some(Ok(self.read.drain(..length).collect()))
    }

    fn read_more(&mut self, until: Instant) -> Option<()> {
        let mut bytes = [0; 4096];
        let length = read(&mut self.stream, &mut bytes, until)?;
        self.read.extend_from_slice(&bytes[..length]);
        Some(())
    }

    /// Sends a response and closes the connection.
    pub(super) fn answer(mut self, response: &Response) {
        let head = format!(
            "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\
             Cache-Control: no-store\r\nContent-Security-Policy: {}\r\nX-Content-Type-Options: nosniff\r\n\
             Referrer-Policy: no-referrer\r\nCross-Origin-Resource-Policy: same-origin\r\n\r\n",
            response.status,
            response.reason(),
            response.kind,
            response.body.len(),
            response.policy
        );
        let bytes = [head.as_bytes(), &response.body].concat();
        let sent = self.stream.set_write_timeout(Some(PATIENCE)).and_then(|()| self.stream.write_all(&bytes));
        // Closing a connection with unread bytes resets it, which can discard the response at the client.
        if sent.and_then(|()| self.stream.shutdown(Shutdown::Write)).is_ok() {
            let until = Instant::now() + LINGER;
            while read(&mut self.stream, &mut [0; 4096], until).is_some() {}
        }
    }
}

/// Reads some bytes. `None` at the end of the stream or after the time limit.
fn read(stream: &mut TcpStream, bytes: &mut [u8], until: Instant) -> Option<usize> {
    loop {
        let left = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
        stream.set_read_timeout(Some(left)).ok()?;
        match stream.read(bytes) {
            Ok(0) => return None,
            Ok(length) => return Some(length),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

/// The length of a request's head in bytes, if it is whole and well formed. For fuzzing.
#[doc(hidden)]
pub fn head_length(bytes: &[u8]) -> Option<usize> {
    Some(parse(bytes).ok()??.1)
}

/// Parses a request's head and its length in bytes; `None` where the head is incomplete.
fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, Response> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let status = request.parse(bytes).map_err(|error| match error {
        httparse::Error::TooManyHeaders => Response::text(431, "the request has too many headers"),
        _ => Response::text(400, "expected a request in HTTP/1.1"),
    })?;
    let httparse::Status::Complete(length) = status else { return Ok(None) };
    let values = |name: &str| -> Vec<&[u8]> {
        let named = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
        named.map(|header| header.value).collect()
    };
    let text = |value: &[u8]| std::str::from_utf8(value).ok().map(str::to_string);
    let path = request.path.unwrap_or_default();
    let head = Head {
        method: request.method.unwrap_or_default().to_string(),
        path: path.split('?').next().unwrap_or_default().to_string(),
        host: match values("host")[..] {
            [host] => text(host),
            _ => None,
        },
        length: match (&values("content-length")[..], values("transfer-encoding").is_empty()) {
            ([], true) => Ok(0),
            ([value], true) if value.iter().all(u8::is_ascii_digit) => {
                // A length beyond usize is too large in any case.
                Ok(text(value).and_then(|value| value.parse().ok()).unwrap_or(usize::MAX))
            }
            _ => Err("expected a body with one Content-Length"),
        },
    };
    Ok(Some((head, length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Head {
        let Ok(Some((head, length))) = parse(text.as_bytes()) else { panic!("{text}") };
        assert_eq!(length, text.len());
        head
    }

    #[test]
    fn http_head_parses_once_complete() {
        let text = "POST /x/vote?y=1 HTTP/1.1\r\nhost: localhost:1\r\nContent-Length: 12\r\n\r\n";
        let whole = head(text);
        assert_eq!((whole.method.as_str(), whole.path.as_str()), ("POST", "/x/vote"));
        assert_eq!((whole.host.as_deref(), whole.length), (Some("localhost:1"), Ok(12)));
        for length in 0..text.len() {
            assert!(matches!(parse(&text.as_bytes()[..length]), Ok(None)), "{length}");
        }
    }

    #[test]
    fn http_head_refuses_ambiguous_lengths_and_hosts() {
        let length = |headers: &str| head(&format!("POST / HTTP/1.1\r\n{headers}\r\n")).length;
        assert_eq!(length(""), Ok(0));
        assert_eq!(length("Content-Length: 99999999999999999999999\r\n"), Ok(usize::MAX));
        assert!(length("Content-Length: 3\r\nContent-Length: 4\r\n").is_err());
        assert!(length("Content-Length: -3\r\n").is_err());
        assert!(length("Content-Length: +3\r\n").is_err());
        assert!(length("Transfer-Encoding: chunked\r\n").is_err());
        assert_eq!(head("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").host, None);
        let refused = |text: &str| parse(text.as_bytes()).err().map(|response| response.status);
        assert_eq!(refused("hello\r\n\r\n"), Some(400));
        assert_eq!(refused(&format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(100))), Some(431));
    }
}
