#![no_main]

use constellation_tests::properties::reconciliation;

libfuzzer_sys::fuzz_target!(|data: &[u8]| reconciliation::holds(data));
