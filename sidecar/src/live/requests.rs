//! [`Requests`]: the questions by which a relay is asked, once and for good, for the events that are
//! new from now on (NIP-01). No clock, no network.

use constellation_shared::Pubkey;
use serde_json::json;

use crate::plan::wanted::RESTRICTED_KINDS;
use crate::relay::nip11::Information;
use crate::relay::objection::{Dimension, Objection};

/// How many authors one question names at most. strfry takes 65,535 bytes of values in a filter.
const MOST_AUTHORS: usize = 1900;

/// The length that each author adds to a message, in bytes.
const AUTHOR_LENGTH: u64 = 67;

/// The length of a message without its authors, in bytes.
const MESSAGE_LENGTH: u64 = 1000;

/// The message length that is assumed of a relay that names none, in bytes: the smallest seen on
/// stations.
const USUAL_MESSAGE_LENGTH: u64 = 65_536;

/// How many questions are open on one connection at most; strfry's default is 20.
const MOST_QUESTIONS: u64 = 16;

/// How many open questions are assumed of a relay that names no number: the smallest seen on
/// stations.
const USUAL_QUESTIONS: u64 = 5;

/// In which form one relay takes our questions, as far as it has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Form {
    /// How many authors it takes in one question.
    authors: usize,
    /// Whether the authors are named; else all events of the kinds are asked for.
    names_authors: bool,
    /// How many stored events it is asked for: none, or one where it wants a number above 0.
    limit: u8,
    /// Whether it shows the kinds that many relays show only to clients who authenticate.
    shows_restricted: bool,
}

impl Default for Form {
    fn default() -> Self {
        Self {
            authors: MOST_AUTHORS,
            names_authors: true,
            limit: 0,
            shows_restricted: true,
        }
    }
}

impl Form {
    /// The form to try after a question for these kinds was refused; `None` if there is no other.
    pub(super) fn after(self, objection: Objection, is_restricted: bool) -> Option<Self> {
        if is_restricted {
            // What it keeps to itself stays there, whatever it says of it.
            return self.shows_restricted.then_some(Self {
                shows_restricted: false,
                ..self
            });
        }
        match objection {
            Objection::WantsAuth | Objection::Never | Objection::RateLimited => None,
            Objection::TooMuch(Dimension::Limit) => {
                (self.limit == 0).then_some(Self { limit: 1, ..self })
            }
            Objection::TooManyOpen => self.names_authors.then_some(Self {
                names_authors: false,
                ..self
            }),
            Objection::TooMuch(_) if self.names_authors && self.authors > 1 => Some(Self {
                authors: self.authors / 2,
                ..self
            }),
            Objection::Unknown if self.limit == 0 => Some(Self { limit: 1, ..self }),
            Objection::TooMuch(_) | Objection::Unknown => self.names_authors.then_some(Self {
                names_authors: false,
                ..self
            }),
        }
    }
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    /// The name of its subscription. Some relays take at most 8 characters.
    pub(super) name: String,
    /// The whole REQ message.
    pub(super) message: String,
    /// Whether it asks for kinds that many relays show only to clients who authenticate.
    pub(super) is_restricted: bool,
}

/// All questions to one relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Requests {
    /// The questions.
    pub(super) all: Vec<Request>,
    /// Whether the authors are named. If not, events of others come, too.
    pub(super) names_authors: bool,
}

impl Requests {
    /// The questions for events of these authors and kinds to a relay with these limits. Those of
    /// another `round` have other names, so that answers to former ones are not taken for answers to
    /// these.
    pub(super) fn new(
        authors: &[Pubkey],
        kinds: &[u16],
        information: &Information,
        form: Form,
        round: u16,
    ) -> Self {
        let length = information.max_message_length;
        let length = length.unwrap_or(USUAL_MESSAGE_LENGTH);
        let fitting = length.saturating_sub(MESSAGE_LENGTH) / AUTHOR_LENGTH;
        let at_once = usize::try_from(fitting).unwrap_or(usize::MAX);
        let at_once = at_once.min(form.authors).max(1);
        let groups = groups(kinds, form.shows_restricted);
        let most = information.max_subscriptions.unwrap_or(USUAL_QUESTIONS);
        let most = most.clamp(1, MOST_QUESTIONS);
        let named = (authors.len().div_ceil(at_once) * groups.len()) as u64;
        let names_authors = form.names_authors && named <= most;
        let mut all = Vec::new();
        for (kinds, is_restricted) in groups {
            let parts: Vec<&[Pubkey]> = if names_authors {
                authors.chunks(at_once).collect()
            } else {
                vec![&[]]
            };
            for authors in parts {
                let name = match round {
                    0 => format!("l{}", all.len()),
                    _ => format!("l{}-{}", all.len(), round % 1000),
                };
                let message = message(&name, authors, &kinds, form.limit);
                all.push(Request {
                    name,
                    message,
                    is_restricted,
                });
            }
        }
        if authors.is_empty() {
            all.clear();
        }
        Self { all, names_authors }
    }

    /// The question of this name.
    pub(super) fn named(&self, name: &str) -> Option<&Request> {
        self.all.iter().find(|request| request.name == name)
    }
}

/// The kinds that are asked for together, and whether many relays restrict them.
fn groups(kinds: &[u16], shows_restricted: bool) -> Vec<(Vec<u16>, bool)> {
    let (restricted, open): (Vec<u16>, Vec<u16>) = kinds
        .iter()
        .partition(|kind| RESTRICTED_KINDS.contains(kind));
    let mut groups = vec![(open, false)];
    if shows_restricted {
        groups.push((restricted, true));
    }
    groups.retain(|(kinds, _)| !kinds.is_empty());
    groups
}

fn message(name: &str, authors: &[Pubkey], kinds: &[u16], limit: u8) -> String {
    if authors.is_empty() {
        return json!(["REQ", name, {"kinds": kinds, "limit": limit}]).to_string();
    }
    let authors: Vec<String> = authors.iter().map(ToString::to_string).collect();
    json!(["REQ", name, {"authors": authors, "kinds": kinds, "limit": limit}]).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(count: u32) -> Vec<Pubkey> {
        let key = |number: u32| {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&number.to_be_bytes());
            Pubkey::from_bytes(bytes)
        };
        (0..count).map(key).collect()
    }

    fn strfry() -> Information {
        Information {
            max_message_length: Some(131_072),
            max_subscriptions: Some(20),
            ..Information::default()
        }
    }

    #[test]
    fn authors_are_named_for_as_long_as_the_relay_has_room_for_the_questions() {
        let requests = |count, information: &Information| {
            Requests::new(&keys(count), &[0, 1, 4], information, Form::default(), 0)
        };
        let few = requests(3, &strfry());
        assert_eq!((few.all.len(), few.names_authors), (2, true));
        assert!(few.all[1].is_restricted && !few.all[0].is_restricted);
        let usual = requests(5000, &strfry());
        assert_eq!((usual.all.len(), usual.names_authors), (6, true));
        for request in &usual.all {
            assert!(request.message.len() < 131_072 && request.name.len() <= 8);
        }
        let many = requests(100_000, &strfry());
        assert_eq!((many.all.len(), many.names_authors), (2, false));
        // A relay that says nothing of itself.
        let unknown = requests(1900, &Information::default());
        assert_eq!((unknown.all.len(), unknown.names_authors), (4, true));
        assert!(requests(0, &strfry()).all.is_empty());
    }

    #[test]
    fn a_refused_question_is_asked_in_other_forms_until_none_is_left() {
        let mut form = Form::default();
        let mut tries = 0;
        while let Some(next) = form.after(Objection::TooMuch(Dimension::Any), false) {
            form = next;
            tries += 1;
            assert!(tries < 20);
        }
        assert!(!form.names_authors);
        let unknown = Form::default().after(Objection::Unknown, false).unwrap();
        assert_eq!((unknown.limit, unknown.names_authors), (1, true));
        let open = Form::default().after(Objection::WantsAuth, true).unwrap();
        assert!(!open.shows_restricted);
        assert_eq!(open.after(Objection::WantsAuth, true), None);
        assert_eq!(Form::default().after(Objection::WantsAuth, false), None);
        let requests = Requests::new(&keys(2), &[1, 4, 1059], &strfry(), open, 999);
        assert!(requests.all[0].name.len() <= 8);
        assert_eq!(requests.all.len(), 1);
    }
}
