//! usysv conformance
fn main() {}
