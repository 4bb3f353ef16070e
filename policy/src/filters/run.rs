//! Running a filter: starts it in its own process group, waits for it, and kills it with
//! everything that it started.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
use tracing::warn;

use crate::filters::declaration::reads_stdin;
use crate::filters::log::{FilterLog, RunLog};

/// How long a filter may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For how long the answer is waited for.
    pub timeout: Duration,
    /// For how long a filter may then go on before it is killed.
    pub grace: Duration,
}

/// The variable that is `stdin` if the request is too long for an argument.
const EVENT_VARIABLE: &str = "CONSTELLATION_EVENT";

/// A variable whose value only the processes of one run have. It tells which processes left
/// the run's process group.
const RUN_VARIABLE: &str = "CONSTELLATION_FILTER_RUN";

/// How often a process is checked if the kernel cannot report its end (before Linux 5.3).
const INTERVAL: Duration = Duration::from_millis(2);

/// How long killed processes are waited for. If they take longer, the kernel holds them.
const GONE_WITHIN: Duration = Duration::from_secs(1);

/// How often it is checked whether a filter prints too much.
const FLOOD_INTERVAL: Duration = Duration::from_millis(20);

/// How many filters may go on at the same time after their events were rejected. Others are killed
/// at once, so that events whose filter hangs do not fill the machine.
const MOST_LATE: usize = 4;

/// How a filter ended.
#[derive(Debug)]
pub(super) enum End {
    /// It ended by itself.
    Exited(ExitStatus),
    /// It exceeded its time limit and was killed.
    TimedOut,
    /// It exceeded its time limit and goes on for a while.
    Late,
    /// It printed too much and was killed.
    Flooded,
    /// It was not started: the request is too long for an argument, which is the only place
    /// where the filter looks for it.
    TooLong,
}

/// Runs filters one at a time.
#[derive(Debug)]
pub(super) struct Runner {
    running: Arc<Mutex<Option<Running>>>,
    log: FilterLog,
    /// How many filters go on although their events were rejected.
    late: Arc<AtomicUsize>,
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
    /// Starts the thread that kills the running filter when a signal ends us. What filters print is
    /// appended to the file `log`.
    ///
    /// # Errors
    /// Fails if the thread cannot be started.
    pub(super) fn start(log: PathBuf) -> io::Result<Self> {
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
            log: FilterLog::new(log),
            late: Arc::default(),
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
    pub(super) fn run(&self, filter: &Path, request: &[u8], limits: Limits) -> io::Result<End> {
        lock(&self.lingering).retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        let deadline = Instant::now() + limits.timeout;
        let request = request.trim_ascii();
        let log = self.log.open();
        // One that cannot be read declares nothing.
        let by_stdin = reads_stdin(filter).unwrap_or(false);
        let mut by_argument = true;
        let mut child = loop {
            match self.spawn(filter, &log, request, by_stdin, by_argument) {
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
        let waited = wait_for_filter(&mut child, &log, deadline);
        // Stays locked until the filter is killed, so that the signals thread does not kill it
        // at the same time.
        let mut current = lock(&self.running);
        let running = current.take();
        let end = match waited {
            Waited::Ended(status) => return Ok(End::Exited(status)),
            Waited::Late if self.may_be_late(limits) => {
                drop(current);
                return Ok(self.let_go_on(child, running, log, limits.grace));
            }
            Waited::Late => End::TimedOut,
            Waited::Flooded => End::Flooded,
        };
        if let Some(running) = running {
            running.kill();
        }
        if !matches!(
            wait_until(&mut child, Instant::now() + GONE_WITHIN),
            Ok(Some(_))
        ) {
            lock(&self.lingering).push(child);
        }
        Ok(end)
    }

    /// Whether one more filter may go on although its event was rejected. If so, it is counted.
    fn may_be_late(&self, limits: Limits) -> bool {
        let counted = |late: usize| (late < MOST_LATE).then_some(late + 1);
        let ordering = Ordering::Relaxed;
        !limits.grace.is_zero() && self.late.fetch_update(ordering, ordering, counted).is_ok()
    }

    /// Lets a filter go on beside us for this long, and kills it if it has not ended by then.
    fn let_go_on(
        &self,
        mut child: Child,
        running: Option<Running>,
        log: RunLog,
        grace: Duration,
    ) -> End {
        let late = Arc::clone(&self.late);
        let until = Instant::now() + grace;
        let waiting = thread::Builder::new().name("late filter".to_owned());
        let spawned = waiting.spawn(move || {
            let waited = wait_for_filter(&mut child, &log, until);
            if let (Waited::Late | Waited::Flooded, Some(running)) = (waited, &running) {
                warn!(
                    "a filter that was too late for its event was killed, as it went on for {grace:?} \
                     or printed too much"
                );
                running.kill();
                let _ = wait_until(&mut child, Instant::now() + GONE_WITHIN);
            }
            late.fetch_sub(1, Ordering::Relaxed);
        });
        if let Err(error) = spawned {
            warn!("a filter that is too late goes on without a limit: {error}");
        }
        End::Late
    }

    fn spawn(
        &self,
        filter: &Path,
        log: &RunLog,
        request: &[u8],
        by_stdin: bool,
        by_argument: bool,
    ) -> io::Result<Child> {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let mark = format!("{}-{}-{count}", process::id(), self.started);
        let mut command = Command::new(filter);
        command
            .stdout(log.file()?.map_or_else(Stdio::null, Stdio::from))
            .stderr(log.file()?.map_or_else(Stdio::null, Stdio::from))
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

/// How the waiting for a filter ended.
enum Waited {
    Ended(ExitStatus),
    Late,
    Flooded,
}

/// Waits for a filter until the deadline, or until it has printed too much.
fn wait_for_filter(child: &mut Child, log: &RunLog, deadline: Instant) -> Waited {
    loop {
        let next_look = deadline.min(Instant::now() + FLOOD_INTERVAL);
        match wait_until(child, next_look) {
            Ok(Some(status)) => return Waited::Ended(status),
            Ok(None) if log.is_flooded() => return Waited::Flooded,
            Ok(None) if !time_left(deadline).is_zero() => {}
            // If it cannot be waited for, it may as well hang.
            Ok(None) | Err(_) => return Waited::Late,
        }
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
