//! A trial of the plugin: it is started as strfry starts it, and gets two requests.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use constellation_shared::counted;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::sanitize::for_terminal;

/// How long it may take to answer: half of strfry's own patience.
const PATIENCE: Duration = Duration::from_secs(5);

/// How much of an answer is shown, in characters.
const LONGEST_ANSWER: usize = 200;

/// Two requests: of an author whom nobody is, and of one who may or may not write; of a
/// kind for which no station has a filter.
const REQUESTS: &str = concat!(
    r#"{"type":"new","event":{"id":"doctor-1","kind":65535,"pubkey":"not a key"},"receivedAt":0,"sourceType":"IP4","sourceInfo":"127.0.0.1"}"#,
    "\n",
    r#"{"type":"new","event":{"id":"doctor-2","kind":65535,"pubkey":"0000000000000000000000000000000000000000000000000000000000000001"},"receivedAt":0,"sourceType":"IP4","sourceInfo":"127.0.0.1"}"#,
    "\n"
);

/// Starts it as strfry does, in its folder, and asks two questions; the answers, or why
/// there are none. The policy is told to change nothing.
pub(crate) async fn ask(command: &str, folder: &Path) -> Result<Vec<String>, String> {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", command])
        .current_dir(folder)
        .env("CONSTELLATION_NO_REMOVE", "true")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true);
    let mut child = shell.spawn().map_err(|error| error.to_string())?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let talk = async {
        let mut answers = Vec::new();
        if let (Some(mut stdin), Some(stdout)) = (stdin, stdout) {
            // One that ends at once does not read it.
            let _ = stdin.write_all(REQUESTS.as_bytes()).await;
            let mut lines = BufReader::new(stdout).lines();
            while answers.len() < 2 {
                match lines.next_line().await {
                    Ok(Some(line)) => answers.push(line),
                    Ok(None) | Err(_) => break,
                }
            }
        }
        answers
    };
    let talked = timeout(PATIENCE, talk).await;
    let ended = match &talked {
        Ok(answers) if answers.is_empty() => timeout(PATIENCE, child.wait()).await.ok(),
        _ => None,
    };
    // The shell and whatever it started.
    let group = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(group) = group.and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    match talked {
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        Ok(answers) if answers.is_empty() => {
            let status = ended.and_then(Result::ok);
            Err(status.map_or_else(
                || "it answers nothing".to_owned(),
                |status| format!("it answers nothing, and ends with {status}"),
            ))
        }
        Ok(answers) => Ok(answers),
    }
}

/// What is wrong with the answers of [`ask`].
pub(crate) fn fault(answers: &Result<Vec<String>, String>) -> Option<String> {
    let answers = match answers {
        Ok(answers) => answers,
        Err(why) => return Some(why.clone()),
    };
    let [first, second] = answers.as_slice() else {
        return Some(format!(
            "{} to 2 requests",
            counted(answers.len(), "answer")
        ));
    };
    let quote = |answer: &str| Some(format!("it says {}", for_terminal(answer, LONGEST_ANSWER)));
    if !first.contains("\"doctor-1\"") || !first.contains("\"invalid: ") {
        // A shadowing policy says no reason.
        let is_shadow = first.contains("\"doctor-1\"") && first.contains("\"shadowReject\"");
        if !is_shadow {
            return quote(first);
        }
    }
    // Who is in no list is told so only when the other stations' lists have been read.
    let is_reading = second.contains("are still being read, try again");
    let is_error = second.contains("\"error: ") && !is_reading;
    if !second.contains("\"doctor-2\"") || is_error {
        return quote(second);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_policy_answers_is_understood() {
        let answer = |text: &str| vec![text.to_owned()];
        let invalid = answer(
            r#"{"id":"doctor-1","action":"reject","msg":"invalid: pubkey is not 32 bytes of hex"}"#,
        );
        let shadow = answer(r#"{"id":"doctor-1","action":"shadowReject"}"#);
        let accept = answer(r#"{"id":"doctor-2","action":"accept"}"#);
        let closed = answer(
            r#"{"id":"doctor-2","action":"reject","msg":"error: policy lists unavailable"}"#,
        );
        let stranger = answer(r#"{"id":"doctor-2","action":"reject","msg":"restricted: x"}"#);
        let unread = answer(
            r#"{"id":"doctor-2","action":"reject","msg":"error: the lists of friends are still being read, try again"}"#,
        );
        for good in [
            [&invalid, &accept],
            [&shadow, &accept],
            [&invalid, &stranger],
            [&invalid, &unread],
        ] {
            assert_eq!(
                fault(&Ok(good.map(Clone::clone).concat())),
                None,
                "{good:?}"
            );
        }
        for bad in [
            Ok(Vec::new()),
            Ok(invalid.clone()),
            Ok([invalid.clone(), closed].concat()),
            Ok([accept, invalid].concat()),
            Err("nothing within 5 s".to_owned()),
        ] {
            assert!(fault(&bad).is_some(), "{bad:?}");
        }
    }
}
