#![no_main]

use constellation_tests::properties::relay_message;

libfuzzer_sys::fuzz_target!(|data: &[u8]| relay_message::holds(data));
