//! [`Reduced`]: a shell script without what decides nothing: comments, blanks, quotes, and lines that
//! only write to a log.

/// A function of a script.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) body: String,
}

/// A script, split into its functions and the rest.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Reduced {
    /// The names and bodies of its functions, in their order.
    pub(super) functions: Vec<Function>,
    /// What stands outside of functions, line by line.
    pub(super) main: String,
}

impl Reduced {
    /// The body of the function of this name.
    pub(super) fn function(&self, name: &str) -> Option<&str> {
        let mut functions = self.functions.iter();
        functions
            .find(|function| function.name == name)
            .map(|function| function.body.as_str())
    }
}

/// Reduces a script. Functions begin with `NAME() {` and end with `}`, both at the start of a line, as
/// the station's plugin writes them.
///
/// # Errors
/// What cannot be split, in words.
pub(super) fn reduce(text: &str) -> Result<Reduced, String> {
    let mut reduced = Reduced::default();
    let mut inside: Option<Function> = None;
    for (number, raw) in (1..).zip(text.lines()) {
        let raw = raw.trim_end();
        if let Some(mut function) = inside.take() {
            if raw == "}" {
                let name = &function.name;
                if reduced.function(name).is_some() {
                    return Err(format!("its function {name} is there twice"));
                }
                reduced.functions.push(function);
            } else {
                function.body += &reduced_line(raw);
                inside = Some(function);
            }
            continue;
        }
        if let Some(name) = function_name(raw) {
            inside = Some(Function {
                name: name.to_owned(),
                body: String::new(),
            });
        } else if raw.contains("() {") || raw.contains("(){") || raw.starts_with("function ") {
            return Err(format!(
                "line {number} defines a function in an unknown way"
            ));
        } else {
            reduced.main += &reduced_line(raw);
        }
    }
    match inside {
        Some(Function { name, .. }) => Err(format!("its function {name} has no end")),
        None => Ok(reduced),
    }
}

fn function_name(line: &str) -> Option<&str> {
    let name = line.strip_suffix("() {")?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!name.is_empty() && name.chars().all(is_name)).then_some(name)
}

/// A line without its comment, blanks and quotes, and with a line break behind it; nothing if it
/// decides nothing.
fn reduced_line(raw: &str) -> String {
    let CommandText {
        text,
        has_separator,
    } = command_text(raw);
    let is_log = text.starts_with("log_message") && !has_separator;
    if text.is_empty() || is_log {
        return if is_log {
            "log\n".to_owned()
        } else {
            String::new()
        };
    }
    text + "\n"
}

/// A line as far as it is code.
struct CommandText {
    /// The line without comment, blanks, quotes and backslashes.
    text: String,
    /// Whether it holds more than one command, or a part that is executed within another.
    has_separator: bool,
}

fn command_text(line: &str) -> CommandText {
    let mut text = String::new();
    let mut has_separator = false;
    let mut quote = None;
    let mut before = ' ';
    for c in line.chars() {
        match (quote, c) {
            (None, '#') if before.is_whitespace() => break,
            (None, '"' | '\'') if before != '\\' => quote = Some(c),
            (Some(open), _) if c == open && before != '\\' => quote = None,
            (None, ';' | '&' | '|' | '<' | '>') | (_, '`') => {
                has_separator = true;
                text.push(c);
            }
            (_, '"' | '\'' | '\\') => {}
            _ if c.is_whitespace() => {}
            _ => {
                has_separator |= c == '(' && before == '$';
                text.push(c);
            }
        }
        before = c;
    }
    CommandText {
        text,
        has_separator,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_decides_nothing_is_left_out() {
        let reduced = reduce(
            "#!/bin/bash\n# a comment\nA=\"b c\"  # another\n\nfirst() {\n    log_message \"x # y; z\"\n\
             \n    echo \"{\\\"id\\\": \\\"$x\\\"}\"\n}\nwhile true\n",
        )
        .unwrap();
        assert_eq!(reduced.main, "A=bc\nwhiletrue\n");
        assert_eq!(reduced.function("first"), Some("log\necho{id:$x}\n"));
        assert_eq!(reduced.function("second"), None);
        // A line that logs and does more.
        let reduced = reduce("log_message x; exit\nlog_message \"$(exit)\"\n").unwrap();
        assert_eq!(reduced.main, "log_messagex;exit\nlog_message$(exit)\n");
    }

    #[test]
    fn what_cannot_be_split_is_an_error() {
        for text in [
            "a() {\n",
            "a() {\n}\na() {\n}\n",
            "function a {\n}\n",
            "  a() {\n}\n",
        ] {
            assert!(reduce(text).is_err(), "{text}");
        }
    }
}
