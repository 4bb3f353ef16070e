#![no_main]

use constellation_tests::properties::description;

libfuzzer_sys::fuzz_target!(|data: &[u8]| description::holds(data));
