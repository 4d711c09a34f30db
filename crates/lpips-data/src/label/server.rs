//! The labelling server: token, routes and JSON answers on 127.0.0.1.

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lpips_core::Picture;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::http::{Connection, Head, Response};
use super::questions::{Answer, Place, Questions};
use super::votes::{self, Ballot, Progress, Summary, Votes};
use crate::error::{Error, Result};

const PAGE: &str = include_str!("page.html");
const NONCE: &str = "{{nonce}}";

/// Settings of the labelling page.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Display time of each picture of a pair, in milliseconds.
    pub display_ms: u64,
    /// Voter's name that the page suggests.
    pub voter: Option<String>,
}

/// Local web server that shows questions and records votes.
///
/// It listens on 127.0.0.1 and answers only requests with the token of its address.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    port: u16,
    site: Arc<Site>,
}

/// State shared by the connections' threads.
#[derive(Debug)]
struct Site {
    token: String,
    settings: Settings,
    questions: Arc<Questions>,
    votes: Mutex<Votes>,
}

/// Address below the token.
#[derive(Debug, Clone, Copy)]
enum Route {
    Page,
    Settings,
    Next,
    Picture,
    Vote,
    Undo,
}

#[derive(Serialize)]
struct SettingsAnswer<'a> {
    kind: &'static str,
    display_ms: u64,
    voter: Option<&'a str>,
}

#[derive(Deserialize)]
struct NextRequest {
    voter: String,
    /// Questions that the page has loaded already.
    holding: Vec<usize>,
}

#[derive(Deserialize)]
struct PictureRequest {
    voter: String,
    question: usize,
    place: Place,
}

#[derive(Deserialize)]
struct VoteRequest {
    voter: String,
    question: usize,
    answer: Answer,
    id: String,
    ms: u64,
}

#[derive(Deserialize)]
struct UndoRequest {
    voter: String,
    id: String,
}

/// Next question, or the one to repeat after an undo, and the voter's progress.
#[derive(Serialize)]
struct State {
    question: Option<usize>,
    progress: Progress,
}

/// Binds 127.0.0.1 at a port; 0 selects a free one.
///
/// # Errors
/// A port that is in use or not permitted.
pub fn bind(port: u16) -> Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|source| Error::Listen { port, source })
}

/// Draws 128 bits from the operating system, in hexadecimal.
fn random() -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Error::NoRandomness { reason: error.to_string() })?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl Server {
    /// Prepares a server on a bound listener and draws its token. Connections wait until [`run`](Self::run).
    ///
    /// # Errors
    /// No random numbers, or a listener without an address.
    pub fn new(listener: TcpListener, settings: Settings, questions: Arc<Questions>, votes: Votes) -> Result<Self> {
        let port = listener.local_addr().map_err(|source| Error::Listen { port: 0, source })?.port();
        let site = Site { token: random()?, settings, questions, votes: Mutex::new(votes) };
        Ok(Self { listener, port, site: Arc::new(site) })
    }

    /// Address of the page, with the token.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}/{}/", self.port, self.site.token)
    }

    /// Totals of all votes so far.
    pub fn summary(&self) -> Summary {
        self.site.votes().summary()
    }

    /// Answers requests, each connection on a thread of its own. Does not return.
    pub fn run(&self) -> ! {
        loop {
            let answering: io::Result<()> = self.listener.accept().and_then(|(stream, _)| {
                let site = self.site.clone();
                std::thread::Builder::new().spawn(move || site.connection(stream))?;
                Ok(())
            });
            // Out of file descriptors or threads: retries after others have ended.
            if answering.is_err() {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

impl Site {
    fn votes(&self) -> MutexGuard<'_, Votes> {
        self.votes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connection(&self, stream: TcpStream) {
        let mut connection = Connection::new(stream);
        let mut answer = || {
            let admitted = connection.head()?.and_then(|head| Ok((self.admit(&head)?, head)));
            let (route, head) = match admitted {
                Ok(admitted) => admitted,
                Err(refused) => return Some(refused),
            };
            let answered = connection.body(&head)?.and_then(|body| self.answer(route, &body));
            Some(answered.unwrap_or_else(|refused| refused))
        };
        if let Some(response) = answer() {
            connection.answer(&response);
        }
    }

    /// Checks host, token, path and method, before the body is read.
    fn admit(&self, head: &Head) -> Result<Route, Response> {
        // DNS rebinding: a foreign page can resolve its own name to 127.0.0.1, but sends that name as the host.
        let host = head.host.as_deref().unwrap_or_default();
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        if !["127.0.0.1", "localhost"].contains(&name) {
            let text = "this page is for 127.0.0.1 and localhost: open the address that `lpips data label` has printed";
            return Err(Response::text(403, text));
        }
        let path = head.path.strip_prefix('/').unwrap_or_default();
        let (token, path) = path.split_once('/').unwrap_or((path, ""));
        if !is_equal(token, &self.token) {
            let text = "this address lacks the token: open the whole address that `lpips data label` has printed";
            return Err(Response::text(403, text));
        }
        let (route, method) = match path {
            "" => (Route::Page, "GET"),
            "settings" => (Route::Settings, "POST"),
            "next" => (Route::Next, "POST"),
            "picture" => (Route::Picture, "POST"),
            "vote" => (Route::Vote, "POST"),
            "undo" => (Route::Undo, "POST"),
            _ => return Err(Response::text(404, "there is nothing at this address")),
        };
        if head.method == method {
            Ok(route)
        } else {
            Err(Response::text(405, &format!("expected the method {method} at this address")))
        }
    }

    fn answer(&self, route: Route, body: &[u8]) -> Result<Response, Response> {
        match route {
            Route::Page => page(),
            Route::Settings => {
                let Settings { display_ms, voter } = &self.settings;
                let kind = self.questions.task.name();
                json(&SettingsAnswer { kind, display_ms: *display_ms, voter: voter.as_deref() })
            }
            Route::Next => {
                let NextRequest { voter, holding } = read(body)?;
                let voter = votes::name(&voter).map_err(|error| refused(&error))?;
                let votes = self.votes();
                json(&State { question: votes.next(&voter, &holding), progress: votes.progress(&voter) })
            }
            Route::Picture => {
                let PictureRequest { voter, question, place } = read(body)?;
                let voter = votes::name(&voter).map_err(|error| refused(&error))?;
                let path = self.questions.picture(question, &voter, place).map_err(|error| refused(&error))?;
                // The pixels that the metric reads, without colour profile and alpha.
                let png = Picture::open(path).and_then(|picture| picture.to_png());
                let png = png.map_err(|error| Response::text(422, &error.to_string()))?;
                Ok(Response::new("image/png", png))
            }
            Route::Vote => {
                let VoteRequest { voter, question, answer, id, ms } = read(body)?;
                let voter = votes::name(&voter).map_err(|error| refused(&error))?;
                let choice = self.questions.choice(question, &voter, answer).map_err(|error| refused(&error))?;
                let mut votes = self.votes();
                let ballot = Ballot { id, voter: voter.clone(), question, choice, ms };
                votes.vote(ballot).map_err(|error| refused(&error))?;
                json(&State { question: None, progress: votes.progress(&voter) })
            }
            Route::Undo => {
                let UndoRequest { voter, id } = read(body)?;
                let voter = votes::name(&voter).map_err(|error| refused(&error))?;
                let mut votes = self.votes();
                let question = votes.undo(&voter, &id).map_err(|error| refused(&error))?;
                json(&State { question, progress: votes.progress(&voter) })
            }
        }
    }
}

/// The page, with a fresh nonce on its script and style: nothing else runs or loads.
fn page() -> Result<Response, Response> {
    let nonce = random().map_err(|error| Response::text(500, &error.to_string()))?;
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src blob: data:; connect-src \
         'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let html = PAGE.replace(NONCE, &nonce).into_bytes();
    Ok(Response::new("text/html; charset=utf-8", html).with_policy(policy))
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Response> {
    serde_json::from_slice(body).map_err(|error| Response::text(400, &format!("the request can't be read: {error}")))
}

fn json(value: &impl Serialize) -> Result<Response, Response> {
    let body = serde_json::to_vec(value).map_err(|error| Response::text(500, &error.to_string()))?;
    Ok(Response::new("application/json", body))
}

fn refused(error: &Error) -> Response {
    let status = if error.is_usage() { 400 } else { 500 };
    Response::text(status, &error.to_string())
}

/// Compares two strings in a time that does not depend on how many bytes agree.
fn is_equal(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}
