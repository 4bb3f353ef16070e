//! The demo: a temporary station, three relays in this process, and the two programs run
//! against them as they are on a station.

use std::collections::BTreeMap;
use std::env;
use std::io::{self, Write, stdout};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::SystemTime;

use constellation_shared::kinds::{self, Set};
use constellation_shared::{Event, Pubkey};
use serde_json::{Value, json};

use crate::author::{forged_signature, notes, tampered};
use crate::{Author, Behaviour, ScriptedRelay, StationDir};

/// Runs the demo. Where there is a strfry on PATH, or `STRFRY` names one, the station has
/// that, else the stand-in. Everything it makes is gone at the end.
pub fn run() -> ExitCode {
    if env::var_os("STRFRY").is_none()
        && let Some(strfry) = on_path("strfry")
        && let Ok(ourselves) = env::current_exe()
    {
        let status = Command::new(ourselves).env("STRFRY", strfry).status();
        let succeeded = status.is_ok_and(|status| status.success());
        return if succeeded {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        };
    }
    match show(&mut stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

/// Who is who in the demo.
struct People {
    alice: Author,
    bob: Author,
    carol: Author,
    dave: Author,
    mallory: Author,
}

fn show(out: &mut impl Write) -> io::Result<()> {
    let ourselves = env::current_exe()?;
    let station = StationDir::new(&ourselves);
    let strfry = match env::var_os("STRFRY") {
        Some(path) => PathBuf::from(path).display().to_string(),
        None => "the stand-in (install strfry, or set STRFRY, for the real one)".to_owned(),
    };
    writeln!(
        out,
        "A station in {}, with {strfry}.\n",
        station.root().display()
    )?;
    let [alice, bob, carol, dave, mallory] = [1, 2, 3, 4, 5].map(Author::new);
    let people = People {
        alice,
        bob,
        carol,
        dave,
        mallory,
    };
    station.member("alice@example.org", people.alice.pubkey());
    station.friends(&[people.bob.pubkey()]);
    station.blacklist(&[people.carol.pubkey(), people.mallory.pubkey()]);
    station.own_node("12D3KooOurs");
    station.peer_friends("12D3KooPeerA", &[people.carol.pubkey()]);
    show_policy(out, &station, &people)?;
    show_sync(out, &station, &people)
}

fn show_policy(out: &mut impl Write, station: &StationDir, people: &People) -> io::Result<()> {
    writeln!(
        out,
        "1. The policy. Blacklisted: Carol and Mallory. Carol is a friend of a station of the swarm.\n"
    )?;
    let ask = |id: &str, spelled: String| {
        json!({"type": "new", "event": {"id": id, "pubkey": spelled}, "sourceType": "IP4"})
            .to_string()
    };
    let hex = |author: &Author| author.pubkey().to_hex();
    let requests = [
        ("Alice", ask("a1", hex(&people.alice))),
        ("Carol", ask("c1", hex(&people.carol))),
        ("Mallory", ask("m1", hex(&people.mallory))),
        (
            "Mallory in upper case",
            ask("m2", hex(&people.mallory).to_uppercase()),
        ),
        (
            "Mallory behind 0x",
            ask("m3", format!("0x{}", hex(&people.mallory))),
        ),
        ("nobody", "this is no JSON".to_owned()),
    ];
    let input: String = requests
        .iter()
        .map(|(_, line)| line.clone() + "\n")
        .collect();
    let output = station
        .command("constellation-policy")
        .stdin(input)
        .output();
    for ((who, _), answer) in requests.iter().zip(output.stdout.lines()) {
        writeln!(out, "   {who:<22} {answer}")?;
    }
    let left = station.read("strfry/blacklist.txt");
    let names = [
        ("Carol", people.carol.pubkey()),
        ("Mallory", people.mallory.pubkey()),
    ];
    let still: Vec<&str> = names
        .iter()
        .filter(|(_, key)| left.contains(&key.to_hex()))
        .map(|(name, _)| *name)
        .collect();
    writeln!(out, "   blacklist.txt now holds: {}\n", still.join(", "))
}

fn show_sync(out: &mut impl Write, station: &StationDir, people: &People) -> io::Result<()> {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |time| time.as_secs());
    let numbers = Set::Seed.numbers();
    let followed = [1, 2, 3].map(Author::new);
    let genuine: Vec<Event> = notes(&followed, &numbers, 2000, now - 60, 72_000);
    let first = ScriptedRelay::start(&genuine[..1500], Behaviour::default());
    let second = ScriptedRelay::start(&genuine[800..], hostile(people, now));
    let third = ScriptedRelay::start(
        &genuine[1200..],
        Behaviour {
            close_after_events: Some(150),
            close_once: true,
            ..Behaviour::default()
        },
    );
    for (id, relay) in [
        ("12D3KooPeerA", &first),
        ("12D3KooPeerB", &second),
        ("12D3KooPeerC", &third),
    ] {
        station.peer(id, &relay.url());
    }
    writeln!(
        out,
        "2. The backfill. Three relays hold {} genuine events of the 20 kinds between them; each sends 500 at",
        genuine.len()
    )?;
    writeln!(
        out,
        "   once at the most. The second also sends what nobody should take; the third hangs up in the middle.\n"
    )?;
    let report = sync(station);
    for peer in report["peers"].as_array().into_iter().flatten() {
        let outcome = if peer["complete"] == true {
            "complete"
        } else {
            "not complete"
        };
        writeln!(
            out,
            "   {:<22} {outcome}: {} events came, {} of them first from here, {} bytes",
            peer["url"].as_str().unwrap_or_default(),
            peer["received"],
            peer["collected"],
            peer["bytes"]
        )?;
    }
    let by_kind: BTreeMap<u16, u64> =
        serde_json::from_value(report["events_by_kind"].clone()).unwrap_or_default();
    writeln!(
        out,
        "\n   Let in: {} events of {} kinds",
        report["events"],
        by_kind.len()
    )?;
    for (kind, count) in &by_kind {
        let name = kinds::find(*kind).map_or("", |kind| kind.name);
        writeln!(out, "     {count:>5}  {kind:>5}  {name}")?;
    }
    writeln!(out, "   Left out: {}", report["refused"])?;
    let stored = station.stored_ids();
    let held = genuine
        .iter()
        .filter(|event| stored.contains(&event.id))
        .count();
    writeln!(
        out,
        "   strfry holds {} events now: {held} of the {} genuine ones, and {} others",
        stored.len(),
        genuine.len(),
        stored.len() - held
    )?;
    let again = sync(station);
    writeln!(
        out,
        "\n3. The same once more: {} added, {} there already.\n",
        again["import"]["added"], again["import"]["dups"]
    )?;
    writeln!(
        out,
        "   The log that the station's scripts read, strfry/constellation-backfill.log:"
    )?;
    for line in station.read("strfry/constellation-backfill.log").lines() {
        writeln!(out, "   {line}")?;
    }
    Ok(())
}

fn sync(station: &StationDir) -> Value {
    let output = station.run("constellation-sync", &["--json"]);
    serde_json::from_str(&output.stdout).unwrap_or_default()
}

/// A relay that adds to its answers what nobody should take.
fn hostile(people: &People, now: u64) -> Behaviour {
    let alice = &people.alice;
    let spelled = |event: Event| event.to_json();
    let expiration = (now - 10).to_string();
    let visitor: Pubkey = alice.pubkey();
    Behaviour {
        extra: vec![
            spelled(forged_signature(&alice.note(now - 100, "never signed"))),
            spelled(tampered(&alice.note(now - 101, "signed and changed"))),
            spelled(people.dave.note(now - 102, "nobody asked for Dave")),
            spelled(people.mallory.note(now - 103, "Mallory is blacklisted")),
            spelled(alice.note(now + 5000, "from tomorrow")),
            spelled(alice.sign(1, now - 104, &[&["expiration", &expiration]], "too late")),
            spelled(alice.note(now - 105, &format!("Hello NOSTR visitor {visitor}"))),
            spelled(alice.note(now - 106, &"x".repeat(70_000))),
        ],
        ..Behaviour::default()
    }
}
