//! Writes a generated payload, or contexts, to a file.
//!
//! `cargo run -p flagcache-tests --example payload -- payload SEED FLAGS SEGMENTS FILE`
//! `cargo run -p flagcache-tests --example payload -- contexts SEED COUNT FILE`

use flagcache_tests::generate;
use std::error::Error;
use std::fs;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["payload", seed, flags, segments, file] => {
            let text = generate::payload(seed.parse()?, flags.parse()?, segments.parse()?);
            fs::write(file, text)?;
        }
        ["contexts", seed, count, file] => {
            let contexts = generate::contexts(seed.parse()?, count.parse()?);
            fs::write(file, serde_json::to_string(&contexts)?)?;
        }
        _ => return Err("usage: payload SEED FLAGS SEGMENTS FILE | contexts SEED COUNT FILE".into()),
    }
    Ok(())
}
