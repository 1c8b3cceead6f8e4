#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seatkeeper_fuzz::targets::chain(data));
