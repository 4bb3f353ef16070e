//! Events that flow: published at random moments, each at one of the peers.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use constellation_shared::EventId;
use constellation_tests::author::Author;

use super::client::{Client, Reader};
use super::kept::fresh;

/// An event that a peer has said `OK` to.
#[derive(Clone, Copy)]
pub(crate) struct Published {
    pub(crate) id: EventId,
    /// When it did.
    pub(crate) at: Instant,
}

/// Threads that publish, one for each peer.
pub(crate) struct Flow {
    threads: Vec<JoinHandle<()>>,
    is_over: Arc<AtomicBool>,
    published: Arc<Mutex<Vec<Published>>>,
}

impl Flow {
    /// Publishes `count` events in all at these ports, at random moments that are `gap` apart on
    /// average. An event that a peer does not take because it is away is not counted, and given to
    /// it again once it is back.
    pub(crate) fn start(ports: &[u16], authors: &[Author], count: usize, gap: Duration) -> Self {
        let flow = Self {
            threads: Vec::new(),
            is_over: Arc::default(),
            published: Arc::default(),
        };
        let threads = ports.iter().enumerate().map(|(place, port)| {
            let (port, authors) = (*port, authors.to_vec());
            let share = (count + ports.len() - 1 - place) / ports.len();
            let gap = gap * ports.len() as u32;
            let (is_over, published) = (Arc::clone(&flow.is_over), Arc::clone(&flow.published));
            thread::spawn(move || {
                let mut client = Client::connect(port);
                for _ in 0..share {
                    // An exponential distribution: no moment is likelier than another.
                    thread::sleep(gap.mul_f64(-(1.0 - fastrand::f64()).ln()));
                    let author = fastrand::choice(&authors).unwrap();
                    let event = fresh(author);
                    let at = loop {
                        if is_over.load(Ordering::Relaxed) {
                            return;
                        }
                        if let Some(at) = client.as_mut().and_then(|to| to.publish(&event)) {
                            break at;
                        }
                        thread::sleep(Duration::from_millis(50));
                        client = Client::connect(port);
                    };
                    published
                        .lock()
                        .unwrap()
                        .push(Published { id: event.id, at });
                }
            })
        });
        let threads = threads.collect();
        Self { threads, ..flow }
    }

    /// What was published so far.
    pub(crate) fn so_far(&self) -> BTreeSet<EventId> {
        let published = self.published.lock().unwrap();
        published.iter().map(|published| published.id).collect()
    }

    /// Waits until all is published.
    pub(crate) fn wait(self) -> Vec<Published> {
        for thread in self.threads {
            thread.join().unwrap();
        }
        self.published.lock().unwrap().clone()
    }

    /// Publishes nothing more.
    pub(crate) fn stop(self) -> Vec<Published> {
        self.is_over.store(true, Ordering::Relaxed);
        self.wait()
    }
}

/// How many seconds after `OK` the events could be read, in ascending order; those that cannot be
/// after `patience` are left out.
pub(crate) fn delays(reader: &Reader, published: &[Published], patience: Duration) -> Vec<f64> {
    let began = Instant::now();
    let all_seen = || published.iter().all(|one| reader.seen_at(one.id).is_some());
    while !all_seen() && began.elapsed() < patience {
        thread::sleep(Duration::from_millis(50));
    }
    let mut delays: Vec<f64> = published
        .iter()
        .filter_map(|one| Some((reader.seen_at(one.id)?, one.at)))
        .map(|(seen, at)| seen.saturating_duration_since(at).as_secs_f64())
        .collect();
    delays.sort_by(f64::total_cmp);
    delays
}

/// What this share of the values is not above; they must be in ascending order.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let place = (sorted.len() as f64 * share).ceil() as usize;
    sorted
        .get(place.saturating_sub(1).min(last))
        .copied()
        .unwrap_or(f64::NAN)
}
