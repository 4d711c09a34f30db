//! Prefetching: runs jobs ahead on worker threads and yields their results in order.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use crate::error::Error;

/// Results that each worker holds ready at most.
const READY: usize = 2;

/// Iterator over the results of numbered jobs, in their order, computed ahead on worker threads.
///
/// A worker ends at its first error, so no results are certain after one. Dropping the iterator stops the workers after
/// their current job.
///
/// # Examples
/// ```
/// use lpips_data::loader::Prefetch;
///
/// let squares: Vec<usize> = Prefetch::start(0..5, 2, |job| Ok(job * job)).collect::<lpips_data::Result<_>>()?;
/// assert_eq!(squares, [0, 1, 4, 9, 16]);
/// # Ok::<(), lpips_data::Error>(())
/// ```
#[derive(Debug)]
pub struct Prefetch<T, E = Error> {
    /// One queue for each worker; the jobs are dealt to the workers in turn.
    queues: Vec<Receiver<Result<T, E>>>,
    workers: Vec<JoinHandle<()>>,
    jobs: Range<usize>,
    turn: usize,
}

impl<T: Send + 'static, E: Send + 'static> Prefetch<T, E> {
    /// Starts up to `workers` threads on the jobs of these numbers.
    pub fn start(
        jobs: Range<usize>,
        workers: usize,
        work: impl Fn(usize) -> Result<T, E> + Send + Sync + 'static,
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
                    // The receiver is gone if the iterator was dropped; after an error it takes no more results.
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

impl<T, E: From<Error>> Iterator for Prefetch<T, E> {
    type Item = Result<T, E>;

    fn next(&mut self) -> Option<Self::Item> {
        self.jobs.next()?;
        let queue = &self.queues[self.turn % self.queues.len()];
        self.turn += 1;
        Some(queue.recv().unwrap_or_else(|_| Err(Error::WorkerStopped.into())))
    }
}

impl<T, E> Drop for Prefetch<T, E> {
    fn drop(&mut self) {
        // Closes the queues: workers blocked on a full queue return.
        self.queues.clear();
        for worker in self.workers.drain(..) {
            drop(worker.join());
        }
    }
}
