//! Ids are foreign: what is none never reaches `ipfs`.

use constellation_tests::Behaviour;
use constellation_tests::station::ids;

use crate::case::{backfill, calls, expect_nothing_left, with_tunnelled_peer};

#[test]
fn what_is_no_peer_id_is_passed_over() {
    let (station, _relay, events) = with_tunnelled_peer(Behaviour::default());
    let reboot = station.home().join("rebooted");
    let reboot = format!("$(touch {})", reboot.display());
    let long = "1".repeat(200_000);
    let hostile = [
        "../../x",
        "-h",
        "--all",
        reboot.as_str(),
        "; reboot",
        "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5S0",
        "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA\n--all",
        "\u{1b}[2J",
        long.as_str(),
    ];
    for (number, id) in hostile.iter().enumerate() {
        station.peer_behind_tunnel(&format!("hostile-{number}"), id);
    }
    let endless = "1".repeat(10_000_000);
    station.peer_behind_tunnel("endless", &endless);

    let output = backfill(&station).output();
    output.expect_code(0);
    assert_eq!(station.stored_ids(), ids(&events));
    for number in 0..hostile.len() {
        let words = format!("peer \"hostile-{number}\" is passed over: its ipfsnodeid");
        output.expect_stderr(&words);
    }
    output
        .expect_stderr("not an IPFS peer id")
        .expect_stderr("endless/12345.json is passed over: larger than 256 kB")
        .expect_not_stderr("\u{1b}");
    assert!(output.stderr.len() < 10_000, "{}", output.stderr.len());
    assert_eq!(calls(&station, "").len(), 2);
    assert!(!station.home().join("rebooted").exists());
    expect_nothing_left(&station);
}

#[test]
fn a_relay_on_loopback_without_an_offer_is_passed_over() {
    let (station, _relay, events) = with_tunnelled_peer(Behaviour::default());
    station.peer("closed", "ws://localhost:7777");
    let output = backfill(&station).output();
    output
        .expect_code(0)
        .expect_stderr("peer \"closed\" is passed over")
        .expect_stderr("it offers no tunnel");
    assert_eq!(station.stored_ids(), ids(&events));
    expect_nothing_left(&station);
}
