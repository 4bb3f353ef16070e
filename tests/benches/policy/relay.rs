//! Publishing to a real strfry whose plugin is the policy, an echo in C, or none.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use constellation_tests::Author;
use constellation_tests::author::now;
use constellation_tests::real_relay::RealRelay;
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

/// Starts a relay with an empty database and this plugin.
fn relay_with(plugin: &str) -> RealRelay {
    let settings = format!("writePolicy {{\n        plugin = \"{plugin}\"\n    }}");
    RealRelay::start(env!("CARGO_BIN_EXE_demo"), &settings, &[])
}

/// Publishes these messages; seconds from the first event to the last OK.
fn publish(relay: &RealRelay, messages: &[String]) -> f64 {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (mut socket, _) = connect_async(relay.url()).await.unwrap();
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

/// Prints how long publishing takes with each plugin; needs a real strfry in STRFRY.
pub(crate) fn relay_rows(policy: &Path, folder: &Path) {
    if !RealRelay::is_possible() {
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
    let since = now() - EVENTS as u64;
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
            times.push(publish(&relay_with(plugin), &messages));
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
