#![no_main]

use constellation_tests::properties::event;

libfuzzer_sys::fuzz_target!(|data: &[u8]| event::holds(data));
