//! `strfry.conf`, compared with a reader that descends into blocks.

use constellation_sync::strfry::conf::setting;

/// The settings that matter are those that the naive reader finds, a remark changes
/// nothing, and of several the last counts.
///
/// # Panics
/// Where that is not so.
pub fn holds(conf: &[u8]) {
    let text = String::from_utf8_lossy(conf);
    for path in [&["events", "maxEventSize"][..], &["db"]] {
        let found = setting(&text, path);
        let remark = format!("# {} = 1 {{ \"\n{text}", path.join(" { "));
        assert_eq!(setting(&remark, path), found);
        let name = path[path.len() - 1];
        if !text.contains(name) {
            assert_eq!(found, None);
        }
        if let Some(value) = &found {
            assert!(text.contains(value.as_str()), "{value}");
        }
        assert_eq!(found, naive(&text, path), "{path:?}");
    }
    let before = format!("events {{ maxEventSize = 777 }}\n{text}");
    let found = setting(&text, &["events", "maxEventSize"]);
    let expected = found.unwrap_or_else(|| "777".to_owned());
    assert_eq!(
        setting(&before, &["events", "maxEventSize"]),
        Some(expected)
    );
}

#[derive(Debug, PartialEq)]
enum Token {
    Open,
    Close,
    Word(String),
}

fn naive(text: &str, path: &[&str]) -> Option<String> {
    let tokens = tokens(text);
    let mut found = None;
    block(&mut tokens.iter(), &mut Vec::new(), path, &mut found);
    found
}

/// Reads a block to its end; braces that close nothing are passed over at the outermost.
fn block<'a>(
    tokens: &mut impl Iterator<Item = &'a Token>,
    inside: &mut Vec<&'a str>,
    path: &[&str],
    found: &mut Option<String>,
) {
    let depth = inside.len();
    let mut last: Option<&str> = None;
    let (name, outer) = path.split_last().unwrap();
    for token in tokens {
        match token {
            Token::Open => {
                inside.push(last.take().unwrap_or_default());
            }
            Token::Close => {
                if inside.len() > depth {
                    inside.pop();
                }
                last = None;
            }
            Token::Word(word) => {
                if last == Some(name) && inside == outer {
                    *found = Some(word.clone());
                    last = None;
                } else {
                    last = Some(word);
                }
            }
        }
    }
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let behind = &rest[first.len_utf8()..];
        rest = match first {
            '#' => behind.split_once('\n').map_or("", |(_, behind)| behind),
            '"' => {
                let (word, behind) = behind.split_once('"').unwrap_or((behind, ""));
                tokens.push(Token::Word(word.to_owned()));
                behind
            }
            '{' => {
                tokens.push(Token::Open);
                behind
            }
            '}' => {
                tokens.push(Token::Close);
                behind
            }
            c if c.is_whitespace() || "=,;".contains(c) => behind,
            _ => {
                let ends = |c: char| c.is_whitespace() || "{}=#\",;".contains(c);
                let end = rest.find(ends).unwrap_or(rest.len());
                tokens.push(Token::Word(rest[..end].to_owned()));
                &rest[end..]
            }
        };
    }
    tokens
}
