//! [`OwnNode`]: where this station publishes the key of its own node.

use std::env;
use std::time::Duration;

use constellation_shared::Station;
use constellation_shared::kubo::Repository;
use constellation_shared::list_file::ListFile;

/// How long a known id counts before kubo's configuration is read again. It changes when somebody
/// sets up kubo anew, which happens once in years.
const READ_EVERY: Duration = Duration::from_secs(5);

/// The IPFS id of this station, as kubo's configuration has it.
#[derive(Debug, Default)]
pub(super) struct OwnNode {
    id: Option<String>,
    /// When it was read, in time since 1970.
    read: Duration,
}

impl OwnNode {
    /// The file with the key of this station's node (`tmp/IPFSNODEID/HEX`), if its id is known: from
    /// the variable `IPFSNODEID`, otherwise from kubo's configuration. If that cannot be read at the
    /// moment, the last id counts. `now` is the time since 1970.
    pub(super) fn key(&mut self, station: &Station, now: Duration) -> Option<ListFile> {
        if let Ok(id) = env::var("IPFSNODEID")
            && !id.trim().is_empty()
        {
            return file(station, id.trim());
        }
        let age = now.checked_sub(self.read);
        if self.id.is_none() || age.is_none_or(|age| age >= READ_EVERY) {
            self.read = now;
            let repository = Repository::find(station, env::var_os("IPFS_PATH"));
            let id = repository.and_then(|repository| repository.peer_id());
            self.id = id.or(self.id.take());
        }
        file(station, self.id.as_deref()?)
    }
}

fn file(station: &Station, id: &str) -> Option<ListFile> {
    let folder = station.published_dir(id)?;
    Some(ListFile::own(folder.join(Station::HEX)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_id_is_read_again_now_and_then() {
        let dir = tempfile::tempdir().unwrap();
        let station = Station::new(dir.path().join(".zen"));
        let config = station.ipfs_dir().join("config");
        fs::create_dir_all(station.ipfs_dir()).unwrap();
        let expected = |id: &str| {
            let path = station.root().join("tmp").join(id).join("HEX");
            Some(ListFile::own(path))
        };
        let mut node = OwnNode::default();
        let mut now = Duration::from_secs(1);
        for (text, id) in [
            (r#"{"Identity":{"PeerID":"12D3Koo"}}"#, expected("12D3Koo")),
            // Half written: the last id counts.
            (r#"{"Identity":{"Pee"#, expected("12D3Koo")),
            (r#"{"Identity":{"PeerID":"../../x"}}"#, None),
            (r#"{"Identity":{"PeerID":"QmOther"}}"#, expected("QmOther")),
        ] {
            let before = node.key(&station, now);
            fs::write(&config, text).unwrap();
            if node.id.is_some() {
                assert_eq!(node.key(&station, now), before);
            }
            now += READ_EVERY;
            assert_eq!(node.key(&station, now), id, "{text}");
        }
    }
}
