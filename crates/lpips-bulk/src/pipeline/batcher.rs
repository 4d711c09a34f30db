//! Where pairs are put together by size, handed out to be measured, and told in their order.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use rayon::prelude::*;

use crate::Result;
use crate::pipeline::measure::{Measurement, Part, measure_each};
use crate::pipeline::{Shared, candidates};
use crate::results::schema::{MetricResult, Row};
use crate::source::pair::{Input, Pair};

/// Pairs that may be finished before the first that is not: they wait to be told.
const WAITING: u64 = 4096;
/// How long pairs that have been decoded wait for more of their size, when no more is being decoded.
const PATIENCE: Duration = Duration::from_millis(20);

/// A pair whose pictures are decoded, or can't be.
pub(super) struct Job {
    pub(super) sequence: u64,
    pub(super) pair: Pair,
    /// Of each candidate the tiles, or the whole.
    pub(super) parts: Result<Vec<Part>, String>,
    pub(super) bytes: usize,
}

/// What comes to the desk.
pub(super) enum Message {
    Job(Box<Job>),
    /// Jobs that have been measured.
    Measured(Vec<(Job, Result<Vec<MetricResult>, String>)>),
    /// The pairs have ended; with an error, at this place.
    End(u64, Result<()>),
}

/// Where rows come together.
pub(super) struct Desk<'a> {
    shared: &'a Arc<Shared>,
    jobs: Receiver<Message>,
    sender: Sender<Message>,
    /// By size, those that wait to be measured.
    groups: HashMap<(usize, usize), Group>,
    /// Batches that are being measured.
    busy: usize,
    /// The rows that wait for those before them.
    rows: BTreeMap<u64, Row>,
    next: u64,
    newest: u64,
    end: Option<(u64, Result<()>)>,
}

/// Jobs of one size, in their order, and how many parts they have.
#[derive(Default)]
struct Group {
    jobs: BTreeMap<u64, Job>,
    parts: usize,
    /// How many parts are measured at once.
    batch: usize,
}

impl Group {
    /// As many of the oldest jobs as make a batch.
    fn take(&mut self) -> Vec<Job> {
        let (mut jobs, mut parts) = (Vec::new(), 0);
        while parts < self.batch
            && let Some((_, job)) = self.jobs.pop_first()
        {
            parts += job.count();
            jobs.push(job);
        }
        self.parts -= parts;
        jobs
    }
}

impl Job {
    fn count(&self) -> usize {
        self.parts.as_ref().map_or(0, Vec::len)
    }
}

impl<'a> Desk<'a> {
    pub(super) fn new(shared: &'a Arc<Shared>, jobs: Receiver<Message>, sender: Sender<Message>) -> Self {
        let (groups, rows) = (HashMap::new(), BTreeMap::new());
        Self { shared, jobs, sender, groups, busy: 0, rows, next: 0, newest: 0, end: None }
    }

    pub(super) fn work(
        mut self,
        stop: &AtomicBool,
        tell: &mut dyn FnMut(Row) -> Result<ControlFlow<()>>,
    ) -> Result<bool> {
        loop {
            while let Ok(message) = self.jobs.try_recv() {
                self.accept(message);
            }
            let stopped = stop.load(Ordering::Relaxed);
            // Before anything is told, so that no thread waits for the disk.
            if let Some(size) = self.ready().filter(|_| !stopped) {
                self.measure(size);
                continue;
            }
            while let Some(row) = self.rows.remove(&self.next) {
                self.next += 1;
                if tell(row)?.is_break() {
                    return Ok(false);
                }
            }
            if stopped {
                return Ok(false);
            }
            if self.end.as_ref().is_some_and(|(count, _)| *count == self.next) {
                return self.end.map_or(Ok(()), |(_, ended)| ended).map(|()| true);
            }
            if let Ok(message) = self.jobs.recv_timeout(PATIENCE) {
                self.accept(message);
            } else if let Some(size) = self.oldest().filter(|_| self.busy == 0 && self.is_quiet(false)) {
                // Nothing more comes for now: what is there is measured.
                self.measure(size);
            }
        }
    }

    /// Whether nothing is being decoded; with `for_good` and nothing will be before something is measured.
    fn is_quiet(&self, for_good: bool) -> bool {
        self.shared.gate.change(|flow| flow.undecoded == 0 && (flow.still || !for_good))
    }

    fn oldest(&self) -> Option<(usize, usize)> {
        let first = |group: &Group| group.jobs.keys().next().copied();
        let groups = self.groups.iter().filter(|(_, group)| group.parts > 0);
        groups.min_by_key(|(_, group)| first(group)).map(|(size, _)| *size)
    }

    /// The size that is to be measured now: a batch is full, or the oldest pairs hold up the others, or no more will come.
    fn ready(&self) -> Option<(usize, usize)> {
        let may = |group: &Group| self.busy == 0 || (self.busy < self.shared.work.at_once() && group.batch > 1);
        if let Some((size, _)) = self.groups.iter().find(|(_, group)| group.parts >= group.batch && may(group)) {
            return Some(*size);
        }
        let holds_up = self.newest.saturating_sub(self.next) >= WAITING;
        let ended = || self.busy == 0 || self.end.is_some();
        self.oldest().filter(|size| may(&self.groups[size]) && (holds_up || (ended() && self.is_quiet(true))))
    }

    fn accept(&mut self, message: Message) {
        match message {
            Message::End(count, ended) => self.end = Some((count, ended)),
            Message::Measured(jobs) => {
                self.busy -= 1;
                for (job, outcome) in jobs {
                    self.shared.keep(&job);
                    self.done(&job, outcome);
                }
            }
            Message::Job(job) => {
                self.newest = self.newest.max(job.sequence);
                match &job.parts {
                    Err(error) => {
                        let error = error.clone();
                        self.done(&job, Err(error));
                    }
                    Ok(parts) => {
                        let size = parts.first().and_then(|part| part.reference.size()).unwrap_or_default();
                        let batch = || self.shared.work.batch(size);
                        let group =
                            self.groups.entry(size).or_insert_with(|| Group { batch: batch(), ..Group::default() });
                        group.parts += parts.len();
                        group.jobs.insert(job.sequence, *job);
                    }
                }
            }
        }
    }

    /// Hands a batch out.
    fn measure(&mut self, size: (usize, usize)) {
        let Some(group) = self.groups.get_mut(&size) else { return };
        let (jobs, batch) = (group.take(), group.batch);
        if group.jobs.is_empty() {
            self.groups.remove(&size);
        }
        self.busy += 1;
        let (shared, sender) = (self.shared.clone(), self.sender.clone());
        rayon::spawn(move || {
            // Nobody listens where it has ended early.
            drop(sender.send(Message::Measured(shared.measure(jobs, batch))));
        });
    }

    fn done(&mut self, job: &Job, outcome: Result<Vec<MetricResult>, String>) {
        let name = |input: &Input| input.name().to_path_buf();
        let Pair { index, reference, candidate, second } = &job.pair;
        let (reference, candidate, second) = (name(reference), name(candidate), second.as_ref().map(name));
        self.rows.insert(job.sequence, Row { index: *index, reference, candidate, second, outcome });
        self.shared.gate.change(|flow| {
            flow.pairs -= 1;
            flow.bytes -= job.bytes;
        });
    }
}

impl Shared {
    fn measure(&self, jobs: Vec<Job>, batch: usize) -> Vec<(Job, Result<Vec<MetricResult>, String>)> {
        let parts: Vec<Part> = jobs.iter().flat_map(|job| job.parts.iter().flatten()).cloned().collect();
        let mut measured = Vec::with_capacity(parts.len());
        for parts in parts.chunks(batch) {
            measure_each(&self.work, parts, &mut measured);
        }
        drop(parts);
        let mut measured = measured.into_iter();
        let own = |job: &Job| measured.by_ref().take(job.count()).collect::<Result<Vec<Measurement>, String>>();
        let measured: Vec<_> = jobs.iter().map(own).collect();
        let outcomes: Vec<_> =
            jobs.par_iter().zip(&measured).map(|(job, own)| self.work.outcome(job, own.as_ref())).collect();
        jobs.into_iter().zip(outcomes).collect()
    }

    /// Keeps what pairs to come may ask for.
    fn keep(&self, job: &Job) {
        let work = &self.work;
        let Ok(parts) = &job.parts else { return };
        if work.options.prepare.tile.is_some() {
            return;
        }
        let inputs = std::iter::once(&job.pair.reference).chain(candidates(&job.pair));
        let slots =
            parts.first().map(|part| &part.reference).into_iter().chain(parts.iter().map(|part| &part.candidate));
        for (input, slot) in inputs.zip(slots) {
            let Input::File(name) = input else { continue };
            let is_candidate_alone =
                work.options.prepare.depends_on_reference() && !Arc::ptr_eq(slot, &parts[0].reference);
            if !work.options.keep.wants(slot) || is_candidate_alone {
                continue;
            }
            if !work.needs_pixels() && (0..work.looks.len()).all(|look| slot.seen(look).is_some()) {
                slot.forget_pixels();
            }
            self.slots().keep(name, slot);
        }
    }
}
