//! How an import ended: [`Imported`], the numbers of events, and [`ImportError`].

use std::collections::BTreeMap;
use std::io;

use constellation_shared::{EventId, Pubkey, counted};

use crate::strfry::output::Written;

/// What strfry did with the events that it was given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Imported {
    /// How many events were given to strfry.
    pub events: u64,
    /// What strfry says that it wrote.
    pub written: Written,
    /// How many events strfry rejected, by its reason.
    pub rejected: BTreeMap<String, u64>,
    /// How many lines strfry found longer than its `events.maxEventSize`, because we had read a
    /// larger value.
    pub too_long: u64,
    /// The events that were not given to strfry because their authors were blocked while they
    /// waited.
    pub withdrawn: Vec<Withdrawn>,
    /// How many strfry processes ended early and were replaced.
    pub replaced_children: u32,
}

/// An event that passed the gate and was not given to strfry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Withdrawn {
    /// Its id.
    pub id: EventId,
    /// Its author.
    pub author: Pubkey,
    /// Its kind.
    pub kind: u16,
}

impl Imported {
    /// How many events strfry rejected.
    pub(crate) fn rejected_count(&self) -> u64 {
        let counts = self.rejected.values().copied();
        counts.fold(0, u64::saturating_add)
    }

    /// The number of events whose fate strfry does not report.
    pub(crate) fn untold(&self) -> u64 {
        let told = self.written.total().saturating_add(self.rejected_count());
        self.events.saturating_sub(told)
    }

    /// Adds the numbers of another import.
    pub(crate) fn add(&mut self, others: Self) {
        self.events += others.events;
        self.written.add(others.written);
        for (reason, count) in others.rejected {
            let sum = self.rejected.entry(reason).or_default();
            *sum = sum.saturating_add(count);
        }
        self.too_long = self.too_long.saturating_add(others.too_long);
        self.withdrawn.extend(others.withdrawn);
        self.replaced_children += others.replaced_children;
    }
}

/// Why some events may not be in the database.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportError {
    /// strfry could not be started.
    #[error("strfry import could not be started")]
    Start(#[source] io::Error),
    /// The task that feeds strfry ended, which is an error in this program.
    #[error("the import ended unexpectedly")]
    Vanished,
    /// strfry ended several times without storing anything.
    #[error("strfry import ended {deaths} times without storing anything, {status}: {words}")]
    Dies {
        /// How often it ended.
        deaths: u32,
        /// Its last exit status.
        status: String,
        /// The last lines of its stderr.
        words: String,
    },
    /// strfry ended normally but read another number of events than it was given, so that it is
    /// unknown which events it has.
    #[error("strfry import was given {} and read {read}", counted(*.fed, "event"))]
    Miscounted {
        /// How many lines it was given.
        fed: u64,
        /// How many lines it says that it read.
        read: u64,
    },
    /// strfry read something else than the events that it was given.
    #[error("strfry import read {} other than the events that it was given", counted(*.0, "line"))]
    Garbled(u64),
    /// strfry says that it has stored the events, and has none of those that were looked for.
    #[error(
        "strfry import says that it stored the events, but none of {looked_for} that were looked for is in the database"
    )]
    NotStored {
        /// How many events were looked for.
        looked_for: usize,
    },
}

impl ImportError {
    /// What a captain can do about it.
    pub(crate) const fn remedy(&self) -> &'static str {
        match self {
            Self::Miscounted { .. } | Self::Garbled(_) | Self::NotStored { .. } => {
                "check what stands between us and strfry: a wrapper must hand its input on as it is (`exec strfry \"$@\"`, `docker exec -i`); then run again"
            }
            Self::Start(_) | Self::Vanished | Self::Dies { .. } => {
                "check the free disk space, dbParams.mapsize and the owner of strfry-db, then run again"
            }
        }
    }
}
