//! Where `libusysv.so` is.

use crate::failure::Failure;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const NAME: &str = "libusysv.so";

/// The library's absolute path, fit for `LD_PRELOAD`.
pub fn find() -> Result<PathBuf, Failure> {
    let path = match std::env::var_os("USYSV_LIB").filter(|v| !v.is_empty()) {
        Some(path) => {
            let path = PathBuf::from(path);
            std::path::absolute(&path).map_err(|e| Failure::io(path.display(), &e))?
        }
        None => beside_executable()?,
    };
    if !path.is_file() {
        return Err(Failure::new(format!(
            "$USYSV_LIB: no library at {}",
            path.display()
        )));
    }
    check_preloadable(&path)?;
    Ok(path)
}

fn beside_executable() -> Result<PathBuf, Failure> {
    let executable = std::env::current_exe().map_err(|e| Failure::io("/proc/self/exe", &e))?;
    let directory = executable.parent().unwrap_or(Path::new("/"));
    let prefix = directory.parent().unwrap_or(Path::new("/"));
    let places = [
        directory.join(NAME),
        prefix.join("lib/usysv").join(NAME),
        prefix.join("lib").join(NAME),
    ];
    if let Some(found) = places.iter().find(|place| place.is_file()) {
        return Ok(found.clone());
    }
    let tried = places.map(|place| place.display().to_string()).join(", ");
    Err(Failure::new(format!(
        "{NAME} not found (looked for {tried}): install it or set USYSV_LIB to its path"
    )))
}

/// `LD_PRELOAD` is a list; ld.so has no way to quote its separators.
fn check_preloadable(path: &Path) -> Result<(), Failure> {
    let bytes = path.as_os_str().as_bytes();
    // ld.so expands $ORIGIN and its like in the list.
    if bytes.iter().any(|b| b": $".contains(b)) {
        return Err(Failure::new(format!(
            "the library's path '{}' cannot be preloaded: LD_PRELOAD has no way to quote a \
             colon, a space or a dollar sign; copy the library elsewhere and set USYSV_LIB",
            path.display()
        )));
    }
    Ok(())
}
