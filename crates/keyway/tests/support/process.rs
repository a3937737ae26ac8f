//! A process of the built binary: its lines, its log, its end.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use super::SOON;
use super::http::wait_until;

/// For a verb of the command line to end.
const VERB_TIMEOUT: Duration = Duration::from_secs(300);
/// Lines of a log that a panic shows.
const LOG_LINES_SHOWN: usize = 25;

/// The binary under test, with nothing of the tester's own settings. `KEYWAY_BIN` names another one, such as a release.
pub fn command() -> Command {
    let binary = std::env::var_os("KEYWAY_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_keyway").into());
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("KEYWAY_")) {
        command.env_remove(name);
    }
    command.env("KEYWAY_CONFIG", "/dev/null").env("NO_COLOR", "1");
    command
}

/// What a process that ran to its end left.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code; -1 when a signal ended it.
    pub code: i32,
    /// What it wrote to stdout.
    pub stdout: Vec<u8>,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Ran {
    /// Stdout as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Asserts that it went well; gives stdout.
    #[track_caller]
    pub fn good(self) -> String {
        assert_eq!(self.code, 0, "stdout: {}\nstderr: {}", self.text(), self.stderr);
        self.text()
    }

    /// Asserts that it ended with this code; gives stderr.
    #[track_caller]
    pub fn failed(self, code: i32) -> String {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.text(), self.stderr);
        self.stderr
    }
}

/// Runs `keyway ARGS` to its end.
pub fn keyway<'a>(args: impl IntoIterator<Item = &'a str>) -> Ran {
    run(command().args(args), b"")
}

/// The same with something on stdin.
pub fn keyway_with_input<'a>(args: impl IntoIterator<Item = &'a str>, input: &[u8]) -> Ran {
    run(command().args(args), input)
}

/// Runs a Python program to its end; nothing, said loudly, where there is no Python.
pub fn python(args: &[&str]) -> Option<Ran> {
    if Command::new("python3").arg("--version").stdout(Stdio::null()).status().is_err() {
        eprintln!("SKIPPED: there is no python3 on this machine");
        return None;
    }
    Some(run(Command::new("python3").args(args), b""))
}

/// Runs a command to its end, bounded in time.
pub fn run(command: &mut Command, input: &[u8]) -> Ran {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    let input = input.to_vec();
    // A program that does not read its input closes the pipe; that is its choice.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let stdout = drain(child.stdout.take().expect("it is piped"));
    let stderr = drain(child.stderr.take().expect("it is piped"));
    let mut guard = Guard(child);
    let status =
        wait_until("the command's end", VERB_TIMEOUT, || guard.0.try_wait().expect("it can be waited for"));
    writer.join().expect("the writer does not panic");
    Ran {
        code: status.code().unwrap_or(-1),
        stdout: stdout.join().expect("the reader does not panic"),
        stderr: String::from_utf8_lossy(&stderr.join().expect("the reader does not panic")).into_owned(),
    }
}

fn drain(mut from: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        bytes
    })
}

/// Kills when dropped.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A process that serves until it is told to end.
pub struct Process {
    child: Guard,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    log: PathBuf,
}

impl Process {
    /// Starts it; stderr goes to a file beside its data.
    pub fn start(command: &mut Command, log: &Path) -> Process {
        Process::begin(command.stdin(Stdio::null()), log)
    }

    /// The same with an input, which [`Process::say`] writes.
    pub fn converse(command: &mut Command, log: &Path) -> Process {
        Process::begin(command.stdin(Stdio::piped()), log)
    }

    fn begin(command: &mut Command, log: &Path) -> Process {
        let stderr = File::options().append(true).create(true).open(log).expect("the log can be written");
        let mut child = command.stdout(Stdio::piped()).stderr(stderr).spawn().expect("the program starts");
        let (send, lines) = channel();
        let stdout = child.stdout.take().expect("it is piped");
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        let stdin = child.stdin.take();
        Process { child: Guard(child), stdin, lines, log: log.to_owned() }
    }

    /// Ends its input.
    pub fn end_input(&mut self) {
        self.stdin = None;
    }

    /// Writes a line to its input.
    pub fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("it has an input");
        stdin.write_all(format!("{line}\n").as_bytes()).expect("it reads its input");
    }

    /// The next line that it prints.
    #[track_caller]
    pub fn line(&self) -> String {
        match self.lines.recv_timeout(SOON) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => panic!("no line within {SOON:?}\n{}", self.log_end()),
            Err(RecvTimeoutError::Disconnected) => {
                panic!("it ended without another line\n{}", self.log_end())
            }
        }
    }

    /// A line that it has printed and that was not read yet.
    pub fn try_line(&self) -> Option<String> {
        self.lines.recv_timeout(Duration::from_millis(200)).ok()
    }

    /// The next line that it prints, as JSON, of this event.
    #[track_caller]
    pub fn event(&self, event: &str) -> serde_json::Value {
        let line = self.line();
        let json: serde_json::Value =
            serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}"));
        assert_eq!(json["event"], event, "{line}");
        json
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.0.id()
    }

    /// SIGKILL: it has no chance to do anything. Returns when it is gone.
    pub fn kill(&mut self) {
        self.child.0.kill().expect("it can be killed");
        self.child.0.wait().expect("it can be waited for");
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Ctrl-C.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// Waits until it hears Ctrl-C itself, instead of being ended by it.
    #[track_caller]
    pub fn wait_for_ears(&self) {
        wait_until("it listens for Ctrl-C", SOON, || {
            let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).ok()?;
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?.trim().to_owned();
            let caught = u64::from_str_radix(&caught, 16).ok()?;
            (caught & 1 << (Signal::INT.as_raw() - 1) != 0).then_some(())
        });
    }

    /// Any signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child.0), signal).expect("it can be signalled");
    }

    /// Its exit code, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.0.try_wait().expect("it can be waited for")
    }

    /// Waits for its end.
    #[track_caller]
    pub fn end(&mut self, limit: Duration) -> ExitStatus {
        // Readable once the process has ended: the kernel wakes us, nobody looks again and again.
        let process =
            pidfd_open(Pid::from_child(&self.child.0), PidfdFlags::empty()).expect("it is not reaped yet");
        let limit_told = Timespec::try_from(limit).expect("a limit of seconds");
        let mut wanted = [PollFd::new(&process, PollFlags::IN)];
        let woken = poll(&mut wanted, Some(&limit_told)).expect("a descriptor can be waited for");
        assert!(woken > 0, "it did not end within {limit:?}\n{}", self.log_end());
        self.ended().expect("its end was told")
    }

    /// The last lines of its log, for a panic.
    pub fn log_end(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let shown = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
        format!("--- {} ---\n{}", self.log.display(), shown.join("\n"))
    }

    /// Its whole log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}
