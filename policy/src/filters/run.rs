//! A filter's process: started apart from us, waited for, killed with all it started.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, PipeWriter, Seek, Write};
use std::mem;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{self, Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::filters::declaration::reads_stdin;
use crate::filters::said::Said;

/// How the request reaches the filter where it is too long for an argument: `stdin`.
const HOW: &str = "CONSTELLATION_EVENT";

/// A variable that only the processes of one run have, by which those are found that left
/// its process group.
const MARK: &str = "CONSTELLATION_FILTER_RUN";

/// How often the end is looked for where the kernel cannot tell us (before Linux 5.3).
const INTERVAL: Duration = Duration::from_millis(2);

/// How long those who were killed may take to be gone: more, and the kernel holds them.
const GONE_WITHIN: Duration = Duration::from_secs(1);

/// For how long, at our end, what filters said last is waited for.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// How a filter ended.
#[derive(Debug)]
pub(super) enum End {
    /// By itself.
    Exited(ExitStatus),
    /// It was killed when its time was over.
    TimedOut,
    /// It was not started: it looks for the request in its arguments only, and that is too
    /// long for one.
    TooLong,
}

/// Runs filters, one at a time.
#[derive(Debug)]
pub(super) struct Runner {
    running: Arc<Mutex<Option<Running>>>,
    /// What each filter says that was run.
    said: Mutex<BTreeMap<u64, Said>>,
    /// How many were run.
    count: AtomicU64,
    /// What tells our runs from those of another of us with our process id.
    started: u128,
    /// Killed, and not gone yet.
    lingering: Mutex<Vec<Child>>,
}

/// The filter that runs now.
#[derive(Debug)]
struct Running {
    /// Also its process group.
    pid: Pid,
    mark: String,
}

impl Runner {
    pub(super) fn start() -> io::Result<Self> {
        let running: Arc<Mutex<Option<Running>>> = Arc::default();
        let ended = Arc::clone(&running);
        let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                for signal in &mut signals {
                    // Kept locked: nothing is started any more.
                    let running = lock(&ended);
                    if let Some(running) = &*running {
                        running.kill();
                    }
                    let _ = emulate_default_handler(signal);
                }
            })?;
        Ok(Self {
            running,
            said: Mutex::default(),
            count: AtomicU64::new(0),
            started: SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default()
                .as_nanos(),
            lingering: Mutex::default(),
        })
    }

    /// Runs a filter to its end, or until its time is over.
    ///
    /// # Errors
    /// Those of starting it.
    pub(super) fn run(
        &self,
        filter: &Path,
        kind: u64,
        request: &[u8],
        timeout: Duration,
    ) -> io::Result<End> {
        lock(&self.lingering).retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        let deadline = Instant::now() + timeout;
        let request = request.trim_ascii();
        let said = self.said(kind)?;
        let mut by_stdin = false;
        let mut child = loop {
            match self.spawn(filter, &said, request, by_stdin) {
                // Longer than Linux allows for one (MAX_ARG_STRLEN, 128 KiB) or all
                // together (ulimit -s). Only read now, as few events are so long.
                Err(error) if error.kind() == io::ErrorKind::ArgumentListTooLong && !by_stdin => {
                    by_stdin = reads_stdin(filter).unwrap_or(false);
                    if !by_stdin {
                        return Ok(End::TooLong);
                    }
                }
                // It is being written this instant.
                Err(error)
                    if error.kind() == io::ErrorKind::ExecutableFileBusy
                        && !until(deadline).is_zero() =>
                {
                    thread::sleep(INTERVAL);
                }
                spawned => break spawned?,
            }
        };
        let ended = wait_until(&mut child, deadline);
        // Kept locked until it is killed: who ends us then does not do it at the same time.
        let mut current = lock(&self.running);
        let running = current.take();
        match ended {
            Ok(Some(status)) => Ok(End::Exited(status)),
            // It cannot be waited for: as good as hanging.
            Ok(None) | Err(_) => {
                if let Some(running) = running {
                    running.kill();
                }
                if !matches!(
                    wait_until(&mut child, Instant::now() + GONE_WITHIN),
                    Ok(Some(_))
                ) {
                    lock(&self.lingering).push(child);
                }
                Ok(End::TimedOut)
            }
        }
    }

    /// Where the filter of this kind says what it has to say.
    fn said(&self, kind: u64) -> io::Result<PipeWriter> {
        match lock(&self.said).entry(kind) {
            Entry::Occupied(said) => said.get().begin(),
            Entry::Vacant(vacant) => vacant.insert(Said::start(kind)?).begin(),
        }
    }

    fn spawn(
        &self,
        filter: &Path,
        said: &PipeWriter,
        request: &[u8],
        by_stdin: bool,
    ) -> io::Result<Child> {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let mark = format!("{}-{}-{count}", process::id(), self.started);
        let mut command = Command::new(filter);
        command
            .stdout(said.try_clone()?)
            .stderr(said.try_clone()?)
            .env(MARK, &mark)
            .process_group(0);
        if by_stdin {
            let mut file = File::from(memfd_create("request", MemfdFlags::CLOEXEC)?);
            file.write_all(request)?;
            file.rewind()?;
            command.stdin(file).env(HOW, "stdin");
        } else {
            let request = OsStr::from_bytes(request);
            command.stdin(Stdio::null()).arg(request).env_remove(HOW);
        }
        let mut running = lock(&self.running);
        let child = command.spawn()?;
        *running = Some(Running {
            pid: Pid::from_child(&child),
            mark,
        });
        Ok(child)
    }

    /// Waits a moment for what filters said last; whether that was all. What they left
    /// running may go on for ever.
    pub(super) fn close(&self) -> bool {
        let deadline = Instant::now() + LAST_WORDS;
        let said = mem::take(&mut *lock(&self.said));
        let reading: Vec<_> = said.into_values().map(Said::close).collect();
        reading
            .into_iter()
            .all(|said| said.recv_timeout(until(deadline)).is_ok())
    }
}

impl Running {
    /// Kills its process group, and whoever left that and kept the mark in his environment.
    fn kill(&self) {
        let deadline = Instant::now() + GONE_WITHIN;
        // Once more than somebody is found: who was just started was not seen.
        while !until(deadline).is_zero() && (self.kill_once() || self.kill_once()) {}
    }

    /// Whether there was somebody with the mark.
    fn kill_once(&self) -> bool {
        let _ = kill_process_group(self.pid, Signal::KILL);
        let mark = format!("{MARK}={}\0", self.mark);
        let mut found = false;
        for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let name = process.file_name();
            let id = name.to_str().and_then(|name| name.parse().ok());
            let Some(pid) = id.and_then(Pid::from_raw) else {
                continue;
            };
            // Empty for one that has ended.
            let environment = fs::read(process.path().join("environ")).unwrap_or_default();
            if memchr::memmem::find(&environment, mark.as_bytes()).is_some() {
                found = true;
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        found
    }
}

/// How the process ended, `None` where it has not until then.
fn wait_until(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).ok();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        let left = until(deadline);
        if left.is_zero() {
            return Ok(None);
        }
        let ended = pidfd.as_ref().map(|pidfd| {
            let mut descriptors = [PollFd::new(pidfd, PollFlags::IN)];
            poll(&mut descriptors, Timespec::try_from(left).ok().as_ref())
        });
        if !matches!(ended, Some(Ok(_))) {
            thread::sleep(INTERVAL.min(left));
        }
    }
}

/// The time that is left.
fn until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
