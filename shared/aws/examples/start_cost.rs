//! What each step of a start costs: `cargo run --release -p flagcache-aws --example start_cost`.
//!
//! Run it with the variables of a function (`AWS_REGION`, credentials, perhaps `AWS_ENDPOINT_URL`);
//! one process is one start, so run it a number of times.

#![expect(clippy::print_stdout, reason = "it is all that this program is for")]

use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut last = Instant::now();
    let mut step = |name: &str| {
        println!("{name:<40} {:>9.1} us", last.elapsed().as_secs_f64() * 1e6);
        last = Instant::now();
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    step("tokio runtime");
    runtime.block_on(async {
        let config = flagcache_aws::sdk_config().await?;
        step("sdk_config()");
        let resolved = flagcache_aws::Resolved::of(&config).await;
        step("Resolved::of");
        let dynamodb = flagcache_aws::dynamodb(&config);
        step("dynamodb client");
        let _ssm = flagcache_aws::ssm(&config);
        step("ssm client");
        let first = dynamodb.list_tables().send().await;
        step(if first.is_ok() { "first request" } else { "first request (failed)" });
        let second = dynamodb.list_tables().send().await;
        step(if second.is_ok() { "second request" } else { "second request (failed)" });
        aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
        step("for comparison: the SDK's load_defaults");
        println!("{resolved:?}");
        Ok(())
    })
}
