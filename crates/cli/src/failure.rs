//! Why a command ended: one line for standard error and an exit status.

use std::fmt;

/// A line on standard error, which may be closed or full: then there is nobody to tell, and the command goes
/// on to its exit status. (`eprintln!` would abort it.)
macro_rules! complain {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($text)*);
    }};
}
pub(crate) use complain;

/// The exit status of an error without a better one.
pub const ERROR: u8 = 1;
/// `--nowait`, and the call would have waited.
pub const WOULD_WAIT: u8 = 3;

/// An error on its way to `main`.
#[derive(Debug)]
pub struct Failure {
    text: String,
    status: u8,
}

impl Failure {
    /// A failure with exit status 1.
    pub fn new(text: impl Into<String>) -> Failure {
        Failure::with_status(ERROR, text)
    }

    /// A failure with this exit status.
    pub fn with_status(status: u8, text: impl Into<String>) -> Failure {
        Failure {
            text: text.into(),
            status,
        }
    }

    /// A failed operation on a file.
    pub fn io(path: impl fmt::Display, error: &std::io::Error) -> Failure {
        Failure::new(format!("{path}: {}", reason(error)))
    }

    /// Output that could not be written.
    pub fn stdout(error: std::io::Error) -> Failure {
        Failure::io("standard output", &error)
    }

    /// The exit status.
    pub fn status(&self) -> u8 {
        self.status
    }

    /// The same with another exit status.
    pub fn status_to(self, status: u8) -> Failure {
        Failure { status, ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// strerror's words, without Rust's `(os error 2)`.
pub fn reason(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(errno) => crate::sys::strerror(errno),
        None => error.to_string(),
    }
}
