//! Functions and references in a conf, such as `(env "NAME")` and `(relay.port)`.

use super::cursor::Cursor;
use super::fault::Fault;
use super::tree::{Part, Scalar};

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

/// A reference or a function, in the place of a value.
pub(super) fn bracketed(cursor: &mut Cursor<'_>) -> Result<Part, Fault> {
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
pub(super) fn function_name(cursor: &mut Cursor<'_>) -> Result<String, Fault> {
    cursor.skip_blank()?;
    let Some(mut name) = cursor.identifier() else {
        return Err(cursor.unexpected("a function's name is missing"));
    };
    if cursor.eat(b"?") {
        name.push('?');
    }
    if cursor.skip_blank()? {
        Ok(name)
    } else {
        Err(cursor.unexpected("a blank is missing"))
    }
}

pub(super) fn close(cursor: &mut Cursor<'_>, start: usize, name: &str) -> Result<(), Fault> {
    if cursor.eat(b")") {
        Ok(())
    } else {
        Err(cursor.fault_at(start, format!("({name} …) is not closed")))
    }
}

/// Reads an argument of a function and the blanks after it; `None` if it is a function itself.
pub(super) fn argument(cursor: &mut Cursor<'_>) -> Result<Option<Scalar>, Fault> {
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
pub(super) fn text_argument(
    cursor: &mut Cursor<'_>,
    start: usize,
    name: &str,
) -> Result<String, Fault> {
    match argument(cursor)? {
        Some(Scalar::Text(text)) => Ok(text),
        Some(Scalar::Binary(_)) | None => {
            let what = format!("({name} …) with an argument that only strfry knows");
            Err(cursor.doubt_at(start, what))
        }
        Some(_) => Err(cursor.fault_at(start, format!("({name} …) wants a text"))),
    }
}
