//! Parses the text of a conf by recursive descent, following the grammar of taocpp/config
//! (`config_grammar.hpp`). The result is what the text assigns to each name, not yet resolved.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::cursor::Cursor;
use super::fault::Fault;
use super::function::{argument, bracketed, close, function_name, text_argument};
use super::tree::{Part, Slot, Step};

/// How deep names may lie inside others, as for strfry.
const DEEPEST: usize = 96;

/// How many files may be included, one inside the other or one after the other: a file that
/// includes itself ends here.
const MOST_FILES: usize = 64;

/// Reads the files that a conf includes.
pub(super) type Include<'a> = &'a dyn Fn(&Path) -> io::Result<Vec<u8>>;

/// The values of a conf before they are resolved.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) root: Slot,
    /// Behind the `{` of the last block of each name in the conf itself, in bytes. That of
    /// no name is there where the whole conf stands in braces.
    pub(super) blocks: BTreeMap<Vec<String>, usize>,
}

/// The place of a name.
#[derive(Clone, Copy)]
struct NamePlace {
    /// In the conf itself: the name, or the outermost include that leads to it.
    at: usize,
    /// In the text that is being read.
    start: usize,
}

struct Parser<'a> {
    include: Include<'a>,
    blocks: BTreeMap<Vec<String>, usize>,
    /// The names that we are inside of.
    path: Vec<String>,
    /// The place of the outermost include or `parse` in the conf itself.
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
            return if cursor.is_at_end() {
                Ok(())
            } else {
                Err(cursor.unexpected("the conf ended"))
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
        let target = self.find(cursor, slot, &steps, NamePlace { at, start }, is_deleted)?;
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

    /// Finds the slot that a name leads to below another slot, and makes it if there is none.
    /// Afterwards [`Parser::path`] is that of the name.
    fn find<'s>(
        &mut self,
        cursor: &Cursor<'_>,
        mut slot: &'s mut Slot,
        steps: &[Step],
        NamePlace { at, start }: NamePlace,
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
        if self.path.len() > DEEPEST {
            return Err(cursor.fault_at(start, "names lie too deep inside each other"));
        }
        Ok(slot)
    }

    /// Reads `value + value`. Returns the place where the last one ends.
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
                let target = self.find(cursor, slot, &steps, NamePlace { at, start }, true)?;
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
                return if may_be_missing {
                    Ok(())
                } else {
                    Err(cursor.fault_at(start, format!("{file:?} is not there")))
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

/// An element across all arrays of a slot; `None` if there is none, or if it is something else.
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
