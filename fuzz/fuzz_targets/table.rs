//! The target `table` of `tests/fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| flagcache_fuzz::fuzz("table", bytes));
