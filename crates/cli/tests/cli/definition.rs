//! The manual page in the tree is the one that the command line's definition makes.

use crate::program::{USYSV, finish, ran, usysv};
use std::fs::File;
use std::process::Command;

fn full() -> File {
    File::options()
        .write(true)
        .open("/dev/full")
        .expect("/dev/full")
}

#[test]
fn the_manual_page_is_current() {
    let made = ran(&["man"]).out;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/man/usysv.1");
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(made == kept, "make it anew: usysv man >docs/man/usysv.1");
}

#[test]
fn completions_know_every_subcommand() {
    for shell in ["bash", "zsh", "fish"] {
        let script = ran(&["completions", shell]).out;
        for command in [
            "run", "ipcs", "ipcrm", "ipcmk", "send", "recv", "peek", "sem", "shm", "limits",
        ] {
            assert!(script.contains(command), "{shell}: {command}");
        }
        for option in ["undo", "timeout"] {
            assert!(script.contains(option), "{shell}: sem op --{option}");
        }
        for word in ["cat", "write", "attachers", "offset", "length"] {
            assert!(script.contains(word), "{shell}: shm {word}");
        }
    }
}

#[test]
fn help_has_examples() {
    let help = ran(&["--help"]);
    assert!(help.out.contains("usysv run -- ./server"), "{help:?}");
    for command in [
        &["run"][..],
        &["send"],
        &["recv"],
        &["limits"],
        &["sem", "get"],
        &["sem", "set"],
        &["sem", "op"],
        &["shm", "cat"],
        &["shm", "write"],
        &["shm", "attachers"],
    ] {
        let help = ran(&[command, &["--help"]].concat());
        assert!(help.out.contains("Examples:"), "{command:?}: {help:?}");
    }
}

/// What broke: help and versions that could not be written ended with 0, as if they had been.
#[test]
fn output_that_cannot_be_written_is_an_error() {
    for (args, status) in [
        (&["--version"][..], 1),
        (&["--help"], 1),
        (&["help"], 1),
        (&["sem", "--help"], 1),
        (&["ipcs", "--help"], 1),
        (&["ipcs", "--version"], 1),
        (&["run", "--help"], 125),
        (&["man"], 1),
        (&["completions", "bash"], 1),
    ] {
        let ran = finish(usysv(args).stdout(full()));
        assert_eq!(ran.status, status, "{args:?}: {ran:?}");
        assert!(
            ran.err.ends_with(": No space left on device\n"),
            "{args:?}: {ran:?}"
        );
        assert_eq!(finish(&mut usysv(args)).status, 0, "{args:?}");
    }
}

/// What broke: `eprintln!` aborts the process (status 134) when standard error cannot be written.
#[test]
fn errors_that_cannot_be_told_keep_their_status() {
    for (args, status) in [
        (&["bogus"][..], 2),
        (&["limits", "bogus=1"], 1),
        (&["recv", "--key", "1"], 1),
        (&["ipcs", "-Z"], 1),
        (&["ipcrm", "-q", "99"], 1),
        (&["run", "/nonexistent"], 127),
    ] {
        let place = [&["--kernel"], args].concat();
        let args = if args[0] == "run" { args } else { &place };
        let ran = finish(usysv(args).stderr(full()));
        assert_eq!(ran.status, status, "{args:?}");
        assert_eq!(finish(&mut usysv(args)).status, status, "{args:?}");
    }
}

/// A private namespace goes, and the command's status stays, though there is nobody to tell what it left behind.
#[test]
fn what_was_left_behind_cannot_be_told() {
    let script = "exec 2>/dev/full; exec \"$0\" run --private -- \"$0\" send --key 1 --create x";
    crate::program::library();
    let mut shell = Command::new("sh");
    let ran = finish(shell.args(["-c", script, USYSV]));
    assert_eq!(ran.status, 0, "{ran:?}");
}
