//! [`InForce`]: what of the settings the answers need, replaced while strfry waits for no answer.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tracing::error;

use crate::filters::{Filters, Limits, Wanted};
use crate::message::Answer;
use crate::settings::{Conduct, FilterFolder};

/// What of the settings is in force.
#[derive(Debug, Default)]
pub struct InForce {
    shadow: AtomicBool,
    filters: RwLock<Asked>,
    /// The filters that were asked last. Others share their runner, so that there is only one.
    last: Mutex<Option<Arc<Filters>>>,
}

/// Whose filters are asked.
#[derive(Debug, Clone, Default)]
pub enum Asked {
    /// Nobody's.
    #[default]
    Nobody,
    /// These.
    Filters(Arc<Filters>),
    /// It is not known, so no event is accepted.
    Unknown,
}

impl Asked {
    /// Whether a filter must be asked about an event whose request has this kind, as it is written
    /// there.
    pub fn wanted(&self, kind: Option<&[u8]>) -> Wanted {
        match self {
            Self::Nobody => Wanted::Nothing,
            Self::Filters(filters) => filters.wanted(kind),
            Self::Unknown => Wanted::Refusal(Answer::Reject("error: filters unavailable")),
        }
    }

    /// The filters, if they are known and there are any.
    pub fn filters(&self) -> Option<&Arc<Filters>> {
        match self {
            Self::Filters(filters) => Some(filters),
            Self::Nobody | Self::Unknown => None,
        }
    }
}

impl InForce {
    /// What is in force at the start. What filters print is appended to the file `log`.
    ///
    /// # Errors
    /// Fails if filters cannot be run, see [`Filters::start`].
    pub fn start(conduct: &Conduct, log: &Path) -> io::Result<Self> {
        let in_force = Self::default();
        in_force.adopt(conduct, log)?;
        Ok(in_force)
    }

    /// Without filters; `shadow` says whether blocked authors are told that their events were accepted.
    pub fn without_filters(shadow: bool) -> Self {
        Self {
            shadow: shadow.into(),
            ..Self::default()
        }
    }

    /// Puts other settings in force. If filters cannot be run, the former ones are asked.
    pub fn change(&self, conduct: &Conduct, log: &Path) {
        if let Err(why) = self.adopt(conduct, log) {
            error!("other filters cannot be run, so the former ones are: {why}");
        }
    }

    fn adopt(&self, conduct: &Conduct, log: &Path) -> io::Result<()> {
        self.shadow.store(conduct.shadow, Ordering::Relaxed);
        let asked = match &conduct.filters {
            FilterFolder::None => Asked::Nobody,
            FilterFolder::Unknown => Asked::Unknown,
            FilterFolder::At(folder) => self.filters_in(folder, conduct.limits, log)?,
        };
        *self.filters.write().unwrap_or_else(PoisonError::into_inner) = asked;
        Ok(())
    }

    fn filters_in(&self, folder: &Path, limits: Limits, log: &Path) -> io::Result<Asked> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let filters = match &*last {
            Some(former) => former.moved(folder, limits)?,
            None => Filters::start(folder, limits, log)?,
        };
        let filters = Arc::new(filters);
        *last = Some(Arc::clone(&filters));
        Ok(Asked::Filters(filters))
    }

    /// Whether blocked authors are told that their events were accepted.
    pub fn shadow(&self) -> bool {
        self.shadow.load(Ordering::Relaxed)
    }

    /// Whose filters are asked.
    pub fn asked(&self) -> Asked {
        let asked = self.filters.read().unwrap_or_else(PoisonError::into_inner);
        asked.clone()
    }
}
