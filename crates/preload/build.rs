//! Link options of `libusysv.so` that Cargo has no key for.

fn main() {
    // Signal handlers and interposed functions point into the library: dlclose must not unmap it.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    // `-lusysv` must record the plain name, so that one process never loads two copies.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libusysv.so");
    println!("cargo::rerun-if-changed=build.rs");
}
