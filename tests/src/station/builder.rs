//! [`StationBuilder`]: how a station is laid out.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use constellation_shared::Station;

use super::StationDir;

/// How a station is laid out; see [`StationDir::builder`].
pub struct StationBuilder {
    demo: PathBuf,
    max_event_size: usize,
    conf: Option<String>,
    strfry: Option<PathBuf>,
}

impl StationBuilder {
    pub(super) fn new(demo: &Path) -> Self {
        // What a link says is relative to the link's own folder.
        let absolute = |path: &Path| std::path::absolute(path).unwrap();
        let demo = absolute(demo);
        let real = std::env::var_os("STRFRY").filter(|path| !path.is_empty());
        Self {
            max_event_size: 65536,
            conf: None,
            strfry: Some(real.map_or_else(|| demo.clone(), |path| absolute(path.as_ref()))),
            demo,
        }
    }

    /// `events.maxEventSize` of its conf, 65536 without.
    #[must_use]
    pub fn max_event_size(mut self, bytes: usize) -> Self {
        self.max_event_size = bytes;
        self
    }

    /// All of its `strfry.conf`.
    #[must_use]
    pub fn conf(mut self, text: &str) -> Self {
        self.conf = Some(text.to_owned());
        self
    }

    /// The stand-in as its strfry, whatever `STRFRY` says: for tests that make it fail.
    #[must_use]
    pub fn stand_in(mut self) -> Self {
        self.strfry = Some(self.demo.clone());
        self
    }

    /// No strfry in its folder.
    #[must_use]
    pub fn without_strfry(mut self) -> Self {
        self.strfry = None;
        self
    }

    /// Makes the folders and files.
    pub fn build(self) -> StationDir {
        let temporary = tempfile::Builder::new()
            .prefix("constellation-")
            .tempdir()
            .unwrap();
        let home = temporary.path().join("home");
        let station = StationDir {
            station: Station::new(home.join(".zen")),
            programs: temporary.path().join("programs"),
            stands_in: self.strfry.as_ref() == Some(&self.demo),
            demo: self.demo,
            temporary,
        };
        for folder in [
            station.strfry_dir().join("strfry-db"),
            station.paths().swarm_dir(),
            station.paths().members_dir(),
            station.programs.clone(),
        ] {
            fs::create_dir_all(folder).unwrap();
        }
        let max_event_size = self.max_event_size;
        let conf = self.conf.unwrap_or_else(|| {
            format!(
                "db = \"./strfry-db/\"\n\nevents {{\n    maxEventSize = {max_event_size}\n}}\n\n\
                 relay {{\n    # As it is for a process that may not raise it.\n    nofiles = 0\n}}\n"
            )
        });
        station.write("strfry/strfry.conf", conf);
        if let Some(strfry) = self.strfry {
            symlink(strfry, station.strfry()).unwrap();
        }
        station
    }
}
