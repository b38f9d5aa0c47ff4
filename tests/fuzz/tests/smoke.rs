//! A bounded run of every fuzz target over changed seeds, where there is no nightly toolchain for `cargo fuzz`.
//!
//! `FLAGCACHE_FUZZ_INPUTS` says how many inputs each target gets, `FLAGCACHE_SEED` with which chance. An input that does
//! harm is left in a file; `cargo run -p flagcache-fuzz --example replay -- TARGET FILE` takes it in again.

use cap::Cap;
use flagcache_fuzz::{Mutator, TARGETS, Target, target};
use std::alloc::System;
use std::error::Error;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Counts the memory that is asked for; limits nothing.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

/// How many inputs each target gets where nobody says.
const INPUTS: u64 = 2_000;
/// The most memory that an input of at most 64 KB may take: what is refused is refused before it is unpacked.
const MOST_MEMORY: usize = 160 << 20;

fn variable(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}

/// Feeds a target, and says how much memory an input took at most.
#[expect(clippy::print_stdout, reason = "whoever sets the limit wants to know how far from it the inputs are")]
fn smoke(name: &str) -> Result<(), Box<dyn Error>> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    // Memory is counted for the whole process; a target that has failed says so by itself.
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let target = target(name).ok_or("there is no such target")?;
    let seeds = (target.seeds)();
    let mut mutator = Mutator::new(variable("FLAGCACHE_SEED", 1), seeds.clone());
    let changed = (0..variable("FLAGCACHE_FUZZ_INPUTS", INPUTS)).map(|_| mutator.input());
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.input"));
    let mut most = 0;
    for input in seeds.into_iter().chain(changed) {
        // Beforehand: what overflows the stack or is aborted leaves no other trace.
        fs::write(&file, &input)?;
        most = most.max(memory_of(target, &input, &file));
    }
    fs::remove_file(file)?;
    println!("{name}: an input took {} KB at most", most >> 10);
    Ok(())
}

/// Runs a target, and says how much memory it took more than any before it.
fn memory_of(target: &Target, input: &[u8], file: &Path) -> usize {
    let before = MEMORY.allocated();
    let highest = MEMORY.max_allocated();
    let ran = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    assert!(ran.is_ok(), "{} does not take what is in {}", target.name, file.display());
    let taken = if MEMORY.max_allocated() > highest { MEMORY.max_allocated().saturating_sub(before) } else { 0 };
    assert!(taken <= MOST_MEMORY, "{} takes {taken} bytes of memory for what is in {}", target.name, file.display());
    taken
}

#[test]
fn any_webhook_is_let_in_only_with_its_signature() -> Result<(), Box<dyn Error>> {
    smoke("webhook")
}

#[test]
fn any_event_is_taken_or_refused() -> Result<(), Box<dyn Error>> {
    smoke("event")
}

#[test]
fn any_audit_log_entry_is_read_or_refused() -> Result<(), Box<dyn Error>> {
    smoke("audit_log")
}

#[test]
fn any_query_is_answered() -> Result<(), Box<dyn Error>> {
    smoke("query")
}

#[test]
fn any_payload_is_kept_byte_for_byte_or_refused() -> Result<(), Box<dyn Error>> {
    smoke("payload")
}

#[test]
fn any_base_is_read_or_refused() -> Result<(), Box<dyn Error>> {
    smoke("base")
}

#[test]
fn any_delta_is_read_or_refused() -> Result<(), Box<dyn Error>> {
    smoke("delta")
}

#[test]
fn any_table_is_read_or_refused() -> Result<(), Box<dyn Error>> {
    smoke("table")
}

#[test]
fn cargo_fuzz_knows_every_target() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    for Target { name, .. } in TARGETS {
        let program = fs::read_to_string(folder.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(program.contains(&format!("flagcache_fuzz::fuzz(\"{name}\", ")), "{program}");
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
    }
}
