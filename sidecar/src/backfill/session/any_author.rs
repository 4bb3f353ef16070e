//! [`AnyAuthor`]: the events of some kinds that are wanted whoever wrote them. They are asked for
//! once all else has come, over a connection of their own. Whatever becomes of that, what was had of
//! the followed authors is not touched by it.

use std::sync::Arc;

use tracing::{info, warn};

use crate::admission::intake::Intake;
use crate::backfill::paging::{FetchError, fetch};
use crate::backfill::session::Session;
use crate::backfill::session::failure::AttemptError;
use crate::plan::wanted::Wanted;
use crate::relay::filter::{LATEST, Window};
use crate::relay::nip11::Information;
use crate::relay::pager::Pager;
use crate::report::OfAnyAuthor;
use crate::support::error_chain::chain;

/// How many events of any author a peer is asked for at most in one run, the newest ones. Anybody can
/// make as many keys as he likes, and sign with each of them.
pub(crate) const MOST_EVENTS: usize = 1000;

/// What is wanted whoever wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnyAuthor {
    /// The kinds, in ascending order.
    pub kinds: Vec<u16>,
    /// The earliest time, in Unix seconds.
    pub since: u64,
}

impl AnyAuthor {
    fn pager(&self, information: &Information) -> Pager {
        let mut wanted = Wanted::since(Arc::default(), self.kinds.clone(), self.since);
        wanted.most_events = MOST_EVENTS;
        let windows = wanted.kinds_asked_together().into_iter();
        let windows = windows.map(|kinds| Window {
            authors: Vec::new(),
            kinds,
            since: self.since,
            until: LATEST,
        });
        wanted.pager(windows.collect(), information).strictly()
    }
}

impl Session {
    /// Fetches what is wanted whoever wrote it; `None` if nothing is. It is not tried twice: the
    /// next run asks for the same again.
    pub(super) async fn fetch_of_any_author(
        &self,
        intake: &mut Intake,
        information: Option<&Information>,
    ) -> Option<OfAnyAuthor> {
        let wanted = self.any_author.as_ref()?;
        let unknown = Information::default();
        let mut pager = wanted.pager(information.unwrap_or(&unknown));
        let failure = tokio::select! {
            result = self.walk_any_author(&mut pager, intake) => {
                result.err().map(|error| chain(&error))
            }
            reason = self.stop.clone().stopped() => Some(reason.to_string()),
        };
        let of_any_author = OfAnyAuthor {
            received: pager.received(),
            is_cut: pager.received() >= MOST_EVENTS,
            failure: failure.or_else(|| pager.gaps().first().cloned()),
        };
        let peer = self.shown();
        if let Some(why) = &of_any_author.failure {
            warn!("{peer}: its events of --any-author-kinds did not all come: {why}");
        } else if of_any_author.is_cut {
            info!(
                "{peer} holds more events of --any-author-kinds than the {MOST_EVENTS} newest, which were taken"
            );
        }
        Some(of_any_author)
    }

    async fn walk_any_author(
        &self,
        pager: &mut Pager,
        intake: &mut Intake,
    ) -> Result<(), AttemptError> {
        let mut connection = self.open().await?;
        let bar = &self.bar;
        match fetch(&mut connection, pager, intake, self.patience, || bar.inc(1)).await {
            // It does not know limits, and would go on without an end.
            Ok(()) | Err(FetchError::Endless) => {}
            Err(error) => return Err(error.into()),
        }
        connection.close().await;
        Ok(())
    }
}
