#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| asynchat_fuzz::targets::filter::fuzz(data));
