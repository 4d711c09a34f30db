//! A misbehaving HTTP server on the loopback interface, for tests.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// The value of its `X-Repo-Commit` header, as of the hub.
pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// The server's behaviour for one request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Act {
    /// Answers as a good server does, ranges included.
    Serve,
    /// Sends this many bytes and hangs up.
    Cut(usize),
    /// Sends this many bytes and then nothing, holding the connection.
    Stall(usize),
    /// Ignores the range and sends everything.
    IgnoreRange,
    /// Claims another range than requested.
    WrongRange,
    /// Sends the rest whatever version was requested.
    IgnoreVersion,
    Status(u16),
    /// Promises more than any weights have.
    Endless,
    /// To another path on the same host.
    Redirect,
}

/// The requests a server got: the path, and its headers in lower case.
pub(crate) type Requests = Arc<Mutex<Vec<(String, String)>>>;

/// Serves `body`, one act a request, the last one for all that follow.
pub(crate) fn server(body: Vec<u8>, acts: &'static [Act]) -> (String, Requests) {
    versioned(body, "", acts)
}

/// [`server`] of a version: a header such as `etag: "one"`, all in lower case.
pub(crate) fn versioned(body: Vec<u8>, version: &'static str, acts: &'static [Act]) -> (String, Requests) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let requests = Requests::default();
    let seen = requests.clone();
    thread::spawn(move || {
        for (turn, stream) in listener.incoming().take(50).enumerate() {
            let act = acts[turn.min(acts.len() - 1)];
            let _ = answer(stream.unwrap(), &body, version, act, &seen);
        }
    });
    (address, requests)
}

fn answer(mut stream: TcpStream, body: &[u8], version: &str, act: Act, seen: &Requests) -> io::Result<()> {
    let mut head = String::new();
    let mut lines = BufReader::new(stream.try_clone()?);
    while !head.ends_with("\r\n\r\n") {
        if lines.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let path = head.split(' ').nth(1).unwrap_or_default().to_string();
    let head = head.to_lowercase();
    let from = head.split("range: bytes=").nth(1).and_then(|range| range.split('-').next()?.parse::<usize>().ok());
    let wanted = head.split("if-range: ").nth(1).and_then(|wanted| wanted.split("\r\n").next());
    let is_other = wanted.is_some_and(|wanted| !version.ends_with(wanted)) && !matches!(act, Act::IgnoreVersion);
    let from = from.filter(|_| !is_other);
    seen.lock().unwrap().push((path, head.clone()));
    let version = if version.is_empty() { String::new() } else { format!("{version}\r\n") };
    let commit = format!("X-Repo-Commit: {COMMIT}\r\n{version}Connection: close\r\n");
    let partial = |from: usize, claimed: usize| {
        let (total, last) = (body.len(), body.len() - 1);
        let length = body.len() - from;
        format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {claimed}-{last}/{total}\r\nContent-Length: {length}\r\n{commit}\r\n"
        )
    };
    let whole = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{commit}\r\n", body.len());
    let (head, rest) = match (act, from) {
        (Act::Status(code), _) => (format!("HTTP/1.1 {code} No\r\nContent-Length: 0\r\n{commit}\r\n"), &body[..0]),
        (Act::Endless, _) => ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n".to_string(), body),
        (Act::Redirect, _) => {
            (format!("HTTP/1.1 302 Found\r\nLocation: /cdn/file\r\nContent-Length: 0\r\n{commit}\r\n"), &body[..0])
        }
        (Act::IgnoreRange, _) | (_, None) => (whole, body),
        (Act::WrongRange, Some(from)) => (partial(from, 0), &body[from..]),
        (_, Some(from)) if from >= body.len() => (
            format!(
                "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */{}\r\nContent-Length: 0\r\n{commit}\r\n",
                body.len()
            ),
            &body[..0],
        ),
        (_, Some(from)) => (partial(from, from), &body[from..]),
    };
    stream.write_all(head.as_bytes())?;
    match act {
        Act::Cut(count) => stream.write_all(&rest[..count.min(rest.len())]),
        Act::Stall(count) => {
            stream.write_all(&rest[..count.min(rest.len())])?;
            thread::spawn(move || {
                thread::sleep(Duration::from_secs(20));
                drop(stream);
            });
            Ok(())
        }
        _ => stream.write_all(rest),
    }
}
