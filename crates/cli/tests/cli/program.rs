//! How the tests call `usysv` and shells, and where they put files.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The command under test.
pub const USYSV: &str = env!("CARGO_BIN_EXE_usysv");

/// What a finished command printed and ended with.
#[derive(Debug, PartialEq, Eq)]
pub struct Ran {
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
    /// The exit status, 128 + n after a signal.
    pub status: i32,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        use std::os::unix::process::ExitStatusExt;
        let status = output.status;
        Ran {
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
            status: status
                .code()
                .or(status.signal().map(|n| 128 + n))
                .unwrap_or(-1),
        }
    }
}

/// `libusysv.so` beside the command: cargo builds it for no test of its own accord.
pub fn library() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let profile_dir = Path::new(USYSV).parent().expect("a directory");
        let target = profile_dir.parent().expect("the target directory");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args([
            "build",
            "--quiet",
            "--package",
            "usysv-preload",
            "--target-dir",
        ]);
        cargo.arg(target);
        if profile_dir.ends_with("release") {
            cargo.arg("--release");
        }
        let built = cargo.status().expect("cargo starts");
        assert!(built.success(), "libusysv.so cannot be built");
        profile_dir.join("libusysv.so")
    };
    BUILT.get_or_init(build).clone()
}

/// `usysv` without the caller's namespace and library.
pub fn usysv(args: &[&str]) -> Command {
    if args.contains(&"run") {
        library();
    }
    let mut command = Command::new(USYSV);
    command.args(args).stdin(Stdio::null());
    for name in ["USYSV_NS", "USYSV_LIB", "LD_PRELOAD", "POSIXLY_CORRECT"] {
        command.env_remove(name);
    }
    command
}

/// Runs `usysv` to its end.
pub fn ran(args: &[&str]) -> Ran {
    finish(&mut usysv(args))
}

/// Runs a command to its end.
pub fn finish(command: &mut Command) -> Ran {
    command.output().expect("the command starts").into()
}

/// Runs a script in an IPC namespace of its own; `None`, said out loud, where that is not allowed.
///
/// In the script, `k` is `usysv --kernel` and `show` prints a command's streams and status.
pub fn in_kernel(script: &str) -> Option<Ran> {
    static ALLOWED: OnceLock<bool> = OnceLock::new();
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command
            .args(["--ipc", "sh", "-c", script])
            .stdin(Stdio::null());
        command
            .env("LC_ALL", "C.UTF-8")
            .env_remove("POSIXLY_CORRECT");
        command
    };
    if !*ALLOWED.get_or_init(|| unshare("true").status().is_ok_and(|s| s.success())) {
        eprintln!("SKIPPED: unshare --ipc needs root: nothing was compared with the kernel");
        return None;
    }
    let prelude = format!(
        "k() {{ {USYSV} --kernel \"$@\"; }}\n\
         show() {{ echo \"--- $*\"; \"$@\"; echo \"status $?\"; }}\n\
         exec 2>&1\n"
    );
    Some(finish(&mut unshare(&(prelude + script))))
}

/// A directory that goes away with its test.
pub struct Scratch(PathBuf);

impl Scratch {
    /// A fresh one.
    pub fn new() -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("usysv-cli-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).expect("a scratch directory");
        Scratch(path)
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A copy in it of a file that can be executed at once.
    ///
    /// Made by another process: a file that this one has open for writing may be inherited, for a
    /// moment, by a command that another test is starting, and then it is "Text file busy".
    pub fn copy(&self, name: &str, from: &Path) -> PathBuf {
        let path = self.path(name);
        let copied = Command::new("cp").arg(from).arg(&path).status();
        assert!(
            copied.expect("cp starts").success(),
            "cp to {}",
            path.display()
        );
        path
    }

    /// An executable file in it.
    pub fn executable(&self, name: &str, bytes: &[u8]) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let contents = self.path("contents");
        std::fs::write(&contents, bytes).expect("write");
        let path = self.copy(name, &contents);
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&path, mode).expect("chmod");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}
