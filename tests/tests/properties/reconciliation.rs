//! Reconciliation (NIP-77) over a network that delays and cuts, with a relay that may lie:
//! a thousand seeds, against plain set difference, under a clock that does not wait.

use std::collections::BTreeSet;
use std::time::Duration;

use constellation_shared::{EventId, hex, unhex};
use constellation_sync::testing::compare::{CompareError, compare};
use constellation_sync::testing::connection::Connection;
use constellation_sync::testing::negentropy::{LocalEvent, LocalSet};
use constellation_tests::author::Random;
use futures_util::{SinkExt, StreamExt};
use negentropy::{Id, Negentropy, NegentropyStorageVector};
use serde_json::{Value, json};
use tokio::io::DuplexStream;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

const SEEDS: u64 = 1000;

/// How long a peer may go without bringing us further.
const PATIENCE: Duration = Duration::from_secs(10);

/// After so many connections that were cut, one is not.
const UNLUCKY: u32 = 50;

/// More ids than one of these lies makes of the truth.
const LONGEST_LIE: usize = 100;

/// What one reconciliation takes at the most, and one question's patience on top.
const LONGEST: Duration = Duration::from_secs(300 + 10);

type Set = BTreeSet<(u64, EventId)>;

/// What one seed makes of the relay and of the way to it.
struct World {
    random: Random,
    theirs: Set,
    frame: u64,
    /// One of so many messages is lost with the connection.
    cuts: Option<u64>,
    /// One of so many messages is not the truth.
    lies: Option<u64>,
}

#[tokio::test(start_paused = true)]
async fn it_finds_what_set_difference_finds_over_any_network() {
    let mut complete = 0;
    let mut refused = 0;
    for seed in 0..SEEDS {
        match simulate(seed).await {
            true => complete += 1,
            false => refused += 1,
        }
    }
    // The worlds are not all of one kind.
    assert!(complete > SEEDS / 2, "{complete} complete");
    assert!(refused > SEEDS / 50, "{refused} refused");
}

/// Whether the reconciliation came to its end.
async fn simulate(seed: u64) -> bool {
    let mut random = Random(seed);
    let seconds = 1 + random.below(300);
    let mut ours = Set::new();
    let mut theirs = Set::new();
    for _ in 0..random.below(700) {
        let event = event(&mut random, seconds);
        ours.insert(event);
        theirs.insert(event);
    }
    for _ in 0..random.below(300) {
        ours.insert(event(&mut random, seconds));
    }
    for _ in 0..random.below(300) {
        theirs.insert(event(&mut random, seconds));
    }
    let one_of = |random: &mut Random, in_how_many: u64, of: u64| {
        (random.below(in_how_many) == 0).then(|| 2 + random.below(of))
    };
    let frame = [4096, 8000, 60_000, 500_000];
    let ours_frame = frame[random.below(4) as usize];
    let mut world = World {
        theirs,
        frame: frame[random.below(4) as usize],
        cuts: one_of(&mut random, 3, 6),
        lies: one_of(&mut random, 5, 4),
        random,
    };
    let naive: BTreeSet<EventId> = world.theirs.difference(&ours).map(|(_, id)| *id).collect();
    let held: LocalSet = ours
        .iter()
        .map(|&(created_at, id)| LocalEvent { created_at, id })
        .collect();
    // As a session does: a connection that breaks is made anew.
    for attempt in 0..=UNLUCKY {
        if attempt == UNLUCKY {
            world.cuts = None;
        }
        let (near, far) = tokio::io::duplex(4096);
        let near = WebSocketStream::from_raw_socket(near, Role::Client, None).await;
        let mut connection = Connection::new(near);
        let start = Instant::now();
        let (compared, ()) = tokio::join!(
            async {
                let compared = compare(&mut connection, "{}", &held, ours_frame, PATIENCE, |_| {
                    false
                })
                .await;
                drop(connection);
                compared
            },
            world.serve(far)
        );
        assert!(
            start.elapsed() <= LONGEST,
            "seed {seed}: {:?}",
            start.elapsed()
        );
        match compared {
            Ok(compared) if world.lies.is_none() => {
                assert_eq!(compared.needed, naive, "seed {seed}");
                assert!(!compared.is_part, "seed {seed}");
                return true;
            }
            Ok(compared) => {
                // What a liar lists may be ours; it is no more than it can have said.
                assert!(compared.needed.len() <= world.theirs.len() + LONGEST_LIE);
                return true;
            }
            Err(CompareError::Connection(_)) => {}
            Err(error) => {
                assert!(world.lies.is_some(), "seed {seed}: {error}");
                return false;
            }
        }
    }
    panic!("seed {seed}: it does not come to an end");
}

fn event(random: &mut Random, seconds: u64) -> (u64, EventId) {
    let mut id = [0; 32];
    for part in id.chunks_mut(8) {
        part.copy_from_slice(&random.next_u64().to_be_bytes());
    }
    (1 + random.below(seconds), EventId::from_bytes(id))
}

impl World {
    /// The relay's side of one connection.
    async fn serve(&mut self, stream: DuplexStream) {
        let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
        let mut storage = NegentropyStorageVector::new();
        for (created_at, id) in &self.theirs {
            let id = Id::from_byte_array(*id.as_bytes());
            storage.insert(*created_at, id).unwrap();
        }
        storage.seal().unwrap();
        let mut negentropy = Negentropy::borrowed(&storage, self.frame).unwrap();
        while let Some(Ok(Message::Text(text))) = socket.next().await {
            let message: Value = serde_json::from_str(&text).unwrap();
            let (command, name) = (&message[0], &message[1]);
            let place = match command.as_str().unwrap() {
                "NEG-OPEN" => 3,
                "NEG-MSG" => 2,
                _ => return,
            };
            let query = unhex(message[place].as_str().unwrap()).unwrap();
            let truth = negentropy.reconcile(&query);
            let delay = self.random.below(3000);
            tokio::time::sleep(Duration::from_millis(delay)).await;
            if self.happens(self.cuts) {
                return;
            }
            let answer = match truth {
                Ok(truth) if !self.happens(self.lies) => truth,
                // It may have been misled by its own lies.
                truth => self.lie(truth.unwrap_or_default()),
            };
            let answer = json!(["NEG-MSG", name, hex(&answer)]).to_string();
            if socket.send(Message::text(answer)).await.is_err() {
                return;
            }
        }
    }

    fn happens(&mut self, once_in: Option<u64>) -> bool {
        once_in.is_some_and(|number| self.random.below(number) == 0)
    }

    /// Something in the place of the truth.
    fn lie(&mut self, mut truth: Vec<u8>) -> Vec<u8> {
        match self.random.below(5) {
            // All differs.
            0 => [&[0x61, 0, 0, 1][..], &[0; 16]].concat(),
            // An id that nobody has.
            1 => [&[0x61, 0, 0, 2, 1][..], &[0xee; 32]].concat(),
            // Nothing differs.
            2 => vec![0x61],
            3 => {
                truth.truncate(truth.len() / 2);
                truth
            }
            _ => {
                let length = truth.len().max(1) as u64;
                if let Some(byte) = truth.get_mut(self.random.below(length) as usize) {
                    *byte ^= 1 << self.random.below(8);
                }
                truth
            }
        }
    }
}
