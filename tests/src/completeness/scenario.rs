//! [`Scenario`]: how large a simulated constellation is, and for how long it is watched.

use fastrand::Rng;

/// When the simulation begins, in Unix seconds: the beginning of an hour.
pub const BEGIN: u64 = 1_800_000_000;

/// The length of an hour in seconds.
pub const HOUR: u64 = 3600;

/// The length of a day in seconds.
pub const DAY: u64 = 24 * HOUR;

/// A length of time between these two, short ones as often as long ones.
pub fn long(shortest: u64, longest: u64, chance: &mut Rng) -> u64 {
    let (shortest, longest) = (shortest as f64, longest as f64);
    (shortest * (longest / shortest).powf(chance.f64())) as u64
}

/// How many events a station seems to hold: how it cuts its history follows from that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Few: all of its history is one slice.
    Small,
    /// Many: 24 slices, which are compared within a day.
    Medium,
    /// More than a million: 168 slices, which are compared within a week.
    Large,
}

impl Size {
    /// In which time all of the history is compared, in seconds.
    pub const fn period(self) -> u64 {
        match self {
            Self::Small | Self::Medium => DAY,
            Self::Large => 7 * DAY,
        }
    }
}

/// By what a station decides what to ask its peers for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planning {
    /// The program's own coverage.
    Coverage,
    /// A window of time: a day before the last complete run. It loses events, which shows that the
    /// oracle notices.
    Window,
}

/// What is simulated.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Where all chance comes from.
    pub seed: u64,
    /// How many stations there are.
    pub stations: usize,
    /// How many keys write.
    pub keys: usize,
    /// How many events they write in all.
    pub events: usize,
    /// For how many days things happen.
    pub days: u64,
    /// For how many hours nothing happens afterwards.
    pub quiet_hours: u64,
    /// Whether some of the stations are of [`Size::Large`]. Their history is compared within a
    /// week, so it must be quiet for longer.
    pub has_large: bool,
    /// What stations ask for.
    pub planning: Planning,
}

impl Scenario {
    /// 60 stations over 10 days. In every eighth scenario they are watched for 45 days, as
    /// stations are off for up to 40; in another eighth some of them hold millions of events.
    pub fn of(seed: u64) -> Self {
        let is_long = seed % 8 == 3;
        let has_large = seed % 8 == 6;
        Self {
            seed,
            stations: 60,
            keys: 40,
            events: 1500,
            days: if is_long { 45 } else { 10 },
            quiet_hours: if has_large { 9 * 24 } else { 48 },
            has_large,
            planning: Planning::Coverage,
        }
    }

    /// 28 stations over 3 days: some of them select their peers, others ask all of them.
    pub fn small(seed: u64) -> Self {
        Self {
            stations: 28,
            keys: 16,
            events: 400,
            days: 3,
            quiet_hours: 48,
            has_large: false,
            ..Self::of(seed)
        }
    }

    /// When it becomes quiet, in Unix seconds.
    pub const fn quiet_from(&self) -> u64 {
        BEGIN + self.days * DAY
    }

    /// When the simulation ends, in Unix seconds.
    pub const fn end(&self) -> u64 {
        self.quiet_from() + self.quiet_hours * HOUR
    }
}
