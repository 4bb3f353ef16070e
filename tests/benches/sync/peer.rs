//! The relays that are asked.

use std::env;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use constellation_shared::Event;
use constellation_tests::{Behaviour, ScriptedRelay, StationDir};

/// A relay that holds the events: a real strfry where there is one.
pub(crate) enum Peer {
    Scripted(ScriptedRelay),
    /// The station is kept for as long as its relay runs.
    Real(
        #[expect(dead_code, reason = "its folder lasts as long as its relay runs")] Box<StationDir>,
        Child,
        u16,
    ),
}

impl Peer {
    pub(crate) const fn is_real(&self) -> bool {
        matches!(self, Self::Real(..))
    }

    pub(crate) fn start(events: &[Event]) -> Self {
        if env::var_os("STRFRY").is_none_or(|path| path.is_empty()) {
            return Self::Scripted(ScriptedRelay::start(events, Behaviour::default()));
        }
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        // Kind 4 is served, for the bench is about all events.
        let conf = format!(
            "db = \"./strfry-db/\"\nrelay {{\n    nofiles = 0\n    bind = \"127.0.0.1\"\n    \
             port = {port}\n    auth {{\n        restrictedReadKinds = \"\"\n    }}\n}}\n"
        );
        let station = StationDir::builder(env!("CARGO_BIN_EXE_demo"))
            .conf(&conf)
            .build();
        events
            .chunks(50_000)
            .for_each(|events| station.import(events));
        let relay = Command::new(station.strfry())
            .arg("relay")
            .current_dir(station.strfry_dir())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
        Self::Real(Box::new(station), relay, port)
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Scripted(relay) => relay.url(),
            Self::Real(_, _, port) => format!("ws://127.0.0.1:{port}"),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Self::Real(_, relay, _) = self {
            let _ = relay.kill();
            let _ = relay.wait();
        }
    }
}
