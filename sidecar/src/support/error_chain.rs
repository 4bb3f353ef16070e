//! An error and its causes, as one line of text.

use std::error::Error;

/// The message of an error followed by those of its causes, separated by colons. A cause whose
/// text already ends the message before it is not repeated.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Some errors include the message of their cause.
        if !message.ends_with(&more) {
            message.push_str(": ");
            message.push_str(&more);
        }
        cause = error.source();
    }
    message
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot connect to a:1")]
    struct Outer(#[source] io::Error);

    #[derive(Debug, thiserror::Error)]
    #[error("no luck: {0}")]
    struct Repeating(#[source] Outer);

    #[test]
    fn an_error_tells_its_causes_once_each() {
        let error = || Outer(io::Error::other("refused"));
        assert_eq!(chain(&error()), "cannot connect to a:1: refused");
        assert_eq!(
            chain(&Repeating(error())),
            "no luck: cannot connect to a:1: refused"
        );
    }
}
