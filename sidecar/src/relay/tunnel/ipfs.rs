//! [`Ipfs`]: this machine's `ipfs` program (kubo) with the commands that tunnels need: `p2p
//! forward`, `p2p close` and `p2p ls`. It is run directly, without a shell.

use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::relay::peer_id::PeerId;

/// How long to wait for the rest of the output after a command has ended: a process that it
/// started may keep the pipe open.
const OUTPUT_PATIENCE: Duration = Duration::from_millis(500);

/// How much of a command's output is read, in bytes.
const LONGEST_OUTPUT: u64 = 256 * 1024;

/// How many `ipfs` commands run at once; each of them takes 100 MB of memory.
const MOST_AT_ONCE: usize = 4;

/// The `ipfs` program, and which daemon it talks to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IpfsProgram {
    /// Its name or path.
    pub path: PathBuf,
    /// The address of the daemon's API; `None` if the program finds it by itself.
    pub api: Option<String>,
}

impl IpfsProgram {
    /// The arguments in front of a command.
    fn first_arguments(&self) -> impl Iterator<Item = String> {
        let api = self.api.iter().map(|api| format!("--api={api}"));
        api.collect::<Vec<_>>().into_iter()
    }
}

/// Runs the commands of the `ipfs` program.
#[derive(Debug, Clone)]
pub(crate) struct Ipfs {
    program: IpfsProgram,
    patience: Duration,
    turns: Arc<Semaphore>,
}

/// Why an `ipfs` command failed.
#[derive(Debug, thiserror::Error)]
pub enum IpfsError {
    /// The program could not be started.
    #[error(
        "{0} could not be started; install IPFS (kubo), or say where it is with --ipfs or CONSTELLATION_IPFS"
    )]
    Start(String, #[source] io::Error),
    /// The command failed.
    #[error("ipfs p2p {command} ended with {status}: {message}")]
    Exit {
        /// `forward`, `close` or `ls`.
        command: &'static str,
        /// Its exit status.
        status: ExitStatus,
        /// The last line of its stderr.
        message: String,
    },
    /// The command did not end in time and was killed. Whether it had any effect is unknown.
    #[error("ipfs p2p {0} did not end within {1:?}; check that the IPFS daemon answers: ipfs id")]
    Slow(&'static str, Duration),
}

/// A tunnel in the output of `p2p ls`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listener {
    /// The name of the service, `/x/…`.
    pub service: String,
    /// The address of this machine on which the tunnel listens.
    pub listen_address: String,
}

/// The name of the service by which an IPFS node offers its relay.
pub(crate) fn service(peer: &PeerId) -> String {
    format!("/x/strfry-{peer}")
}

/// A TCP port of this machine in the form that IPFS uses.
pub(crate) fn listen_address(port: u16) -> String {
    format!("/ip4/127.0.0.1/tcp/{port}")
}

fn forward_arguments(peer: &PeerId, listen_address: String) -> [String; 5] {
    let target = format!("/p2p/{peer}");
    let [p2p, forward] = ["p2p", "forward"].map(ToOwned::to_owned);
    [p2p, forward, service(peer), listen_address, target]
}

/// The command that opens a tunnel, for people to read.
pub(crate) fn forward_command(program: &IpfsProgram, peer: &PeerId) -> String {
    let forward = forward_arguments(peer, "/ip4/127.0.0.1/tcp/PORT".to_owned());
    let arguments: Vec<String> = program.first_arguments().chain(forward).collect();
    format!("{} {}", program.path.display(), arguments.join(" "))
}

impl Ipfs {
    /// Runs this program. `patience` is the timeout for each command.
    pub(crate) fn new(program: IpfsProgram, patience: Duration) -> Self {
        Self {
            program,
            patience,
            turns: Arc::new(Semaphore::new(MOST_AT_ONCE)),
        }
    }

    /// Makes the daemon listen on `port` and forward connections to the relay of `peer`. Whether
    /// that peer can be reached is known only after the first connection.
    ///
    /// # Errors
    /// [`IpfsError`].
    pub(crate) async fn forward(&self, peer: &PeerId, port: u16) -> Result<(), IpfsError> {
        let arguments = forward_arguments(peer, listen_address(port));
        self.run("forward", &arguments).await?;
        Ok(())
    }

    /// Makes the daemon close every tunnel that listens on `port`. It is no error if there is none.
    ///
    /// # Errors
    /// [`IpfsError`].
    pub(crate) async fn close(&self, port: u16) -> Result<(), IpfsError> {
        self.run("close", &close_arguments(port)).await?;
        Ok(())
    }

    /// Starts the command of [`Ipfs::close`] without waiting for it, for use in `Drop`.
    pub(crate) fn start_close(&self, port: u16) {
        let mut command = std::process::Command::new(&self.program.path);
        command.args(self.program.first_arguments());
        command.args(close_arguments(port));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        // If this fails, the next run closes the tunnel.
        let _ = command.stderr(Stdio::null()).spawn();
    }

    /// All tunnels that the daemon has open, ours and others.
    ///
    /// # Errors
    /// [`IpfsError`].
    pub(crate) async fn list(&self) -> Result<Vec<Listener>, IpfsError> {
        let text = self.run("ls", &["p2p".to_owned(), "ls".to_owned()]).await?;
        Ok(parse_list(&text))
    }

    async fn run(&self, name: &'static str, arguments: &[String]) -> Result<String, IpfsError> {
        // Acquiring only fails after the semaphore is closed, which never happens.
        let _turn = self.turns.acquire().await;
        let mut command = Command::new(&self.program.path);
        command
            .args(self.program.first_arguments())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C at a terminal is for us; we then close the open tunnels.
            .process_group(0)
            .kill_on_drop(true);
        let started = command.spawn();
        let path = self.program.path.display();
        let mut child = started.map_err(|error| IpfsError::Start(path.to_string(), error))?;
        let stdout = read_all(child.stdout.take());
        let stderr = read_all(child.stderr.take());
        let waited = timeout(self.patience, child.wait()).await;
        let Ok(Ok(status)) = waited else {
            let _ = child.kill().await;
            return Err(IpfsError::Slow(name, self.patience));
        };
        let (output, errors) = tokio::join!(output_of(stdout), output_of(stderr));
        if status.success() {
            return Ok(output);
        }
        let message = errors.lines().map(str::trim).rfind(|line| !line.is_empty());
        Err(IpfsError::Exit {
            command: name,
            status,
            message: message.unwrap_or("it printed no message").to_owned(),
        })
    }
}

fn close_arguments(port: u16) -> [String; 4] {
    let [p2p, close, option] = ["p2p", "close", "--listen-address"].map(ToOwned::to_owned);
    [p2p, close, option, listen_address(port)]
}

fn read_all(stream: Option<impl AsyncRead + Unpin + Send + 'static>) -> JoinHandle<String> {
    tokio::spawn(async move {
        let mut bytes = Vec::new();
        if let Some(stream) = stream {
            // If reading fails, the output until then has to do.
            let _ = stream.take(LONGEST_OUTPUT).read_to_end(&mut bytes).await;
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

async fn output_of(reading: JoinHandle<String>) -> String {
    match timeout(OUTPUT_PATIENCE, reading).await {
        Ok(Ok(output)) => output,
        Ok(Err(_)) | Err(_) => String::new(),
    }
}

/// Reads the output of `p2p ls`: service, listen address and target on each line. Other lines
/// match no tunnel of ours.
fn parse_list(text: &str) -> Vec<Listener> {
    let listeners = text.lines().filter_map(|line| {
        let mut columns = line.split_whitespace().map(ToOwned::to_owned);
        Some(Listener {
            service: columns.next()?,
            listen_address: columns.next()?,
        })
    });
    listeners.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA";

    #[test]
    fn the_commands_are_those_of_the_constellation() {
        let peer = ID.parse().unwrap();
        assert_eq!(
            forward_arguments(&peer, listen_address(9999)).join(" "),
            format!("p2p forward /x/strfry-{ID} /ip4/127.0.0.1/tcp/9999 /p2p/{ID}")
        );
        assert_eq!(
            close_arguments(9999).join(" "),
            "p2p close --listen-address /ip4/127.0.0.1/tcp/9999"
        );
        let shown = |api: Option<&str>| {
            let program = IpfsProgram {
                path: "ipfs".into(),
                api: api.map(ToOwned::to_owned),
            };
            forward_command(&program, &peer)
        };
        let forward = format!("p2p forward /x/strfry-{ID} /ip4/127.0.0.1/tcp/PORT /p2p/{ID}");
        assert_eq!(shown(None), format!("ipfs {forward}"));
        assert_eq!(
            shown(Some("/unix/x")),
            format!("ipfs --api=/unix/x {forward}")
        );
    }

    #[test]
    fn tunnels_are_listed_as_kubo_lists_them() {
        let text = format!(
            "/x/strfry-{ID} /ip4/127.0.0.1/tcp/9999 /p2p/{ID}\n/x/ssh\t/p2p/{ID}\t/ip4/127.0.0.1/tcp/22\n\nnonsense\n"
        );
        let listener = |service: &str, listen_address: &str| Listener {
            service: service.to_owned(),
            listen_address: listen_address.to_owned(),
        };
        assert_eq!(
            parse_list(&text),
            [
                listener(&format!("/x/strfry-{ID}"), "/ip4/127.0.0.1/tcp/9999"),
                listener("/x/ssh", &format!("/p2p/{ID}")),
            ]
        );
    }
}
