//! Profiles (kind 0), written by anybody, and where they are shown.

use constellation_shared::Pubkey;
use constellation_sync::testing::profiles::{Profiles, render, take};
use serde_json::{Value, json};

const AT: &str = "2025-10-30T12:35:02Z";

/// The JSON is the content again, the CSV has its columns and calculates nothing, and
/// nothing that is shown holds what a terminal or the station's scripts would obey.
///
/// # Panics
/// Where that is not so.
pub fn holds(content: &[u8]) {
    let content = String::from_utf8_lossy(content);
    let author = Pubkey::from_bytes([0x33; 32]);
    let stored =
        json!({"pubkey": author.to_hex(), "created_at": 7, "content": content, "tags": []});
    let mut profiles = Profiles::new();
    take(&mut profiles, stored.to_string().as_bytes());
    // An older profile changes nothing, nor does a line that may be anything.
    take(&mut Profiles::new(), content.as_bytes());
    let older = json!({"pubkey": author.to_hex(), "created_at": 6, "content": "{}"});
    take(&mut profiles, older.to_string().as_bytes());
    assert_eq!(profiles.len(), 1);

    let text = render::json(&profiles, AT);
    let entries: Value = serde_json::from_str(&text).unwrap();
    let expected = match serde_json::from_str(&content) {
        Ok(Value::Object(fields)) => Value::Object(fields).to_string(),
        _ => "{}".to_owned(),
    };
    // Spelled and read again, as numbers beyond 17 digits lose their last ones on the way.
    let expected: Value = serde_json::from_str(&expected).unwrap();
    assert_eq!(entries[0]["profile"], expected);
    assert!(super::is_harmless(&text.replace('\n', "")), "{text}");

    let text = render::csv(&profiles, AT);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(super::is_harmless(lines[1]), "{text}");
    let cells = cells(lines[1]);
    assert_eq!(cells.len(), 10, "{text}");
    for cell in cells {
        assert!(!cell.starts_with(['=', '+', '-', '@']), "{text}");
        assert!(cell.chars().count() <= 2002, "{text}");
    }

    let profile = &profiles[&author];
    for line in render::log_lines(&author, profile) {
        assert!(super::is_harmless(&line), "{line}");
        for word in ["SYNC_", "failed", "FAILED", "Starting Astroport"] {
            assert!(!line.contains(word), "{line}");
        }
    }
    let mut table = Vec::new();
    render::write_table(&mut table, &[author], &profiles).unwrap();
    let table = String::from_utf8(table).unwrap();
    assert_eq!(table.lines().count(), 2, "{table}");
    assert!(super::is_harmless(&table.replace('\n', "")), "{table}");
}

/// The cells of a line of CSV (RFC 4180).
fn cells(line: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut quoted = false;
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        let cell = cells.last_mut().unwrap();
        match c {
            '"' if quoted && rest.next_if_eq(&'"').is_some() => cell.push('"'),
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            c => cell.push(c),
        }
    }
    assert!(!quoted, "{line}");
    cells
}
