//! The `directlink` program.
fn main() {}
