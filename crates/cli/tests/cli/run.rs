//! `usysv run`: what it starts, what it refuses, and with which status.

use crate::program::{self, Ran, Scratch, USYSV, finish, ran, text, usysv};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

const PRIVATE: [&str; 3] = ["run", "--private", "--"];

/// Runs a shell script in a private namespace.
fn private(script: &str) -> Ran {
    ran(&[&PRIVATE[..], &["sh", "-c", script]].concat())
}

/// A refusal's status and what its line must say.
fn refused(command: &mut Command, status: i32, words: &[&str]) {
    let ran = finish(command);
    assert_eq!(ran.status, status, "{ran:?}");
    assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
    for word in words {
        assert!(ran.err.contains(word), "{word:?} is not in {ran:?}");
    }
}

fn run(command: &Path) -> Command {
    usysv(&["run", "--private", "--", text(command)])
}

fn root(what: &str) -> bool {
    // SAFETY: no arguments, cannot fail.
    let root = unsafe { libc::geteuid() } == 0;
    if !root {
        eprintln!("SKIPPED: {what} needs root");
    }
    root
}

/// A 64-bit little-endian ELF header, with a `PT_INTERP` entry if there is a loader.
fn elf(class: u8, machine: u16, loader: Option<&str>) -> Vec<u8> {
    let mut bytes = vec![0; 64 + 56];
    bytes[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, 1, 1]);
    bytes[16] = 2;
    bytes[18..20].copy_from_slice(&machine.to_le_bytes());
    bytes[32] = 64;
    bytes[54] = 56;
    bytes[56] = 1;
    bytes[64] = 1;
    if let Some(loader) = loader {
        bytes[64] = 3;
        bytes[64 + 8] = 120;
        bytes[64 + 32] = loader.len() as u8 + 1;
        bytes.extend_from_slice(loader.as_bytes());
        bytes.push(0);
    }
    bytes
}

/// This machine's number in an ELF header.
fn machine() -> u16 {
    let bytes = std::fs::read(USYSV).expect("the executable");
    u16::from_le_bytes([bytes[18], bytes[19]])
}

#[test]
fn the_command_s_status_and_streams_are_its_own() {
    let ran = private("echo out; echo err >&2; exit 7");
    let want = Ran {
        out: "out\n".to_owned(),
        err: "err\n".to_owned(),
        status: 7,
    };
    assert_eq!(ran, want);
}

#[test]
fn the_environment_names_library_and_namespace() {
    let ran = private("echo \"$LD_PRELOAD\"; test -d \"$USYSV_NS\" && stat -c %a \"$USYSV_NS\"");
    // What root makes is for its programs too, which may become other users.
    // SAFETY: geteuid has no preconditions.
    let mode = if unsafe { libc::geteuid() } == 0 {
        1777
    } else {
        700
    };
    let library = program::library();
    assert_eq!(ran.out, format!("{}\n{mode}\n", library.display()));
}

#[test]
fn posix_shm_is_the_namespace_s_when_asked_for() {
    let show = ["sh", "-c", "echo ${USYSV_POSIX_SHM-unset}"];
    let run = |options: &[&str], value: Option<&str>| {
        let mut command = usysv(&[&["run", "--private"], options, &show[..]].concat());
        command.env_remove("USYSV_POSIX_SHM");
        finish(command.envs(value.map(|value| ("USYSV_POSIX_SHM", value)))).out
    };
    assert_eq!(run(&[], None), "unset\n");
    assert_eq!(run(&["--posix-shm"], None), "1\n");
    // What the caller set is the program's, but for what was asked here.
    assert_eq!(run(&[], Some("0")), "0\n");
    assert_eq!(run(&["--posix-shm"], Some("0")), "1\n");
}

#[test]
fn the_library_goes_in_front_of_other_preloads() {
    let mut command = usysv(&["run", "--private", "sh", "-c", "echo $LD_PRELOAD"]);
    let ran = finish(command.env("LD_PRELOAD", "/nonexistent.so"));
    assert!(
        ran.out.ends_with("libusysv.so:/nonexistent.so\n"),
        "{ran:?}"
    );
}

#[test]
fn a_private_namespace_goes_away() {
    let ran = private("echo $USYSV_NS");
    assert!(!Path::new(ran.out.trim_end()).exists(), "{ran:?}");
}

#[test]
fn keep_leaves_it_and_says_where() {
    let ran = ran(&["run", "--private", "--keep", "sh", "-c", "echo $USYSV_NS"]);
    let path = ran.out.trim_end();
    assert_eq!(ran.err, format!("usysv: kept: {path}\n"));
    std::fs::remove_dir_all(path).expect("it is there");
}

#[test]
fn a_command_that_is_not_there_is_127() {
    let scratch = Scratch::new();
    for command in [
        "usysv-no-such-command",
        "./no/such",
        "",
        text(&scratch.path("gone")),
    ] {
        refused(&mut usysv(&["run", "--", command]), 127, &["No such file"]);
    }
    let script = scratch.executable("script", b"#! /no/such/interpreter -x\n");
    refused(
        &mut run(&script),
        127,
        &["interpreter /no/such/interpreter", "No such file"],
    );
}

#[test]
fn a_command_that_cannot_be_run_is_126() {
    let scratch = Scratch::new();
    let file = scratch.path("file");
    std::fs::write(&file, "no program").expect("write");
    for command in [text(&file), "/"] {
        refused(
            &mut usysv(&["run", "--", command]),
            126,
            &["Permission denied"],
        );
    }
    // The one in PATH without permission is remembered when no other is found.
    let mut by_path = usysv(&["run", "--", "file"]);
    by_path.env(
        "PATH",
        format!("/no/such:{}", text(&file.with_file_name(""))),
    );
    refused(&mut by_path, 126, &["Permission denied"]);
}

#[test]
fn static_programs_are_refused() {
    let scratch = Scratch::new();
    let program = scratch.executable("static", &elf(2, machine(), None));
    refused(&mut run(&program), 126, &["statically linked"]);
    let script = format!("#!{} -x\n", text(&program));
    let script = scratch.executable("script", script.as_bytes());
    refused(
        &mut run(&script),
        126,
        &["script: its interpreter", "static: it is statically"],
    );
}

#[test]
fn programs_of_another_machine_are_refused() {
    let scratch = Scratch::new();
    let other = if machine() == 183 { 62 } else { 183 };
    let program = scratch.executable("other", &elf(2, other, Some("/lib/ld.so")));
    refused(&mut run(&program), 126, &["64-bit", "libusysv.so is"]);
    let program = scratch.executable("narrow", &elf(1, machine(), None));
    refused(&mut run(&program), 126, &["32-bit", "libusysv.so is"]);
}

#[test]
fn programs_of_another_libc_are_refused() {
    let scratch = Scratch::new();
    let loader = match cfg!(target_env = "musl") {
        true => "/lib64/ld-linux-x86-64.so.2",
        false => "/lib/ld-musl-x86_64.so.1",
    };
    let program = scratch.executable("other", &elf(2, machine(), Some(loader)));
    refused(
        &mut run(&program),
        126,
        &["linked with", "libusysv.so with"],
    );
}

#[test]
fn setuid_and_setgid_programs_are_refused_unless_they_change_nothing() {
    if !root("chown") {
        return;
    }
    let scratch = Scratch::new();
    let program = scratch.copy("program", Path::new("/bin/true"));
    let mode = |mode| std::fs::set_permissions(&program, PermissionsExt::from_mode(mode));
    chown(&program, Some(4711), Some(4712)).expect("chown");
    mode(0o4755).expect("chmod");
    refused(&mut run(&program), 126, &["setuid to user 4711"]);
    mode(0o2755).expect("chmod");
    refused(&mut run(&program), 126, &["setgid to group 4712"]);
    // Without group execute the bit does nothing.
    mode(0o2745).expect("chmod");
    assert_eq!(finish(&mut run(&program)).status, 0);
    chown(&program, Some(0), Some(0)).expect("chown");
    mode(0o6755).expect("chmod");
    assert_eq!(finish(&mut run(&program)).status, 0);
}

#[test]
fn programs_with_capabilities_are_refused_to_users() {
    if !root("setting file capabilities") {
        return;
    }
    let scratch = Scratch::new();
    let program = scratch.copy("program", Path::new("/bin/true"));
    // VFS_CAP_REVISION_2 with the effective bit and CAP_NET_RAW permitted.
    let mut value = [0u8; 20];
    value[..6].copy_from_slice(&[1, 0, 0, 2, 0, 0x20]);
    let path = std::ffi::CString::new(text(&program)).expect("no NUL");
    let name = c"security.capability";
    // SAFETY: two C strings and 20 bytes to read.
    let set = unsafe {
        libc::setxattr(
            path.as_ptr(),
            name.as_ptr(),
            value.as_ptr().cast(),
            value.len(),
            0,
        )
    };
    if set != 0 {
        eprintln!("SKIPPED: no file capabilities on {}", program.display());
        return;
    }
    assert_eq!(
        finish(&mut run(&program)).status,
        0,
        "root gains nothing by them"
    );
    // A user may not look into the build's directory.
    let tool = scratch.copy("usysv", Path::new(USYSV));
    scratch.copy("libusysv.so", &program::library());
    let mut command = Command::new(&tool);
    command
        .args(["run", "--private", "--", text(&program)])
        .uid(4711)
        .gid(4712);
    refused(&mut command, 126, &["given file capabilities"]);
}

#[test]
fn our_own_failures_are_125() {
    let scratch = Scratch::new();
    assert_eq!(ran(&["run"]).status, 125);
    assert_eq!(ran(&["run", "--bogus", "true"]).status, 125);
    refused(
        &mut usysv(&["--kernel", "run", "true"]),
        125,
        &["makes no sense"],
    );
    let mut missing = usysv(&["run", "--private", "true"]);
    missing.env("USYSV_LIB", "/no/such/libusysv.so");
    refused(&mut missing, 125, &["/no/such/libusysv.so"]);
    let alone = scratch.copy("usysv", Path::new(USYSV));
    refused(
        Command::new(&alone).args(["run", "true"]),
        125,
        &["not found", "USYSV_LIB"],
    );
}

#[test]
fn a_library_path_that_ld_so_would_split_is_refused() {
    let scratch = Scratch::new();
    for name in ["a:b.so", "a b.so", "$a.so"] {
        std::fs::write(scratch.path(name), "").expect("write");
        let mut command = usysv(&["run", "--private", "true"]);
        command.env("USYSV_LIB", scratch.path(name));
        refused(&mut command, 125, &["cannot be preloaded"]);
    }
}

#[test]
fn scripts_without_a_first_line_go_to_the_shell() {
    let scratch = Scratch::new();
    let script = scratch.executable("script", b"echo \"$0 $1\"\n");
    let ran = finish(run(&script).arg("x"));
    assert_eq!(ran.out, format!("{} x\n", text(&script)));
}
