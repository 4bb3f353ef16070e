//! [`former_rule`]: what the station's plugin accepts from whom, judged by its text, so that the
//! policy that replaces it accepts the same.
//!
//! The station's plugin is a shell script that changes now and then, upstream and by captains. Its
//! text is reduced to what decides: comments, blanks, quotes and lines that only log are dropped. The
//! function that decides about an event, and the loop that calls it, must then have one of the known
//! shapes; functions that these call must be known word for word. Anything else is a [`Doubt`], and
//! never a guess.

mod reduced;
mod shape;

use std::fmt;

use constellation_shared::verdict::Strangers;

use reduced::{Function, Reduced, reduce};

/// What a plugin accepts, besides the blacklist, which they all have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FormerRule {
    /// What authors may write who are in no list.
    pub strangers: Strangers,
    /// Whether it runs `filter/KIND.sh`.
    pub runs_filters: bool,
    /// Whether nodes and captains of stations count as known.
    pub knows_stations: bool,
}

impl fmt::Display for FormerRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let filters = if self.runs_filters {
            ", if there is no filter for their kind that rejects them"
        } else {
            ""
        };
        match (self.strangers, self.runs_filters) {
            (Strangers::Accept, _) => {
                write!(f, "events of everyone who is not blacklisted{filters}")
            }
            (Strangers::Filters, true) => write!(
                f,
                "events of members and friends{}{filters}; of strangers only events whose kind has a filter that accepts them",
                self.stations()
            ),
            (Strangers::Filters, false) => {
                write!(
                    f,
                    "events of members and friends{}; nothing of strangers",
                    self.stations()
                )
            }
        }
    }
}

impl FormerRule {
    const fn stations(&self) -> &'static str {
        if self.knows_stations {
            ", nodes and captains of stations"
        } else {
            ""
        }
    }
}

/// Why a plugin is not recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Doubt {
    /// What in it is unknown, in words.
    pub what: String,
    /// The rule that it seems to have, if the part that decides has a known shape.
    pub seems: Option<FormerRule>,
}

impl Doubt {
    /// A doubt about a plugin of which nothing is known.
    pub(crate) fn new(what: &str) -> Self {
        Self {
            what: what.to_owned(),
            seems: None,
        }
    }
}

/// The functions that the deciding one calls, and the hashes of their known bodies, by the versions
/// that upstream had from 2025-04 to 2026-08.
const HELPERS: [(&str, &[u64]); 5] = [
    (
        "is_key_blacklisted",
        &[
            0x69e2_5bfc_620f_1375,
            0xbe42_0857_325b_c6f5,
            0x51df_c9ee_95d2_3075,
        ],
    ),
    (
        "check_multipass_and_remove_from_blacklist",
        &[0x1494_934c_3124_4f2a, 0xa039_0012_11ef_11e1],
    ),
    (
        "check_amis_of_amis_and_remove_from_blacklist",
        &[0xa940_381d_9d8e_0296, 0x6489_ab5c_2d9b_d795],
    ),
    ("check_swarm_node_hex", &[0x24e6_196e_dfbc_96b5]),
    (
        "classify_user",
        &[
            0xfc61_5fc1_1fa5_74e8,
            0x2cc6_fdef_bf8f_9a88,
            0x1797_e2a1_7e38_c364,
        ],
    ),
];

/// The function that decides about an event.
const DECIDES: &str = "process_new_event";

/// What a plugin with this text accepts.
///
/// # Errors
/// [`Doubt`] if the text is not that of a known plugin.
pub(crate) fn former_rule(text: &str) -> Result<FormerRule, Doubt> {
    let doubt = |what: String| Doubt { what, seems: None };
    let reduced = reduce(text).map_err(doubt)?;
    let Some(body) = reduced.function(DECIDES) else {
        return Err(doubt(format!("it has no function {DECIDES}")));
    };
    let decided = shape::decision(body).map_err(doubt)?;
    let classes = reduced.function("classify_user");
    let rule = FormerRule {
        strangers: decided.strangers,
        runs_filters: decided.runs_filters,
        knows_stations: classes.is_some_and(|body| body.contains("check_swarm_node_hex")),
    };
    // From here on, it is known what it seems to do.
    let doubt = |what: String| Doubt {
        what,
        seems: Some(rule),
    };
    shape::main_program(&reduced.main).map_err(doubt)?;
    known_helpers(&reduced, rule.strangers).map_err(doubt)?;
    Ok(rule)
}

/// Checks the functions that decide together with the deciding one.
///
/// # Errors
/// What is unknown, in words.
fn known_helpers(reduced: &Reduced, strangers: Strangers) -> Result<(), String> {
    let classifies = strangers == Strangers::Filters;
    for name in ["is_key_blacklisted", "classify_user"] {
        let is_called = name != "classify_user" || classifies;
        if is_called && reduced.function(name).is_none() {
            return Err(format!("it has no function {name}"));
        }
    }
    for Function { name, body } in &reduced.functions {
        let known = match name.as_str() {
            DECIDES => true,
            // Whatever is logged, it decides nothing.
            "log_message" => body.lines().all(only_logs),
            _ => {
                let helper = HELPERS.iter().find(|(helper, _)| helper == name);
                helper.is_some_and(|(_, known)| known.contains(&hash(body)))
            }
        };
        if !known {
            return Err(format!("its function {name} is not a known one"));
        }
    }
    Ok(())
}

/// Whether a reduced line does nothing, or appends to a file and nothing else.
fn only_logs(line: &str) -> bool {
    let prints = line.starts_with("echo") || line.starts_with("printf");
    line == ":" || prints && line.contains(">>") && !line.contains([';', '&', '|', '`'])
}

/// The hash of a reduced text (FNV-1a). It guards against changes, not against forgery: whoever can
/// write the plugin can have strfry run anything.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests;
