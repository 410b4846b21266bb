//! What the fuzz targets of `fuzz_targets/` run, so that a plain test can run it too.

pub mod targets;
