//! [`Ledger`]: the list of our own tunnels (`strfry/constellation-tunnels.json`). Each tunnel is in
//! it from before it is opened until after it is closed, so that the next run can close the
//! tunnels of a run that was killed. The file may be deleted; open tunnels then stay open until
//! the IPFS daemon ends.

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

/// The port that captains know from the station's own tunnel script.
const USUAL_PORT: u16 = 9999;

/// The version of the file's format.
const VERSION: u32 = 1;

/// How many tunnels of the file are read at most.
const MOST_TUNNELS: usize = 1000;

/// A tunnel that is open or may be open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The TCP port of this machine on which the tunnel listens.
    pub port: u16,
    /// The IPFS node whose relay the tunnel leads to.
    pub peer: PeerId,
    /// Whether the tunnel could not be closed, so that the next run has to try again.
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

/// The tunnels that we have opened and not yet closed.
#[derive(Debug)]
pub(crate) struct Ledger {
    path: PathBuf,
    ipfs: Ipfs,
    entries: Mutex<Vec<Entry>>,
}

impl Ledger {
    /// Reads the tunnels that an earlier run left open; none if the file is missing, broken or of
    /// another version.
    pub(crate) fn load(path: PathBuf, ipfs: Ipfs) -> Self {
        let entries = Mutex::new(read(&path));
        Self {
            path,
            ipfs,
            entries,
        }
    }

    /// The tunnels that are open or may be open.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.lock().clone()
    }

    /// Finds a free port for a tunnel and enters it. The port is 9999 unless that is taken or
    /// `unusual` is set.
    ///
    /// # Errors
    /// If the system has no free port.
    pub(crate) fn reserve(&self, peer: &PeerId, unusual: bool) -> io::Result<u16> {
        let mut entries = self.lock();
        let is_ours = |port: u16| entries.iter().any(|entry| entry.port == port);
        let port = if !unusual && !is_ours(USUAL_PORT) && is_free(USUAL_PORT) {
            USUAL_PORT
        } else {
            // The system never assigns a port on which somebody listens.
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
                .local_addr()?
                .port()
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

    /// Removes a tunnel that is closed or was never open.
    pub(crate) fn remove(&self, port: u16) {
        let mut entries = self.lock();
        entries.retain(|entry| entry.port != port);
        self.save(&entries);
    }

    /// Marks a tunnel that could not be closed; the next run tries again.
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
            warn!(
                "{path} cannot be written: {error}; if this run is killed, its tunnels stay open; check the free disk space and who owns the file"
            );
        }
    }
}

/// Whether nobody listens on this port of this machine.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

impl Drop for Ledger {
    /// Starts closing every tunnel that is still open, without waiting. The file stays, so that the
    /// next run closes any that this did not reach.
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
    use crate::relay::tunnel::ipfs::IpfsProgram;
    use std::time::Duration;

    const ID: &str = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA";

    fn ledger(path: &Path) -> Ledger {
        let program = IpfsProgram {
            path: "/nonexistent/ipfs".into(),
            api: None,
        };
        Ledger::load(path.to_owned(), Ipfs::new(program, Duration::ZERO))
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
