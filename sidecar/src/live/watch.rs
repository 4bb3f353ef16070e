//! [`fingerprint`]: notices that a file has changed that says who is wanted, or of whom it can be had.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use constellation_shared::list_file::{self, ListFile};
use constellation_shared::{Station, swarm_lists};

/// A number that is another one once one of the files has changed: the lists, the keys of the
/// members, the descriptions and lists of the other stations, the settings, and strfry's conf. It
/// reads no file, only its size, time and place.
pub(super) fn fingerprint(station: &Station) -> u64 {
    let mut hasher = DefaultHasher::new();
    let own = [
        station.blacklist(),
        station.settings_file(),
        station.strfry_dir().join("strfry.conf"),
    ];
    let mut paths: Vec<PathBuf> = own.into_iter().chain(station.friend_lists()).collect();
    let lists = list_file::member_keys(station).unwrap_or_default();
    let swarm = swarm_lists::swarm_friends(station).unwrap_or_default();
    let lists = lists.iter().chain(&swarm).map(ListFile::path);
    paths.extend(lists.map(Path::to_owned));
    paths.extend(descriptions(&station.swarm_dir()));
    for path in paths {
        path.hash(&mut hasher);
        if let Ok(metadata) = fs::metadata(&path) {
            let time = (metadata.mtime(), metadata.mtime_nsec());
            (time, metadata.size(), metadata.ino()).hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// The paths of the descriptions of the stations in this folder, in ascending order.
fn descriptions(swarm: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(swarm).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries
        .take(list_file::MOST_STATIONS)
        .map(|entry| entry.path().join("12345.json"))
        .collect();
    paths.sort_unstable();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_changes_with_each_file_that_counts_and_with_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let station = Station::new(dir.path());
        fs::create_dir_all(station.strfry_dir()).unwrap();
        let peer = station.swarm_dir().join("12D3x");
        fs::create_dir_all(&peer).unwrap();
        let mut before = fingerprint(&station);
        assert_eq!(fingerprint(&station), before);
        for (path, changes) in [
            (station.blacklist(), true),
            (station.friends(), true),
            (station.settings_file(), true),
            (peer.join("12345.json"), true),
            (peer.join("amisOfAmis.txt"), true),
            (station.strfry_dir().join("constellation-live.json"), false),
            (peer.join("other"), false),
        ] {
            fs::write(&path, "x").unwrap();
            let now = fingerprint(&station);
            assert_eq!(now != before, changes, "{}", path.display());
            before = now;
        }
    }
}
