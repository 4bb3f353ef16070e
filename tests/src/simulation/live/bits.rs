//! [`Bits`]: which events stations have, as a row of bits for each station.

/// Which events stations have, as a row of bits for each station.
#[derive(Debug)]
pub struct Bits {
    words: usize,
    bits: Vec<u64>,
}

impl Bits {
    /// Nobody has any of so many events.
    pub fn new(stations: usize, events: usize) -> Self {
        let words = events.div_ceil(64);
        Self {
            words,
            bits: vec![0; words * stations],
        }
    }

    /// Whether a station has an event.
    pub fn has(&self, station: u32, event: u32) -> bool {
        self.bits[station as usize * self.words + event as usize / 64] >> (event % 64) & 1 == 1
    }

    /// A station has an event. Returns whether it had not before.
    pub fn set(&mut self, station: u32, event: u32) -> bool {
        let is_new = !self.has(station, event);
        self.bits[station as usize * self.words + event as usize / 64] |= 1 << (event % 64);
        is_new
    }

    /// The events from `first` to before `end` that a station has here and another lacks there.
    pub fn beyond(
        &self,
        station: u32,
        there: &Self,
        other: u32,
        (first, end): (usize, usize),
    ) -> Vec<u32> {
        let (here, row) = (station as usize * self.words, other as usize * self.words);
        let mut events = Vec::new();
        for word in first / 64..end.div_ceil(64) {
            let mut left = self.bits[here + word] & !there.bits[row + word];
            if word == first / 64 {
                left &= u64::MAX << (first % 64);
            }
            while left != 0 {
                events.push((word * 64) as u32 + left.trailing_zeros());
                left &= left - 1;
            }
        }
        events
    }
}
