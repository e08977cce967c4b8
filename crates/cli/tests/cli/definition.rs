//! The manual page in the tree is the one that the command line's definition makes.

use crate::program::ran;

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
