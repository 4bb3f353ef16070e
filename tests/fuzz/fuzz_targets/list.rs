#![no_main]

use constellation_tests::properties::list;

libfuzzer_sys::fuzz_target!(|data: &[u8]| list::holds(data));
