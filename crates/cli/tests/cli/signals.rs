//! `usysv run --private` as a wrapper: signals that it gets, and signals that its command dies of.

use crate::program::{finish, usysv};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

/// `usysv run --private sh -c SCRIPT`, whose script prints its namespace and is then ready.
struct Wrapped {
    wrapper: Child,
    output: BufReader<ChildStdout>,
    namespace: String,
}

impl Wrapped {
    fn start(script: &str) -> Wrapped {
        let script = format!("{script}\necho $USYSV_NS\nwhile :; do sleep 0.05; done");
        let mut command = usysv(&["run", "--private", "--", "sh", "-c", &script]);
        // A process group of its own is not orphaned while we live: only then does ^Z stop it.
        command.stdout(Stdio::piped()).process_group(0);
        // A shell starts what runs in the background with two of them ignored, `nohup` with the other, and `sh`
        // cannot trap a signal that was ignored before it: the command would go on for ever.
        let attend = || {
            for signal in [libc::SIGINT, libc::SIGQUIT, libc::SIGHUP] {
                // SAFETY: plain numbers.
                unsafe { libc::signal(signal, libc::SIG_DFL) };
            }
            Ok(())
        };
        // SAFETY: it makes two system calls, which is allowed between fork and exec.
        unsafe { command.pre_exec(attend) };
        let mut wrapper = command.spawn().expect("it starts");
        let mut output = BufReader::new(wrapper.stdout.take().expect("piped"));
        let mut namespace = String::new();
        output.read_line(&mut namespace).expect("a line");
        Wrapped {
            wrapper,
            output,
            namespace: namespace.trim_end().to_owned(),
        }
    }

    fn send(&self, signal: i32) {
        // SAFETY: plain numbers; the wrapper is our child and not waited for yet.
        unsafe { libc::kill(self.wrapper.id() as i32, signal) };
    }

    /// The state letter of the wrapper in `/proc`.
    fn state(&self) -> char {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.wrapper.id()));
        let stat = stat.expect("it is there");
        let after = stat.rsplit_once(") ").map(|(_, rest)| rest.chars().next());
        after.flatten().expect("a state")
    }

    fn wait_for_state(&self, wanted: char) {
        let start = Instant::now();
        while self.state() != wanted {
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "stays {}",
                self.state()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What it printed after the namespace, its exit status and the signal that killed it.
    fn end(mut self) -> (String, Option<i32>, Option<i32>) {
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).expect("output");
        let status = self.wrapper.wait().expect("it ends");
        assert!(
            !Path::new(&self.namespace).exists(),
            "the namespace is gone"
        );
        (rest, status.code(), status.signal())
    }
}

#[test]
fn a_command_killed_by_a_signal_takes_the_wrapper_with_it() {
    for signal in [libc::SIGKILL, libc::SIGTERM, libc::SIGSEGV, libc::SIGABRT] {
        let script = format!("ulimit -c 0; kill -{signal} $$");
        let ran = finish(&mut usysv(&["run", "--private", "sh", "-c", &script]));
        assert_eq!((ran.err.as_str(), ran.status), ("", 128 + signal));
    }
}

#[test]
fn signals_to_the_wrapper_reach_the_command() {
    for signal in [
        libc::SIGTERM,
        libc::SIGHUP,
        libc::SIGINT,
        libc::SIGQUIT,
        libc::SIGUSR1,
        libc::SIGALRM,
        libc::SIGRTMIN() + 3,
    ] {
        let wrapped = Wrapped::start(&format!("trap 'echo got it; exit 9' {signal}"));
        wrapped.send(signal);
        assert_eq!(
            wrapped.end(),
            ("got it\n".to_owned(), Some(9), None),
            "{signal}"
        );
    }
}

#[test]
fn an_untrapped_signal_kills_both() {
    let wrapped = Wrapped::start("");
    wrapped.send(libc::SIGTERM);
    assert_eq!(wrapped.end(), (String::new(), None, Some(libc::SIGTERM)));
}

#[test]
fn stopping_and_continuing_the_wrapper_stops_and_continues_the_command() {
    let wrapped = Wrapped::start("trap 'echo continued; exit 0' CONT");
    wrapped.send(libc::SIGTSTP);
    wrapped.wait_for_state('T');
    wrapped.send(libc::SIGCONT);
    assert_eq!(wrapped.end(), ("continued\n".to_owned(), Some(0), None));
}

/// A command that ignores ^Z goes on, and so the wrapper must.
#[test]
fn a_command_that_does_not_stop_is_not_abandoned() {
    let wrapped = Wrapped::start("trap '' TSTP; trap 'exit 3' TERM");
    wrapped.send(libc::SIGTSTP);
    std::thread::sleep(Duration::from_millis(100));
    assert_ne!(wrapped.state(), 'T');
    wrapped.send(libc::SIGTERM);
    assert_eq!(wrapped.end(), (String::new(), Some(3), None));
}

/// Rust's start-up ignores SIGPIPE, which the command would inherit.
#[test]
fn the_command_s_signal_dispositions_are_the_caller_s() {
    let dispositions = "grep -E 'SigIgn|SigBlk' /proc/self/status";
    let direct = std::process::Command::new("sh")
        .args(["-c", dispositions])
        .output();
    let direct = String::from_utf8(direct.expect("it runs").stdout).expect("text");
    let wrapped = finish(&mut usysv(&["run", "--private", "sh", "-c", dispositions]));
    assert_eq!(wrapped.out, direct);
}
