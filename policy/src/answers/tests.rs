//! The loop between input and output, with readers and writers of the tests' choosing.

use std::sync::OnceLock;

use super::*;

/// A line that is not understood, and its answer.
const LINE: &str = "{\"event\":{\"id\":\"1\"}}\n";
const ANSWER: &str =
    "{\"id\":\"1\",\"action\":\"reject\",\"msg\":\"error: request not understood\"}\n";

/// Tells blocked authors so, and asks no filters.
fn in_force() -> &'static InForce {
    static IN_FORCE: OnceLock<InForce> = OnceLock::new();
    IN_FORCE.get_or_init(InForce::default)
}

fn rules() -> Rules<'static, impl Fn(&Pubkey) -> Result<Standing, Undecided>> {
    rules_for(Stranger::No)
}

fn rules_for(
    stranger: Stranger,
) -> Rules<'static, impl Fn(&Pubkey) -> Result<Standing, Undecided>> {
    Rules {
        standing: move |_: &Pubkey| {
            let verdict = Verdict::Allow;
            Ok(Standing { verdict, stranger })
        },
        in_force: in_force(),
    }
}

/// Gives these one after the other, then nothing.
struct Steps(Vec<io::Result<&'static str>>);

impl Read for Steps {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            return Ok(0);
        }
        let text = self.0.remove(0)?.as_bytes();
        buffer[..text.len()].copy_from_slice(text);
        Ok(text.len())
    }
}

fn answered(steps: Vec<io::Result<&'static str>>) -> (String, io::Result<()>) {
    let mut output = Vec::new();
    let result = answer_all(BufReader::new(Steps(steps)), &mut output, &rules());
    (String::from_utf8(output).unwrap(), result)
}

#[test]
fn an_interrupted_read_is_made_again_and_any_other_error_ends_it() {
    let interrupted = || Err(io::ErrorKind::Interrupted.into());
    let (output, result) = answered(vec![interrupted(), Ok(LINE), interrupted(), Ok(LINE)]);
    assert_eq!(output, ANSWER.repeat(2));
    result.unwrap();
    let (output, result) = answered(vec![Ok(LINE), Err(io::ErrorKind::Other.into())]);
    assert_eq!(output, ANSWER);
    assert_eq!(result.unwrap_err().kind(), io::ErrorKind::Other);
}

/// Writes nowhere, and remembers how much at a time.
struct Sizes(Vec<usize>);

impl Write for Sizes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.push(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Short lines have longer answers.
#[test]
fn the_answers_to_many_lines_are_written_in_pieces() {
    let input = "{}\n".repeat(20_000);
    let mut sizes = Sizes(Vec::new());
    let reader = BufReader::with_capacity(input.len(), input.as_bytes());
    answer_all(reader, &mut sizes, &rules()).unwrap();
    let written: Vec<usize> = sizes.0.into_iter().filter(|&size| size > 0).collect();
    assert!(
        written.iter().all(|&size| size < READ_SIZE + 100),
        "{written:?}"
    );
    assert!(written.len() < 30, "{written:?}");
}

#[test]
fn a_request_of_several_megabytes_is_understood() {
    let content = "x".repeat(3 << 20);
    let key = "1".repeat(64);
    let line = format!(
        "{{\"type\":\"new\",\"event\":{{\"content\":\"{content}\",\"id\":\"1\",\"pubkey\":\"{key}\"}}}}"
    );
    let mut output = Vec::new();
    answer_all(BufReader::new(line.as_bytes()), &mut output, &rules()).unwrap();
    assert_eq!(output, b"{\"id\":\"1\",\"action\":\"accept\"}\n");
}

#[test]
fn strangers_write_nothing_that_has_no_filter() {
    let key = "1".repeat(64);
    let line = format!("{{\"type\":\"new\",\"event\":{{\"id\":\"1\",\"pubkey\":\"{key}\"}}}}");
    for (stranger, answer) in [
        (Stranger::No, "\"action\":\"accept\"}"),
        (Stranger::Yes, "\"msg\":\"restricted: "),
        (Stranger::Unread, "\"msg\":\"error: the lists of friends"),
    ] {
        let mut output = Vec::new();
        let reader = BufReader::new(line.as_bytes());
        answer_all(reader, &mut output, &rules_for(stranger)).unwrap();
        let output = String::from_utf8(output).unwrap();
        assert!(output.contains(answer), "{stranger:?}: {output}");
    }
    let other = line.replace("\"new\"", "\"other\"");
    let mut output = Vec::new();
    let reader = BufReader::new(other.as_bytes());
    answer_all(reader, &mut output, &rules_for(Stranger::Yes)).unwrap();
    assert_eq!(output, b"{\"id\":\"1\",\"action\":\"accept\"}\n");
}
