//! [`RealRelay`]: a real strfry that serves its database as a relay, for benches.

use std::env;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use constellation_shared::Event;

use crate::StationDir;
use crate::command::wait_until;

/// How many events one `strfry import` is given.
const IMPORTED_AT_ONCE: usize = 50_000;

/// `strfry relay` on a station of its own and a port of its own, ended when it is dropped.
pub struct RealRelay {
    child: Child,
    port: u16,
    /// Its folder must last as long as the relay runs.
    station: StationDir,
}

impl RealRelay {
    /// Whether the variable `STRFRY` names a real strfry. The stand-in is no relay.
    pub fn is_possible() -> bool {
        env::var_os("STRFRY").is_some_and(|path| !path.is_empty())
    }

    /// Starts a relay that holds these events, and waits until it takes connections. `settings`
    /// are further lines of the block `relay` in its `strfry.conf`; `demo` is what
    /// [`StationDir::new`] takes.
    ///
    /// # Panics
    /// If strfry cannot be started, or takes no connection within two minutes.
    pub fn start(demo: impl AsRef<Path>, settings: &str, events: &[Event]) -> Self {
        let port = free_port();
        let conf = format!(
            "db = \"./strfry-db/\"\nrelay {{\n    nofiles = 0\n    bind = \"127.0.0.1\"\n    \
             port = {port}\n    {settings}\n}}\n"
        );
        let station = StationDir::builder(demo).conf(&conf).build();
        events
            .chunks(IMPORTED_AT_ONCE)
            .for_each(|events| station.import(events));
        let relay = Self {
            child: spawn(&station),
            port,
            station,
        };
        relay.wait_until_it_answers();
        relay
    }

    /// The station whose database it serves.
    pub const fn station(&self) -> &StationDir {
        &self.station
    }

    /// `kill -9`.
    ///
    /// # Panics
    /// If it is not there.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again, on the same port and database, and waits until it takes connections.
    ///
    /// # Panics
    /// As [`RealRelay::start`].
    pub fn start_again(&mut self) {
        self.child = spawn(&self.station);
        self.wait_until_it_answers();
    }

    fn wait_until_it_answers(&self) {
        wait_until("the relay's port to answer", || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok()
        });
    }

    /// Adds these events to its database.
    ///
    /// # Panics
    /// If strfry fails.
    pub fn add(&self, events: &[Event]) {
        self.station.import(events);
    }

    /// Gives a station, whose strfry must not be at work, a copy of its database.
    ///
    /// # Panics
    /// If that cannot be written.
    pub fn copy_database(&self, station: &StationDir) {
        let database = |station: &StationDir| station.strfry_dir().join("strfry-db/data.mdb");
        std::fs::copy(database(&self.station), database(station)).unwrap();
    }

    /// Its port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// How much processor time it has taken, in milliseconds.
    ///
    /// # Panics
    /// If it has ended.
    pub fn processor_ms(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // Behind the name of the program, which may hold blanks.
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let fields = fields.split_whitespace().skip(11).take(2);
        let ticks: f64 = fields.filter_map(|field| field.parse::<f64>().ok()).sum();
        ticks * 10.0
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }
}

impl Drop for RealRelay {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(station: &StationDir) -> Child {
    Command::new(station.strfry())
        .arg("relay")
        .current_dir(station.strfry_dir())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// A port that nobody listens on.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}
