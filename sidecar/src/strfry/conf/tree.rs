//! The tree of a conf: as it is written, with all assignments to a name in their order, and as it is
//! once it is resolved.

use std::collections::BTreeMap;
use std::ops::Range;

/// A value without parts of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    /// A number that is not whole, as it is written: no setting that is read here is one.
    Float(String),
    Text(String),
    Binary(Vec<u8>),
}

/// A part of a name: `a.b`, `a.0`, `a.*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Name(String),
    Index(usize),
    Star,
}

/// A part of a reference: like that of a name, or a reference itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reference {
    Name(String),
    Index(usize),
    Nested(Vec<Reference>),
}

/// One of the values that are added up for a name.
#[derive(Debug, Clone)]
pub(super) enum Part {
    Scalar(Scalar),
    Reference(Vec<Reference>),
    Array(Vec<Slot>),
    Object(BTreeMap<String, Slot>),
    /// The value of a function such as `env`, which depends on what we do not see.
    Unknown(String),
}

/// All assignments to one name.
#[derive(Debug, Clone, Default)]
pub(super) struct Slot {
    pub(super) parts: Vec<Part>,
    /// Whether what an earlier block says of the same name no longer counts.
    pub(super) replaces: bool,
    /// Whether nothing but a deletion further in mentions it.
    pub(super) is_implied: bool,
    /// Whether it serves others as a template, and is left out in the end.
    pub(super) is_temporary: bool,
    /// The place of the text that gives it its value, if a single place in the conf itself does.
    pub(super) place: Option<Range<usize>>,
    /// The place of its name in the conf itself, in bytes, or of the include that leads to it.
    pub(super) at: usize,
}

impl Slot {
    /// The object that the next assignment belongs to: the last part, or a new one if that is not an
    /// object.
    pub(super) fn object(&mut self) -> Option<&mut BTreeMap<String, Self>> {
        if !matches!(self.parts.last(), Some(Part::Object(_))) {
            self.parts.push(Part::Object(BTreeMap::new()));
        }
        match self.parts.last_mut() {
            Some(Part::Object(members)) => Some(members),
            _ => None,
        }
    }

    /// The array that the next assignment belongs to: the last part, or a new one if that is not an
    /// array.
    pub(super) fn array(&mut self) -> Option<&mut Vec<Self>> {
        if !matches!(self.parts.last(), Some(Part::Array(_))) {
            self.parts.push(Part::Array(Vec::new()));
        }
        match self.parts.last_mut() {
            Some(Part::Array(elements)) => Some(elements),
            _ => None,
        }
    }

    /// The slots directly inside.
    pub(super) fn inner(&self) -> impl Iterator<Item = &Self> {
        self.parts.iter().flat_map(|part| {
            let (elements, members) = match part {
                Part::Array(elements) => (Some(elements.iter()), None),
                Part::Object(members) => (None, Some(members.values())),
                _ => (None, None),
            };
            let members = members.into_iter().flatten();
            elements.into_iter().flatten().chain(members)
        })
    }

    /// Whether a part of it, however deep, is like this.
    pub(super) fn any(&self, is_wanted: &impl Fn(&Part) -> bool) -> bool {
        self.parts.iter().any(is_wanted) || self.inner().any(|slot| slot.any(is_wanted))
    }

    /// How many parts it has, however deep.
    pub(super) fn size(&self) -> usize {
        let inner: usize = self.inner().map(Self::size).sum();
        self.parts.len().saturating_add(inner)
    }
}

/// A value in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Scalar(Scalar),
    Array(Vec<Node>),
    Object(BTreeMap<String, Node>),
    /// What only strfry can tell, and why.
    Unknown(String),
}

/// A resolved value, and the place where it is written.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) place: Option<Range<usize>>,
    pub(super) at: usize,
}

impl PartialEq for Node {
    /// Wherever they are written.
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Eq for Node {}
