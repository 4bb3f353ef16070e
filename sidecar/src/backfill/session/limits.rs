//! What the peer's relay says of itself (NIP-11): its limits, and whether it is our own relay.

use tracing::info;

use crate::backfill::session::Session;
use crate::relay::connection::ConnectError;
use crate::relay::nip11::{Information, InformationError};
use crate::support::error_chain::chain;

impl Session {
    /// What the relay says of itself. A relay that turns out to be our own is refused.
    pub(super) async fn information(&self) -> Result<Information, ConnectError> {
        let information = self.remembered_or_fetched().await?;
        let identity = information.identity.as_ref();
        if self.connector.guard().is_ours(&self.address, identity) {
            return Err(ConnectError::OwnIdentity(self.address.to_string()));
        }
        Ok(information)
    }

    /// What the relay said in an earlier run, if that is remembered; otherwise it is asked. A
    /// relay without such a document gets the usual limits.
    async fn remembered_or_fetched(&self) -> Result<Information, ConnectError> {
        if let Some(known) = &self.known
            && !known.unreachable
        {
            return Ok(known.information.clone());
        }
        match Information::fetch(&self.address, &self.connector).await {
            Ok(information) => {
                for remark in &information.remarks {
                    info!("{} says of itself: {remark}", self.shown());
                }
                Ok(information)
            }
            Err(InformationError::Connect(error)) => Err(error),
            Err(error) => {
                info!(
                    "{}: {}; usual limits are assumed",
                    self.shown(),
                    chain(&error)
                );
                Ok(Information::default())
            }
        }
    }
}
