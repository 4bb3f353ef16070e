//! `strfry scan`.

use std::collections::HashSet;
use std::io::{BufWriter, Write, stdout};

use serde_json::Value;

use super::Stop;
use super::conf::Conf;
use super::database::Database;
use crate::filter::Filter;

const USAGE: &str = "\n    Usage:\n      scan [--pause=<pause>] [--metrics] [--count] <filter>\n\n";

pub(super) fn scan(args: &[String], conf: &Conf) -> Result<(), Stop> {
    let usage = |words: &str| Stop::Usage(USAGE, words.to_owned());
    let mut count = false;
    let mut filter = None;
    for arg in args {
        match arg.as_str() {
            "--count" => count = true,
            "--metrics" => {}
            _ if arg.starts_with("--pause=") => {}
            _ if arg.starts_with("--") => {
                return Err(usage(&format!("Unexpected argument: {arg}")));
            }
            _ if filter.is_none() => filter = Some(arg),
            _ => return Err(usage("Arguments did not match expected patterns")),
        }
    }
    let filter = filter.ok_or_else(|| usage("Arguments did not match expected patterns"))?;
    let filter: Value = serde_json::from_str(filter)
        .map_err(|error| format!("tao::json::events::from_string:{error}"))?;
    let filters = match &filter {
        Value::Array(filters) => filters.iter().map(Filter::parse).collect(),
        filter => Filter::parse(filter).map(|filter| vec![filter]),
    }?;

    let database = Database::read(conf)?;
    let newest_first = database.newest_first();
    let mut output = BufWriter::new(stdout().lock());
    // Each filter is gone through by itself; what an earlier one gave is not given again.
    let mut given = HashSet::new();
    for filter in &filters {
        let matching = newest_first.iter().filter(|record| filter.matches(record));
        for record in matching.take(filter.limit) {
            let new = given.insert(record.id);
            if new && !count && writeln!(output, "{}", record.json).is_err() {
                return Ok(());
            }
        }
    }
    if count {
        let _ = writeln!(output, "{}", given.len());
    }
    let _ = output.flush();
    Ok(())
}
