#![no_main]

use constellation_tests::properties::conf;

libfuzzer_sys::fuzz_target!(|data: &[u8]| conf::holds(data));
