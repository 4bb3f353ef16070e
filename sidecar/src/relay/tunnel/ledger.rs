//! Which tunnels are ours: kept in a file from before each is opened until after it is
//! closed (`strfry/constellation-tunnels.json`), so that those of a run that was killed
//! are known to the next one. Safe to delete: what is open then stays open until the IPFS
//! daemon ends.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::relay::peer_id::PeerId;
use crate::relay::tunnel::ipfs::Ipfs;
use crate::support::mutex::lock;
use crate::support::state_file::TUNNELS;

/// The port that captains know.
const USUAL_PORT: u16 = 9999;

/// The layout of the file.
const VERSION: u32 = 1;

/// The most tunnels that the file may name.
const MOST_TUNNELS: usize = 1000;

/// A tunnel that is open, or may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The TCP port of this machine that it listens on.
    pub port: u16,
    /// Whose relay is behind it.
    pub peer: PeerId,
    /// Whether it could not be closed: that is left to the next start.
    pub given_up: bool,
}

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    tunnels: Vec<Record>,
}

#[derive(Serialize, Deserialize)]
struct Record {
    listen_port: u16,
    peer: String,
}

/// The tunnels that we opened and have not closed.
#[derive(Debug)]
pub(crate) struct Ledger {
    path: PathBuf,
    ipfs: Ipfs,
    entries: Mutex<Vec<Entry>>,
}

impl Ledger {
    /// Reads what an earlier run left; nothing where the file is missing, broken or of
    /// another version.
    pub(crate) fn load(path: PathBuf, ipfs: Ipfs) -> Self {
        let entries = Mutex::new(read(&path));
        Self {
            path,
            ipfs,
            entries,
        }
    }

    /// What is open, or may be.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.lock().clone()
    }

    /// Finds a free port for a tunnel, 9999 unless it is taken or `unusual` is
    /// wanted, and notes it down.
    ///
    /// # Errors
    /// Those of asking the system for a port.
    pub(crate) fn reserve(&self, peer: &PeerId, unusual: bool) -> io::Result<u16> {
        let mut entries = self.lock();
        let is_ours = |port: u16| entries.iter().any(|entry| entry.port == port);
        let port = match !unusual && !is_ours(USUAL_PORT) && is_free(USUAL_PORT) {
            true => USUAL_PORT,
            // The system never names one that somebody listens on.
            false => TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
                .local_addr()?
                .port(),
        };
        let peer = peer.clone();
        entries.push(Entry {
            port,
            peer,
            given_up: false,
        });
        self.save(&entries);
        Ok(port)
    }

    /// Crosses out what is closed, or never was open.
    pub(crate) fn remove(&self, port: u16) {
        let mut entries = self.lock();
        entries.retain(|entry| entry.port != port);
        self.save(&entries);
    }

    /// Leaves what could not be closed to the next start.
    pub(crate) fn give_up(&self, port: u16) {
        let mut entries = self.lock();
        for entry in entries.iter_mut().filter(|entry| entry.port == port) {
            entry.given_up = true;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        lock(&self.entries)
    }

    fn save(&self, entries: &[Entry]) {
        let written = match entries {
            [] => match fs::remove_file(&self.path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                removed => removed,
            },
            entries => write(&self.path, entries),
        };
        if let Err(error) = written {
            let path = self.path.display();
            warn!("{path} cannot be written ({error}): if this run is killed, its tunnels stay");
        }
    }
}

/// Whether nobody listens there: a tunnel could.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

impl Drop for Ledger {
    /// The backstop: whoever forgot to close gets it done, though not waited for. The
    /// file stays, so that the next start sweeps what this did not reach.
    fn drop(&mut self) {
        for entry in self.lock().iter().filter(|entry| !entry.given_up) {
            self.ipfs.start_close(entry.port);
        }
    }
}

fn read(path: &Path) -> Vec<Entry> {
    let text = TUNNELS.read(path);
    let file = text.and_then(|text| serde_json::from_slice::<File>(&text).ok());
    let records = match file {
        Some(file) if file.version == VERSION => file.tunnels,
        _ => Vec::new(),
    };
    let entries = records.into_iter().take(MOST_TUNNELS).filter_map(|record| {
        Some(Entry {
            port: record.listen_port,
            peer: record.peer.parse().ok()?,
            given_up: false,
        })
    });
    entries.collect()
}

fn write(path: &Path, entries: &[Entry]) -> io::Result<()> {
    let record = |entry: &Entry| Record {
        listen_port: entry.port,
        peer: entry.peer.to_string(),
    };
    let file = File {
        version: VERSION,
        tunnels: entries.iter().map(record).collect(),
    };
    TUNNELS.write(path, &serde_json::to_vec(&file)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const ID: &str = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA";

    fn ledger(path: &Path) -> Ledger {
        Ledger::load(
            path.to_owned(),
            Ipfs::new("/nonexistent/ipfs", Duration::ZERO),
        )
    }

    #[test]
    fn a_killed_run_s_tunnels_are_known_to_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tunnels.json");
        let killed = ledger(&path);
        let peer: PeerId = ID.parse().unwrap();
        let first = killed.reserve(&peer, false).unwrap();
        let second = killed.reserve(&peer, false).unwrap();
        assert_ne!(first, second);
        let next = ledger(&path);
        assert_eq!(next.entries(), killed.entries());
        assert_eq!(next.entries().len(), 2);
        next.remove(first);
        next.remove(first);
        assert!(path.exists());
        next.remove(second);
        assert!(!path.exists());
    }

    #[test]
    fn a_broken_file_names_no_tunnels() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tunnels.json");
        let hostile = r#"{"version":1,"tunnels":[{"listen_port":22,"peer":"--all"}]}"#;
        for text in ["", "{", "[]", "{\"version\":2,\"tunnels\":[]}", hostile] {
            fs::write(&path, text).unwrap();
            assert_eq!(ledger(&path).entries(), [], "{text}");
        }
    }
}
