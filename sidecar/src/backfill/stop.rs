//! [`Stop`]: what ends a session before its peer has given everything.

use std::future::pending;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// The stable word for a run that has taken the time that it may.
pub(crate) const OUT_OF_TIME: &str = "out_of_time";

/// Why a session is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StopReason {
    /// The run has taken the time that it may.
    #[error("the run has taken its {} (--max-minutes); the next run goes on", minutes(*.0))]
    OutOfTime(Duration),
    /// Only this peer is left, and it brings next to nothing.
    #[error("it brings far less than the other peers, which are done; the next run goes on")]
    TooSlow,
}

impl StopReason {
    /// The stable word for it in logs and reports.
    pub const fn code(self) -> &'static str {
        match self {
            Self::OutOfTime(_) => OUT_OF_TIME,
            Self::TooSlow => "too_slow",
        }
    }
}

fn minutes(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => constellation_shared::counted(seconds, "second"),
        seconds => constellation_shared::counted(seconds / 60, "minute"),
    }
}

/// The time that a run may take.
#[derive(Debug, Clone, Copy, Default)]
pub struct TimeLimit(Option<(Instant, Duration)>);

impl TimeLimit {
    /// A limit this long from now on; `None` for no limit.
    pub fn from_now(limit: Option<Duration>) -> Self {
        let end = |limit| Some((Instant::now().checked_add(limit)?, limit));
        Self(limit.and_then(end))
    }

    /// Whether the time is over.
    pub fn is_over(self) -> bool {
        self.0.is_some_and(|(end, _)| Instant::now() >= end)
    }

    /// Whether so much time is left.
    pub fn leaves(self, time: Duration) -> bool {
        let end = self.0.map(|(end, _)| end);
        end.is_none_or(|end| Instant::now() + time < end)
    }

    /// Waits until the time is over.
    pub async fn over(self) -> StopReason {
        match self.0 {
            Some((end, limit)) => {
                sleep_until(end).await;
                StopReason::OutOfTime(limit)
            }
            None => pending().await,
        }
    }
}

/// Tells one session to end.
#[derive(Debug)]
pub struct StopSwitch(watch::Sender<bool>);

impl StopSwitch {
    /// Stops the session because it brings next to nothing while all others are done.
    pub fn stop_for_slowness(&self) {
        self.0.send_replace(true);
    }
}

/// Tells a session when to stop.
#[derive(Debug, Clone)]
pub struct Stop {
    limit: TimeLimit,
    switch: Option<watch::Receiver<bool>>,
}

impl Stop {
    /// Stops a session when this time is over.
    pub const fn at(limit: TimeLimit) -> Self {
        Self {
            limit,
            switch: None,
        }
    }

    /// Stops a session when this time is over, or when the switch is used.
    pub fn with_switch(limit: TimeLimit) -> (Self, StopSwitch) {
        let (sender, receiver) = watch::channel(false);
        let stop = Self {
            limit,
            switch: Some(receiver),
        };
        (stop, StopSwitch(sender))
    }

    /// Whether so much of the run's time is left.
    pub fn leaves(&self, time: Duration) -> bool {
        self.limit.leaves(time)
    }

    /// Waits until the session is to end.
    pub async fn stopped(mut self) -> StopReason {
        let slow = async {
            if let Some(switch) = &mut self.switch
                && switch.wait_for(|is_used| *is_used).await.is_ok()
            {
                return StopReason::TooSlow;
            }
            pending().await
        };
        tokio::select! {
            reason = self.limit.over() => reason,
            reason = slow => reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_session_ends_with_its_time_or_its_switch() {
        let limit = TimeLimit::from_now(Some(Duration::from_millis(50)));
        let (stop, switch) = Stop::with_switch(limit);
        switch.stop_for_slowness();
        assert_eq!(stop.stopped().await, StopReason::TooSlow);
        let (stop, switch) = Stop::with_switch(limit);
        drop(switch);
        let reason = stop.stopped().await;
        assert!(limit.is_over());
        assert_eq!(reason.code(), OUT_OF_TIME);
        assert!(!TimeLimit::from_now(None).is_over());
        let reason = StopReason::OutOfTime(Duration::from_secs(3300));
        let words = "the run has taken its 55 minutes (--max-minutes); the next run goes on";
        assert_eq!(reason.to_string(), words);
    }
}
