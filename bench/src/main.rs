//! usysv bench
fn main() {}
