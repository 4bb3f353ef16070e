//! The JSON Schema in the package describes the reports, all of them and nothing else.

use constellation_tests::station;
use jsonschema::Validator;
use serde_json::{Value, json};

use crate::case::{failing, report, sync, with_peer};

const SCHEMA: &str = include_str!("../../../sidecar/package/constellation-report.schema.json");

/// What the schema allows for later versions this one does not write.
fn without_room(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if object.contains_key("properties") {
                object.insert("additionalProperties".to_owned(), json!(false));
            }
            object.values_mut().for_each(without_room);
        }
        Value::Array(values) => values.iter_mut().for_each(without_room),
        _ => {}
    }
}

#[track_caller]
fn expect_valid(validator: &Validator, document: &Value) {
    let faults: Vec<String> = validator
        .iter_errors(document)
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect();
    assert!(faults.is_empty(), "{faults:#?}\n{document:#}");
}

#[test]
fn real_reports_are_as_the_schema_says() {
    let mut schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let open = jsonschema::validator_for(&schema).unwrap();
    without_room(&mut schema);
    let strict = jsonschema::validator_for(&schema).unwrap();
    let status_schema = json!({
        "$schema": schema["$schema"],
        "$ref": "urn:constellation-sync:report:1#/$defs/status",
        "$defs": {"report": schema},
    });
    let status = jsonschema::validator_for(&status_schema).unwrap();
    let status_of = |station: &constellation_tests::StationDir| -> Value {
        let output = station.run("constellation-sync", &["status", "--json"]);
        serde_json::from_str(&output.stdout).unwrap()
    };

    let (station, _relay) = with_peer("Bob");
    let hooks = ["--on-failure", "exit 7", "--on-failure-after", "1"];
    expect_valid(&status, &status_of(&station));
    failing(&station, &hooks);
    expect_valid(&strict, &report(&station));
    assert_eq!(report(&station)["told"]["event"], "failure");
    sync(&station)
        .args(["--on-success", "exit 7"])
        .output()
        .expect_code(0);
    assert_eq!(report(&station)["pinged"]["event"], "success");
    let whole = report(&station);
    expect_valid(&strict, &whole);
    expect_valid(&status, &status_of(&station));
    std::fs::remove_file(station.strfry()).unwrap();
    sync(&station).output().expect_code(3);
    expect_valid(&strict, &report(&station));

    // Runs that could not even begin.
    let elsewhere = station!();
    let output = elsewhere
        .command("constellation-sync")
        .args(["--json", "--zen", "/nowhere"])
        .output();
    output.expect_code(2);
    expect_valid(&strict, &serde_json::from_str(&output.stdout).unwrap());

    // What it is not: and what a later version may be.
    let mut later = whole.clone();
    later["peers"][0]["more"] = json!(1);
    assert!(open.is_valid(&later) && !strict.is_valid(&later));
    for wrong in ["schema", "outcome", "peers", "runs", "events_by_kind"] {
        let mut broken = whole.clone();
        broken[wrong] = json!("wrong");
        assert!(!open.is_valid(&broken), "{wrong}");
    }
}
