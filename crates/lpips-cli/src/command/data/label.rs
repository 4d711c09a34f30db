//! `lpips data label`

use std::path::PathBuf;
use std::sync::{Arc, mpsc};

use clap::Args;
use lpips_data::Task;
use lpips_data::label::Questions;
use lpips_data::label::server::{self, Server, Settings};
use lpips_data::label::votes::{self, LOG, Summary, Votes};
use lpips_terminal::signal::on_signal;

use crate::output::{self, Result};

const EXAMPLES: &str = "Examples:
  lpips data label pictures
  lpips data label --voter anna --per-triplet 3 pictures
  lpips data label --kind jnd --display-ms 500 --port 8080 bapps";

const HOW: &str = "Below ROOT, each folder with ref, p0 and p1 holds triplets (2afc: which of p0 and p1 is more like ref?), \
    and each folder with p0 and p1 alone holds pairs (jnd: are they the same?). Every name has a picture in each.

The address is printed on standard output. It works on this machine only, and only with the token in it; to let others vote \
    from their machines, give --port and use `ssh -L`. Any number of people can vote at the same time.

Every vote is a line of ROOT/votes.jsonl, on the disk before the page shows the next question. The fraction of votes for p1 \
    goes to judge/NAME.npy beside the pictures (for pairs the fraction of \"same\" to same/NAME.npy), which training and \
    evaluation read. Ctrl-C ends the labelling, and the same command resumes it.";

/// Show triplets or pairs of pictures on a local web page, and record people's votes on them.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{HOW}\n\n{EXAMPLES}"))]
pub(crate) struct Label {
    /// Folder with the pictures, at any depth.
    root: PathBuf,

    /// Task: 2afc (triplets) or jnd (pairs) [default: 2afc where there are triplets].
    #[arg(long)]
    kind: Option<Task>,

    /// Voter's name that the page suggests.
    #[arg(long, value_name = "NAME")]
    voter: Option<String>,

    /// Stop asking for a triplet or pair after this many votes [default: every voter judges every one].
    #[arg(long, value_name = "VOTES", value_parser = at_least_one)]
    per_triplet: Option<usize>,

    /// Display time of each picture of a pair, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    display_ms: u64,

    /// Port of the address; 0 selects a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
}

impl Label {
    pub(crate) fn run(&self) -> Result {
        let voter = self.voter.as_deref().map(votes::name).transpose()?;
        let listener = server::bind(self.port)?;
        let bar = output::bar("checking the pictures");
        let questions = Questions::open(&self.root, self.kind, &|count| match count {
            Some(count) => bar.inc_length(count as u64),
            None => bar.inc(1),
        });
        bar.finish_and_clear();
        let questions = Arc::new(questions?);
        let votes = Votes::open(questions.clone(), self.per_triplet)?;
        let settings = Settings { display_ms: self.display_ms, voter };
        let server = Arc::new(Server::new(listener, settings, questions.clone(), votes)?);

        let (stop, stopped) = mpsc::channel();
        on_signal(move || stop.send(()).unwrap_or_default())?;
        output::line(&server.address())?;
        let noun = questions.task.noun();
        output::note(&format!(
            "{} in {}; {}",
            counted(questions.list.len(), noun),
            counted(questions.folders(), "folder"),
            totals(&server.summary(), noun)
        ));
        output::note("open the address in a browser; Ctrl-C ends the labelling");

        let answering = server.clone();
        std::thread::spawn(move || answering.run());
        // The sender lives as long as the signal handler, so this waits for Ctrl-C.
        let _ = stopped.recv();
        output::note(&format!("{}, in {}", totals(&server.summary(), noun), output::text(&self.root.join(LOG))));
        Ok(())
    }
}

/// Totals of the votes in words.
fn totals(summary: &Summary, noun: &str) -> String {
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
