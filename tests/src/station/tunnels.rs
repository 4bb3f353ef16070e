//! What a station has of IPFS: peers behind tunnels, and what became of those.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::StationDir;
use crate::ipfs::{Forward, Repository};

/// Peer ids that are ones, of four keys.
pub const PEER_IDS: [&str; 4] = [
    "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA",
    "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
    "16Uiu2HAmUaSHarwwYMmAjo8hCbK3uXSAVgTKCqEZqqyeXvUYiXXg",
    "QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNKC",
];

impl StationDir {
    /// What the stand-in ipfs of this station knows.
    pub fn ipfs(&self) -> Repository {
        Repository::of_home(&self.home())
    }

    /// Another station whose relay only listens on its own machine, and is offered over
    /// IPFS: the relay at this `ws://127.0.0.1:…` URL.
    pub fn tunnelled_peer(&self, id: &str, url: &str) {
        self.peer_behind_tunnel(id, id);
        let port = url.rsplit(':').next().unwrap().parse().unwrap();
        self.ipfs().offer(&format!("/x/strfry-{id}"), port);
    }

    /// The description of such a station in a folder of this name, with a script that
    /// leaves a trace where anybody runs it ([`StationDir::foreign_script_ran`]).
    pub fn peer_behind_tunnel(&self, folder: &str, id: &str) {
        let json = serde_json::json!({"ipfsnodeid": id, "myRELAY": "ws://127.0.0.1:7777"});
        self.peer_description(folder, json.to_string());
        let script = format!("tmp/swarm/{folder}/x_strfry.sh");
        let trace = self.home().join("foreign-script-ran");
        self.write(&script, format!("#!/bin/sh\n>'{}'\n", trace.display()));
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(self.root().join(script), mode).unwrap();
    }

    /// Whether a station's script was run, which it never may.
    pub fn foreign_script_ran(&self) -> bool {
        self.home().join("foreign-script-ran").exists()
    }

    /// The tunnels that are open.
    pub fn tunnels(&self) -> Vec<Forward> {
        self.ipfs().forwards()
    }

    /// The processes that were started with this station's home as HOME and have not
    /// ended, by their arguments.
    pub fn processes(&self) -> Vec<String> {
        let home = format!("HOME={}", self.home().display());
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap() {
            // Whatever cannot be read has ended, or is somebody else's.
            let folder = entry.unwrap().path();
            let environment = fs::read(folder.join("environ")).unwrap_or_default();
            if environment
                .split(|&byte| byte == 0)
                .any(|entry| entry == home.as_bytes())
            {
                let arguments = fs::read(folder.join("cmdline")).unwrap_or_default();
                let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
                found.push(arguments);
            }
        }
        found
    }
}
