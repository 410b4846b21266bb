#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| asynchat_fuzz::targets::url_and_location::fuzz(data));
