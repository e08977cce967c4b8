//! usysv
fn main() {}
