//! What is asked, and what is left, where the table is protected.

use super::{PRODUCTION, put_parameter, refused, succeeded, table};
use anyhow::{Context, Result};
use flagcache_tests::rehearsal::Rehearsal;

const STACK: &str = "flagcache-production";

#[tokio::test]
async fn productions_table_outlives_its_stack() -> Result<()> {
    let rehearsal = Rehearsal::start().await?;
    put_parameter(&rehearsal, "/launchdarkly/production/sdkkey", "sdk-local").await?;
    succeeded(rehearsal.make("production", &[]).await?)?;
    assert_eq!(table(&rehearsal, STACK).await?["DeletionProtectionEnabled"], true);

    it_is_asked_about_twice(&rehearsal).await?;

    table(&rehearsal, STACK).await.context("the table is gone")?;
    let refusal = rehearsal.make("deploy", PRODUCTION).await?;
    refused(&refusal, "an earlier one has left it behind", "--no-deletion-protection-enabled");
    // What it says to do does it.
    let update = ["dynamodb", "update-table", "--table-name", STACK, "--no-deletion-protection-enabled"];
    rehearsal.aws(&update).await?;
    rehearsal.aws(&["dynamodb", "delete-table", "--table-name", STACK]).await?;
    succeeded(rehearsal.make("production", &[]).await?)?;
    Ok(())
}

async fn it_is_asked_about_twice(rehearsal: &Rehearsal) -> Result<()> {
    let sure = "delete production";
    for answers in [&["production", sure][..], &[STACK, "yes"], &[STACK, ""], &["", ""], &[STACK, "\u{4}"]] {
        let refusal = rehearsal.make_answering("destroy", PRODUCTION, answers).await?;
        refused(&refusal, "nothing was deleted", "To delete it, type its name (flagcache-production):");
    }
    succeeded(rehearsal.make("url", PRODUCTION).await?)?;
    let destroyed = succeeded(rehearsal.make_answering("destroy", PRODUCTION, &[STACK, sure]).await?)?;
    assert!(destroyed.stderr.contains("the table flagcache-production is protected: it stays"), "{}", destroyed.stderr);
    assert!(destroyed.stdout.contains("aws dynamodb delete-table"), "{}", destroyed.stdout);
    Ok(())
}
