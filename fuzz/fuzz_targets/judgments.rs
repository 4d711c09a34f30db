#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lpips_workspace::fuzz::judgments(data));
