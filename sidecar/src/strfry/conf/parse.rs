//! From the text of a conf to what it says of each name: the grammar of taocpp/config
//! (`config_grammar.hpp`), by recursive descent.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::cursor::Cursor;
use super::fault::Fault;
use super::tree::{Part, Scalar, Slot, Step};

/// How deep names may lie inside others, as for strfry.
const DEEPEST: usize = 96;

/// How many files may be included, one inside the other or one after the other: a file that
/// includes itself ends here.
const MOST_FILES: usize = 64;

/// The functions that give a value, and how many arguments each of them takes.
const VALUE_FUNCTIONS: [(&str, usize); 15] = [
    ("binary", 1),
    ("cbor", 1),
    ("default", 2),
    ("env", 1),
    ("env?", 2),
    ("identity", 1),
    ("jaxn", 1),
    ("json", 1),
    ("msgpack", 1),
    ("parse", 1),
    ("read", 1),
    ("shell", 1),
    ("split", 1),
    ("string", 1),
    ("ubjson", 1),
];

/// Reads the files that a conf includes.
pub(super) type Include<'a> = &'a dyn Fn(&Path) -> io::Result<Vec<u8>>;

/// What a conf says, before it is added up.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) root: Slot,
    /// Behind the `{` of the last block of each name in the conf itself, in bytes. That of
    /// no name is there where the whole conf stands in braces.
    pub(super) blocks: BTreeMap<Vec<String>, usize>,
}

struct Parser<'a> {
    include: Include<'a>,
    blocks: BTreeMap<Vec<String>, usize>,
    /// The names that we are inside of.
    path: Vec<String>,
    /// Where the outermost include or `parse` stands in the conf itself.
    nested_at: Option<usize>,
    files: usize,
}

/// Reads a conf, and the files that it includes.
///
/// # Errors
/// [`Fault`]
pub(super) fn parse(text: &[u8], include: Include<'_>) -> Result<Said, Fault> {
    let mut parser = Parser {
        include,
        blocks: BTreeMap::new(),
        path: Vec::new(),
        nested_at: None,
        files: 0,
    };
    let mut root = Slot::default();
    root.object();
    parser.file(&mut Cursor::new(text, None), &mut root)?;
    Ok(Said {
        root,
        blocks: parser.blocks,
    })
}

impl Parser<'_> {
    /// A whole file, in braces or not.
    fn file(&mut self, cursor: &mut Cursor<'_>, slot: &mut Slot) -> Result<(), Fault> {
        cursor.skip_blank()?;
        if cursor.peek() == Some(b'{') {
            self.block(cursor, slot)?;
            cursor.skip_blank()?;
            return match cursor.is_at_end() {
                true => Ok(()),
                false => Err(cursor.unexpected("the conf ended")),
            };
        }
        while !cursor.is_at_end() {
            self.member(cursor, slot)?;
        }
        Ok(())
    }

    /// `{ … }`
    fn block(&mut self, cursor: &mut Cursor<'_>, slot: &mut Slot) -> Result<(), Fault> {
        let start = cursor.at;
        cursor.eat(b"{");
        if self.nested_at.is_none() {
            self.blocks.insert(self.path.clone(), cursor.at);
        }
        slot.object();
        cursor.skip_blank()?;
        while !cursor.eat(b"}") {
            if cursor.is_at_end() {
                return Err(cursor.fault_at(start, "this { is not closed"));
            }
            self.member(cursor, slot)?;
        }
        Ok(())
    }

    /// `name = value` or `(function …)`, and the comma behind it.
    fn member(&mut self, cursor: &mut Cursor<'_>, slot: &mut Slot) -> Result<(), Fault> {
        if cursor.peek() == Some(b'(') {
            self.member_function(cursor, slot)?;
        } else {
            self.assignment(cursor, slot)?;
        }
        cursor.skip_blank()?;
        if cursor.eat(b",") {
            cursor.skip_blank()?;
        }
        Ok(())
    }

    fn assignment(&mut self, cursor: &mut Cursor<'_>, slot: &mut Slot) -> Result<(), Fault> {
        let start = cursor.at;
        let steps = cursor.name()?;
        cursor.skip_blank()?;
        let head = cursor.at;
        let replaces = cursor.eat(b"=") || cursor.eat(b":");
        let is_block = matches!(cursor.peek(), Some(b'{' | b'['));
        if !replaces && !cursor.eat(b"+=") && !is_block {
            return Err(cursor.unexpected("a = is missing"));
        }
        cursor.skip_blank()?;
        let is_deleted = replaces && is_delete(cursor);
        let at = self.nested_at.unwrap_or(start);
        let depth = self.path.len();
        let target = self.find(cursor, slot, &steps, (at, start), is_deleted)?;
        if replaces {
            target.parts.clear();
            target.replaces = true;
            target.place = None;
        }
        if !is_deleted {
            if cursor.is_at_end() {
                return Err(cursor.fault_at(head, "a value is missing"));
            }
            let (was_empty, start) = (target.parts.is_empty(), cursor.at);
            let end = self.values(cursor, target)?;
            let is_alone = was_empty && self.nested_at.is_none();
            target.place = is_alone.then_some(start..end);
        }
        self.path.truncate(depth);
        Ok(())
    }

    /// The slot of a name below another, made where there is none; [`Parser::path`] is then
    /// that of the name.
    fn find<'s>(
        &mut self,
        cursor: &Cursor<'_>,
        mut slot: &'s mut Slot,
        steps: &[Step],
        (at, start): (usize, usize),
        is_implied: bool,
    ) -> Result<&'s mut Slot, Fault> {
        let none = |start| cursor.fault_at(start, "there is no such name");
        for step in steps {
            match step {
                Step::Star => {
                    let what = "a * among the names: only strfry knows what it changes";
                    return Err(cursor.doubt_at(start, what));
                }
                Step::Name(name) => {
                    let members = slot.object().ok_or_else(|| none(start))?;
                    let is_new = !members.contains_key(name);
                    slot = members.entry(name.clone()).or_default();
                    slot.is_implied = is_implied && (is_new || slot.is_implied);
                    if is_new {
                        slot.at = at;
                    }
                    self.path.push(name.clone());
                }
                Step::Index(index) => {
                    let is_outermost = self.path.is_empty();
                    slot = element(slot, *index)
                        .filter(|_| !is_outermost)
                        .ok_or_else(|| cursor.fault_at(start, "there is no such element"))?;
                    self.path.push(index.to_string());
                }
            }
        }
        match self.path.len() > DEEPEST {
            true => Err(cursor.fault_at(start, "names lie too deep inside each other")),
            false => Ok(slot),
        }
    }

    /// `value + value`; where the last one ends.
    fn values(&mut self, cursor: &mut Cursor<'_>, slot: &mut Slot) -> Result<usize, Fault> {
        loop {
            self.value(cursor, slot)?;
            let end = cursor.at;
            cursor.skip_blank()?;
            if !cursor.eat(b"+") {
                return Ok(end);
            }
            cursor.skip_blank()?;
        }
    }

    fn value(&mut self, cursor: &mut Cursor<'_>, slot: &mut Slot) -> Result<(), Fault> {
        match cursor.peek() {
            Some(b'{') => self.block(cursor, slot),
            Some(b'[') => self.array(cursor, slot),
            Some(b'(') => {
                let part = bracketed(cursor)?;
                slot.parts.push(part);
                Ok(())
            }
            _ => {
                slot.parts.push(Part::Scalar(cursor.scalar()?));
                Ok(())
            }
        }
    }

    fn array(&mut self, cursor: &mut Cursor<'_>, slot: &mut Slot) -> Result<(), Fault> {
        let start = cursor.at;
        cursor.eat(b"[");
        slot.array();
        self.path.push("[]".to_owned());
        if self.path.len() > DEEPEST {
            return Err(cursor.fault_at(start, "arrays lie too deep inside each other"));
        }
        cursor.skip_blank()?;
        while !cursor.eat(b"]") {
            if cursor.is_at_end() {
                return Err(cursor.fault_at(start, "this [ is not closed"));
            }
            let mut element = Slot {
                at: self.nested_at.unwrap_or(cursor.at),
                ..Slot::default()
            };
            self.values(cursor, &mut element)?;
            if let Some(elements) = slot.array() {
                elements.push(element);
            }
            cursor.skip_blank()?;
            if cursor.eat(b",") {
                cursor.skip_blank()?;
            }
        }
        self.path.pop();
        Ok(())
    }

    /// `(include "file")` and its like, in the place of a member.
    fn member_function(&mut self, cursor: &mut Cursor<'_>, slot: &mut Slot) -> Result<(), Fault> {
        let start = cursor.at;
        cursor.eat(b"(");
        let name = function_name(cursor)?;
        match name.as_str() {
            "include" | "include?" => {
                let file = text_argument(cursor, start, &name)?;
                self.included(cursor, slot, start, &file, name == "include?")?;
            }
            "parse" => {
                let text = text_argument(cursor, start, &name)?;
                let within = |fault: Fault| Fault {
                    line: cursor.fault_at(start, "").line,
                    ..fault
                };
                let mut inner = Cursor::new(text.as_bytes(), cursor.file);
                self.nested(start, |parser| parser.file(&mut inner, slot))
                    .map_err(within)?;
            }
            "temporary" | "permanent" => {
                let steps = cursor.name()?;
                let depth = self.path.len();
                let at = self.nested_at.unwrap_or(start);
                let target = self.find(cursor, slot, &steps, (at, start), true)?;
                target.is_temporary = name == "temporary";
                self.path.truncate(depth);
            }
            // A schema can make strfry refuse values, and changes none.
            "schema" => drop(argument(cursor)?),
            "setenv" => {
                argument(cursor)?;
                argument(cursor)?;
            }
            _ => {
                let what = format!("({name} …) is a function that we do not know");
                return Err(cursor.doubt_at(start, what));
            }
        }
        close(cursor, start, &name)
    }

    fn included(
        &mut self,
        cursor: &Cursor<'_>,
        slot: &mut Slot,
        start: usize,
        file: &str,
        may_be_missing: bool,
    ) -> Result<(), Fault> {
        self.files += 1;
        if self.files > MOST_FILES {
            return Err(cursor.doubt_at(start, "too many files are included"));
        }
        let path = PathBuf::from(file);
        let text = match (self.include)(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return match may_be_missing {
                    true => Ok(()),
                    false => Err(cursor.fault_at(start, format!("{file:?} is not there"))),
                };
            }
            Err(error) => {
                let what = format!("{file:?} cannot be read: {error}");
                return Err(cursor.doubt_at(start, what));
            }
        };
        let mut inner = Cursor::new(&text, Some(&path));
        self.nested(start, |parser| parser.file(&mut inner, slot))
    }

    fn nested<T>(&mut self, start: usize, read: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.nested_at;
        self.nested_at = before.or(Some(start));
        let result = read(self);
        self.nested_at = before;
        result
    }
}

/// `delete`, and no name that begins so.
fn is_delete(cursor: &mut Cursor<'_>) -> bool {
    let start = cursor.at;
    let is_delete = cursor.eat(b"delete");
    // What ends a C identifier ends it.
    let goes_on = cursor
        .peek()
        .is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !is_delete || goes_on {
        cursor.at = start;
    }
    is_delete && !goes_on
}

/// An element across all arrays of a slot; none where there is none or something else.
fn element(slot: &mut Slot, mut index: usize) -> Option<&mut Slot> {
    for part in &mut slot.parts {
        let Part::Array(elements) = part else {
            return None;
        };
        if index < elements.len() {
            return elements.get_mut(index);
        }
        index -= elements.len();
    }
    None
}

/// A reference or a function, in the place of a value.
fn bracketed(cursor: &mut Cursor<'_>) -> Result<Part, Fault> {
    let start = cursor.at;
    cursor.eat(b"(");
    let inside = cursor.at;
    if let Some(reference) = cursor.reference()? {
        return Ok(Part::Reference(reference));
    }
    cursor.at = inside;
    value_function(cursor, start)?;
    Ok(Part::Unknown(cursor.between(start, cursor.at)))
}

/// Passes a function that gives a value. None of them is called: what they give depends on
/// strfry's environment, on files and on programs.
fn value_function(cursor: &mut Cursor<'_>, start: usize) -> Result<(), Fault> {
    let name = function_name(cursor)?;
    let known = VALUE_FUNCTIONS.iter().find(|(known, _)| *known == name);
    let Some((_, arguments)) = known else {
        let what = format!("({name} …) is a function that we do not know");
        return Err(cursor.doubt_at(start, what));
    };
    for _ in 0..*arguments {
        argument(cursor)?;
    }
    close(cursor, start, &name)
}

/// The name of a function, and the blanks behind it.
fn function_name(cursor: &mut Cursor<'_>) -> Result<String, Fault> {
    cursor.skip_blank()?;
    let Some(mut name) = cursor.identifier() else {
        return Err(cursor.unexpected("a function's name is missing"));
    };
    if cursor.eat(b"?") {
        name.push('?');
    }
    match cursor.skip_blank()? {
        true => Ok(name),
        false => Err(cursor.unexpected("a blank is missing")),
    }
}

fn close(cursor: &mut Cursor<'_>, start: usize, name: &str) -> Result<(), Fault> {
    match cursor.eat(b")") {
        true => Ok(()),
        false => Err(cursor.fault_at(start, format!("({name} …) is not closed"))),
    }
}

/// An argument of a function, and the blanks behind it; none where it is a function itself.
fn argument(cursor: &mut Cursor<'_>) -> Result<Option<Scalar>, Fault> {
    let start = cursor.at;
    let value = match cursor.peek() {
        Some(b'(') => {
            cursor.eat(b"(");
            cursor.deeper(|cursor| value_function(cursor, start))?;
            None
        }
        Some(b'[' | b'{') => {
            let what = "an array or a block as an argument, which we do not read";
            return Err(cursor.doubt_at(start, what));
        }
        _ => Some(cursor.scalar()?),
    };
    cursor.skip_blank()?;
    Ok(value)
}

/// The text that a function is given.
fn text_argument(cursor: &mut Cursor<'_>, start: usize, name: &str) -> Result<String, Fault> {
    match argument(cursor)? {
        Some(Scalar::Text(text)) => Ok(text),
        Some(Scalar::Binary(_)) | None => {
            let what = format!("({name} …) with an argument that only strfry knows");
            Err(cursor.doubt_at(start, what))
        }
        Some(_) => Err(cursor.fault_at(start, format!("({name} …) wants a text"))),
    }
}
