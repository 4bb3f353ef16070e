//! [`Promises`]: which events a peer's complete runs promised, from the truth alone: which keys
//! were not followed in which run, and with whom a run was complete. It shares nothing with the
//! program, which plans by its coverage.

use super::library::KeyBits;

/// What a complete run stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kinds {
    /// The usual kinds.
    Usual,
    /// The kind that is left out at times.
    Other,
}

/// What the complete runs of one station stand for.
#[derive(Debug, Clone)]
pub struct Promises {
    /// How many runs there were.
    run: u32,
    /// For each key the last run that did not follow it.
    unfollowed: Vec<u32>,
    /// For each peer the last complete run, for the usual kinds and for the other one.
    complete: Vec<[Option<u32>; 2]>,
}

impl Promises {
    /// Nothing is promised yet.
    pub fn new(keys: usize, stations: usize) -> Self {
        Self {
            run: 0,
            unfollowed: vec![0; keys],
            complete: vec![[None; 2]; stations],
        }
    }

    /// A run begins that follows these keys.
    pub fn begin_run(&mut self, followed: KeyBits) {
        self.run += 1;
        self.unfollow(!followed);
    }

    /// This run did not follow these keys, or not to its end.
    pub fn unfollow(&mut self, keys: KeyBits) {
        for (key, unfollowed) in self.unfollowed.iter_mut().enumerate() {
            if keys & (1 << key) != 0 {
                *unfollowed = self.run;
            }
        }
    }

    /// The keys that have not been followed in each run since the last one that was complete with
    /// this peer.
    pub fn new_keys(&self, peer: usize, kinds: Kinds) -> KeyBits {
        let complete = self.complete[peer][kinds as usize];
        let keys = self.unfollowed.iter().enumerate();
        let new = keys.filter(|(_, unfollowed)| complete.is_none_or(|run| **unfollowed >= run));
        new.map(|(key, _)| 1 << key).sum()
    }

    /// This run was complete with a peer.
    pub fn complete(&mut self, peer: usize, kinds: Kinds) {
        self.complete[peer][kinds as usize] = Some(self.run);
    }
}
