#![no_main]

use constellation_tests::properties::request;

libfuzzer_sys::fuzz_target!(|data: &[u8]| request::holds(data));
