//! Work that is done ahead of whoever needs it, on threads of its own, and handed over in order.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use crate::error::{Error, Result};

/// What each worker has ready at most.
const READY: usize = 2;

/// What jobs come to, in their order. The first that fails is the last.
#[derive(Debug)]
pub struct Prefetch<T> {
    /// One for each worker: of the jobs from the first on each takes its turn.
    queues: Vec<Receiver<Result<T>>>,
    workers: Vec<JoinHandle<()>>,
    jobs: Range<usize>,
    turn: usize,
}

impl<T: Send + 'static> Prefetch<T> {
    /// Starts to work on jobs by their numbers.
    pub fn start(
        jobs: Range<usize>,
        workers: usize,
        work: impl Fn(usize) -> Result<T> + Send + Sync + 'static,
    ) -> Self {
        let count = workers.clamp(1, jobs.len().max(1));
        let work = Arc::new(work);
        let (mut queues, mut workers) = (Vec::new(), Vec::new());
        for worker in 0..count {
            let (sender, queue) = sync_channel(READY);
            let (work, own) = (work.clone(), (jobs.start + worker..jobs.end).step_by(count));
            workers.push(std::thread::spawn(move || {
                for job in own {
                    let result = work(job);
                    // Nobody waits for more where the work has failed or is no longer wanted.
                    let failed = result.is_err();
                    if sender.send(result).is_err() || failed {
                        return;
                    }
                }
            }));
            queues.push(queue);
        }
        Self { queues, workers, jobs, turn: 0 }
    }
}

impl<T> Iterator for Prefetch<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Self::Item> {
        self.jobs.next()?;
        let queue = &self.queues[self.turn % self.queues.len()];
        self.turn += 1;
        let gone = || Error::Data("a thread that decodes pictures has stopped unexpectedly".to_string());
        Some(queue.recv().unwrap_or_else(|_| Err(gone())))
    }
}

impl<T> Drop for Prefetch<T> {
    fn drop(&mut self) {
        // A worker that waits to hand over learns that nobody takes it.
        self.queues.clear();
        for worker in self.workers.drain(..) {
            drop(worker.join());
        }
    }
}
