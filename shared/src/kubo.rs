//! [`Repository`]: the folder in which the machine's IPFS node (kubo) keeps its identity and the
//! address of its API. Only its configuration is read, and of that only what is public.

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::Station;
use crate::regular_file;

/// The largest file that is read, in bytes.
const LARGEST: u64 = 256 * 1024;

/// The longest address of an API, in bytes.
const LONGEST_API: usize = 300;

/// Where packages of systems and containers keep it.
const OF_THE_SYSTEM: [&str; 3] = ["/var/lib/ipfs", "/var/lib/ipfs/.ipfs", "/data/ipfs"];

/// A repository of kubo with a configuration that can be read.
#[derive(Debug, Clone)]
pub struct Repository {
    folder: PathBuf,
    config: Value,
    /// Whether the program `ipfs` finds it by itself.
    is_found_by_ipfs: bool,
}

impl Repository {
    /// The repository of this machine's node: the one that `IPFS_PATH` names, given as `ipfs_path`,
    /// else `.ipfs` beside the station's folder, else that of a package or container.
    pub fn find(station: &Station, ipfs_path: Option<OsString>) -> Option<Self> {
        let system = OF_THE_SYSTEM.map(PathBuf::from);
        Self::find_among(station, ipfs_path, &system)
    }

    fn find_among(
        station: &Station,
        ipfs_path: Option<OsString>,
        system: &[PathBuf],
    ) -> Option<Self> {
        let named = ipfs_path.filter(|path| !path.is_empty()).map(PathBuf::from);
        let usual = station.ipfs_dir();
        let system = system.iter().cloned().map(|folder| (folder, false));
        let known = named.into_iter().chain([usual]);
        let mut all = known.map(|folder| (folder, true)).chain(system);
        all.find_map(|(folder, is_found_by_ipfs)| {
            let config = read(&folder.join("config"))?;
            Some(Self {
                config: serde_json::from_slice(&config).ok()?,
                folder,
                is_found_by_ipfs,
            })
        })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The peer id of the node.
    pub fn peer_id(&self) -> Option<String> {
        let id = self.config.pointer("/Identity/PeerID")?.as_str()?;
        Some(id.to_owned())
    }

    /// The address of the daemon's API, which the program `ipfs` has to be told because it does not
    /// find this repository by itself; `None` if it does.
    pub fn api(&self) -> Option<String> {
        if self.is_found_by_ipfs {
            return None;
        }
        let running = read(&self.folder.join("api"));
        let running = running.and_then(|text| String::from_utf8(text).ok());
        let configured = || {
            let api = self.config.pointer("/Addresses/API")?;
            let first = api.as_array().and_then(|all| all.first());
            Some(first.unwrap_or(api).as_str()?.to_owned())
        };
        let address = running.or_else(configured)?;
        let address = address.trim();
        let is_address = address.starts_with('/')
            && address.len() <= LONGEST_API
            && address.bytes().all(|byte| byte.is_ascii_graphic());
        // In a container it listens for everybody; here it is on this machine.
        is_address.then(|| address.replacen("/ip4/0.0.0.0/", "/ip4/127.0.0.1/", 1))
    }
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let file = regular_file::open(path).ok()?;
    let mut bytes = Vec::new();
    file.take(LARGEST).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn write(folder: &Path, id: &str, api: &str) {
        fs::create_dir_all(folder).unwrap();
        let config = format!(r#"{{"Identity":{{"PeerID":"{id}"}},"Addresses":{{"API":{api}}}}}"#);
        fs::write(folder.join("config"), config).unwrap();
    }

    #[test]
    fn the_variable_wins_over_the_home_and_that_over_the_system() {
        let dir = tempfile::tempdir().unwrap();
        let station = Station::new(dir.path().join("home/.zen"));
        let [usual, named, system] =
            ["home/.ipfs", "named", "system"].map(|name| dir.path().join(name));
        let found = |ipfs_path: Option<&Path>| {
            let ipfs_path = ipfs_path.map(|path| path.as_os_str().to_owned());
            let found = Repository::find_among(&station, ipfs_path, std::slice::from_ref(&system));
            found.and_then(|repository| Some((repository.peer_id()?, repository.api())))
        };
        let id = |found: Option<(String, Option<String>)>| found.map(|(id, _)| id);
        assert_eq!(id(found(None)), None);
        write(&system, "system", r#"["/ip4/0.0.0.0/tcp/5001","/unix/x"]"#);
        let api = Some("/ip4/127.0.0.1/tcp/5001".to_owned());
        assert_eq!(found(None), Some(("system".to_owned(), api)));
        fs::write(system.join("api"), "/ip4/127.0.0.1/tcp/5002\n").unwrap();
        let api = Some("/ip4/127.0.0.1/tcp/5002".to_owned());
        assert_eq!(found(None), Some(("system".to_owned(), api)));
        write(&usual, "usual", r#""/ip4/127.0.0.1/tcp/5001""#);
        assert_eq!(found(None), Some(("usual".to_owned(), None)));
        assert_eq!(id(found(Some(&named))).as_deref(), Some("usual"));
        write(&named, "named", "7");
        assert_eq!(found(Some(&named)), Some(("named".to_owned(), None)));
        assert_eq!(id(found(Some(Path::new("")))).as_deref(), Some("usual"));
    }

    #[test]
    fn a_faulty_repository_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let station = Station::new(dir.path().join(".zen"));
        let system = dir.path().join("system");
        let find = || Repository::find_among(&station, None, std::slice::from_ref(&system));
        for config in ["", "{", "[1"] {
            fs::create_dir_all(&system).unwrap();
            fs::write(system.join("config"), config).unwrap();
            assert!(find().is_none(), "{config}");
        }
        for api in ["7", r#""--help""#, r#""/ip4/1 2""#, "[]"] {
            write(&system, "x", api);
            assert_eq!(find().unwrap().api(), None, "{api}");
        }
    }
}
