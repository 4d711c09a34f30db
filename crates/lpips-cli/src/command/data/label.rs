//! `lpips data label`

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, mpsc};

use clap::Args;
use lpips_data::Task;
use lpips_data::label::Questions;
use lpips_data::label::votes::{self, LOG, Summary, Votes};
use lpips_terminal::signal::on_signal;

use crate::label::server::{self, Server, Settings};
use crate::output::{self, Failure, Result};

const EXAMPLES: &str = "Examples:
  lpips data label pictures
  lpips data label --voter anna --per-triplet 3 pictures
  lpips data label --kind jnd --display-ms 500 --port 8080 bapps";

const HOW: &str = "Below ROOT each folder with ref, p0 and p1 holds triplets (2afc: which of p0 and p1 is more like ref?), \
    and each with p0 and p1 alone holds pairs (jnd: are they the same?). Each of them has one picture of every name.

The address goes to standard output. It works on this machine only, and only with the token in it; to let others vote from \
    theirs, give --port and have them come through `ssh -L`. Any number of people can vote at the same time.

Every vote is a line of ROOT/votes.jsonl, on the disk before the page goes on. The fraction of votes for p1 goes to \
    judge/NAME.npy beside the pictures (of pairs the fraction of \"same\" to same/NAME.npy), which is what training and \
    evaluation read. Ctrl-C ends the labelling, and the same command goes on with it.";

/// Show triplets or pairs of pictures on a local web page, and keep people's votes on them.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{HOW}\n\n{EXAMPLES}"))]
pub(crate) struct Label {
    /// The folder with the pictures, at any depth.
    root: PathBuf,

    /// What to ask: 2afc (triplets) or jnd (pairs) [default: 2afc where there are triplets].
    #[arg(long)]
    kind: Option<Task>,

    /// Who votes; the page asks for it otherwise.
    #[arg(long, value_name = "NAME")]
    voter: Option<String>,

    /// Ask for a triplet or pair until it has this many votes [default: everybody judges everything].
    #[arg(long, value_name = "VOTES", value_parser = at_least_one)]
    per_triplet: Option<usize>,

    /// How long each picture of a pair is shown, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    display_ms: u64,

    /// The port of the address; 0 is any that is free.
    #[arg(long, default_value_t = 0)]
    port: u16,
}

impl Label {
    pub(crate) fn run(&self) -> Result {
        let voter = self.voter.as_deref().map(votes::name).transpose()?;
        let listener = self.listen()?;
        let bar = output::bar("looking at the pictures");
        let questions = Questions::open(&self.root, self.kind, &|count| match count {
            Some(count) => bar.inc_length(count as u64),
            None => bar.inc(1),
        });
        bar.finish_and_clear();
        let questions = Arc::new(questions?);
        let votes = Votes::open(questions.clone(), self.per_triplet)?;
        let port = listener.local_addr().map_err(|error| Failure::Work(Some(format!("no address: {error}"))))?.port();
        let token = server::random().map_err(|error| Failure::Work(Some(format!("no random numbers: {error}"))))?;

        let (ended, end) = mpsc::channel();
        on_signal(move || ended.send(()).unwrap_or_default())?;
        output::line(&format!("http://127.0.0.1:{port}/{token}/"))?;
        let (folders, noun) = (counted(questions.folders(), "folder"), questions.kind.noun());
        output::note(&format!(
            "{} in {folders}; {}",
            counted(questions.list.len(), noun),
            told(&votes.summary(), noun)
        ));
        output::note("open the address in a browser; Ctrl-C ends the labelling");

        let settings = Settings { kind: questions.kind.name(), display_ms: self.display_ms, voter };
        let server = Arc::new(Server { token, settings, questions, votes: Mutex::new(votes) });
        let answering = server.clone();
        std::thread::spawn(move || answering.run(&listener));
        // An error is that nobody can send the end any more.
        let _ = end.recv();
        let summary = server.votes().summary();
        output::note(&format!("{}, in {}", told(&summary, noun), output::text(&self.root.join(LOG))));
        Ok(())
    }

    fn listen(&self) -> Result<TcpListener> {
        TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).map_err(|error| {
            let port = self.port;
            Failure::Work(Some(match error.kind() {
                ErrorKind::AddrInUse => {
                    format!("port {port} is in use: give another with --port, or none for any that is free")
                }
                ErrorKind::PermissionDenied => {
                    format!("port {port} is not for everybody: give one from 1024 on with --port, or none")
                }
                _ => format!("can't listen at 127.0.0.1:{port}: {error}"),
            }))
        })
    }
}

/// What has come together.
fn told(summary: &Summary, noun: &str) -> String {
    let Summary { votes, people, judged, questions } = *summary;
    if votes == 0 {
        return "no votes yet".to_string();
    }
    let people = if people == 1 { "1 person".to_string() } else { format!("{people} people") };
    format!("{} by {people}, on {judged} of {}", counted(votes, "vote"), counted(questions, noun))
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn at_least_one(given: &str) -> std::result::Result<usize, String> {
    given.parse().ok().filter(|count| *count > 0).ok_or_else(|| "expected a number of at least 1".to_string())
}
