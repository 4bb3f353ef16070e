//! What must hold of each reader of foreign text, whatever it reads: compared with a naive
//! reader, or with one that other people wrote. The fuzz targets in `tests/fuzz` and the
//! short tests in `tests/tests/properties/readers.rs` call the same functions, which panic where the
//! property does not hold.

pub mod change;
pub mod conf;
pub mod description;
pub mod event;
pub mod key;
pub mod list;
pub mod profile;
pub mod reconciliation;
pub mod relay_message;
pub mod request;

use constellation_shared::sanitize;

/// A property of a reader, and the folder of its examples.
#[derive(Debug, Clone, Copy)]
pub struct Property {
    /// The name of the fuzz target and of the folder in `tests/fuzz/seeds`.
    pub name: &'static str,
    /// Panics where it does not hold.
    pub holds: fn(&[u8]),
}

/// All of them.
pub const ALL: [Property; 8] = [
    Property {
        name: "conf",
        holds: conf::holds,
    },
    Property {
        name: "description",
        holds: description::holds,
    },
    Property {
        name: "event",
        holds: event::holds,
    },
    Property {
        name: "list",
        holds: list::holds,
    },
    Property {
        name: "profile",
        holds: profile::holds,
    },
    Property {
        name: "reconciliation",
        holds: reconciliation::holds,
    },
    Property {
        name: "relay_message",
        holds: relay_message::holds,
    },
    Property {
        name: "request",
        holds: request::holds,
    },
];

/// Whether a person's terminal would show nothing but this text: no hidden characters.
fn is_harmless(text: &str) -> bool {
    !text.chars().any(sanitize::is_hidden)
}
