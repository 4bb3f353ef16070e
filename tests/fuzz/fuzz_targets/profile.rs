#![no_main]

use constellation_tests::properties::profile;

libfuzzer_sys::fuzz_target!(|data: &[u8]| profile::holds(data));
