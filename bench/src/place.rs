//! Where a run finds the library, and where it keeps its private namespaces until it ends.

use std::env;
use std::fs::{self, DirBuilder};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Finds `libusysv.so`: `$USYSV_LIB`, else beside this program.
pub fn library() -> Result<PathBuf> {
    let path = match env::var_os("USYSV_LIB") {
        Some(path) => PathBuf::from(path),
        None => env::current_exe()?.with_file_name("libusysv.so"),
    };
    let path = path.canonicalize().map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::new(
            ErrorKind::NotFound,
            "libusysv.so is not beside this program (cargo build --release -p usysv-preload), \
             nor does $USYSV_LIB name it",
        ),
        kind => Error::new(kind, format!("libusysv.so: {error}")),
    })?;
    match path.to_string_lossy().contains([' ', ':']) {
        // ld.so splits LD_PRELOAD there and knows no escape.
        true => Err(Error::other(
            "libusysv.so: its path has a space or a colon in it",
        )),
        false => Ok(path),
    }
}

/// A private directory that holds a run's namespaces. It is removed when it goes out of scope.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes the directory in `/dev/shm`, or in the temporary directory if there is none.
    pub fn new() -> Result<Scratch> {
        let name = format!("usysv-bench.{}", std::process::id());
        let shm = Path::new("/dev/shm").join(&name);
        if make_private(&shm).is_ok() {
            return Ok(Scratch(shm));
        }
        let other = env::temp_dir().join(&name);
        make_private(&other)
            .map_err(|error| Error::new(error.kind(), format!("{}: {error}", other.display())))?;
        Ok(Scratch(other.canonicalize()?))
    }

    /// The directory that holds this one, for the report.
    pub fn parent(&self) -> &Path {
        self.0.parent().unwrap_or(&self.0)
    }

    /// A fresh, empty directory for one worker's namespace.
    pub fn namespace(&self) -> Result<Namespace> {
        let path = self.0.join("ns");
        make_private(&path)?;
        Ok(Namespace(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

/// One worker's namespace. It is removed when it goes out of scope.
pub struct Namespace(PathBuf);

impl Namespace {
    /// Its directory, absolute.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

fn make_private(path: &Path) -> Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_dir_all(path) {
        eprintln!("usysv-bench: cannot remove {}: {error}", path.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_stays_behind() {
        let scratch = Scratch::new().unwrap();
        let namespace = scratch.namespace().unwrap();
        fs::write(namespace.path().join("left"), "over").unwrap();
        let path = scratch.0.clone();
        drop(namespace);
        drop(scratch.namespace().unwrap());
        drop(scratch);
        assert!(!path.exists());
    }
}
