//! Gives a file to a fuzz target: `cargo run -p flagcache-fuzz --example replay -- TARGET FILE`. With `--seeds FOLDER`
//! in their place it writes the seeds of every target, as `cargo fuzz` takes them.

use flagcache_fuzz::{TARGETS, target};
use std::fs;
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--seeds", folder] => {
            for target in TARGETS {
                let folder = Path::new(folder).join(target.name);
                fs::create_dir_all(&folder)?;
                for (number, seed) in (target.seeds)().into_iter().enumerate() {
                    fs::write(folder.join(format!("seed-{number}")), seed)?;
                }
            }
        }
        [name, file] => {
            let target = target(name).ok_or_else(|| format!("there is no target {name}"))?;
            (target.run)(&fs::read(file)?);
        }
        _ => return Err("usage: replay TARGET FILE | --seeds FOLDER".into()),
    }
    Ok(())
}
