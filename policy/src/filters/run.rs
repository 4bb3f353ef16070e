//! Running a filter: starts it in its own process group, waits for it, and kills it with
//! everything that it started.

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
use crate::filters::output::FilterOutput;

/// The variable that is `stdin` if the request is too long for an argument.
const EVENT_VARIABLE: &str = "CONSTELLATION_EVENT";

/// A variable whose value only the processes of one run have. It tells which processes left
/// the run's process group.
const RUN_VARIABLE: &str = "CONSTELLATION_FILTER_RUN";

/// How often a process is checked if the kernel cannot report its end (before Linux 5.3).
const INTERVAL: Duration = Duration::from_millis(2);

/// How long killed processes are waited for. If they take longer, the kernel holds them.
const GONE_WITHIN: Duration = Duration::from_secs(1);

/// How long the last output of filters is waited for when we end.
const LAST_OUTPUT: Duration = Duration::from_millis(200);

/// How a filter ended.
#[derive(Debug)]
pub(super) enum End {
    /// It ended by itself.
    Exited(ExitStatus),
    /// It exceeded its time limit and was killed.
    TimedOut,
    /// It was not started: the request is too long for an argument, which is the only place
    /// where the filter looks for it.
    TooLong,
}

/// Runs filters one at a time.
#[derive(Debug)]
pub(super) struct Runner {
    running: Arc<Mutex<Option<Running>>>,
    /// The output of each filter that was run, by its kind.
    output: Mutex<BTreeMap<u64, FilterOutput>>,
    /// How many filters were started.
    count: AtomicU64,
    /// When we started, which tells our runs from those of an earlier process of ours with the
    /// same id.
    started: u128,
    /// Filters that were killed and are not gone yet.
    lingering: Mutex<Vec<Child>>,
}

/// The filter that is running now.
#[derive(Debug)]
struct Running {
    /// Its process id, which is also that of its process group.
    pid: Pid,
    mark: String,
}

impl Runner {
    /// Starts the thread that kills the running filter when a signal ends us.
    ///
    /// # Errors
    /// Fails if the thread cannot be started.
    pub(super) fn start() -> io::Result<Self> {
        let running: Arc<Mutex<Option<Running>>> = Arc::default();
        let ended = Arc::clone(&running);
        let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                for signal in &mut signals {
                    // Stays locked, so that no filter is started any more.
                    let running = lock(&ended);
                    if let Some(running) = &*running {
                        running.kill();
                    }
                    let _ = emulate_default_handler(signal);
                }
            })?;
        Ok(Self {
            running,
            output: Mutex::default(),
            count: AtomicU64::new(0),
            started: SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default()
                .as_nanos(),
            lingering: Mutex::default(),
        })
    }

    /// Runs a filter until it ends or exceeds its time limit.
    ///
    /// # Errors
    /// Fails if the filter cannot be started.
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
        let output = self.output(kind)?;
        // One that cannot be read declares nothing.
        let by_stdin = reads_stdin(filter).unwrap_or(false);
        let mut by_argument = true;
        let mut child = loop {
            match self.spawn(filter, &output, request, by_stdin, by_argument) {
                // Linux limits one argument (MAX_ARG_STRLEN, 128 KiB) and all together (ulimit
                // -s).
                Err(error) if error.kind() == io::ErrorKind::ArgumentListTooLong && by_argument => {
                    if !by_stdin {
                        return Ok(End::TooLong);
                    }
                    by_argument = false;
                }
                // The file is being written at this moment.
                Err(error)
                    if error.kind() == io::ErrorKind::ExecutableFileBusy
                        && !time_left(deadline).is_zero() =>
                {
                    thread::sleep(INTERVAL);
                }
                spawned => break spawned?,
            }
        };
        let ended = wait_until(&mut child, deadline);
        // Stays locked until the filter is killed, so that the signals thread does not kill it
        // at the same time.
        let mut current = lock(&self.running);
        let running = current.take();
        match ended {
            Ok(Some(status)) => Ok(End::Exited(status)),
            // If it cannot be waited for, it may as well hang.
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

    /// The pipe for the output of the filter of this kind.
    fn output(&self, kind: u64) -> io::Result<PipeWriter> {
        match lock(&self.output).entry(kind) {
            Entry::Occupied(output) => output.get().begin_run(),
            Entry::Vacant(vacant) => vacant.insert(FilterOutput::start(kind)?).begin_run(),
        }
    }

    fn spawn(
        &self,
        filter: &Path,
        output: &PipeWriter,
        request: &[u8],
        by_stdin: bool,
        by_argument: bool,
    ) -> io::Result<Child> {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let mark = format!("{}-{}-{count}", process::id(), self.started);
        let mut command = Command::new(filter);
        command
            .stdout(output.try_clone()?)
            .stderr(output.try_clone()?)
            .env(RUN_VARIABLE, &mark)
            .process_group(0);
        if by_stdin {
            let mut file = File::from(memfd_create("request", MemfdFlags::CLOEXEC)?);
            file.write_all(request)?;
            file.rewind()?;
            command.stdin(file).env(EVENT_VARIABLE, "stdin");
        } else {
            command.stdin(Stdio::null()).env_remove(EVENT_VARIABLE);
        }
        if by_argument {
            command.arg(OsStr::from_bytes(request));
        }
        let mut running = lock(&self.running);
        let child = command.spawn()?;
        *running = Some(Running {
            pid: Pid::from_child(&child),
            mark,
        });
        Ok(child)
    }

    /// Waits a moment for the last output of the filters and returns whether it is complete.
    /// Processes that they left running may go on printing forever.
    pub(super) fn close(&self) -> bool {
        let deadline = Instant::now() + LAST_OUTPUT;
        let outputs = mem::take(&mut *lock(&self.output));
        let reading: Vec<_> = outputs.into_values().map(FilterOutput::close).collect();
        reading
            .into_iter()
            .all(|finished| finished.recv_timeout(time_left(deadline)).is_ok())
    }
}

impl Running {
    /// Kills its process group, and every process that left the group but still has the mark in
    /// its environment.
    fn kill(&self) {
        let deadline = Instant::now() + GONE_WITHIN;
        // Until two searches in a row find nothing, as a process that had only just been
        // started was not seen.
        while !time_left(deadline).is_zero() && (self.kill_once() || self.kill_once()) {}
    }

    /// Kills once, and returns whether a process with the mark was found.
    fn kill_once(&self) -> bool {
        let _ = kill_process_group(self.pid, Signal::KILL);
        let mark = format!("{RUN_VARIABLE}={}\0", self.mark);
        let mut found = false;
        for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let name = process.file_name();
            let id = name.to_str().and_then(|name| name.parse().ok());
            let Some(pid) = id.and_then(Pid::from_raw) else {
                continue;
            };
            // Empty if the process has ended.
            let environment = fs::read(process.path().join("environ")).unwrap_or_default();
            if memchr::memmem::find(&environment, mark.as_bytes()).is_some() {
                found = true;
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        found
    }
}

/// Waits for the process until the deadline. `None` if it has not ended by then.
///
/// # Errors
/// Fails if the process cannot be waited for.
fn wait_until(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).ok();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        let left = time_left(deadline);
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

/// How much time is left until the deadline.
fn time_left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
