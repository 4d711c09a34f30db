//! Who may ask for what, and what the answer is.

use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lpips_core::Picture;
use lpips_data::Error;
use lpips_data::label::votes::{self, Ballot, Progress, Votes};
use lpips_data::label::{Answer, Place, Questions};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::http::{Connection, Head, Response};

const PAGE: &str = include_str!("page.html");
const NONCE: &str = "{{nonce}}";

/// What the page is told about itself.
#[derive(Debug, Serialize)]
pub(crate) struct Settings {
    /// 2afc or jnd.
    pub(crate) kind: &'static str,
    /// How long each picture of a pair is shown, in milliseconds.
    pub(crate) display_ms: u64,
    /// Who votes, until they say another name.
    pub(crate) voter: Option<String>,
}

/// The page, for whoever knows the token.
pub(crate) struct Server {
    pub(crate) token: String,
    pub(crate) settings: Settings,
    pub(crate) questions: Arc<Questions>,
    pub(crate) votes: Mutex<Votes>,
}

/// What there is to ask for.
#[derive(Debug, Clone, Copy)]
enum Route {
    Page,
    Settings,
    Next,
    Picture,
    Vote,
    Undo,
}

#[derive(Deserialize)]
struct NextRequest {
    voter: String,
    /// What the page has at hand already.
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

/// The next question, or the one to be asked again, and how far the voter has come.
#[derive(Serialize)]
struct State {
    question: Option<usize>,
    progress: Progress,
}

/// 128 bits from the operating system, in hex.
///
/// # Errors
/// It has none.
pub(crate) fn random() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl Server {
    /// Answers for ever, each connection in a thread of its own.
    pub(crate) fn run(self: &Arc<Self>, listener: &TcpListener) {
        loop {
            let server = self.clone();
            let answering = listener.accept().and_then(|(stream, _)| {
                std::thread::Builder::new().spawn(move || server.connection(stream))?;
                Ok(())
            });
            // Out of files or threads: others end in a moment.
            if answering.is_err() {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }

    pub(crate) fn votes(&self) -> MutexGuard<'_, Votes> {
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

    /// Whether a request is let in, before its body is looked at.
    fn admit(&self, head: &Head) -> Result<Route, Response> {
        // A foreign page can give its own name the address 127.0.0.1, but then it says that name here.
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
            Route::Settings => json(&self.settings),
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
                // The pixels as the metric gets them, without profile, transparency and the like.
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

/// The page. Its scripts and styles carry a number that is drawn each time, and nothing else is run or loaded.
fn page() -> Result<Response, Response> {
    let nonce = random().map_err(|error| Response::text(500, &format!("no random numbers: {error}")))?;
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
    let status = if matches!(error, Error::Choice(_)) { 400 } else { 500 };
    Response::text(status, &error.to_string())
}

/// Compares in a time that does not tell how much is right.
fn is_equal(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}
