//! Profiles as other programs and people read them: JSON, CSV, a table, lines of the log.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use constellation_shared::Pubkey;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::members::profiles::{Profile, Profiles};
use crate::support::atomic_file;
use crate::support::sanitize::{escaped_json, for_log, for_terminal};

/// The names of the two files.
const JSON_FILE: &str = "_NIP101.profiles.json";
const CSV_FILE: &str = "_NIP101.profiles.csv";

/// The most characters of a field that CSV and table show.
const IN_CSV: usize = 2000;
const IN_TABLE: usize = 32;

const CSV_HEAD: &str =
    "hex,name,display_name,about,picture,website,nip05,relays_count,relays_list,fetched_at";

/// A format of `constellation-sync profiles`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// The content of `_NIP101.profiles.json`.
    Json,
    /// The content of `_NIP101.profiles.csv`.
    Csv,
}

#[derive(Serialize)]
struct Entry<'a> {
    hex: String,
    profile: &'a RawValue,
    /// Nothing is known of it: kept for those who read the field.
    relays: [&'a str; 0],
    fetched_at: &'a str,
}

/// An array of `{"hex":…,"profile":{…},"relays":[],"fetched_at":…}`, an entry a line.
pub fn json(profiles: &Profiles, fetched_at: &str) -> String {
    let mut text = "[".to_owned();
    for (number, (key, profile)) in profiles.iter().enumerate() {
        text.push_str(if number == 0 { "\n" } else { ",\n" });
        let entry = Entry {
            hex: key.to_hex(),
            profile: &profile.content,
            relays: [],
            fetched_at,
        };
        // Texts alone cannot fail to be spelled, so the fallback is never taken.
        let entry = serde_json::to_string(&entry).unwrap_or_default();
        text.push_str(&escaped_json(&entry));
    }
    text.push_str("\n]\n");
    text
}

/// A line for each profile below a line of names. Fields are quoted if they have to be.
pub fn csv(profiles: &Profiles, fetched_at: &str) -> String {
    let mut text = format!("{CSV_HEAD}\n");
    for (key, Profile { fields, .. }) in profiles {
        text.push_str(&key.to_hex());
        for field in [
            &fields.name,
            &fields.display_name,
            &fields.about,
            &fields.picture,
            &fields.website,
            &fields.nip05,
        ] {
            text.push(',');
            text.push_str(&cell(field));
        }
        text.push_str(&format!(",0,,{fetched_at}\n"));
    }
    text
}

/// A field for a spreadsheet: one line, quoted (RFC 4180) where it has to be, and never a
/// formula: `'` before what a spreadsheet would calculate.
fn cell(field: &str) -> String {
    let mut cell = for_terminal(field, IN_CSV);
    if cell.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']) {
        cell.insert(0, '\'');
    }
    if cell.contains([',', '"', ';']) {
        cell = format!("\"{}\"", cell.replace('"', "\"\""));
    }
    cell
}

/// Writes a table of these keys, those without a profile among them.
///
/// # Errors
/// If writing fails.
pub fn write_table(
    output: &mut impl Write,
    keys: &[Pubkey],
    profiles: &Profiles,
) -> io::Result<()> {
    let row = |output: &mut dyn Write, cells: [&str; 4]| {
        let [key, name, display, nip05] = cells;
        let line = format!("{key:<11}  {name:<33}  {display:<33}  {nip05}");
        writeln!(output, "{}", line.trim_end())
    };
    row(output, ["PUBKEY", "NAME", "DISPLAY", "NIP-05"])?;
    for key in keys {
        let hex = format!("{}...", short(key));
        match profiles.get(key) {
            Some(Profile { fields, .. }) => {
                let [name, display, nip05] = [&fields.name, &fields.display_name, &fields.nip05]
                    .map(|field| for_terminal(field, IN_TABLE));
                row(output, [&hex, or_none(&name), &display, &nip05])?;
            }
            None => row(output, [&hex, "NO PROFILE FOUND", "", ""])?,
        }
    }
    Ok(())
}

/// The first 8 digits, as captains know keys from their logs.
pub fn short(key: &Pubkey) -> String {
    let hex = key.to_hex();
    hex.get(..8).unwrap_or_default().to_owned()
}

fn or_none(name: &str) -> &str {
    if name.is_empty() { "(no name)" } else { name }
}

/// What the log says of a profile that was found.
pub fn log_lines(key: &Pubkey, profile: &Profile) -> Vec<String> {
    let fields = &profile.fields;
    let name = for_log(&fields.name);
    let mut lines = vec![format!(
        "  ✅ {}... Profile: {}",
        short(key),
        or_none(&name)
    )];
    for (title, field) in [("Display", &fields.display_name), ("NIP-05", &fields.nip05)] {
        let field = for_log(field);
        if !field.is_empty() {
            lines.push(format!("      {title}: {field}"));
        }
    }
    lines
}

/// Writes both files below `folder`, each whole or not at all.
///
/// # Errors
/// If writing fails.
pub fn write_files(folder: &Path, profiles: &Profiles, fetched_at: &str) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    atomic_file::write(
        &folder.join(JSON_FILE),
        json(profiles, fetched_at).as_bytes(),
    )?;
    atomic_file::write(&folder.join(CSV_FILE), csv(profiles, fetched_at).as_bytes())
}

/// A time in Unix seconds as it is written in the files, `2025-10-30T12:35:02Z`.
pub fn utc(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).map_or_else(|_| String::new(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: &str = "2025-10-30T12:35:02Z";

    fn profiles() -> Profiles {
        let contents = [
            r#"{"name":"Alice","display_name":"Alice, \"W\"","nip05":"alice@example.com"}"#,
            r#"{"name":"=HYPERLINK(\"http://x\")","about":"a\r\nb\u001b[2J"}"#,
            "not JSON",
        ];
        let profile = |(number, content)| {
            let key = Pubkey::from_bytes([number; 32]);
            (key, Profile::new(1, content))
        };
        (1..).zip(contents).map(profile).collect()
    }

    #[test]
    fn the_json_holds_the_content_as_it_is() {
        let text = json(&profiles(), AT);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value.as_array().unwrap().len(), 3);
        assert_eq!(value[0]["hex"], "01".repeat(32));
        assert_eq!(value[0]["profile"]["display_name"], "Alice, \"W\"");
        assert_eq!(value[1]["profile"]["about"], "a\r\nb\u{1b}[2J");
        assert_eq!(value[2]["profile"], serde_json::json!({}));
        assert_eq!(value[2]["relays"], serde_json::json!([]));
        assert_eq!(value[2]["fetched_at"], AT);
        assert!(!text.contains('\u{1b}'));
        assert_eq!(json(&Profiles::new(), AT), "[\n]\n");
    }

    #[test]
    fn the_csv_is_a_line_each_and_calculates_nothing() {
        let text = csv(&profiles(), AT);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[0], CSV_HEAD);
        let (one, two, three) = ("01".repeat(32), "02".repeat(32), "03".repeat(32));
        assert_eq!(
            lines[1],
            format!("{one},Alice,\"Alice, \"\"W\"\"\",,,,alice@example.com,0,,{AT}")
        );
        assert_eq!(
            lines[2],
            format!("{two},\"'=HYPERLINK(\"\"http://x\"\")\",,a b [2J,,,,0,,{AT}")
        );
        assert_eq!(lines[3], format!("{three},,,,,,,0,,{AT}"));
        assert_eq!(cell(" \u{200b}\t+1"), "'+1");
        assert_eq!(cell("＝1"), "'＝1");
    }

    #[test]
    fn log_and_table_are_as_captains_know_them() {
        let profiles = profiles();
        let key = |byte: u8| Pubkey::from_bytes([byte; 32]);
        assert_eq!(
            log_lines(&key(1), &profiles[&key(1)]),
            [
                "  ✅ 01010101... Profile: Alice",
                "      Display: Alice, \"W\"",
                "      NIP-05: alice@example.com",
            ]
        );
        assert_eq!(
            log_lines(&key(3), &profiles[&key(3)]),
            ["  ✅ 03030303... Profile: (no name)"]
        );
        let mut table = Vec::new();
        write_table(&mut table, &[key(1), key(9)], &profiles).unwrap();
        let table = String::from_utf8(table).unwrap();
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[1].starts_with("01010101...  Alice  "), "{table}");
        assert!(lines[1].ends_with("  alice@example.com"), "{table}");
        assert_eq!(lines[2], "09090909...  NO PROFILE FOUND");
    }
}
