//! Resolves what a conf assigns to each name into values: blocks are merged, sums are added up and
//! references are followed (phases 2 to 5 of taocpp/config).

use std::collections::BTreeMap;
use std::mem;

use super::tree::{Node, Part, Reference, Scalar, Slot, Step, Value};

/// How often everything is gone through: references to references take a turn each.
const MOST_TURNS: usize = 200;

/// How many parts may be copied for references.
const MOST_COPIES: usize = 100_000;

/// Why a conf has no values.
#[derive(Debug)]
pub(super) struct Unresolved {
    /// The place in the conf itself, in bytes.
    pub(super) at: usize,
    pub(super) what: String,
    /// Whether strfry refuses it, too.
    pub(super) is_certain: bool,
}

fn refused(at: usize, what: impl Into<String>) -> Unresolved {
    Unresolved {
        at,
        what: what.into(),
        is_certain: true,
    }
}

/// The values of everything that a conf says.
pub(super) fn resolve(mut root: Slot) -> Result<Node, Unresolved> {
    let mut copies = 0;
    for _ in 0..MOST_TURNS {
        let has_references = root.any(&|part| matches!(part, Part::Reference(_)));
        let mut has_changed = combine(&mut root)?;
        if has_references {
            let before = root.clone();
            let mut references = References {
                root: &before,
                path: Vec::new(),
                copies: &mut copies,
            };
            has_changed |= references.follow(&mut root)?;
        }
        if !has_changed {
            let is_guess = root.any(&|part| matches!(part, Part::Unknown(_)));
            let node = node(&root).map_err(|fault| Unresolved {
                // What a function gives might have made sense of it.
                is_certain: fault.is_certain && !is_guess,
                ..fault
            })?;
            return Ok(node.unwrap_or(Node {
                value: Value::Object(BTreeMap::new()),
                place: None,
                at: 0,
            }));
        }
    }
    Err(Unresolved {
        is_certain: false,
        ..refused(0, "its references lead too far")
    })
}

/// Adds up what stands side by side, everywhere; whether there was something.
fn combine(slot: &mut Slot) -> Result<bool, Unresolved> {
    let mut has_changed = false;
    for part in &mut slot.parts {
        match part {
            Part::Array(elements) => {
                for element in elements {
                    has_changed |= combine(element)?;
                }
            }
            Part::Object(members) => {
                for member in members.values_mut() {
                    has_changed |= combine(member)?;
                }
            }
            Part::Scalar(_) | Part::Reference(_) | Part::Unknown(_) => {}
        }
    }
    let mut parts: Vec<Part> = Vec::new();
    for part in mem::take(&mut slot.parts) {
        match (parts.last_mut(), part) {
            (Some(Part::Scalar(left)), Part::Scalar(right)) => {
                *left = add(left, right)
                    .ok_or_else(|| refused(slot.at, "values are added that do not go together"))?;
                has_changed = true;
            }
            (Some(Part::Array(left)), Part::Array(right)) => {
                left.extend(right);
                has_changed = true;
            }
            (Some(Part::Object(left)), Part::Object(right)) => {
                let earlier = mem::replace(left, right);
                merge(earlier, left);
                has_changed = true;
            }
            (_, part) => parts.push(part),
        }
    }
    slot.parts = parts;
    Ok(has_changed)
}

/// Puts the values of an earlier block before those of a later one.
fn merge(earlier: BTreeMap<String, Slot>, later: &mut BTreeMap<String, Slot>) {
    for (name, mut before) in earlier {
        let Some(after) = later.get_mut(&name) else {
            later.insert(name, before);
            continue;
        };
        if after.replaces {
            continue;
        }
        after.replaces |= before.replaces;
        after.is_temporary |= before.is_temporary;
        after.place = if before.parts.is_empty() {
            after.place.take()
        } else if after.parts.is_empty() {
            before.place.take()
        } else {
            None
        };
        before.parts.append(&mut after.parts);
        after.parts = before.parts;
    }
}

fn add(left: &Scalar, right: Scalar) -> Option<Scalar> {
    use Scalar::{Binary, Float, Signed, Text, Unsigned};
    Some(match (left, right) {
        (Unsigned(left), Unsigned(right)) => Unsigned(left.wrapping_add(right)),
        (Signed(left), Signed(right)) => Signed(left.wrapping_add(right)),
        (Signed(left), Unsigned(right)) => Signed(left.wrapping_add_unsigned(right)),
        (Unsigned(left), Signed(right)) => Signed(right.wrapping_add_unsigned(*left)),
        (Float(left), Float(right)) => Float(format!("{left} + {right}")),
        (Text(left), Text(right)) => Text(left.clone() + &right),
        (Binary(left), Binary(right)) => Binary([left.as_slice(), &right].concat()),
        _ => return None,
    })
}

/// What a reference leads to.
enum Target<'a> {
    /// This, complete.
    Found(&'a Slot),
    /// Nothing here; an outer block may have it.
    Outside,
    /// Something that is not complete yet.
    Later,
    /// What a function gives.
    Unknown,
}

struct References<'a> {
    root: &'a Slot,
    path: Vec<Step>,
    copies: &'a mut usize,
}

impl<'a> References<'a> {
    /// Puts in the place of each reference what it leads to, as far as that is known by now;
    /// whether there was one.
    fn follow(&mut self, slot: &mut Slot) -> Result<bool, Unresolved> {
        let mut has_changed = false;
        let at = slot.at;
        for part in &mut slot.parts {
            match part {
                Part::Reference(reference) => {
                    let found = match self.target(reference, at)? {
                        Target::Found(found) => found.parts.first().cloned(),
                        Target::Unknown => Some(Part::Unknown("a reference".to_owned())),
                        Target::Outside | Target::Later => None,
                    };
                    if let Some(found) = found {
                        let size = Slot {
                            parts: vec![found.clone()],
                            ..Slot::default()
                        };
                        *self.copies += size.size();
                        if *self.copies > MOST_COPIES {
                            return Err(Unresolved {
                                is_certain: false,
                                ..refused(at, "its references copy too much")
                            });
                        }
                        *part = found;
                        has_changed = true;
                    }
                }
                Part::Array(elements) => {
                    for (index, element) in elements.iter_mut().enumerate() {
                        self.path.push(Step::Index(index));
                        has_changed |= self.follow(element)?;
                        self.path.pop();
                    }
                }
                Part::Object(members) => {
                    for (name, member) in members {
                        self.path.push(Step::Name(name.clone()));
                        has_changed |= self.follow(member)?;
                        self.path.pop();
                    }
                }
                Part::Scalar(_) | Part::Unknown(_) => {}
            }
        }
        Ok(has_changed)
    }

    fn target(&self, reference: &[Reference], at: usize) -> Result<Target<'a>, Unresolved> {
        let mut wanted = Vec::new();
        for step in reference {
            wanted.push(match step {
                Reference::Name(name) => Step::Name(name.clone()),
                Reference::Index(index) => Step::Index(*index),
                Reference::Nested(nested) => {
                    let found = match self.target(nested, at)? {
                        Target::Found(found) => found,
                        other => return Ok(other),
                    };
                    match found.parts.first() {
                        Some(Part::Scalar(Scalar::Text(name))) => Step::Name(name.clone()),
                        Some(Part::Scalar(Scalar::Unsigned(index))) => {
                            Step::Index(usize::try_from(*index).unwrap_or(usize::MAX))
                        }
                        None => return Ok(Target::Later),
                        Some(_) => return Err(refused(at, "a reference by what is no name")),
                    }
                }
            });
        }
        let inside = self.path.len().saturating_sub(1);
        for length in (0..=inside).rev() {
            let outer = self.path.get(..length).unwrap_or_default();
            let path: Vec<&Step> = outer.iter().chain(&wanted).collect();
            let Some((Step::Name(first), rest)) = path.split_first() else {
                return Err(refused(at, "a reference begins with a number"));
            };
            let member = self.root.parts.iter().find_map(|part| match part {
                Part::Object(members) => members.get(first),
                _ => None,
            });
            let Some(member) = member else { continue };
            // While we are still in the path that leads to the reference, an outer block
            // may have what this one lacks.
            match access(member, rest, length)? {
                Some(Target::Outside) => {}
                Some(target) => return Ok(target),
                None => return Err(refused(at, "a reference leads nowhere")),
            }
        }
        Ok(Target::Outside)
    }
}

/// What lies at a path, of which the first `shared` steps lead to the reference itself; none
/// where strfry refuses to go on.
fn access<'a>(
    mut slot: &'a Slot,
    path: &[&Step],
    shared: usize,
) -> Result<Option<Target<'a>>, Unresolved> {
    let mut shared = shared;
    for step in path {
        let is_shared = shared > 0;
        shared = shared.saturating_sub(1);
        let missing = || Ok(is_shared.then_some(Target::Outside));
        let part = match slot.parts.as_slice() {
            [] if is_shared => return missing(),
            [] => return Ok(Some(Target::Later)),
            [part] => part,
            [..] => return Ok(Some(Target::Later)),
        };
        slot = match (part, step) {
            (Part::Unknown(_), _) => return Ok(Some(Target::Unknown)),
            (Part::Reference(_), Step::Name(_)) => return Ok(Some(Target::Later)),
            (Part::Object(members), Step::Name(name)) => match members.get(name) {
                Some(member) => member,
                None => return missing(),
            },
            (Part::Array(elements), Step::Index(index)) => match elements.get(*index) {
                Some(element) => element,
                None => return missing(),
            },
            (Part::Array(_), Step::Name(_)) => return missing(),
            _ => return Ok(None),
        };
    }
    if slot.any(&|part| matches!(part, Part::Unknown(_))) {
        return Ok(Some(Target::Unknown));
    }
    let is_complete = slot.parts.len() < 2 && !slot.any(&|p| matches!(p, Part::Reference(_)));
    Ok(Some(if is_complete {
        Target::Found(slot)
    } else {
        Target::Later
    }))
}

/// The value of a slot; `None` if it is left out.
fn node(slot: &Slot) -> Result<Option<Node>, Unresolved> {
    let is_left_out = slot.is_implied || slot.is_temporary || slot.parts.is_empty();
    let unknown = slot.parts.iter().find_map(|part| match part {
        Part::Unknown(what) => Some(what.clone()),
        _ => None,
    });
    let value = match (unknown, slot.parts.as_slice()) {
        (Some(what), _) => Value::Unknown(what),
        (None, []) => return Ok(None),
        (None, [part]) => value(part, slot.at)?,
        (None, parts) => {
            // A reference that is left says more than what it stands beside.
            for part in parts {
                value(part, slot.at)?;
            }
            return Err(refused(slot.at, "values are added that do not go together"));
        }
    };
    Ok((!is_left_out).then(|| Node {
        value,
        place: slot.place.clone(),
        at: slot.at,
    }))
}

fn value(part: &Part, at: usize) -> Result<Value, Unresolved> {
    Ok(match part {
        Part::Scalar(scalar) => Value::Scalar(scalar.clone()),
        Part::Unknown(what) => Value::Unknown(what.clone()),
        Part::Reference(_) => return Err(refused(at, "a reference leads nowhere")),
        Part::Array(elements) => {
            let nodes: Result<Vec<_>, _> = elements.iter().map(node).collect();
            Value::Array(nodes?.into_iter().flatten().collect())
        }
        Part::Object(members) => {
            let mut nodes = BTreeMap::new();
            for (name, member) in members {
                nodes.extend(node(member)?.map(|node| (name.clone(), node)));
            }
            Value::Object(nodes)
        }
    })
}
