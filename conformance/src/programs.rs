//! Other programs in a scenario: the C tools of the system, and this program started afresh, for
//! what only a new image shows.

use crate::call;
use crate::semcall;
use crate::stage::Stage;
use libc::IPC_NOWAIT;
use std::process::{Command, Stdio};

/// What `exec` starts: one verb on a queue or a set, given by its id. Fails when that disagrees.
pub fn play(name: &str, arguments: &[&str]) -> Result<(), String> {
    let number = |text: &str| {
        text.parse::<i64>()
            .map_err(|error| format!("{text}: {error}"))
    };
    let id = |text: &str| number(text).map(|id| id as i32);
    let agree =
        |call: &str, result: Result<String, crate::errno::Errno>, expected: &str| match result {
            Ok(got) if got == expected => Ok(()),
            other => Err(format!("{call}: expected {expected:?}, got {other:?}")),
        };
    match (name, arguments) {
        ("send", [queue, mtype, text]) => {
            let sent = call::msgsnd(id(queue)?, number(mtype)?, text.as_bytes(), 0);
            agree("msgsnd", sent.map(|()| String::new()), "")
        }
        ("receive", [queue, mtype, text]) => {
            let received = call::msgrcv(id(queue)?, 8192, number(mtype)?, IPC_NOWAIT);
            let text_of =
                |message: call::Message| String::from_utf8_lossy(&message.text).into_owned();
            agree("msgrcv", received.map(text_of), text)
        }
        ("get", [key, queue]) => {
            let got = call::msgget(id(key)?, 0);
            agree("msgget", got.map(|id| id.to_string()), queue)
        }
        ("semop", [set, num, change, undo]) => {
            let one = semcall::op(number(num)? as u16, number(change)? as i16);
            let one = if *undo == "1" { one.undo() } else { one };
            let done = semcall::semop(id(set)?, &[one]);
            agree("semop", done.map(|()| String::new()), "")
        }
        ("semval", [set, num, value]) => {
            let got = semcall::semctl(id(set)?, id(num)?, libc::GETVAL, 0);
            agree("GETVAL", got.map(|value| value.to_string()), value)
        }
        ("semget", [key, set]) => {
            let got = semcall::semget(id(key)?, 0, 0);
            agree("semget", got.map(|id| id.to_string()), set)
        }
        _ => crate::shmparts::play(name, arguments),
    }
}

/// The arguments that make this program play a part.
pub fn part(name: &str, arguments: &[&dyn ToString]) -> Vec<String> {
    let head = ["part".to_owned(), name.to_owned()];
    head.into_iter()
        .chain(arguments.iter().map(|argument| argument.to_string()))
        .collect()
}

impl Stage {
    /// `sh -c script`, which must succeed: what it printed.
    #[track_caller]
    pub fn shell(&self, script: &str) -> String {
        let (status, output) = self.try_shell(script);
        assert_eq!(status, 0, "sh -c '{script}': {output}");
        output
    }

    /// `sh -c script`: its status and what it printed, errors aside.
    #[track_caller]
    pub fn try_shell(&self, script: &str) -> (i32, String) {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", script])
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        let output = command.output().expect("a shell to run");
        let status = output.status.code().unwrap_or(-1);
        self.say(format_args!("$ {script} -> {status}"));
        (status, String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Starts this program to play a part, which must succeed.
    #[track_caller]
    pub fn run_part(&self, arguments: &[String]) {
        let mut command = Command::new("/proc/self/exe");
        let output = command
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("this program to run");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{arguments:?}: {}: {complaint}",
            output.status
        );
    }
}
