//! The properties of the readers of foreign text, tried on the examples in `tests/fuzz/seeds`
//! as they are, and changed at random. The fuzz targets try the same for longer.

use std::fs;
use std::path::Path;

use constellation_tests::properties::change::Change;
use constellation_tests::properties::{self, Property};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

/// A change somewhere in a text.
fn change() -> impl Strategy<Value = (Change, u16)> {
    let change = prop_oneof![
        any::<u8>().prop_map(Change::Put),
        Just(Change::SwapCase),
        any::<u8>().prop_map(Change::Insert),
        (1..40_u8).prop_map(Change::Remove),
        (1..80_u8, 1..150_u8).prop_map(|(length, times)| Change::Repeat(length, times)),
    ];
    (change, any::<u16>())
}

fn examples(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/seeds")
        .join(name);
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn property(name: &str) -> Property {
    *properties::ALL
        .iter()
        .find(|property| property.name == name)
        .unwrap()
}

fn holds(name: &str, cases: u32) {
    let property = property(name);
    let examples = examples(name);
    for example in &examples {
        (property.holds)(example);
    }
    let texts = (select(examples), prop::collection::vec(change(), 1..5)).prop_map(
        |(mut text, changes)| {
            for (change, place) in changes {
                change.apply(&mut text, place);
            }
            text
        },
    );
    let config = Config {
        failure_persistence: None,
        ..Config::with_cases(cases)
    };
    let tried = TestRunner::new(config).run(&texts, |text| {
        (property.holds)(&text);
        Ok(())
    });
    tried.unwrap();
}

#[test]
fn every_property_has_examples() {
    for property in properties::ALL {
        assert!(examples(property.name).len() > 3, "{}", property.name);
    }
}

#[test]
fn a_conf_is_understood_or_left_alone() {
    holds("conf", 1000);
}

#[test]
fn a_description_leads_to_harmless_addresses_only() {
    holds("description", 1000);
}

#[test]
fn events_are_what_nostr_takes_them_for() {
    holds("event", 1000);
}

#[test]
fn a_list_holds_what_a_naive_reader_finds() {
    holds("list", 1000);
}

#[test]
fn a_profile_is_shown_harmlessly() {
    holds("profile", 1000);
}

#[test]
fn a_lying_reconciliation_does_no_harm() {
    holds("reconciliation", 300);
}

#[test]
fn a_relay_s_message_is_what_serde_json_reads() {
    holds("relay_message", 1000);
}

#[test]
fn a_request_is_answered_as_serde_json_reads_it() {
    holds("request", 1000);
}
