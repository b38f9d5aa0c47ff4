//! The target `audit_log` of `tests/fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| flagcache_fuzz::fuzz("audit_log", bytes));
