//! Publishing to a real strfry whose plugin is the policy, an echo in C, or none.

use std::env;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use constellation_tests::{Author, StationDir};
use futures_util::{SinkExt, StreamExt};
use tokio::runtime::Builder;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use crate::programs::{median, row};

/// How many events are published in one run, and how often each relay is measured.
const EVENTS: usize = 20_000;
const RUNS: usize = 7;

/// How many events are on their way at a time.
const ON_THEIR_WAY: usize = 500;

/// A relay of its own, with an empty database.
struct Relay {
    child: Child,
    port: u16,
    /// Its folder lasts as long as it runs.
    _station: StationDir,
}

impl Relay {
    fn start(plugin: &str) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let conf = format!(
            "db = \"./strfry-db/\"\nrelay {{\n    nofiles = 0\n    bind = \"127.0.0.1\"\n    \
             port = {port}\n    writePolicy {{\n        plugin = \"{plugin}\"\n    }}\n}}\n"
        );
        let station = StationDir::builder(env!("CARGO_BIN_EXE_demo"))
            .conf(&conf)
            .build();
        let child = Command::new(station.strfry())
            .arg("relay")
            .current_dir(station.strfry_dir())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            thread::sleep(Duration::from_millis(20));
        }
        Self {
            child,
            port,
            _station: station,
        }
    }

    /// Seconds from the first event to the last OK.
    fn publish(&self, messages: &[String]) -> f64 {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let url = format!("ws://127.0.0.1:{}", self.port);
            let (mut socket, _) = connect_async(url).await.unwrap();
            let started = Instant::now();
            let (mut sent, mut answered) = (0, 0);
            while answered < messages.len() {
                if sent < messages.len() && sent - answered < ON_THEIR_WAY {
                    socket
                        .feed(Message::text(messages[sent].clone()))
                        .await
                        .unwrap();
                    sent += 1;
                    if sent - answered == ON_THEIR_WAY || sent == messages.len() {
                        socket.flush().await.unwrap();
                    }
                    continue;
                }
                let Message::Text(answer) = socket.next().await.unwrap().unwrap() else {
                    continue;
                };
                assert!(answer.contains(",true,"), "{answer}");
                answered += 1;
            }
            started.elapsed().as_secs_f64()
        })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn unix_time() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap().as_secs()
}

/// Prints how long publishing takes with each plugin; needs a real strfry in STRFRY.
pub(crate) fn relay_rows(policy: &Path, folder: &Path) {
    if env::var_os("STRFRY").is_none_or(|path| path.is_empty()) {
        return row(
            "published to a real strfry",
            "left out: STRFRY is not set",
            "",
        );
    }
    let echo = folder.join("echo");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/policy/echo.c");
    let compiled = Command::new("cc")
        .arg("-O2")
        .arg(source)
        .arg("-o")
        .arg(&echo)
        .status();
    assert!(compiled.unwrap().success(), "a C compiler is needed");
    let zen = folder.join("relay-zen");
    fs::create_dir_all(zen.join("strfry")).unwrap();
    let policy = format!("{} --log off --zen {}", policy.display(), zen.display());
    let plugins = [policy, echo.display().to_string(), String::new()];
    let authors = Author::many(100);
    // A relay takes nothing that is years old.
    let since = unix_time() - EVENTS as u64;
    let messages: Vec<String> = (0..EVENTS)
        .map(|number| {
            let text = format!("{number}: a sentence that somebody wrote, of the usual length");
            let note = authors[number % authors.len()].note(since + number as u64, &text);
            format!("[\"EVENT\",{}]", note.to_json())
        })
        .collect();
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..RUNS {
        for (plugin, times) in plugins.iter().zip(&mut times) {
            times.push(Relay::start(plugin).publish(&messages));
        }
    }
    let ratio = |times: &[f64], to: &[f64]| {
        median(
            times
                .iter()
                .zip(to)
                .map(|(time, other)| time / other)
                .collect(),
        )
    };
    let [ours, echo, none] = &times;
    for (name, times, limit) in [
        ("the policy", ours, "1.02 x the echo"),
        ("an echo in C", echo, ""),
        ("no plugin", none, ""),
    ] {
        row(
            &format!("{EVENTS} events published to a real strfry, {name}"),
            &format!(
                "{:.2} s, {:.2} x",
                median(times.clone()),
                ratio(times, echo)
            ),
            limit,
        );
    }
}
