//! What the commands of `make` say on an AWS in which nothing is there yet.
//!
//! The real `make` and `aws`, against an AWS emulator (`flagcache_tests::rehearsal`). Run with `make test-deploy`.

use anyhow::Result;
use flagcache_tests::rehearsal::{Ran, Rehearsal};

const STAGING: &[(&str, &str)] = &[("ENV", "staging")];

/// Fails unless it refused, saying why and with what to go on.
fn refused(ran: &Ran, why: &str, command: &str) {
    assert!(!ran.success, "{ran:?}");
    assert!(ran.stderr.contains(why) && ran.stderr.contains(command), "{}", ran.stderr);
    assert!(!ran.stderr.contains("Traceback"), "{}", ran.stderr);
}

#[tokio::test]
async fn every_command_says_what_is_missing() -> Result<()> {
    let rehearsal = Rehearsal::start().await?;
    for target in ["url", "connect", "invoke", "logs-store", "logs-reader"] {
        let ran = rehearsal.make(target, STAGING).await?;
        refused(
            &ran,
            "there is no stack flagcache-staging in account 123456789012, region eu-west-1",
            "make deploy ENV=staging",
        );
    }
    refused(&rehearsal.make("destroy", STAGING).await?, "there is no stack flagcache-staging", "nothing to do");
    let ran = rehearsal.make("deploy", STAGING).await?;
    refused(&ran, "no SSM parameter /launchdarkly/staging/sdkkey", "aws ssm put-parameter");
    refused(&rehearsal.make("deploy", &[("ENV", "qa")]).await?, "says nothing of 'qa'", "write qa for staging");
    refused(&rehearsal.make("url", &[("ENV", "a_b")]).await?, "ENV is 'a_b'", "make url ENV=staging");
    let ran = rehearsal.make("url", &[("AWS_ENDPOINT_URL", "http://127.0.0.1:1")]).await?;
    assert!(!ran.success);
    Ok(())
}
