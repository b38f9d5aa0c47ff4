//! Our functions beside those of others, in speed, memory, requests and capacity units.
//!
//! `cargo run --release -p flagcache-tests --bin bench -- all`
//! after `cargo build --release -p store -p reader -p relay-override`. Every contestant is a function process under
//! the same Runtime API over the same emulator, invoked with the same events; their runs take
//! turns, so that whatever else the machine does hits all alike, and medians are shown. Wall times
//! are taken without the counting proxy, requests and units with it.
//!
//! - `contestant`: a function with a name, and one run of it;
//! - `sample`: medians and what the kernel says of a process;
//! - `override_tool`: the command line `rc` beside the tool that it replaces, over Redis;
//! - `reader`, `store`, `scale`, `env_sync`, `server`: the rows; `report`: how they are printed;
//! - `load`: many webhooks at a pool of stores.

mod contestant;
mod env_sync;
mod load;
mod override_tool;
mod reader;
mod report;
mod sample;
mod scale;
mod server;
mod store;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use flagcache_tests::binaries::binary;
use flagcache_tests::dynamodb_local::DynamoDbLocal;
use flagcache_tests::tools::Tools;
use report::Report;

/// Measures our functions beside those of others.
#[derive(Debug, Parser)]
struct Arguments {
    /// What to measure.
    #[arg(value_enum, default_value = "all")]
    what: What,
    /// How many times each cold start is run.
    #[arg(long, default_value_t = 21)]
    runs: usize,
    /// How many flags the environment has.
    #[arg(long, default_value_t = 1_000)]
    flags: usize,
    /// At how many flags stores are compared; 16,500 weigh 20 MB.
    #[arg(long, value_delimiter = ',', default_value = "1,100,1000,10000,16500")]
    sizes: Vec<usize>,
    /// Only this half of `scale`.
    #[arg(long, value_enum)]
    only: Option<scale::Half>,
    /// How many webhooks the stores are loaded with.
    #[arg(long, default_value_t = 2_000)]
    webhooks: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum What {
    Reader,
    Store,
    Scale,
    Load,
    EnvSync,
    Overrides,
    Server,
    All,
}

/// How long a server is loaded for each figure.
const SECONDS: u64 = 2;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if matches!(arguments.what, What::EnvSync | What::All) {
        env_sync::measure(arguments.flags, arguments.runs).await?.print();
    }
    if matches!(arguments.what, What::Server | What::All) {
        server::measure(arguments.flags, SECONDS).await?.print();
    }
    if matches!(arguments.what, What::EnvSync | What::Server) {
        return Ok(());
    }
    let tools = Tools::install()?;
    if matches!(arguments.what, What::Overrides | What::All) {
        match override_tool::measure(&tools, arguments.runs).await? {
            Some(report) => report.print(),
            None => report::remark("no redis-server is installed: overrides are not measured"),
        }
    }
    if arguments.what == What::Overrides {
        return Ok(());
    }
    let emulator = DynamoDbLocal::start(&tools).await?;
    let endpoint = emulator.endpoint();
    if matches!(arguments.what, What::Reader | What::All) {
        reader::measure(&tools, &endpoint, arguments.flags, arguments.runs).await?.print();
    }
    let stores = store::contestants(&tools);
    if matches!(arguments.what, What::Store | What::All) {
        store::measure(&stores, &endpoint, arguments.flags, arguments.runs).await?.print();
    }
    if matches!(arguments.what, What::Scale | What::All) {
        scale::measure(&stores, &endpoint, &arguments.sizes, arguments.only).await?.print();
    }
    if matches!(arguments.what, What::Load | What::All) {
        report::remark(&load::measure(&endpoint, arguments.flags, arguments.webhooks).await?);
    }
    sizes()?.print();
    Ok(())
}

/// The sizes of our function binaries.
fn sizes() -> Result<Report> {
    let mut report = Report::new("Function binaries", &["size"]);
    for name in ["store", "reader"] {
        let size = match binary(name) {
            Ok(path) => report::megabytes(std::fs::metadata(path)?.len()),
            Err(_) => "not built".to_owned(),
        };
        report.row(name, vec![size]);
    }
    Ok(report)
}
