//! What the fuzz targets of `fuzz_targets/` run, so that a plain test of the crate can run it too.

include!("modules.rs");
