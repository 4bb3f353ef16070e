//! A settings file that is not understood may name another blacklist: nobody may come in then.

use constellation_tests::author::notes;
use constellation_tests::sync_program::{PLAIN_KINDS, command, follow, paged, recent};
use constellation_tests::{Author, ScriptedRelay, station};

#[test]
fn nothing_is_synced_while_a_broken_settings_file_may_name_another_blacklist() {
    let authors = Author::many(2);
    let events = notes(&authors, &PLAIN_KINDS, 10, recent(), 300);
    let relay = ScriptedRelay::start(&events, paged(500));
    let station = station!();
    follow(&station, &authors, &[&relay.url()]);
    station.write(
        "strfry/other.txt",
        format!("{}\n", authors[0].pubkey().to_hex()),
    );
    station.friends(&[authors[1].pubkey()]);
    let lists = "[lists]\nblacklist = 'other.txt'\n";
    station.write("strfry/constellation.toml", format!("{lists}x = \n"));
    let output = command(&station, &[]).output();
    output
        .expect_code(2)
        .expect_stderr("constellation.toml is not understood and may name another blacklist");
    assert_eq!(station.stored(), []);
    // Whoever names the list on the command line leaves nothing unknown.
    let other = station.strfry_dir().join("other.txt");
    let named = command(&station, &["--blacklist", &other.display().to_string()]);
    named.output().expect_code(0);
    assert!(!station.stored().is_empty());
}
