//! The command's environment: ours, plus the library, the namespace and what was asked of them.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// `environ` with `LD_PRELOAD` and `USYSV_NS` set, and `USYSV_POSIX_SHM` if that was asked for.
pub fn build(
    vars: impl Iterator<Item = (OsString, OsString)>,
    library: &Path,
    namespace: &CStr,
    posix_shm: bool,
) -> Vec<CString> {
    let mut preload = library.as_os_str().to_owned();
    let mut envp = Vec::new();
    for (name, value) in vars {
        match name.as_bytes() {
            b"LD_PRELOAD" => preload = in_front(library.as_os_str(), &value),
            b"USYSV_NS" => {}
            b"USYSV_POSIX_SHM" if posix_shm => {}
            _ => envp.push(entry(name.as_bytes(), value.as_bytes())),
        }
    }
    envp.push(entry(b"LD_PRELOAD", preload.as_bytes()));
    envp.push(entry(b"USYSV_NS", namespace.to_bytes()));
    if posix_shm {
        envp.push(entry(b"USYSV_POSIX_SHM", b"1"));
    }
    envp
}

/// The library before what is preloaded already, in which it appears once (a run inside a run).
fn in_front(library: &OsStr, others: &OsStr) -> OsString {
    let mut list = library.to_owned();
    let words = others.as_bytes().split(|&b| b == b':' || b == b' ');
    for word in words.filter(|w| !w.is_empty() && *w != library.as_bytes()) {
        list.push(":");
        list.push(OsStr::from_bytes(word));
    }
    list
}

fn entry(name: &[u8], value: &[u8]) -> CString {
    // Both came from the environment, from a path or from a C string: no NUL in them.
    CString::new([name, b"=", value].concat()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_goes_in_front_once() {
        let lib = OsStr::new("/l/libusysv.so");
        for (others, want) in [
            ("", "/l/libusysv.so"),
            ("/a.so", "/l/libusysv.so:/a.so"),
            ("/a.so /l/libusysv.so:b.so", "/l/libusysv.so:/a.so:b.so"),
        ] {
            assert_eq!(in_front(lib, OsStr::new(others)), OsStr::new(want));
        }
    }
}
